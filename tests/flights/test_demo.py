"""The demo on the real thing: every promise held up, nothing done twice, and a broken promise told as such."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from flights_loads import ROOT, Ask, Loads
from rich.console import Console

from metadata_assets.cli import main
from resources.configurable import close_all
from resources.postgres.embedded import Server, ensure_databases
from resources.postgres.engine import libpq
from resources.settings import Settings

PROJECT = ROOT / "examples" / "flights"
PROMISES = [
    "catalogs_collected",
    "identities_distinct",
    "second_collection_writes_nothing",
    "every_run_succeeded",
    "retry_is_one_materialization",
    "reexecution_is_one_materialization",
    "new_intent_is_a_new_version",
    "inputs_recorded",
    "rows_read_add_up",
    "lineage_agrees",
    "every_flight_published",
    "files_agree_with_records",
    "nothing_doubled",
    "missing_days_are_missing",
    "rename_keeps_identity",
    "renamed_source_is_read",
    "rollback_is_one_step",
    "runs_recorded",
]
WITHOUT_WEATHER = "2013-12-31"


@dataclass(frozen=True, slots=True)
class Shown:
    """What one call of the command left: its exit code, the document on stdout, the words on stderr."""

    code: int
    document: dict[str, Any]
    words: str

    @property
    def broken(self) -> list[str]:
        return [one["name"] for one in self.document["promises"] if not one["held"]]


@pytest.fixture(scope="module")
def deployment(
    server: Server, loads: Loads, make_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A home of its own on the shared server and the sources that are loaded there."""
    assert loads.finished
    home = tmp_path_factory.mktemp("home of the demo")
    ensure_databases(server, ["dagster"])
    variables = {
        "METADATA_HOME": str(home),
        "METADATA_PROJECT": str(PROJECT),
        "METADATA_TENANT": "default",
        "METADATA_DATABASE_URL": make_database(migrated=True),
        "DAGSTER_POSTGRES_URL": server.url("dagster"),
        "DATA_DATABASE_URL": server.url("postgres"),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "path", [str(PROJECT), *sys.path])
        modules = dict(sys.modules)
        yield Settings.from_env(variables, cwd=ROOT)
        close_all()
        for name in set(sys.modules) - set(modules):
            if name in ("demo", "sources") or name.partition(".")[0] == "showcase":
                del sys.modules[name]


