"""`identity import`: ids of an earlier catalog, from files as people have them."""

import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cli_calls import FLIGHTS, WEATHER, Run, Writer, program
from test_cli_surface import shape

from identity.keys import dataset_key
from metadata_assets.cli import documents

OLD = str(uuid4())
TABLE = f"""legacy_id,reference
{OLD},lake/nyc/flights
42,nyc.weather
FLIGHTS_V1,flights
gone,public.dropped
secret,postgres://ann:s3cr3t-Pa55@db/x
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "old catalog.csv"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


def test_old_ids_are_answered_like_names(run: Run, filled: dict[str, UUID], table: str) -> None:
    assert filled
    answer = run("identity", "import", table, "--reason", "the old catalog", "--json")
    report = answer.json
    assert (answer.code, report["linked"], report["already"]) == (5, 2, 0)
    (ambiguous,) = report["ambiguous"]
    assert (ambiguous["line"], ambiguous["legacy_id"], len(ambiguous["candidates"])) == (4, "FLIGHTS_V1", 2)
    assert [one["legacy_id"] for one in report["unknown"]] == ["gone"]
    assert [one["line"] for one in report["refused"]] == [6]
    assert "s3cr3t-Pa55" not in answer.out
    assert shape({**report, "taken": [{"line": 1, "legacy_id": "", "meant": ""}]}) == documents.IMPORTED
    assert run("dataset", "show", OLD, "--json").json == run("dataset", "show", "lake/nyc/flights", "--json").json
    assert run("lineage", OLD, "--json").json == run("lineage", "lake/nyc/flights", "--json").json
    assert run("versions", "42", "--json").json == run("versions", "lake/nyc/weather", "--json").json
    assert run("dataset", "show", "FLIGHTS_V1").code == 3
    kinds = {one["name"]: one["kind"] for one in run("identity", "show", OLD, "--json").json["names"]}
    assert kinds == {"lake/nyc/flights": "primary", f"legacy/{OLD}": "legacy"}


def test_a_dry_run_reports_and_writes_nothing(run: Run, filled: dict[str, UUID], table: str) -> None:
    assert filled
    dry = run("identity", "import", table, "--dry-run", "--json").json
    assert run("dataset", "show", OLD).code == 3
    real = run("identity", "import", table, "--json").json
    assert {**dry, "dry_run": False} == real
    again = run("identity", "import", table, "--json").json
    assert again == {**real, "linked": 0, "already": 2}


def test_people_get_tables(run: Run, filled: dict[str, UUID], table: str) -> None:
    assert filled
    answer = run("identity", "import", table)
    assert "2 ids lead to what they meant now" in answer.out
    for title in ("Ambiguous, left alone: 1", "Unknown, left alone: 1", "Refused: 1"):
        assert title in answer.out
    assert "mid1:dataset:jfk:jfk/public/flights" in answer.out
    assert "s3cr3t-Pa55" not in answer.out + answer.err


def test_json_lines_and_what_is_taken(run: Run, filled: dict[str, UUID], tmp_path: Path, writer: Writer) -> None:
    assert filled
    writer.dataset(dataset_key("lake", schema="nyc", table="other"))
    path = tmp_path / "old.jsonl"
    path.write_text(
        json.dumps({"id": 7, "key": str(FLIGHTS)}) + "\n\n" + json.dumps({"legacy_id": "8", "name": str(WEATHER)})
    )
    answer = run("identity", "import", str(path), "--batch-size", "1", "--json")
    assert (answer.code, answer.json["linked"]) == (0, 2)
    path.write_text(json.dumps({"id": 7, "key": "lake/nyc/other"}))
    answer = run("identity", "import", str(path), "--json")
    assert (answer.code, [one["legacy_id"] for one in answer.json["taken"]]) == (5, ["7"])
    assert "Taken by something else" in run("identity", "import", str(path)).out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"name\nlake/nyc/flights\n"),
        ("a.csv", b"legacy_id,reference\n7\n"),
        ("a.csv", b'legacy_id,reference\n"7,x\n'),
        ("a.csv", b"legacy_id,reference\n7,\xff\xfe\n"),
        ("a.jsonl", b"{"),
        ("a.jsonl", b"[1]"),
        ("a.jsonl", b'{"legacy_id": "7"}'),
        ("a.jsonl", b'{"legacy_id": "7", "reference": ["a"]}'),
    ],
)
def test_a_file_that_is_none_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    answer = run("identity", "import", str(tmp_path / name), "--json")
    assert (answer.code, answer.error["error"]) == (2, "UnreadableImport")


def test_an_empty_file_has_nothing_to_import(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("legacy_id,reference\n")
    assert run("identity", "import", str(tmp_path / "a.csv"), "--json").json["linked"] == 0
    assert run("identity", "import", str(tmp_path / "missing.csv"), "--json").error["error"] == "FileRefused"


def test_as_a_program(environ: dict[str, str], filled: dict[str, UUID], table: str) -> None:
    assert filled
    done = program("identity", "import", table, environ=environ)
    assert (done.code, done.err) == (5, "")
    assert program("dataset", "show", OLD, "--json", environ=environ).json["name"] == "lake/nyc/flights"
