"""The commands that ask the store, on a store with something in it."""

import json
import os
import subprocess
import sys
from uuid import UUID

from cli_calls import DAYS, DELAYS, FLIGHTS, JFK_FLIGHTS, Run, Writer, program

from identity.keys import dataset_key


def test_datasets_lists_what_is_published(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    answer = run("datasets", "--json")
    by_name = {one["name"]: one for one in answer.json}
    assert answer.code == 0
    assert answer.err == ""
    assert sorted(by_name) == [
        "lake/nyc/carrier_month",
        "lake/nyc/daily_delays",
        "lake/nyc/flights",
        "lake/nyc/weather",
    ]
    flights = by_name["lake/nyc/flights"]
    assert flights.pop("updated_at").endswith("+00:00")
    assert flights == {
        "name": "lake/nyc/flights",
        "key": str(FLIGHTS),
        "type": "DATASET",
        "publish": "immediately",
        "version": 2,
        "partitions": 2,
        "rows": 594,
        "materializations": 2,
    }


def test_datasets_all_lists_the_sources_too(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    names = [one["name"] for one in run("datasets", "--all", "--json").json]
    assert names[:2] == ["jfk/public/flights", "jfk/public/weather"]
    assert len(names) == 6
    assert "jfk/public/flights" in run("datasets", "--all").out


def test_no_datasets_is_no_error(run: Run) -> None:
    assert run("datasets", "--json").json == []
    assert "no datasets yet" in run("datasets").out


def test_dataset_show_by_short_name_and_by_key(run: Run, filled: dict[str, UUID]) -> None:
    short, full = (
        run("dataset", "show", "lake/nyc/daily_delays", "--json"),
        run("dataset", "show", str(DELAYS), "--json"),
    )
    assert short == full
    found = short.json
    assert found["made_from"] == ["lake/nyc/flights", "lake/nyc/weather"]
    assert found["makes"] == ["lake/nyc/carrier_month"]
    assert found["version"] == 2
    assert [one["partition"] for one in found["partitions"]] == list(DAYS)
    assert found["partitions"][1]["materialization"] == str(filled["delays"])
    assert "2, from 2013-01-14 to 2013-01-15" in run("dataset", "show", "lake/nyc/daily_delays").out


def test_dataset_show_of_a_source(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    found = run("dataset", "show", "jfk/public/flights", "--json").json
    assert (found["key"], found["type"], found["publish"], found["version"]) == (str(JFK_FLIGHTS), "TABLE", None, None)
    assert found["makes"] == ["lake/nyc/flights"]
    assert "as collected" in run("dataset", "show", "jfk/public/flights").out


def test_materializations_come_newest_first(run: Run, filled: dict[str, UUID], writer: Writer) -> None:
    newest = writer.write(FLIGHTS, DAYS[0], rows=3)
    found = run("materializations", "lake/nyc/flights", "--json").json
    assert [one["partition"] for one in found] == [DAYS[0], DAYS[1], DAYS[0]]
    assert found[0]["id"] == str(newest)
    assert found[1]["id"] == str(filled["flights"])
    assert [one["current"] for one in found] == [True, True, False]
    assert [one["published_in"] for one in found] == [3, 2, 1]
    assert (found[0]["attempt"], found[0]["code_version"], found[0]["rows"]) == (2, "7", 3)
    of_a_day = run("materializations", "lake/nyc/flights", "--partition", DAYS[0], "--limit", "1", "--json").json
    assert [one["id"] for one in of_a_day] == [str(newest)]
    assert "replaced" in run("materializations", "lake/nyc/flights").out


def test_versions_come_newest_first(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    found = run("versions", "lake/nyc/flights", "--json").json
    assert [(one["version"], one["partitions"], one["partitions_changed"], one["rows"]) for one in found] == [
        (2, 2, 1, 594),
        (1, 1, 1, 297),
    ]
    assert len(run("versions", "lake/nyc/flights", "--limit", "1", "--json").json) == 1


def test_what_produced_a_partition_down_to_the_sources(run: Run, filled: dict[str, UUID]) -> None:
    answer = run("materialization", "show", "lake/nyc/daily_delays", "--partition", DAYS[1], "--json")
    found = answer.json
    by_name = {one["name"]: one for one in found["materializations"]}
    assert found["start"] == str(filled["delays"])
    assert sorted(by_name) == ["lake/nyc/daily_delays", "lake/nyc/flights", "lake/nyc/weather"]
    assert [one["materialization"] for one in by_name["lake/nyc/daily_delays"]["inputs"]] == [
        str(filled["flights"]),
        str(filled["weather"]),
    ]
    (source,) = by_name["lake/nyc/flights"]["inputs"]
    assert (source["name"], source["materialization"], source["metadata"]) == (
        "jfk/public/flights",
        None,
        {"rows_read": 297},
    )
    assert run("materialization", "show", str(filled["delays"]), "--json") == answer
    drawn = run("materialization", "show", str(filled["delays"])).out
    assert "jfk/public/flights  source, 297 rows read" in drawn
    assert "attempt 2, code version 7" in drawn


def test_what_produced_ends_at_a_depth(run: Run, filled: dict[str, UUID]) -> None:
    found = run("materialization", "show", str(filled["month"]), "--depth", "1", "--json").json
    assert [one["inputs"] is None for one in found["materializations"]] == [False, True, True]
    everything = run("materialization", "show", str(filled["month"]), "--json").json
    assert len(everything["materializations"]) == 7


def test_lineage_up_and_down(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    up = run("lineage", "lake/nyc/daily_delays", "--json").json
    assert up["direction"] == "up"
    assert [one["name"] for one in up["nodes"]] == [
        "jfk/public/flights",
        "jfk/public/weather",
        "lake/nyc/daily_delays",
        "lake/nyc/flights",
        "lake/nyc/weather",
    ]
    assert {"source": str(DELAYS), "target": str(FLIGHTS)} in up["edges"]
    down = run("lineage", "jfk/public/flights", "--down", "--depth", "2", "--format", "json")
    assert [one["name"] for one in json.loads(down.out)["nodes"]] == [
        "jfk/public/flights",
        "lake/nyc/daily_delays",
        "lake/nyc/flights",
    ]


def test_lineage_as_a_tree_and_as_mermaid(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    tree = run("lineage", "lake/nyc/carrier_month").out
    assert tree.splitlines()[0].startswith("lake/nyc/carrier_month  dataset")
    assert "jfk/public/flights  table" in tree
    assert run("lineage", "lake/nyc/carrier_month", "--format", "mermaid").out.startswith("flowchart LR\n")


def test_another_tenant_sees_nothing(run: Run, filled: dict[str, UUID]) -> None:
    assert run("datasets", "--all", "--json", "--tenant", "other").json == []
    assert run("datasets", "--all", "--json", METADATA_TENANT="other").json == []
    for arguments in (["dataset", "show", str(FLIGHTS)], ["materialization", "show", str(filled["delays"])]):
        answer = run("--tenant", "other", *arguments)
        assert answer.code == 3
        assert answer.out == ""


def test_options_count_before_the_command_and_after_it(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    assert run("--json", "datasets").json == run("datasets", "--json").json
    assert run("--tenant", "other", "datasets", "--tenant", "default", "--json").json


def test_names_that_the_terminal_cannot_write_and_readers_that_leave(environ: dict[str, str], writer: Writer) -> None:
    writer.source(dataset_key("crm", source="crm", schema="public", table="käufe ☕"))
    ascii_only = program("datasets", "--all", environ={**environ, "PYTHONIOENCODING": "ascii"})
    assert ascii_only.code == 0
    assert "k\\xe4ufe \\u2615" in ascii_only.out
    script = '"$0" -m metadata_assets.cli datasets --all | true'
    command, inherited = ["sh", "-c", script, sys.executable], {**os.environ, **environ}
    left = subprocess.run(command, env=inherited, capture_output=True, text=True, check=False)
    assert "Traceback" not in left.stderr
