"""What the app's role writes past the stores: an id or a name that identity/ did not derive is refused by the database.

Each forgery is tried twice as that role, in raw SQL: as things are, and with the mechanism that is in its way removed.
"""

import json
import random
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from store_inputs import Lake

from identity.errors import InvalidKey, MetadataError
from identity.ids import Entity, tenant_id
from identity.keys import CanonicalKey, dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from resources.postgres.engine import app_engine
from resources.postgres.errors import AdHocIdentity, WriteRefused
from resources.postgres.session import Sessions

TENANT = tenant_id("default")
THERE, OTHER = dataset_key("lake", table="there"), dataset_key("lake", table="other")
ESCAPES = "% %2E %2F %2f %41 %00 %7F %C3 %C3%A9 %ED%A0%80 %F4%90%80%80 %C0%80 %E2%82%AC %F0%9F%9B%AB"
PIECES = [*re.findall(r"\S+", ESCAPES), *".~/:A-_\n é", "..", "#2", "x" * 63, "x" * 1500, "mid1:"]
VECTORS = Path(__file__).parents[1] / "vectors" / "keys.jsonl"

_ASSET = """INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
  VALUES (%(tenant)s, {id}, 'TABLE', 'x', {name}, {digest}, 'forger')"""
_ENDPOINT = """INSERT INTO metadata.endpoint (tenant_id, endpoint_id, slug, system)
  VALUES (%(tenant)s, {id}, {slug}, 'postgres')"""
_EDGE = """INSERT INTO metadata.relationship
  (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by)
  VALUES (%(tenant)s, %(there)s, %(other)s, 'DEPENDS_ON', {producer}, 'junk', 'forger')"""
_FIELD = """INSERT INTO metadata.schema_field (tenant_id, field_id, asset_id, name, type, nullable, position)
  VALUES (%(tenant)s, gen_random_uuid(), %(there)s, 'x', 'text', true, 1)"""
_RENAME = """SELECT * FROM metadata.rename_entities('forged', sha256('x'), gen_random_uuid(),
  jsonb_build_array(jsonb_build_object(
    'was', %(there_key)s::text, 'now', {now}, 'name', 'x', 'kind', 'rename', 'endpoint_id', NULL)), NULL)"""
_LEGACY = """SELECT * FROM metadata.name_legacy_ids(gen_random_uuid(), NULL,
  jsonb_build_array(jsonb_build_object('key', 'mid1:dataset:legacy:~/~/an id', 'entity_id', %(there)s::uuid)))"""

_VERSION_5 = "regexp_replace(gen_random_uuid()::text, '-4', '-5')::uuid"
_BIRTHS = "ALTER TABLE metadata.asset DISABLE TRIGGER born_of_keys"
_NAMES = "ALTER TABLE metadata.asset DROP CONSTRAINT asset_qualified_name_check"
_ALIASES = "ALTER TABLE metadata.alias DROP CONSTRAINT alias_key_check"


def asset(identifier: str, name: str = "%(new)s", digest: str = "%(digest)s") -> str:
    return _ASSET.format(id=identifier, name=name, digest=digest)


