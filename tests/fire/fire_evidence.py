"""What a fire leaves: what clients were told, what is stored, what subscribers heard, which files exist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from fire_plan import Plan
from psycopg.rows import dict_row

from identity.errors import MetadataError
from resources.files import staging

Row = Mapping[str, Any]

_TABLES = {
    "materializations": """SELECT materialization_id::text AS id, metadata ->> 'item' AS item, location,
      attempt_id::text AS attempt, data_version AS data, fencing_token AS token, manifest_sha256 AS manifest
      FROM metadata.materialization""",
    "inputs": "SELECT materialization_id::text FROM metadata.materialization_input",
    "versions": """SELECT dataset_id::text, version, kind, restored_version AS restored, release_id::text AS release,
      extract(epoch FROM published_at)::float8 AS at FROM metadata.version""",
    "intervals": """SELECT dataset_id::text, partition_key, from_version, to_version, materialization_id::text
      FROM metadata.version_partition""",
    "pins": """SELECT p.pin_id::text AS pin, p.name, i.dataset_id::text, i.version,
      extract(epoch FROM p.created_at)::float8 AS begin,
      extract(epoch FROM least(p.removed_at, p.expires_at))::float8 AS "end"
      FROM metadata.pin p LEFT JOIN metadata.pin_item i ON i.tenant_id = p.tenant_id AND i.pin_id = p.pin_id""",
    "condemned": """SELECT materialization_id::text AS id, state, extract(epoch FROM condemned_at)::float8 AS at
      FROM metadata.condemned""",
    "retractions": """SELECT materialization_id::text AS id, extract(epoch FROM at)::float8 AS at
      FROM metadata.retraction""",
    "attempts": """SELECT attempt_id::text AS id, task_id::text AS task, number, status
      FROM metadata.task_attempt""",
    "audit": """SELECT lower(entity_type) AS type, entity_id::text AS id, action, count(*) AS count FROM metadata.audit
      WHERE entity_type IN ('PIN', 'CONDEMNED', 'DATASET') GROUP BY 1, 2, 3""",
    "audited": """SELECT 'pin' AS type, pin_id::text AS id, num_nonnulls(removed_at) AS changes FROM metadata.pin
      UNION ALL
      SELECT 'condemned', materialization_id::text, (state = 'collected')::integer FROM metadata.condemned
      UNION ALL SELECT 'dataset', dataset_id::text, published_version FROM metadata.dataset""",
    "outbox": "SELECT topic, payload FROM metadata.outbox ORDER BY xid, seq",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was acknowledged, is stored and was heard. Ids are text, moments are seconds."""

    journal: Sequence[Row]
    materializations: Sequence[Row]
    inputs: Sequence[Row]
    versions: Sequence[Row]
    intervals: Sequence[Row]
    published_versions: Mapping[str, int]
    pins: Sequence[Row]
    condemned: Sequence[Row]
    retractions: Sequence[Row]
    attempts: Sequence[Row]
    """Of executors that are not Dagster."""
    audit: Sequence[Row]
    audited: Sequence[Row]
    damaged: Mapping[str, str]
    """Materializations whose files are not what was committed."""
    outbox: Sequence[Row]
    heard: Sequence[Row]

    def noted(self, what: str) -> list[Row]:
        return [line for line in self.journal if line["what"] == what]


def gather(url: str, plan: Plan, journal: Sequence[Row], heard: Sequence[Row]) -> Evidence:
    """Look at everything, when nobody writes any more."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        tables: dict[str, Any] = {
            name: connection.execute(statement.encode()).fetchall() for name, statement in _TABLES.items()
        }
        datasets = connection.execute("SELECT dataset_id::text, published_version FROM metadata.dataset").fetchall()
    return Evidence(
        journal=journal,
        heard=heard,
        published_versions={row["dataset_id"]: row["published_version"] for row in datasets},
        damaged=_damaged(plan, tables["materializations"]),
        **tables,
    )


def _damaged(plan: Plan, materializations: Sequence[Row]) -> dict[str, str]:
    found = {}
    for row in materializations:
        try:
            staging.read(plan.folder_of(row["location"]), row["manifest"])
        except MetadataError as error:
            found[row["id"]] = str(error)
    return found
