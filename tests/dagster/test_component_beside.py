"""Projects as components beside others: another project, and a code location with resources of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing.utils import create_defs_folder_sandbox

from identity.keys import dataset_key
from metadata_assets import MetadataProject, code_location, load_project
from metadata_assets.component import DatasetOfAnother
from resources.metadata_store import MetadataStore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
METADATA = """
name: {name}
endpoints:
  {name}-files: {{system: files, root: ./data}}
  crm: {{system: postgres, database: crm, collect: {{}}}}
schedules:
  nightly: {{cron: "0 6 * * *", select: total}}
"""
DATASETS = """
datasets:
  - {name: rows, endpoint: NAME-files, automation: eager, python: "pipeline:rows", depends_on: [crm/public/orders]}
  - {name: total, endpoint: NAME-files, python: "pipeline:total", depends_on: [NAME-files/rows]}
  - {name: counted, endpoint: NAME-files, sql: counted.sql}
"""
PIPELINE = """
import polars as pl

def rows(orders):
    return pl.DataFrame({"n": range(ROWS)})

def total(rows: pl.DataFrame):
    return rows.select(pl.col("n").sum())
"""
Write = Callable[[str, int], Path]
BOTH = ("shop", "my-bank")


class Kept(dg.IOManager):
    """The I/O manager of somebody else."""

    def __init__(self) -> None:
        self.values: dict[dg.AssetKey, Any] = {}

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        self.values[context.asset_key] = obj

    def load_input(self, context: dg.InputContext) -> Any:
        return self.values[context.asset_key]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a project: its name, and how many rows it makes."""

    def written(name: str, rows: int) -> Path:
        folder = tmp_path / name
        (folder / "datasets").mkdir(parents=True)
        (folder / "metadata.yml").write_text(METADATA.format(name=name))
        (folder / "datasets" / "all.yml").write_text(DATASETS.replace("NAME", name))
        (folder / "datasets" / "counted.sql").write_text("SELECT count(*) AS rows FROM {{ ref('rows') }}")
        (folder / "pipeline.py").write_text(PIPELINE.replace("ROWS", str(rows)))
        return folder

    return written


def keys(name: str) -> list[dg.AssetKey]:
    return [dg.AssetKey([f"{name}-files", table]) for table in ("rows", "total", "counted")]


def test_two_projects_are_in_one_code_location_with_what_is_its_own(
    write: Write, environment: dict[str, str], stored: MetadataStore, tmp_path: Path
) -> None:
    """Each runs with its own settings; the resource `io_manager`, the executor and other assets stay whose they are."""
    assert environment
    kept = Kept()

    @dg.asset(ins={"total": dg.AssetIn(["shop-files", "total"])})
    def theirs(total: Any) -> int:
        return int(total["n"].item())

    @dg.executor(name="theirs")
    def executor(init_context: dg.InitExecutorContext) -> Any:
        return dg.in_process_executor.executor_creation_fn(init_context)  # type: ignore[misc]

    with create_defs_folder_sandbox() as sandbox:
        for name, rows in zip(BOTH, (3, 5), strict=True):
            path = sandbox.scaffold_component(component_cls=MetadataProject, defs_path=name)
            project = str(write(name, rows))
            (path / "defs.yaml").write_text(
                f"type: metadata_assets.component.MetadataProject\nattributes:\n  project: {project}\n"
            )
        with sandbox.build_all_defs() as found:
            own = dg.Definitions(assets=[theirs], resources={"io_manager": kept}, executor=executor)
            defs = dg.Definitions.merge(found, own)
            repository = defs.get_repository_def()
            with dg.DagsterInstance.ephemeral() as instance:
                job: Any = defs.resolve_implicit_global_asset_job_def()
                wanted = [theirs.key, *(key for name in BOTH for key in keys(name))]
                assert job.execute_in_process(instance=instance, asset_selection=wanted).success
                assert job.executor_def is executor
    assert kept.values == {theirs.key: 3}
    counted = {name: stored.materializations(dataset_key(f"{name}-files", table="rows")) for name in BOTH}
    assert {name: (one.row_count, one.current) for name, (one,) in counted.items()} == {
        "shop": (3, True),
        "my-bank": (5, True),
    }
    assert all(list((tmp_path / name / "data").rglob("*.parquet")) for name in BOTH), "in the folder of the project"
    conditions: Any = repository.get_sensor_def("automate_shop")
    chosen = conditions.asset_selection.resolve(repository.asset_graph)
    assert {one.path[0] for one in chosen} == {"shop-files"}
    source, rows = dg.AssetKey(["crm", "public", "orders"]), [keys(name)[0] for name in BOTH]
    assert [repository.asset_graph.get(key).parent_keys for key in rows] == [{source}, {source}]
    assert repository.asset_graph.get(source).is_observable
    assert {"nightly_shop"} < {one.name for one in repository.schedule_defs}


