"""gc: what nobody needs goes, and it is told; what is published stays."""

import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cli_calls import DAYS, FLIGHTS, WEATHER, Run, Writer
from upath import UPath

from metadata_assets.cli import documents
from resources.files import intermediate
from resources.files.marking import MARKER, claim
from resources.locations import place
from resources.metadata.profiles import Profile
from resources.models import Endpoint

EAGER = ("--keep-versions", "1", "--keep-for", "0s")


@pytest.fixture
def root(environ: dict[str, str]) -> Path:
    """Where files of the endpoint `lake` are, which no project says."""
    folder = Path(environ["METADATA_HOME"]) / "lake" / "lake"
    claim("lake", UPath(folder))
    return folder


def folder_of(writer: Writer, root: Path, one: UUID) -> Path:
    """The folder of a materialization, with a file in it."""
    folder = root / place(str(writer.store.materialization(one).location))[1]
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("12345")
    return folder


@pytest.fixture
def folders(writer: Writer, root: Path) -> dict[str, list[Path]]:
    """Two datasets, each written twice for a day."""
    made = {}
    for key in (FLIGHTS, WEATHER):
        writer.dataset(key)
        made[key.table] = [folder_of(writer, root, writer.write(key, DAYS[0])) for _twice in range(2)]
    return made


def test_replaced_data_go_when_they_are_old_enough(run: Run, folders: dict[str, list[Path]]) -> None:
    kept = run("gc", "--json")
    assert (kept.code, kept.json["replaced"], kept.json["gone"]) == (0, 0, []), "ten versions, seven days"
    told = run("gc", "--dry-run", *EAGER, "--json").json
    assert all(folder.exists() for some in folders.values() for folder in some)
    done = run("gc", *EAGER, "--json")
    assert done.code == 0
    assert {**done.json, "dry_run": True} == told
    assert (done.json["replaced"], done.json["files"], done.json["bytes"], done.json["left"]) == (2, 2, 10, [])
    assert set(done.json) == set(documents.GC.strip("{}").split(": [")[0].split(", ")) | {"away", "left", "history"}
    assert [[folder.exists() for folder in some] for some in folders.values()] == [[False, True]] * 2
    assert run("gc", *EAGER, "--json").json["gone"] == []


def test_a_dataset_keeps_what_the_project_declares(
    run: Run, folders: dict[str, list[Path]], environ: dict[str, str]
) -> None:
    project = Path(environ["METADATA_PROJECT"])
    (project / "datasets").mkdir()
    (project / "metadata.yml").write_text("name: shop\nendpoints:\n  lake: {system: files}\n")
    (project / "datasets" / "all.yml").write_text(
        'datasets: [{name: flights, endpoint: lake, schema: nyc, python: "a:b", retention: {versions: 1, for: 1s}}]'
    )
    time.sleep(1.1)
    assert run("gc", "--keep-for", "1d", "--json").json["replaced"] == 0, "what is asked for outranks it"
    assert run("gc", "--json").json["replaced"] == 1
    assert {name: [one.exists() for one in some] for name, some in folders.items()} == {
        "flights": [False, True],
        "weather": [True, True],
    }


def test_of_named_datasets_only(run: Run, folders: dict[str, list[Path]], writer: Writer, root: Path) -> None:
    attempt = writer.stage(WEATHER, DAYS[1], ttl=timedelta(microseconds=1))
    abandoned = root / f"weather/{DAYS[1]}/{attempt.id}"
    abandoned.mkdir(parents=True)
    (abandoned / "data.parquet").write_text("x")
    run("gc", "lake/nyc/flights", *EAGER)
    assert [folder.exists() for some in folders.values() for folder in some] == [False, True, True, True]
    assert abandoned.exists()
    people = run("gc", *EAGER)
    assert not abandoned.exists()
    assert [line.split()[-3:] for line in people.out.splitlines()[2:4]] == [["1", "1", "1"], ["1", "1", "5"]]


def test_what_is_not_there_to_be_removed_is_told(run: Run, folders: dict[str, list[Path]], root: Path) -> None:
    root.rename(root.with_name("unplugged"))
    answer = run("gc", *EAGER, "--json")
    assert (answer.code, answer.json["left"], answer.json["gone"]) == (5, [], [])
    (away,) = answer.json["away"]
    assert away["endpoint"] == "lake"
    assert "mount it, or add the endpoint to the project" in away["message"]
    root.with_name("unplugged").rename(root)
    assert run("gc", *EAGER, "--json").json["replaced"] == 2
    assert [[folder.exists() for folder in some] for some in folders.values()] == [[False, True]] * 2


