"""Events of OpenLineage: in any order, repeated, partial, malformed; the same graph each time."""

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scratch_databases import ScratchDatabases

from benchmarks.wire import traced
from identity.ids import sha256_of, tenant_id
from identity.keys import dataset_key, job_key
from metadata_assets.collection.diff import diff
from metadata_assets.importers.event_files import Given, import_events, record, refused_before
from metadata_assets.importers.openlineage import read_event
from resources import lineage_records
from resources.lineage_records import DESCRIPTION_CHARACTERS, EVENT_CHARACTERS, RefusedEvent
from resources.metadata.planned import apply_plan
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Catalog, Endpoint, Field
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from resources.runs import RunFact
from tests.importers.lineage_events import Event, dataset, event, imported, real_events, state

OpenStore = Callable[..., MetadataStore]


EVERYTHING = {
    "runs": 39,
    "attempts": 39,
    "assets": 76,
    "aliases": 76,
    "datasets": 76,
    "facets": 237,
    "edges": 37,
    "columns": 114,
    "column edges": 55,
    "aside": 0,
}


def test_all_real_events_are_imported_and_once_is_enough(
    store: MetadataStore, metadata_url: str, shared_data: Path
) -> None:
    events = real_events(shared_data)
    (done,) = imported(store, events)
    assert (done.events, done.refused) == (68, ())
    assert {name: len(rows) for name, rows in state(metadata_url).items()} == EVERYTHING
    (again,) = imported(store, events)
    assert again.recorded.rows_written == 0


MADE: list[Event] = [
    event("START", at="2024-05-01T10:00:00Z", inputs=[dataset("a", "x", "y")]),
    event("RUNNING", at="2024-05-01T10:01:00Z", inputs=[dataset("b", "z")], facets={"n": {"at": 1}}),
    event("COMPLETE", at="2024-05-01T10:02:00Z", outputs=[dataset("c", "x", origins={"x": [("a", "x"), ("q", "w")]})]),
    event("OTHER", at="2024-05-01T11:00:00Z", outputs=[dataset("d", documentation={"description": "old"})]),
    event("START", run="r2", at="2024-05-02T10:00:00Z", facets={"n": {"at": 2}}),
    event("FAIL", run="r2", at="2024-05-02T10:01:00Z", facets={"errorMessage": {"message": "no space"}}),
    *(
        event("FAIL", run="r6", at="2024-05-02T10:01:00Z", facets={"errorMessage": {"message": reason}})
        for reason in ("no space", "no time", "no idea")
    ),
    event("COMPLETE", run="r2", at="2024-05-02T10:03:00Z", outputs=[dataset("c", "x", origins={"x": [("a", "y")]})]),
    event("COMPLETE", run="r3", at="2024-05-03T10:00:00Z", job="other", inputs=[dataset("c")], outputs=[dataset("d")]),
    event("COMPLETE", run="r4", at="2024-05-03T10:00:00Z", job="other", outputs=[dataset("a", "y")]),
    event(None, run="r5", at="2024-05-03T10:00:00Z", outputs=[dataset("d", documentation={"description": "new"})]),
    {
        "eventTime": "2024-05-04T10:00:00Z",
        "job": {"namespace": "shop", "name": "static"},
        "inputs": [dataset("d")],
        "outputs": [dataset("e", origins={"x": [("d", "n")]})],
    },
    {"eventTime": "2024-05-04T11:00:00Z", "dataset": dataset("e", "x", "y")},
    {"eventTime": "2024-05-04T11:00:00Z", "dataset": dataset("f", documentation={"description": "f"})},
    {"eventTime": "2024-05-04T11:00:00Z", "dataset": dataset("g", "x", documentation={"description": "g"})},
    {"eventTime": "2024-05-05T11:00:00Z", "dataset": dataset("g", "x", documentation={"_deleted": True})},
    event("COMPLETE", at="yesterday"),
]
"""One event of each kind: of a run in parts, of a column that comes from elsewhere by now, of one that is no event."""