def call(*arguments: str) -> tuple[int, str, str]:
    """The command line: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def demo(days: int) -> Shown:
    code, out, err = call("demo", "--days", str(days), "--json")
    return Shown(code, json.loads(out or "null"), err)


@pytest.fixture(scope="module")
def first(deployment: Settings) -> Shown:
    assert deployment
    return demo(2)


@pytest.fixture(scope="module")
def second(first: Shown) -> Shown:
    assert first
    return demo(2)


def test_every_promise_holds(first: Shown) -> None:
    assert (first.code, first.broken) == (0, []), first.words
    assert [one["name"] for one in first.document["promises"]] == PROMISES
    assert all(set(one) == {"name", "promise", "evidence", "held"} for one in first.document["promises"])
    assert "all 18 promises held" in first.words
    assert "Traceback" not in first.words


def test_the_document_has_every_part(first: Shown) -> None:
    parts = ["promises", "sources", "collections", "materialized", "deliveries", "explain", "counts", "renamed"]
    parts += ["rolled_back", "runs", "seconds"]
    assert list(first.document) == parts
    assert list(first.document["seconds"])[-1] == "total"
    assert first.document["materialized"]["datasets"]["lake/nyc/flights"] == {
        "asked": 2,
        "materialized": 2,
        "up_to_date": 0,
        "missing": [],
    }
    assert first.document["materialized"]["failures"] == []


def test_both_collections_of_every_endpoint_are_told(first: Shown) -> None:
    told = [(one["collection"], one["endpoint"], one["rows_written"] > 0) for one in first.document["collections"]]
    assert told == [(1, "ewr", True), (1, "jfk", True), (1, "lga", True)] + [
        (2, slug, False) for slug in ("ewr", "jfk", "lga")
    ]


def test_deliveries_and_what_they_changed(first: Shown) -> None:
    deliveries = first.document["deliveries"]
    assert [one["replayed"] for one in deliveries] == [False, True, False, True, False]
    assert [one["version_after"] - one["version_before"] for one in deliveries] == [1, 0, 1, 0, 1]
    assert [one["success"] for one in deliveries] == [True, True, False, True, True]
    assert [one["materializations"] for one in deliveries] == [2, 2, 3, 3, 4]
    assert deliveries[2]["reason"] == "the worker died after its commit, on purpose, before it could tell Dagster"
    assert deliveries[2]["intent"] == deliveries[3]["intent"] == f"run:{deliveries[2]['run_id']}"


def test_the_last_day_is_explained_down_to_its_sources(first: Shown, ask: Ask) -> None:
    explain = first.document["explain"]
    assert (explain["dataset"], explain["partition"]) == ("lake/nyc/daily_delays", "2013-01-02")
    assert explain["run_id"] == first.document["deliveries"][-1]["run_id"]
    made = {one["name"]: one["inputs"] for one in explain["materializations"]}
    assert {name: [each["name"] for each in inputs] for name, inputs in made.items()} == {
        "lake/nyc/daily_delays": ["lake/nyc/flights", "lake/nyc/weather"],
        "lake/nyc/flights": ["ewr/public/flights", "jfk/public/flights", "lga/public/flights"],
        "lake/nyc/weather": ["ewr/public/weather", "jfk/public/weather", "lga/public/weather"],
    }
    for each in made["lake/nyc/flights"]:
        of_the_day = "SELECT count(*) FROM flights WHERE local_date = '2013-01-02'"
        assert [(each["metadata"]["rows_read"],)] == ask(each["name"][:3], of_the_day)


def test_a_renamed_source_table_is_the_same_thing(first: Shown, second: Shown, ask: Ask) -> None:
    for shown in (first, second):
        renamed = shown.document["renamed"]
        assert (renamed["was"], renamed["now"]) == ("jfk/public/weather", "jfk/public/weather_of_the_airport")
        assert renamed["ids"] == [first.document["renamed"]["id"]]
        assert renamed["new_things"] == 0
        assert "lake/nyc/daily_delays" in renamed["downstream"]
        assert shown.document["seconds"]["rename"] < shown.document["seconds"]["total"]
    code, out, err = call("identity", "show", "jfk/public/weather_of_the_airport", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["name"] == "jfk/public/weather"
    assert ask(
        "jfk", "SELECT to_regclass('weather_of_the_airport') IS NULL AND to_regclass('weather') IS NOT NULL"
    ) == [(True,)]


def test_back_and_forward_again_under_a_pin(first: Shown) -> None:
    found = first.document["rolled_back"]
    last = first.document["deliveries"][-1]["version_after"]
    assert found["versions"] == [last, last + 1, last + 2]
    assert found["partitions_changed"] == 1
    (rows,) = set(found["rows_pinned"])
    assert rows > 0
    code, out, _err = call("versions", "lake/nyc/daily_delays", "--limit", "2", "--json")
    forward, back = (one["restored"] for one in json.loads(out))  # by the demo that was the last one
    assert (code, forward) == (0, back + 1)


def test_every_run_is_recorded_and_why_one_failed(first: Shown) -> None:
    runs = first.document["runs"]
    assert 5 < runs["runs"] <= runs["recorded"], "of those that have ended, and of all"
    died = first.document["deliveries"][2]
    assert runs["died"]["run_id"] == died["run_id"]
    assert "WorkerDied" in runs["died"]["failure"]


def test_the_command_line_shows_the_same(first: Shown) -> None:
    for command in first.document["explain"]["commands"]:
        program, *arguments = command.split()
        assert program == "metadata-assets"
        code, out, err = call(*arguments)
        assert (code, err) == (0, ""), command
        assert "lake/nyc/daily_delays" in out


def test_a_second_demo_runs_nothing_that_is_there(first: Shown, second: Shown) -> None:
    assert (second.code, second.broken) == (0, []), second.words
    assert second.document["materialized"]["runs"] == 0
    assert second.document["sources"]["filled"] == []
    assert {one["rows_written"] for one in second.document["collections"]} == {0}
    assert second.document["counts"]["flights"] == first.document["counts"]["flights"]
    assert second.document["deliveries"][0]["materializations"] == 5


def test_a_day_without_weather_has_delays_and_is_named(deployment: Settings, first: Shown) -> None:
    from showcase import counting, materializing
    from showcase.stage import DAILY_DELAYS, WEATHER, on_stage

    assert first
    words = io.StringIO()
    with on_stage(deployment, Console(file=words, width=200)) as stage:
        done = materializing.materialize(stage, [WITHOUT_WEATHER])
        counted = counting.count(stage, [WITHOUT_WEATHER])
    assert (done.runs, done.failures) == (1, [])
    assert done.missing[WEATHER] == counted.missing(WEATHER) == [WITHOUT_WEATHER]
    assert counted.missing(DAILY_DELAYS) == []
    assert all(one.held for one in counting.promises(counted))
    assert f"lake/nyc/weather has none for {WITHOUT_WEATHER}" in counting.promises(counted)[-1].evidence


def test_a_broken_promise_is_told_and_fails(deployment: Settings, second: Shown) -> None:
    """A file is damaged, a publication forgotten, a record changed: by a superuser, nobody else could."""
    assert second
    flights, weather, delays = (_id_of(deployment, table) for table in ("flights", "weather", "daily_delays"))
    for file in deployment.home.glob(f"lake/*/{flights}/partition=2013-01-02/*/*.parquet"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    with psycopg.connect(libpq(str(deployment.url("metadata"))), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")  # what is append-only has triggers that say so
        superuser.execute(_FORGET, [delays])
        superuser.execute(_MISCOUNT, [weather])
    shown = demo(2)
    assert shown.code == 1
    assert shown.broken == [
        "every_run_succeeded",
        "retry_is_one_materialization",
        "reexecution_is_one_materialization",
        "new_intent_is_a_new_version",
        "inputs_recorded",
        "rows_read_add_up",
        "lineage_agrees",
        "files_agree_with_records",
        "missing_days_are_missing",
    ]
    (failure,) = shown.document["materialized"]["failures"]
    assert failure["partition"] == "2013-01-02"
    assert "is not what was committed" in failure["reason"]
    evidence = {one["name"]: one["evidence"] for one in shown.document["promises"]}
    assert "lake/nyc/weather 2013-01-01: 67 in its file, 68 recorded" in evidence["files_agree_with_records"]
    assert "9 of 18 promises did not hold" in shown.words
    assert "Traceback" not in shown.words


_FORGET = "DELETE FROM metadata.version_partition WHERE dataset_id = %s AND partition_key = '2013-01-02'"
_MISCOUNT = """
UPDATE metadata.materialization SET row_count = row_count + 1 WHERE dataset_id = %s AND partition_key = '2013-01-01'
"""


def _id_of(deployment: Settings, table: str) -> str:
    with psycopg.connect(libpq(str(deployment.url("metadata")))) as superuser:
        named = "SELECT asset_id FROM metadata.asset WHERE qualified_name = %s"
        ((found,),) = superuser.execute(named, [f"mid1:dataset:lake:~/nyc/{table}"])
    return str(found)