def test_old_history_goes_and_it_is_told_how_much(run: Run, writer: Writer) -> None:
    writer.dataset(FLIGHTS)
    for rows in range(3):
        writer.store.record_profiles([Profile(key=FLIGHTS, rows=rows, sampled=rows, columns=())])
    none = {"profiles": 0, "facets": 0, "refused_events": 0}
    assert run("gc", "--json").json["history"] == none, "ninety days"
    assert run("gc", "lake/nyc/flights", "--keep-history", "0s", "--json").json["history"] == none
    told = run("gc", "--keep-history", "0s", "--dry-run")
    assert "would be forgotten of the history: 2 profiles" in told.out
    assert run("gc", "--keep-history", "0s", "--json").json["history"] == {**none, "profiles": 2}
    assert [one.rows for one in writer.store.profiles(writer.store.entity(FLIGHTS))] == [2]
    assert run("gc", "--keep-history", "x").code == 2


@pytest.mark.parametrize("arguments", [["--keep-for", "7"], ["--keep-for", "x"], ["--keep-versions", "0"]])
def test_a_retention_that_is_none_is_refused(run: Run, arguments: list[str]) -> None:
    assert run("gc", *arguments).code == 2


def test_an_unknown_dataset_is_refused(run: Run) -> None:
    assert run("gc", "lake/nyc/nothing").code == 3


def test_a_failpoint_that_is_none_is_refused(run: Run) -> None:
    answer = run("gc", METADATA_FAILPOINT="nowhere")
    assert (answer.code, "METADATA_FAILPOINT names no place" in answer.err) == (2, True)


def test_values_of_runs_that_dagster_does_not_know_go_after_a_week(
    run: Run, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    root = UPath(Path(environ["METADATA_HOME"]) / "intermediate")
    old, new = str(uuid4()), str(uuid4())
    for run_id in (old, new):
        intermediate.keep(root, (run_id, "step", "result", ""), 1)
    for path in Path(str(root), old).rglob("*"):
        os.utime(path, (0, 0))
    answer = run("gc", *EAGER, "--json")
    assert (answer.json["runs"], answer.json["files"]) == (1, 1)
    assert intermediate.runs_waiting(root) == [new]


def test_outside_the_project_nothing_of_it_is_taken_for_gone(
    run: Run, writer: Writer, environ: dict[str, str], tmp_path: Path
) -> None:
    """Its root is relative to the project, and the home has a root of the same name."""
    project = Path(environ["METADATA_PROJECT"])
    (project / "metadata.yml").write_text("name: shop\nendpoints:\n  lake: {system: files, root: data}\n")
    writer.store.register_endpoints([Endpoint(slug="lake", system="files", attributes={"root": "data"})])
    for folder in (project / "data", Path(environ["METADATA_HOME"]) / "lake" / "lake"):
        claim("lake", UPath(folder))
    writer.dataset(FLIGHTS)
    replaced, _kept = [folder_of(writer, project / "data", writer.write(FLIGHTS, DAYS[0])) for _twice in range(2)]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    answer = run("gc", *EAGER, "--json", METADATA_PROJECT=str(elsewhere))
    assert (answer.code, answer.json["gone"], answer.json["left"]) == (5, [], [])
    assert "run it in the project that does" in answer.json["away"][0]["message"]
    told = {one["part"]: one for one in run("doctor", "--json", METADATA_PROJECT=str(elsewhere)).json["findings"]}
    assert (told["missing data"]["status"], "in the project that does" in told["missing data"]["detail"]) == (
        "skipped", True)  # fmt: skip
    other = elsewhere / "metadata.yml"
    other.write_text("name: other\nendpoints:\n  lake: {system: files, root: data}\n")
    (elsewhere / "data").mkdir()
    people = run("gc", *EAGER, METADATA_PROJECT=str(elsewhere))
    assert (people.code, "nothing of lake was collected" in people.out) == (5, True)
    assert "left: lake: " in people.err
    assert replaced.exists()
    assert run("gc", *EAGER, "--json").json["replaced"] == 1
    assert not replaced.exists()


def test_a_root_of_an_older_version_is_marked_by_doctor(run: Run, folders: dict[str, list[Path]], root: Path) -> None:
    assert folders
    marker = root / MARKER
    marker.unlink()
    answer = run("gc", *EAGER, "--json")
    assert (answer.code, answer.json["gone"]) == (5, [])
    assert "run: metadata-assets doctor --fix" in answer.json["away"][0]["message"]
    told = {one["part"]: one for one in run("doctor", "--json").json["findings"]}["missing data"]
    assert (told["status"], "does not say that it is the root of endpoint lake" in told["detail"]) == ("warning", True)
    assert not marker.exists()
    fixed = {one["part"]: one["status"] for one in run("doctor", "--fix", "--json").json["findings"]}
    assert (fixed["missing data"], fixed["garbage"]) == ("ok", "ok")
    assert marker.read_text() == '{"endpoints": ["lake"]}\n'
    assert run("gc", *EAGER, "--json").json["replaced"] == 2


def test_doctor_marks_no_root_without_known_data(run: Run, folders: dict[str, list[Path]], root: Path) -> None:
    assert folders
    root.rename(root.with_name("unplugged"))
    root.mkdir()
    told = {one["part"]: one for one in run("doctor", "--fix", "--json").json["findings"]}["missing data"]
    assert (told["status"], "mount what belongs there" in told["detail"]) == ("warning", True)
    assert list(root.iterdir()) == []