def told(databases: ScratchDatabases, events: Sequence[Event], batch: int) -> dict[str, list[str]]:
    """What a store has that was told events in this order."""
    with databases.one() as url:
        engine = app_engine(url)
        imported(MetadataStore(Sessions(engine, tenant_id("default"), "test")), events, batch=batch)
        engine.dispose()
        return state(url)


_IN_ORDER: dict[str, dict[str, list[str]]] = {}


def in_order(databases: ScratchDatabases, events: Sequence[Event]) -> dict[str, list[str]]:
    """The same of events that came once, in order; looked at once."""
    text = json.dumps(events)
    if text not in _IN_ORDER:
        _IN_ORDER[text] = told(databases, events, 500)
    return _IN_ORDER[text]


@given(order=st.randoms(use_true_random=False), batch=st.sampled_from([1, 3, 7, 500]))
@settings(max_examples=12)
def test_made_events_shuffled_and_doubled_give_one_graph(
    migrated_databases: ScratchDatabases, order: random.Random, batch: int
) -> None:
    events = [*MADE, *order.choices(MADE, k=6)]
    order.shuffle(events)
    assert told(migrated_databases, events, batch) == in_order(migrated_databases, MADE)


@given(order=st.randoms(use_true_random=False), batch=st.sampled_from([10, 40, 500]))
@settings(max_examples=4)
def test_real_events_shuffled_and_doubled_give_one_graph(
    migrated_databases: ScratchDatabases, shared_data: Path, order: random.Random, batch: int
) -> None:
    once = real_events(shared_data)
    events = [*once, *order.choices(once, k=20)]
    order.shuffle(events)
    assert told(migrated_databases, events, batch) == in_order(migrated_databases, once)


def driver_of(store: MetadataStore) -> psycopg.Connection:
    """The connection that the pool keeps."""
    fairy = store.sessions.engine.raw_connection()
    driver = fairy.driver_connection
    fairy.close()
    assert isinstance(driver, psycopg.Connection)
    return driver


def test_a_batch_takes_as_many_statements_whatever_is_in_it(store: MetadataStore) -> None:
    counts = {}
    for size in (1, 40):
        events = [
            event(
                run=f"{size}-{n}",
                inputs=[dataset(f"in{size}_{n}", "a")],
                outputs=[dataset(f"out{size}_{n}", "b", origins={"b": [(f"in{size}_{n}", "a")]})],
            )
            for n in range(size)
        ]
        driver = driver_of(store)
        with traced(driver) as wire:
            (done,) = imported(store, events)
        assert done.recorded.edges == done.recorded.column_edges == size
        counts[size] = wire.statements
    assert counts == {1: STATEMENTS - 2, 40: STATEMENTS}, "where all is new, nothing that is there is looked at"


STATEMENTS = 37
"""How many statements a batch is, whatever is in it; and one more that says what is kept aside no longer."""


def test_two_names_of_one_thing_may_meet_in_a_batch(store: MetadataStore, metadata_url: str) -> None:
    imported(store, [event(outputs=[dataset("old")])])
    old, new = (dataset_key("openlineage_db", table=name) for name in ("old", "new"))
    store.rename({old: new})
    (done,) = imported(store, [event(run="r2", inputs=[dataset("old")], outputs=[dataset("c"), dataset("new")])])
    assert (done.refused, done.recorded.edges) == ((), 2), "new is made from itself, under its other name"
    assert len([row for row in state(metadata_url)["assets"] if '"DATASET"' in row]) == 2


def test_a_run_that_another_source_told_is_left_to_it(store: MetadataStore, metadata_url: str) -> None:
    store.record_runs("dagster", [RunFact(run_id="r1", status="running")])
    imported(store, [event("FAIL", inputs=[dataset("a")], outputs=[dataset("b")])])
    summary = store.run("r1").summary
    assert (summary.source, summary.status, summary.steps) == ("dagster", "running", 0)
    assert len(state(metadata_url)["edges"]) == 1


def nested(levels: int) -> Event:
    found: Event = {}
    for _ in range(levels):
        found = {"a": found}
    return found