# What is tried, the constraint or trigger that refuses it, and what takes that out of the way.
FORGERIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "random id": (asset("gen_random_uuid()"), "adhoc_identity", (_BIRTHS,)),
    "random id of version 5": (asset(_VERSION_5), "adhoc_identity", (_BIRTHS,)),
    "hashed id": (asset("md5(%(new)s)::uuid"), "adhoc_identity", (_BIRTHS,)),
    "id of another tenant": (asset("%(of_another_tenant)s"), "adhoc_identity", (_BIRTHS,)),
    "digest of another key": (asset("%(id)s", digest="sha256('x')"), "adhoc_identity", (_BIRTHS,)),
    "generation that never was": (
        asset("%(seventh)s", digest="%(seventh_digest)s"),
        "adhoc_identity",
        (_BIRTHS,),
    ),
    "name with a generation": (
        asset("%(seventh)s", "%(new)s || '#7'", "%(seventh_digest)s"),
        "asset_qualified_name_check",
        (_NAMES, _ALIASES, _BIRTHS),
    ),
    "name laid down": (asset("%(id)s", "%(new)s || '#' || %(id)s::uuid"), "adhoc_identity", (_ALIASES, _BIRTHS)),
    "ad-hoc name": (
        asset("gen_random_uuid()", "'some adhoc name'", "sha256('some adhoc name')"),
        "asset_qualified_name_check",
        (_NAMES, _ALIASES, _BIRTHS),
    ),
    "endpoint with a random id": (
        _ENDPOINT.format(id="gen_random_uuid()", slug="'forged'"),
        "adhoc_identity",
        ("ALTER TABLE metadata.endpoint DISABLE TRIGGER born_of_keys",),
    ),
    "endpoint that is no slug": (
        _ENDPOINT.format(id="gen_random_uuid()", slug="'db.example.com:5432'"),
        "endpoint_slug_check",
        (
            "ALTER TABLE metadata.endpoint DROP CONSTRAINT endpoint_slug_check",
            "ALTER TABLE metadata.endpoint DISABLE TRIGGER born_of_keys",
        ),
    ),
    "column with a random id": (
        _FIELD,
        "schema_field_id_check",
        ("ALTER TABLE metadata.schema_field DROP CONSTRAINT schema_field_id_check",),
    ),
    "edge that follows from nothing": (
        _EDGE.format(producer="'reference'"),
        "relationship_following",
        ("ALTER TABLE metadata.relationship DISABLE TRIGGER keep_following",),
    ),
    "rename to an ad-hoc name": (
        _RENAME.format(now="'some adhoc name'"),
        "asset_qualified_name_check",
        (_NAMES, _ALIASES),
    ),
    "legacy id that is no key": (_LEGACY, "alias_key_check", (_ALIASES,)),
}

WITHOUT_A_GRANT = {
    "another name": "UPDATE metadata.asset SET qualified_name = 'some adhoc name'",
    "another id": "UPDATE metadata.asset SET asset_id = gen_random_uuid()",
    "another digest": "UPDATE metadata.asset SET key_sha256 = sha256('x')",
    "another alias": "UPDATE metadata.alias SET entity_id = %(other)s",
    "an alias": """INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, actor)
      VALUES (%(tenant)s, %(new)s, %(digest)s, %(there)s, 'primary', 'forger')""",
    "another end of an edge": "UPDATE metadata.relationship SET target_asset_id = %(there)s",
    "another producer": "UPDATE metadata.relationship SET producer = 'reference'",
}


@pytest.fixture(scope="module")
def forged_url(make_database: Callable[..., str]) -> str:
    url = make_database(migrated=True)
    engine = app_engine(url)
    store = MetadataStore(Sessions(engine, TENANT, "test"))
    store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in (THERE, OTHER))
    engine.dispose()
    return url


