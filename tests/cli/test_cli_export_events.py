"""`export openlineage`: valid events, the same each time, and the same graph where they are imported."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cli_calls import DELAYS, EDGES, FLIGHTS, JFK_FLIGHTS, Run, shape
from referencing import Registry, Resource

from identity.keys import CanonicalKey
from metadata_assets.cli import documents
from metadata_assets.exporters.openlineage import KEY_FACET, dataset_name
from resources.metadata_store import MetadataStore
from resources.models import Endpoint
from resources.runs import AttemptFact, RunFact
from tests.importers.lineage_events import Event, imported

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENDPOINTS = [Endpoint(slug="jfk", system="postgres", attributes={"host": "db.example.com", "database": "jfk"})]


def named(key: CanonicalKey, **facets: object) -> Event:
    """A dataset that no rule of OpenLineage names."""
    return {
        "namespace": key.endpoint,
        "name": dataset_name(key),
        "facets": {KEY_FACET: {"key": str(key)}, **facets},
    }


@pytest.fixture
def ran(filled: dict[str, UUID], store: MetadataStore) -> dict[str, UUID]:
    """Runs that wrote, a run that failed at its second try, and columns."""
    store.register_endpoints(ENDPOINTS)
    late = {"started_at": AT, "failure_class": "ValueError", "failure_reason": "no such gate"}
    attempts = [
        AttemptFact(
            run_id="bad", step_key="s", number=n, status="failed", ended_at=AT + timedelta(minutes=1 + n), **late
        )
        for n in range(2)
    ]
    bad = RunFact(run_id="bad", status="failed", name="nightly", ended_at=AT + timedelta(minutes=3), as_of=AT, **late)
    store.record_runs("dagster", [bad], attempts)
    columns = {"schema": {"fields": [{"name": "day", "type": "date"}, {"name": "delay", "type": "double"}]}}
    origins = {"inputFields": [{**named(FLIGHTS), "field": "dep_delay", KEY_FACET: str(FLIGHTS)}]}
    told = {
        "eventTime": AT.isoformat(),
        "dataset": named(DELAYS, **columns, columnLineage={"fields": {"delay": origins}}),
    }
    (done,) = imported(store, [told])
    assert (done.aside, done.recorded.column_edges) == (0, 1)
    return filled


def exported(run: Run, *arguments: str) -> list[Event]:
    answer = run("export", "openlineage", *arguments)
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]


def graph(store: MetadataStore, *producers: str) -> set[tuple[str, str]]:
    """The open edges by keys."""
    with store.session() as session:
        return {
            (row["source"], row["target"])
            for row in session.rows(
                """SELECT s.qualified_name AS source, t.qualified_name AS target FROM metadata.relationship r
                JOIN metadata.asset s ON s.asset_id = r.source_asset_id AND s.tenant_id = r.tenant_id
                JOIN metadata.asset t ON t.asset_id = r.target_asset_id AND t.tenant_id = r.tenant_id
                WHERE r.valid_to IS NULL AND r.producer = ANY (%s)""",
                (list(producers),),
            )
        }


def columns(store: MetadataStore) -> set[tuple[str, ...]]:
    """Columns, and which columns they come from."""
    with store.session() as session:
        rows = session.rows(
            """SELECT a.qualified_name AS key, f.name, f.type, o.qualified_name || '#' || t.name AS origin
            FROM metadata.schema_field f JOIN metadata.asset a USING (tenant_id, asset_id)
            LEFT JOIN metadata.column_edge e ON e.source_field_id = f.field_id AND e.tenant_id = f.tenant_id
            LEFT JOIN metadata.schema_field t ON t.field_id = e.target_field_id AND t.tenant_id = f.tenant_id
            LEFT JOIN metadata.asset o ON o.asset_id = t.asset_id AND o.tenant_id = f.tenant_id
            WHERE f.deleted_at IS NULL"""
        )
    return {tuple(str(value) for value in row.values()) for row in rows}


def test_the_export_of_a_store_gives_an_empty_one_the_same_graph(
    run: Run, ran: dict[str, UUID], store: MetadataStore, open_store: Callable[..., MetadataStore], tmp_path: Path
) -> None:
    assert ran
    events = exported(run)
    assert exported(run) == events, "the same each time"
    other = open_store("other")
    other.register_endpoints(ENDPOINTS)
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(map(json.dumps, reversed(events))))
    answer = run("import", "openlineage", str(file), "--tenant", "other")
    assert (answer.code, answer.err) == (0, "")
    assert graph(other, "openlineage") == graph(store, "test") == {(str(s), str(t)) for s, t in EDGES}
    assert columns(other) == columns(store)
    failed = other.runs(failed=True)
    assert {(one.name, one.status, one.failure_reason) for one in failed} == {
        (name, "failed", "ValueError: no such gate") for name in ("nightly", "nightly.s")
    }
    assert len(failed) == 3, "the run, and each try of its step"


def test_names_are_those_of_the_rules_and_else_of_ours(run: Run, ran: dict[str, UUID]) -> None:
    made = ran["flights"]
    (end,) = (
        one
        for one in exported(run)
        if any(str(made) in output["outputFacets"]["materialization"]["materializations"] for output in one["outputs"])
    )
    (read,), (wrote,) = end["inputs"], end["outputs"]
    assert (read["namespace"], read["name"]) == ("postgres://db.example.com:5432", "jfk.public.flights")
    assert KEY_FACET not in read["facets"]
    assert (wrote["namespace"], wrote["name"]) == ("lake", "nyc/flights")
    assert wrote["facets"][KEY_FACET]["key"] == str(FLIGHTS)
    assert wrote["facets"]["version"]["datasetVersion"] == "2"
    assert wrote["outputFacets"]["outputStatistics"]["rowCount"] == 297
    assert JFK_FLIGHTS.endpoint == "jfk"


def test_some_runs_and_their_document(run: Run, ran: dict[str, UUID]) -> None:
    assert ran
    only = exported(run, "--run", "bad")
    assert [one["eventType"] for one in only] == ["START", "FAIL"] * 3
    document = run("export", "openlineage", "--run", "bad", "--json").json
    assert document == only
    names = shape([dict.fromkeys(document[0], "")])
    assert names == documents.EVENTS_EXPORTED
    assert exported(run, "--since", "2100-01-01") == []
    assert {one["job"]["namespace"] for one in exported(run, "--namespace", "team-a")} == {"team-a"}
    assert run("export", "openlineage", "--namespace", "Team A").code == 2
    assert run("export", "openlineage", "--run", "nowhere").code == 3


def test_events_are_valid_by_the_published_schemas(run: Run, ran: dict[str, UUID], shared_data: Path) -> None:
    from jsonschema import Draft202012Validator, FormatChecker  # seconds of work, which no other test waits for

    assert ran
    folder = shared_data / "openlineage-spec/website/static/spec"
    schemas = [json.loads(file.read_text()) for file in [*folder.glob("2-0-2/*.json"), *folder.glob("facets/*/*.json")]]
    known = {one["$id"]: one for one in schemas}
    registry: Registry = Registry().with_resources((name, Resource.from_contents(one)) for name, one in known.items())

    def check(said: object, url: str) -> None:
        schema = {"$ref": url}
        Draft202012Validator(schema, registry=registry, format_checker=FormatChecker()).validate(said)

    looked = set()
    for event in exported(run):
        check(event, event["schemaURL"])
        for about in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
            for name, facet in {**about["facets"], **about.get("outputFacets", {})}.items():
                if not facet["_schemaURL"].startswith("urn:metadata-assets:"):
                    check(facet, facet["_schemaURL"])
                    looked.add(name)
    assert looked == {
        *("columnLineage", "errorMessage", "jobType", "outputStatistics", "parent", "schema", "version"),
        "documentation",
    }
    with pytest.raises(Exception, match="is not"):
        check({**event, "eventTime": "yesterday"}, event["schemaURL"])