REFUSED: dict[str, tuple[object, str]] = {
    "no object": (["a list"], "event: it is no JSON object"),
    "no time": ({**event(), "eventTime": None}, "eventTime: it is no text"),
    "no zone": (event(at="2024-05-01T10:00:00"), "eventTime: input should have timezone info"),
    "no run": ({**event(), "run": {}}, "run.runId: it is missing"),
    "no such state": (event("DONE"), "eventType: there is no DONE; use one of START"),
    "no job": ({"eventTime": "2024-05-01T10:00:00Z", "run": {"runId": "r"}}, "job: it is missing"),
    "nothing": ({"eventTime": "2024-05-01T10:00:00Z"}, "event: it has neither a run and a job"),
    "a namespace that is none": (event(inputs=[{"namespace": "A B", "name": "t"}]), "inputs: its namespace is no URL"),
    "a facet that is none": (event(facets={"parent": "p"}), "run.facets.parent: it is no JSON object"),
    "no character": (event(facets={"a": {"b": "\0"}}), "run.facets.a: it contains the NUL character"),
    "half a character": (event(facets={"a": {"b": "\ud800"}}), "run.facets.a: it contains a lone surrogate"),
    "before all times": (event(at="0001-01-01T00:00:00+01:00"), "eventTime: it is before the year 1 or after 9999"),
    "after all times": (event(at="9999-12-31T23:59:59-01:00"), "eventTime: it is before the year 1 or after 9999"),
    "too deep": (event(facets={"a": nested(600)}), "event: it is nested deeper than 100 levels"),
    "no number": (event(facets={"a": {"b": float("inf")}}), "run.facets.a: it has numbers or a depth"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_event_is_kept_aside_with_the_reason_and_holds_up_nothing(store: MetadataStore, case: str) -> None:
    document, reason = REFUSED[case]
    (done,) = imported(store, [event(run="before"), document, event(run="after")])
    assert [one.reason.startswith(reason) for one in done.refused] == [True], done.refused
    assert {one.run_id for one in store.runs()} == {"before", "after"}
    (kept,) = store.refused_events()
    assert (kept.reason, kept.place, kept.is_whole) == (done.refused[0].reason, "test", True)
    imported(store, [document])
    assert len(store.refused_events()) == 1, "the same one again is the same one"


def test_what_the_store_refuses_of_one_event_holds_up_no_other(store: MetadataStore) -> None:
    """An event that is read and cannot be written: its job has a name that is taken for ids of an earlier catalog."""
    events = [(Given(place=str(n), text=str(n)), read_event(event(run=str(n)))) for n in range(5)]
    bad = Given(place="bad", text="bad"), replace(events[0][1], job=job_key("legacy", "j"))
    refused: list[RefusedEvent] = []
    record(store, [*events[:2], bad, *events[2:]], refused)
    assert [one.place for one in refused] == ["bad"]
    assert {one.run_id for one in store.runs()} == {str(n) for n in range(5)}


def test_an_event_that_can_be_read_by_now_is_kept_aside_no_longer(store: MetadataStore) -> None:
    text = json.dumps(event(inputs=[dataset("a")]))
    sha = sha256_of(text)
    store.refuse_events([RefusedEvent(place="f:1", text=text, characters=len(text), sha256=sha, error="E", reason="r")])
    (done,) = import_events(store, refused_before(store.refused_events()))
    assert (done.aside, done.recorded.datasets, store.refused_events()) == (0, 1, [])


def test_of_a_large_event_the_beginning_is_kept_and_of_a_large_facet_its_size(
    store: MetadataStore, metadata_url: str
) -> None:
    (done,) = imported(store, [event("DONE", job="j" * EVENT_CHARACTERS), event(facets={"big": {"x": "y" * 70_000}})])
    (kept,) = store.refused_events()
    assert (done.aside, len(kept.text), kept.is_whole) == (1, EVENT_CHARACTERS, False)
    assert list(refused_before([kept])) == []
    (facet,) = (row for row in state(metadata_url)["facets"] if '"big"' in row)
    assert '{"_omitted": {"bytes": 70009' in facet


def test_what_we_call_our_own_parts_means_nothing_in_an_event(store: MetadataStore) -> None:
    fields = {"x": {"inputFields": [{"namespace": "db", "name": "s", "field": "y"}]}}
    facets = [{"_keys": 5, "_omitted": 5, "fields": fields}, {"_keys": 5}]
    outputs = [dataset(f"t{number}", columnLineage=facet) for number, facet in enumerate(facets)]
    (done,) = imported(store, [event(outputs=outputs)])
    assert (done.refused, done.recorded.column_edges) == ((), 1)


def test_a_description_that_is_taken_back_is_gone_in_whatever_order(store: MetadataStore) -> None:
    def words(table: str) -> list[Event]:
        said = dataset(table, documentation={"description": "foo"})
        gone = dataset(table, documentation={"_deleted": True})
        return [event(at="2024-05-01T10:00:00Z", inputs=[said]), event(at="2024-05-02T10:00:00Z", inputs=[gone])]

    for one in (*words("a"), *reversed(words("b"))):
        imported(store, [one])
    found = [store.asset(dataset_key("openlineage_db", table=table)) for table in "ab"]
    assert [(one.description, one.metadata) for one in found] == [(None, {}), (None, {})]
    imported(store, [event(at="2024-05-03T10:00:00Z", inputs=[dataset("a", documentation={"description": "new"})])])
    assert store.asset(found[0].key).description == "new"


def test_of_a_large_description_the_beginning_is_kept(store: MetadataStore) -> None:
    imported(store, [event(inputs=[dataset("a", documentation={"description": "y" * 70_000})])])
    description = store.asset(dataset_key("openlineage_db", table="a")).description
    assert description == "y" * DESCRIPTION_CHARACTERS


def test_a_facet_that_is_as_it_was_leaves_no_trace_in_the_audit(store: MetadataStore, metadata_url: str) -> None:
    """Only the time of its newest word, so that an older other one does not count whenever that comes."""
    days = [event(run=f"r{day}", at=f"2024-05-{day:02}T10:00:00Z", inputs=[dataset("a", "x")]) for day in (1, 2, 4, 5)]
    imported(store, days[:1])
    imported(store, days[1:2])
    imported(store, days[2:])
    with psycopg.connect(metadata_url) as connection:
        told = "SELECT count(*) FROM metadata.audit WHERE entity_type = 'FACET' AND action = 'UPDATE'"
        assert connection.execute(told).fetchone() == (0,)
        imported(store, [event(run="r3", at="2024-05-03T10:00:00Z", inputs=[dataset("a", "z")])])
        assert columns_of(store, "a") == ["x"]
        imported(store, [event(run="r6", at="2024-05-06T10:00:00Z", inputs=[dataset("a", "z")])])
        assert (columns_of(store, "a"), connection.execute(told).fetchone()) == (["z"], (1,))


def columns_of(store: MetadataStore, table: str) -> list[str]:
    return [one.name for one in store.asset(dataset_key("openlineage_db", table=table)).fields or ()]


def test_a_facet_that_is_too_large_to_be_kept_says_its_columns_all_the_same(store: MetadataStore) -> None:
    names = [f"c{number:03}" for number in range(300)]
    wide = dataset("t", *names, origins={name: [("s" * 200, name)] for name in names})
    imported(store, [event(outputs=[dataset("t", *names[:10])])])
    wide["facets"]["schema"]["fields"][0]["description"] = "y" * 70_000
    (done,) = imported(store, [event(run="r2", at="2024-05-02T10:00:00Z", outputs=[wide])])
    assert (columns_of(store, "t"), done.recorded.column_edges) == (names, 300)


def test_a_facet_that_says_too_much_of_columns_is_cut_and_that_is_told(
    store: MetadataStore, metadata_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_records, "COLUMNS", 3)
    monkeypatch.setattr(lineage_records, "COLUMN_ORIGINS", 4)
    wide = dataset("t", *"edcba", origins={name: [("s", "x"), ("s", "y")] for name in "edcba"})
    (done,) = imported(store, [event(outputs=[wide])])
    assert (columns_of(store, "t"), done.recorded.cut, done.recorded.column_edges) == (["e", "d", "c", "a", "b"], 2, 4)
    with psycopg.connect(metadata_url) as connection:
        told = connection.execute("SELECT name, document -> '_cut' FROM metadata.facet ORDER BY name").fetchall()
    assert told == [("columnLineage", {"columns": 2, "of": 5}), ("schema", {"columns": 3, "of": 5})]
    monkeypatch.setattr(lineage_records, "COLUMN_CHARACTERS", 7)
    (done,) = imported(store, [event(run="r2", at="2024-05-02T10:00:00Z", outputs=[dataset("u", "a", "b")])])
    assert (columns_of(store, "u"), done.recorded.cut) == (["a"], 1)


def test_columns_may_be_called_like_secrets(store: MetadataStore, metadata_url: str) -> None:
    names = ["password", "secret", "token"]
    facet = dataset("t", *names, origins={name: [("s", name)] for name in names})
    facet["facets"]["columnLineage"]["password"] = "hunter2"
    (done,) = imported(store, [event(outputs=[facet])])
    assert (columns_of(store, "t"), columns_of(store, "s")) == (names, names)
    assert done.recorded.column_edges == 3
    assert "hunter2" not in str(state(metadata_url)["facets"])


def test_inputs_and_outputs_that_come_at_once_do_not_miss_each_other(open_store: OpenStore, metadata_url: str) -> None:
    """Two tell the two halves of one run at the same time, many times; of a run that another source told, too."""
    stores = [open_store(), open_store()]
    stores[0].record_runs("dagster", [RunFact(run_id=f"r{one}", status="running") for one in range(0, 12, 2)])
    for one in range(12):
        run = f"r{one}"
        halves = [
            event("START", run=run, inputs=[dataset(f"a{one}")]),
            event("COMPLETE", run=run, outputs=[dataset(f"b{one}")]),
        ]
        with ThreadPoolExecutor(2) as both:
            list(both.map(lambda half: imported(half[0], [half[1]]), zip(stores, halves, strict=True)))
    assert len(state(metadata_url)["edges"]) == 12


def test_names_meet_those_that_a_collection_gives(store: MetadataStore) -> None:
    """Whether the server was registered before its events came, or after; two databases of one server are two."""
    near = [
        Endpoint(slug=slug, system="postgres", attributes={"host": "db.example.com", "database": slug})
        for slug in ("jfk", "ewr")
    ]
    store.register_endpoints([*near, Endpoint(slug="tz", system="postgres", attributes={"host": "tz.example.com"})])
    lga = Endpoint(slug="lga", system="postgres", attributes={"host": "other.example.com", "port": 5433})
    names = {
        "jfk": ("db.example.com:5432", "jfk"),
        "ewr": ("db.example.com:5432", "ewr"),
        "tz": ("tz.example.com:5432", "zones"),
        "lga": ("other.example.com:5433", "lga"),
    }
    outputs = [
        {"namespace": f"postgres://{host}", "name": f"{database}.public.orders"} for host, database in names.values()
    ]
    origin = {**outputs[0], "field": "id"}
    outputs[1]["facets"] = {"columnLineage": {"fields": {"id": {"inputFields": [origin]}}}}
    (done,) = imported(store, [event(outputs=outputs)])
    store.register_endpoints([lga])
    for slug, (_host, database) in names.items():
        key = dataset_key(slug, source=database, schema="public", table="orders")
        assert store.asset(key).key == key
    assert done.recorded.column_edges == 1


def test_columns_that_a_collection_saw_stand(store: MetadataStore) -> None:
    key = dataset_key("openlineage_db", table="seen")
    field = Field(name="a", type="integer", nullable=False, position=1)
    endpoint = Endpoint(slug="openlineage_db", system="openlineage")
    store.register_endpoints([endpoint])
    seen = Asset(key=key, type=AssetType.TABLE, fields=(field,), metadata={"relation": "r"})
    look = Catalog(endpoint=endpoint.slug, fingerprint="f", assets=(seen,))
    store.sessions.perform(lambda session: apply_plan(session, diff((), look)))
    imported(store, [event(outputs=[dataset("seen", "a", "b", origins={"a": [("q", "z")], "b": [("q", "z")]})])])
    assert store.asset(key).fields == (field,)
    assert [one.name for one in store.asset(dataset_key("openlineage_db", table="q")).fields or ()] == ["z"]