@pytest.fixture
def forger(forged_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction, bound to the tenant and taken back at the end."""
    with psycopg.connect(forged_url) as connection:
        bind = "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', 'forger', true)"
        connection.execute(bind, (str(TENANT),))
        yield connection
        connection.rollback()


def parameters() -> dict[str, object]:
    new = dataset_key("lake", table="new")
    seventh = Entity.of_generation(TENANT, new, 7)
    return {
        "tenant": TENANT.value,
        "new": str(new),
        "id": Entity(TENANT, new).id.value,
        "digest": Entity(TENANT, new).key_sha256,
        "of_another_tenant": Entity(tenant_id("other"), new).id.value,
        "seventh": seventh.id.value,
        "seventh_digest": seventh.key_sha256,
        "there": Entity(TENANT, THERE).id.value,
        "other": Entity(TENANT, OTHER).id.value,
        "there_key": str(THERE),
    }


def as_the_app(connection: psycopg.Connection[Any], statement: str) -> int:
    connection.execute("SET LOCAL ROLE metadata_app")
    return connection.execute(statement.encode(), parameters()).rowcount


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_refused(forger: psycopg.Connection[Any], forgery: str) -> None:
    statement, constraint, _ = FORGERIES[forgery]
    with pytest.raises(psycopg.Error) as refused:
        as_the_app(forger, statement)
    assert refused.value.diag.constraint_name == constraint


@pytest.mark.parametrize("forgery", FORGERIES)
def test_without_its_mechanism_the_forgery_succeeds(forger: psycopg.Connection[Any], forgery: str) -> None:
    statement, _, removals = FORGERIES[forgery]
    for removal in removals:
        forger.execute(removal.encode())
    assert as_the_app(forger, statement) == 1


@pytest.mark.parametrize("change", WITHOUT_A_GRANT)
def test_what_identifies_is_not_the_apps_to_change(forger: psycopg.Connection[Any], change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_the_app(forger, WITHOUT_A_GRANT[change])


def test_what_is_derived_is_let_in(forger: psycopg.Connection[Any]) -> None:
    assert as_the_app(forger, asset("%(id)s")) == 1
    assert as_the_app(forger, _EDGE.format(producer="'declared'")) == 1


def test_an_edge_that_follows_is_not_the_apps_to_close(forger: psycopg.Connection[Any]) -> None:
    forger.execute(_EDGE.format(producer="'reference'").encode(), parameters())  # as the owner: no function of ours
    with pytest.raises(psycopg.Error) as refused:
        as_the_app(forger, "UPDATE metadata.relationship SET valid_to = clock_timestamp() WHERE scope = 'junk'")
    assert refused.value.diag.constraint_name == "relationship_following"


@pytest.mark.parametrize(
    ("forgery", "error", "says"),
    [
        ("random id", AdHocIdentity, "does not follow from the key mid1:dataset:lake:~/~/new"),
        ("ad-hoc name", AdHocIdentity, "not a canonical key; nothing was written"),
        ("endpoint that is no slug", AdHocIdentity, "not a slug"),
        ("edge that follows from nothing", WriteRefused, "follow from reference edges"),
    ],
)
def test_the_session_says_what_was_refused(
    forged_url: str, forgery: str, error: type[MetadataError], says: str
) -> None:
    engine = app_engine(forged_url)
    with pytest.raises(error, match=says), Sessions(engine, TENANT, "forger").begin() as session:
        session.count(FORGERIES[forgery][0], parameters())
    engine.dispose()


def test_the_next_thing_of_a_name_has_the_next_generation_and_no_other(forger: psycopg.Connection[Any]) -> None:
    assert as_the_app(forger, _RENAME.format(now="%(new)s::text")) == 1
    third, second = (Entity.of_generation(TENANT, THERE, number) for number in (3, 2))
    statement = asset("%(id)s", "%(there_key)s").encode()
    for entity in (third, second):
        given = {**parameters(), "id": entity.id.value, "digest": entity.key_sha256}
        if entity is second:
            assert forger.execute(statement, given).rowcount == 1
        else:
            with pytest.raises(psycopg.Error, match="does not follow"), forger.transaction():
                forger.execute(statement, given)


def test_a_renamed_thing_is_written_as_ever(lake: Lake) -> None:
    """Its id and its digest no longer follow from its name."""
    lake.store.register_endpoints([Endpoint(slug=lake.endpoint, system="files")])
    lake.assets("orders")
    entity = lake.entity("orders").id
    lake.rename(orders="sales")
    assert lake.store.register_assets([replace(lake.asset("sales"), description="by month")]) == 1
    assert (lake.entity("sales").id, lake.store.asset(lake.key("sales")).description) == (entity, "by month")


def test_the_database_derives_the_ids_that_identity_derives(forger: psycopg.Connection[Any]) -> None:
    """Names of every length around the blocks of SHA-1, and all golden keys."""
    keys = [CanonicalKey.parse(json.loads(line)["key"]) for line in VECTORS.read_text("ascii").splitlines()]
    keys += [dataset_key("lake", table="x" * length) for length in range(1, 150)]
    entities = [
        Entity.of_generation(tenant, key, n) for key in keys for tenant in (TENANT, tenant_id("x")) for n in (1, 12)
    ]
    given = [
        (one.tenant.value, f"{one.key}{suffix}", one.id.value)
        for one, suffix in zip(entities, ["", "#12"] * (2 * len(keys)), strict=True)
    ]
    wrong = """SELECT g.name FROM unnest(%s::uuid[], %s::text[], %s::uuid[]) AS g (tenant, name, id)
      WHERE g.id IS DISTINCT FROM metadata.derived_id(g.tenant, g.name)"""
    assert forger.execute(wrong, [list(column) for column in zip(*given, strict=True)]).fetchall() == []
    ours = [(name, identifier) for tenant, name, identifier in given if tenant == TENANT.value]
    together = forger.execute("SELECT metadata.derived_ids(%s, %s)", [TENANT.value, [name for name, _id in ours]])
    assert together.fetchall() == [([identifier for _name, identifier in ours],)]


def test_ids_of_many_births_are_derived_once(forger: psycopg.Connection[Any]) -> None:
    """A function within the statement that compares them is asked by its planner, too."""
    entities = [Entity(TENANT, dataset_key("lake", table=f"once {number}")) for number in range(600)]
    forger.execute("SET LOCAL track_functions = 'pl'")
    forger.execute("SET LOCAL ROLE metadata_app")
    statement = """INSERT INTO metadata.asset
      (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
      SELECT %s, g.id, 'TABLE', 'x', g.name, sha256(convert_to(g.name, 'UTF8')), 'forger'
      FROM unnest(%s::uuid[], %s::text[]) AS g (id, name)"""
    forger.execute(statement, [TENANT.value, [one.id.value for one in entities], [str(one.key) for one in entities]])
    forger.execute("RESET ROLE")
    counted = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'derived_ids'"
    assert forger.execute(counted).fetchall() == [(1,)]


@pytest.mark.parametrize("forged", [None, "id", "digest"])
def test_of_many_births_every_id_is_looked_at(forger: psycopg.Connection[Any], forged: str | None) -> None:
    """Their ids are derived together."""
    entities = [Entity(TENANT, dataset_key("lake", table=f"many {number}")) for number in range(600)]
    ids = [one.id.value for one in entities]
    digests = [one.key_sha256 for one in entities]
    if forged == "id":
        ids[300] = uuid.uuid4()
    if forged == "digest":
        digests[300] = b"x" * 32
    forger.execute("SET LOCAL ROLE metadata_app")
    statement = """INSERT INTO metadata.asset
      (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
      SELECT %s, g.id, 'TABLE', 'x', g.name, g.digest, 'forger'
      FROM unnest(%s::uuid[], %s::text[], %s::bytea[]) AS g (id, name, digest)"""
    given = [TENANT.value, ids, [str(one.key) for one in entities], digests]
    if forged is None:
        assert forger.execute(statement, given).rowcount == 600
        told = forger.execute(
            "SELECT count(*) FROM metadata.alias WHERE birth_sha256 = key_sha256 AND key LIKE '%many%'"
        )
        assert told.fetchall() == [(600,)]
    else:
        with pytest.raises(psycopg.Error, match=r"does not follow from the key \S+many%20300") as refused:
            forger.execute(statement, given)
        assert refused.value.diag.constraint_name == "adhoc_identity"


def is_key(text: str) -> bool:
    """Whether identity/ takes the text; a password in a name is for identity/ alone to see."""
    try:
        CanonicalKey.parse(text)
    except InvalidKey as error:
        return "password" in str(error)
    return True


def test_the_grammar_in_the_database_is_the_one_in_code(forger: psycopg.Connection[Any]) -> None:
    keys = [json.loads(line)["key"] for line in VECTORS.read_text("ascii").splitlines()]
    chance = random.Random(1)
    texts = {*keys, *("mid1:endpoint:" + "x" * length for length in (0, 1, 63, 64)), "", "mid1:column:jfk:x"}
    for _ in range(6_000):
        key = chance.choice(keys)
        start = chance.randint(len(key) // 2, len(key))
        end = start + chance.choice([0, 0, 1, 3])
        texts.add(key[:start] + "".join(chance.choices(PIECES, k=chance.choice([0, 1, 1, 2]))) + key[end:])
    query = "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = 'asset_qualified_name_check'"
    ((check,),) = forger.execute(query).fetchall()
    asked = f"""SELECT qualified_name, {check.replace("%", "%%")}
      FROM (SELECT unnest(%s::text[]) AS qualified_name, gen_random_uuid() AS asset_id) AS given"""
    answers = dict(forger.execute(asked.encode(), [sorted(texts)]).fetchall())
    assert {text for text, answer in answers.items() if answer} == set(filter(is_key, texts))
    assert 500 < sum(answers.values()) < 6_000, "the texts are of both kinds"
