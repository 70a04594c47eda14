"""doctor: finds each thing that is broken on purpose, and nothing else."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cli_calls import DAYS, DELAYS, FLIGHTS, MONTH, WEATHER, Answer, Call, Run, Writer
from sqlalchemy.engine import make_url
from upath import UPath

from metadata_assets.cli.surroundings import shipped
from resources.files.marking import claim
from resources.files.staging import MANIFEST
from resources.locations import place
from resources.metadata.garbage import Garbage, Retention

PROJECT = """\
name: shop
endpoints:
  crm: {system: postgres, url: env:CRM_URL, database: DATABASE, collect: {}}
  lake: {system: files}
"""


@pytest.fixture
def project(environ: dict[str, str], empty_url: str) -> Path:
    """A project with a source that answers."""
    environ["CRM_URL"] = empty_url
    folder = Path(environ["METADATA_PROJECT"])
    (folder / "metadata.yml").write_text(PROJECT.replace("DATABASE", str(make_url(empty_url).database)))
    return folder


def by_part(answer: Answer) -> dict[str, Any]:
    return {one["part"]: one for one in answer.json["findings"]}


def unwell(answer: Answer) -> dict[str, str]:
    return {one["part"]: one["status"] for one in answer.json["findings"] if one["status"] != "ok"}


def lay_down(writer: Writer, root: Path) -> dict[str, Path]:
    """A manifest where the store says that data are; the folders, by name and partition."""
    made = {}
    claim("lake", UPath(root))
    for key in (FLIGHTS, WEATHER, DELAYS, MONTH):
        for one in writer.store.materializations(key):
            folder = root / place(str(one.location))[1]
            folder.mkdir(parents=True)
            (folder / MANIFEST).write_text("{}")
            made[f"{key.table}/{one.partition}"] = folder
    return made


@pytest.fixture
def laid_down(writer: Writer, filled: dict[str, UUID], environ: dict[str, str]) -> dict[str, Path]:
    assert filled
    return lay_down(writer, Path(environ["METADATA_HOME"]) / "lake" / "lake")


def test_all_is_well(run: Run, project: Path, laid_down: dict[str, Path]) -> None:
    assert project.exists()
    assert laid_down
    answer = run("doctor", "--json")
    assert unwell(answer) == {}
    assert answer.json["healthy"] is True
    assert answer.code == 0
    people = run("doctor")
    assert people.code == 0
    assert people.out.rstrip().endswith("all is well")


def test_published_data_that_are_gone_are_a_problem(run: Run, project: Path, laid_down: dict[str, Path]) -> None:
    assert project.exists()
    (laid_down["weather/2013-01-14"] / MANIFEST).unlink()
    answer = run("doctor", "--json")
    assert unwell(answer) == {"missing data": "problem"}
    assert "lake/nyc/weather is promised and not there: 2013-01-14" in by_part(answer)["missing data"]["detail"]
    assert "materialize it again" in by_part(answer)["missing data"]["fix"]
    assert answer.code == 1


def test_files_of_a_root_that_is_not_there_are_not_called_missing(
    run: Run, project: Path, filled: dict[str, UUID]
) -> None:
    assert project.exists()
    assert filled
    assert unwell(run("doctor", "--json")) == {"missing data": "skipped"}


def test_folders_that_nothing_names_are_told_when_they_are_old(
    run: Run, project: Path, laid_down: dict[str, Path], writer: Writer, environ: dict[str, str]
) -> None:
    assert project.exists()
    assert laid_down
    root = Path(environ["METADATA_HOME"]) / "lake" / "lake"
    mine, stranger = writer.store.entity(FLIGHTS).id, uuid4()
    folders = [root / str(dataset) / "unpartitioned" / name for dataset in (mine, stranger) for name in ("old", "new")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "data.parquet").write_text("x")
        if folder.name == "old":
            os.utime(folder / "data.parquet", (0, 0))
    answer = run("doctor", "--json")
    assert unwell(answer) == {"garbage": "warning"}
    detail = by_part(answer)["garbage"]["detail"]
    assert detail == f"1 folders below {root} belong to no record: {mine}/unpartitioned/old"


def test_a_collection_that_did_not_end_and_newer_data_are_told(
    run: Run, project: Path, laid_down: dict[str, Path], writer: Writer, metadata_url: str
) -> None:
    assert project.exists()
    assert laid_down
    for _twice in range(2):
        writer.write(FLIGHTS, DAYS[0], publish=False)
    lay = Retention(versions=1, time=timedelta(0))
    garbage, dataset = Garbage(writer.store.sessions), writer.store.entity(FLIGHTS)
    (one,) = garbage.look(dataset, lay).garbage
    assert garbage.condemn(dataset, lay, [one.materialization_id])
    assert unwell(run("doctor", "--json")) == {"garbage": "warning"}
    with psycopg.connect(metadata_url) as connection:
        connection.execute("ALTER TABLE metadata.materialization DISABLE TRIGGER append_only")
        connection.execute("UPDATE metadata.materialization SET committed_at = committed_at - interval '2 days'")
    answer = run("doctor", "--json")
    assert unwell(answer) == {"garbage": "warning", "unpublished data": "warning"}
    assert by_part(answer)["garbage"]["fix"] == "run: metadata-assets gc"
    assert "has newer data for 1 partitions" in by_part(answer)["unpublished data"]["detail"]


def test_data_that_nobody_gets_and_files_that_nobody_needs(run: Run, project: Path, writer: Writer) -> None:
    assert project.exists()
    writer.dataset(FLIGHTS, "manually")
    writer.write(FLIGHTS, "2013-01-01", publish=False)
    writer.dataset(WEATHER)
    writer.stage(WEATHER, "2013-01-01", ttl=timedelta(microseconds=1))
    answer = run("doctor", "--json")
    assert unwell(answer) == {"unfinished writes": "warning", "unpublished data": "warning"}
    found = by_part(answer)
    assert "1 attempts ended without a commit" in found["unfinished writes"]["detail"]
    assert "weather/2013-01-01/" in found["unfinished writes"]["detail"]
    assert (
        "lake/nyc/flights has 1 materializations and no version (publish: manually)"
        in found["unpublished data"]["detail"]
    )
    assert answer.code == 0


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("ALTER TABLE metadata.asset NO FORCE ROW LEVEL SECURITY", "table metadata.asset does not confine"),
        ("ALTER TABLE metadata.version DISABLE ROW LEVEL SECURITY", "table metadata.version does not confine"),
        ("DROP POLICY tenant ON metadata.dataset", "table metadata.dataset does not confine"),
        ("ALTER TABLE metadata.outbox OWNER TO metadata_app", "table metadata.outbox belongs to metadata_app"),
    ],
)
def test_tenants_that_are_no_longer_kept_apart(
    run: Run, environ: dict[str, str], project: Path, damage: str, told: str
) -> None:
    assert project.exists()
    with psycopg.connect(environ["METADATA_DATABASE_URL"]) as connection:
        connection.execute(damage.encode())
    answer = run("doctor", "--json")
    assert unwell(answer) == {"tenant separation": "problem"}
    assert told in by_part(answer)["tenant separation"]["detail"]
    assert answer.code == 1


def test_one_endpoint_that_is_down_does_not_hide_the_others(run: Run, project: Path) -> None:
    with (project / "metadata.yml").open("a") as file:
        file.write("  down: {system: postgres, url: env:DOWN_URL, database: x, collect: {}}\n")
    answer = run("doctor", "--json", DOWN_URL="postgresql://ann:s3cr3t@127.0.0.1:1/x")
    assert unwell(answer) == {"endpoint down": "problem"}
    assert answer.code == 4
    assert "s3cr3t" not in answer.out + answer.err
    unset = run("doctor", "--json")
    assert "the environment variable DOWN_URL is not set" in by_part(unset)["endpoint down"]["detail"]
    assert unset.code == 1


def test_a_root_whose_filesystem_is_not_installed(run: Run, project: Path) -> None:
    (project / "metadata.yml").write_text("name: shop\nendpoints:\n  lake: {system: files, root: env:LAKE}\n")
    answer = run("doctor", "--json", LAKE="gs://bucket?secret=s3cr3t")
    assert unwell(answer) == {"endpoint lake": "problem"}
    detail = by_part(answer)["endpoint lake"]["detail"]
    assert detail == (
        "endpoint lake cannot be reached, no filesystem for gs:// is installed; "
        "please install gcsfs to access Google Storage"
    )
    assert answer.code == 1


def test_a_database_that_is_down_does_not_hide_the_project(call: Call, environ: dict[str, str], project: Path) -> None:
    assert project.exists()
    answer = call({**environ, "METADATA_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "doctor", "--json")
    parts = (
        *("schema", "tenant separation", "unfinished writes", "lost attempts", "unpublished data"),
        *("garbage", "missing data"),
    )
    waiting = dict.fromkeys(parts, "skipped")
    assert unwell(answer) == {"metadata database": "problem", **waiting}
    assert answer.code == 4


def test_a_schema_that_was_never_made(call: Call, environ: dict[str, str], empty_url: str, project: Path) -> None:
    assert project.exists()
    answer = call({**environ, "METADATA_DATABASE_URL": empty_url}, "doctor", "--json")
    assert by_part(answer)["schema"]["detail"].endswith("run: metadata-assets migrate")
    assert answer.code == 4


def test_a_dagster_yaml_of_ones_own(run: Run, environ: dict[str, str], project: Path) -> None:
    assert project.exists()
    home = Path(environ["METADATA_HOME"]) / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(shipped("dagster.yaml"))
    assert unwell(run("doctor", "--json")) == {}
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert unwell(run("doctor", "--json")) == {"dagster.yaml": "warning"}


def test_a_project_whose_function_is_missing(run: Run, project: Path) -> None:
    (project / "datasets").mkdir()
    (project / "datasets" / "orders.yml").write_text(
        "datasets: [{name: orders, endpoint: lake, python: nosuch:orders}]\n"
    )
    answer = run("doctor", "--json")
    assert unwell(answer) == {"project": "problem"}
    assert "datasets/orders.yml:1" in by_part(answer)["project"]["detail"]
    assert answer.code == 1


def test_what_a_project_prints_is_no_part_of_the_answer(run: Run, project: Path) -> None:
    (project / "datasets").mkdir()
    (project / "datasets" / "orders.yml").write_text(
        "datasets: [{name: orders, endpoint: lake, python: code:orders}]\n"
    )
    (project / "code.py").write_text("print('on the way')\ndef orders(): ...\n")
    answer = run("doctor", "--json")
    assert unwell(answer) == {}
    assert answer.err == "on the way\n"


def test_every_mistake_of_a_project_has_a_line_of_its_own(run: Run, project: Path) -> None:
    with (project / "metadata.yml").open("a") as file:
        file.write("  one: {system: fils}\n  two: {system: fils}\n")
    lines = run("doctor").out.splitlines()
    told = [line.strip() for line in lines if "did you mean files?" in line]
    assert [line.partition(":")[0] for line in told] == ["metadata.yml", "metadata.yml"]
    assert not any("\\n" in line for line in lines)


def test_datasets_that_outgrow_a_view_are_told_before_they_are_refused(
    run: Run, environ: dict[str, str], empty_url: str
) -> None:
    folder = Path(environ["METADATA_PROJECT"])
    project = "name: shop\nendpoints:\n  wh: {system: postgres, database: DATABASE}\n  lake: {system: files}\n"
    (folder / "metadata.yml").write_text(project.replace("DATABASE", str(make_url(empty_url).database)))
    (folder / "code.py").write_text("def made(partition): ...\n")
    (folder / "datasets").mkdir()
    soon = f"{datetime.now(UTC) - timedelta(days=1990):%Y-%m-%d}"
    declared = {
        ("wh", "hours"): "hourly: {start: 2024-01-01 00:00}",
        ("wh", "days"): f"daily: {{start: {soon}}}",
        ("wh", "over"): "hourly: {start: 2024-01-01 00:00, end: 2024-01-31 00:00}",
        ("wh", "some"): "dynamic: some",
        ("lake", "hours"): "hourly: {start: 2024-01-01 00:00}",
    }
    datasets = [
        f"  - {{name: {name}, endpoint: {endpoint}, schema: nyc, python: code:made, partitions: {{{partitions}}}}}\n"
        for (endpoint, name), partitions in declared.items()
    ]
    (folder / "datasets" / "all.yml").write_text("datasets:\n" + "".join(datasets))
    answer = run("doctor", "--json")
    told = [one["detail"] for one in answer.json["findings"] if one["status"] == "warning"]
    assert len(told) == 2, answer.out
    assert told[0].startswith("wh/nyc/days will have 2,0")
    assert told[1].startswith("wh/nyc/hours has ")
