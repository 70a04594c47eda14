"""Events of OpenLineage for tests, real ones and made ones, and the state that they leave behind."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from identity.ids import tenant_id
from metadata_assets.importers.event_files import Given, ImportedEvents, import_events, read_files
from resources.metadata_store import MetadataStore

Event = dict[str, Any]

_STATE = {
    "runs": """SELECT j.run_id, j.source, j.name, j.code_location, j.status, j.as_of, j.started_at, j.ended_at,
      j.failure_class, j.failure_reason, j.tags FROM metadata.job j WHERE j.tenant_id = %(tenant)s""",
    "attempts": """SELECT t.step_key, j.run_id, a.number, a.status, a.started_at, a.ended_at, a.failure_reason
      FROM metadata.task_attempt a JOIN metadata.task t USING (tenant_id, task_id)
      JOIN metadata.job j USING (tenant_id, job_id)
      WHERE a.tenant_id = %(tenant)s""",
    "assets": """SELECT asset_id, qualified_name, type, name, description, metadata, key_sha256, deleted_at
      FROM metadata.asset WHERE tenant_id = %(tenant)s""",
    "aliases": "SELECT key, entity_id, kind FROM metadata.alias WHERE tenant_id = %(tenant)s AND valid_to IS NULL",
    "datasets": """SELECT run_id, job_asset_id, role, asset_id FROM metadata.run_dataset
      WHERE tenant_id = %(tenant)s""",
    "facets": """SELECT about, asset_id, run_id, said_by, name, as_of, sha256, document, columns FROM metadata.facet
      WHERE tenant_id = %(tenant)s""",
    "edges": """SELECT source_asset_id, target_asset_id, type, producer, scope, metadata FROM metadata.relationship
      WHERE tenant_id = %(tenant)s AND valid_to IS NULL""",
    "columns": """SELECT asset_id, field_id, name, type, nullable, position, metadata FROM metadata.schema_field
      WHERE tenant_id = %(tenant)s AND deleted_at IS NULL""",
    "column edges": """SELECT source_field_id, target_field_id, producer, scope FROM metadata.column_edge
      WHERE tenant_id = %(tenant)s AND valid_to IS NULL""",
    "aside": """SELECT sha256, text, characters, error, reason, accepted_at IS NULL FROM metadata.refused_event
      WHERE tenant_id = %(tenant)s""",
}
"""Everything of now that an import touches, without what only says when it was written."""


def state(url: str, tenant: str = "default") -> dict[str, list[str]]:
    """What a tenant's store has, in an order that says nothing of how it came."""
    given = {"tenant": tenant_id(tenant).value}
    with psycopg.connect(url) as connection:
        return {
            name: sorted(json.dumps(row, default=str, sort_keys=True) for row in connection.execute(statement, given))
            for name, statement in _STATE.items()
        }


def imported(store: MetadataStore, events: Iterable[object], *, batch: int = 500) -> list[ImportedEvents]:
    """Import events that are JSON already."""
    given = (Given(place="test", text=json.dumps(one), document=one) for one in events)
    return list(import_events(store, given, batch=batch))


def real_events(shared: Path) -> list[Event]:
    """The events of Airflow, and those of Marquez with its template filled as its seed does."""
    files = sorted((shared / "openlineage-compat").glob("consumer/scenarios/airflow/events/*.json"))
    files += sorted((shared / "marquez").glob("api/src/test/resources/*/*.json"))
    found = [given.document for given in read_files(files)]
    assert len(files) == 42
    text = (shared / "marquez/docker/metadata.template.json").read_text()
    text = text.replace("{{RUN_START_TIME}}", "2024-05-01T00:00:00Z")
    for minutes in range(20):
        text = text.replace(f"{{{{RUN_END_TIME_AFTER_{minutes}_MINUTES}}}}", f"2024-05-01T00:{minutes:02}:00Z")
    return found + json.loads(text)


def event(
    kind: str | None = "COMPLETE",
    *,
    run: str = "r1",
    at: str = "2024-05-01T10:00:00Z",
    job: str = "load",
    inputs: Iterable[Event] = (),
    outputs: Iterable[Event] = (),
    facets: Event | None = None,
) -> Event:
    """An event as small as it can be."""
    return {
        "eventType": kind,
        "eventTime": at,
        "run": {"runId": run, "facets": facets or {}},
        "job": {"namespace": "shop", "name": job},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


def dataset(name: str, *columns: str, origins: dict[str, list[tuple[str, str]]] | None = None, **facets: Any) -> Event:
    """A dataset of an event: with columns, and the columns of other datasets that these come from."""
    if columns:
        facets["schema"] = {"fields": [{"name": one, "type": "text"} for one in columns]}
    if origins is not None:
        facets["columnLineage"] = {
            "fields": {
                column: {"inputFields": [{"namespace": "db", "name": table, "field": name} for table, name in named]}
                for column, named in origins.items()
            }
        }
    return {"namespace": "db", "name": name, "facets": facets}
