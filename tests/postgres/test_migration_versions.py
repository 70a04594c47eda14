"""The migration of versions: what was published before is a publish, and is found by what it noted."""

import uuid
from collections.abc import Callable

import psycopg
import pytest
from psycopg.rows import dict_row

from identity.ids import Entity, tenant_id
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.postgres import migrate as migrations
from resources.postgres.engine import app_engine, plain_engine
from resources.postgres.migrate import migrate
from resources.postgres.session import Sessions

TENANTS = ("default", "other")
LAKE = dataset_key("lake", schema="nyc", table="flights")

_BIND = "SELECT set_config('metadata.actor', 'test', true), set_config('metadata.tenant', %s, true)"
_BEFORE = (
    """INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
    VALUES (%(tenant)s, %(id)s, 'DATASET', 'flights', %(key)s, %(digest)s, 'test')""",
    "INSERT INTO metadata.dataset VALUES (%(tenant)s, %(id)s, 'immediately', 1)",
    """INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key, idempotency_key,
      intent, attempt_id, run_id, step_key, retry_number, fencing_token, actor, metadata)
    VALUES (%(tenant)s, %(made)s, %(id)s, '', 'k', 'i', %(id)s, 'r', 's', 0, 1, 'test',
      '{"model": "b7", "rows": 1}')""",
    """INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor)
    VALUES (%(tenant)s, %(id)s, 1, 'k', 'test')""",
    "INSERT INTO metadata.version_partition VALUES (%(tenant)s, %(id)s, '', 1, NULL, %(made)s)",
)
# What is published after the first: the partitions that begin in each version, with their rows (None: not counted).
_LATER: tuple[dict[str, int | None], ...] = ({"a": 5, "b": None}, {"a": 2**62}, {"b": 2**62, "c": 2**62}, {"a": 0})
_MADE = """
INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key, idempotency_key, intent,
  attempt_id, run_id, step_key, retry_number, fencing_token, actor, row_count)
VALUES (%(tenant)s, %(made)s, %(id)s, %(partition)s, %(made)s::uuid::text, 'i', %(id)s, 'r', 's', 0, 1, 'test',
  %(rows)s)
"""
_LATER_VERSION = """
INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor)
VALUES (%(tenant)s, %(id)s, %(version)s, %(version)s::bigint::text, 'test')
"""
_ENDED = """
UPDATE metadata.version_partition SET to_version = %(version)s
WHERE tenant_id = %(tenant)s AND dataset_id = %(id)s AND partition_key = %(partition)s AND to_version IS NULL
"""
_BEGUN = (
    "INSERT INTO metadata.version_partition VALUES (%(tenant)s, %(id)s, %(partition)s, %(version)s, NULL, %(made)s)"
)


def test_what_was_published_before_stays_and_is_found(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, upgrade = make_database(), migrations.command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(migrations.command, "upgrade", lambda config, _head: upgrade(config, "0011"))
        migrate(plain_engine(url), tenants=TENANTS)
    made = {}
    for tenant in TENANTS:
        entity, made[tenant] = Entity(tenant_id(tenant), LAKE), uuid.uuid4()
        values = {
            "tenant": entity.tenant.value,
            "id": entity.id.value,
            "made": made[tenant],
            "key": str(LAKE),
            "digest": entity.key_sha256,
        }
        with psycopg.connect(url) as connection:
            connection.execute(_BIND, (str(entity.tenant),))
            for statement in _BEFORE:
                connection.execute(statement, values)
            for version, partitions in enumerate(_LATER, 2):
                connection.execute(_LATER_VERSION, {**values, "version": version})
                for partition, rows in partitions.items():
                    one = {**values, "version": version, "partition": partition, "made": uuid.uuid4(), "rows": rows}
                    for statement in (_MADE, _ENDED, _BEGUN):
                        connection.execute(statement, one)

    migrate(plain_engine(url), tenants=TENANTS)
    engine = app_engine(url)
    for tenant in TENANTS:
        store = MetadataStore(Sessions(engine, tenant_id(tenant), "test"))
        *later, first = store.versions(LAKE)
        assert (first.number, first.kind, first.restored, first.release) == (1, "publish", None, None)
        counted = [(one.number, one.partitions, one.partitions_changed, one.row_count) for one in (first, *later[::-1])]
        assert counted == [(1, 1, 1, None), (2, 3, 2, 5), (3, 3, 1, 2**62), (4, 4, 2, 3 * 2**62), (5, 4, 1, 2**63)]
        assert [one.id for one in store.materializations_with("model", "b7")] == [made[tenant]]
        assert [one.id for one in store.materializations_with("rows")] == [made[tenant]]
    engine.dispose()
    forced = "SELECT relname FROM pg_class WHERE relname = ANY (%s) AND relforcerowsecurity AND relkind = 'r'"
    with psycopg.connect(url, row_factory=dict_row) as superuser:
        assert len(superuser.execute(forced, [["materialization", "version", "metadata_key"]]).fetchall()) == 3