def test_what_two_projects_bring_to_a_code_location_is_told_apart(write: Write) -> None:
    both = [code_location(load_project(write(name, 1)), beside_others=True) for name in BOTH]
    brought = [
        {one.name for one in (*(defs.sensors or ()), *(defs.schedules or ()), *(defs.jobs or ()))}
        | set(defs.resources or ())
        for defs in both
    ]
    assert not brought[0] & brought[1]
    assert not {"io_manager", "metadata"} & (brought[0] | brought[1])


@pytest.mark.parametrize("first", ["a_maker", "z_maker"])
def test_a_dataset_of_another_project_is_no_source_in_the_same_code_location(write: Write, first: str) -> None:
    """Whichever is built first: an asset is made or it is a table of somebody else."""
    warehouse = "endpoints:\n  warehouse: {system: postgres, database: wh}"
    reads = '  - {name: report, endpoint: NAME-files, python: "pipeline:rows", depends_on: [KEY]}\n'
    makes = '  - {name: orders, endpoint: warehouse, schema: nyc, python: "pipeline:total"}\n'
    entries = {
        first: "datasets:\n" + makes.replace("total", "made"),
        "reader": "datasets:\n" + reads.replace("KEY", "warehouse/nyc/orders"),
    }
    with create_defs_folder_sandbox() as sandbox:
        for name, entry in entries.items():
            folder = write(name, 1)
            told = METADATA.format(name=name).replace("endpoints:", warehouse).partition("schedules:")[0]
            (folder / "metadata.yml").write_text(told)
            (folder / "datasets" / "all.yml").write_text(entry.replace("NAME", name))
            (folder / "pipeline.py").write_text("def made(): ...\n\ndef rows(orders): ...\n")
            path = sandbox.scaffold_component(component_cls=MetadataProject, defs_path=name)
            (path / "defs.yaml").write_text(
                f"type: metadata_assets.component.MetadataProject\nattributes:\n  project: {folder}\n"
            )
        with pytest.raises(Exception) as caught, sandbox.build_all_defs():  # noqa: PT011 Dagster's own, with ours behind
            pass
    errors: list[BaseException | None] = [caught.value]
    while errors[-1] is not None:
        errors.append(errors[-1].__cause__)
    (ours,) = [one for one in errors if isinstance(one, DatasetOfAnother)]
    assert f"the project reader reads warehouse/nyc/orders as a table of a source, which {first} in" in str(ours)


def test_a_shared_source_has_the_key_that_its_first_reader_gives_it(write: Write) -> None:
    with create_defs_folder_sandbox() as sandbox:
        for name, more in (("a", "  translation: {key_prefix: ours}\n"), ("b", "")):
            path = sandbox.scaffold_component(component_cls=MetadataProject, defs_path=name)
            (path / "defs.yaml").write_text(
                f"type: metadata_assets.component.MetadataProject\nattributes:\n  project: {write(name, 1)}\n{more}"
            )
        with sandbox.build_all_defs() as found:
            graph = found.resolve_asset_graph()
    source, other = dg.AssetKey(["ours", "crm", "public", "orders"]), dg.AssetKey(["crm", "public", "orders"])
    readers = (["ours", "a-files", "rows"], ["b-files", "rows"])
    assert [graph.get(dg.AssetKey(one)).parent_keys for one in readers] == [{source}, {source}]
    assert not graph.has(other)
