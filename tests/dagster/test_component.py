"""A project as a Dagster component, as people meet it: `dg`, `defs.yaml`, and a translator of their own."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from dagster.components.testing.utils import create_defs_folder_sandbox
from dagster_dg_cli.cli import create_dg_cli

from identity.keys import dataset_key
from metadata_assets import DatasetProps, MetadataProject, MetadataTranslator, code_location, load_project
from metadata_assets.beginning import begin
from metadata_assets.datasets import key_of
from metadata_assets.translating import TranslatedTwice
from resources.metadata_store import MetadataStore

TYPE = "metadata_assets.component.MetadataProject"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
CLEAN, TOTAL = (dataset_key("lake", schema="shop", table=name) for name in ("clean", "total"))
DATASETS = """
datasets:
  - {name: clean, endpoint: lake, schema: shop, partitions: {static: [a, b]}, python: "pipeline:clean"}
  - {name: total, endpoint: lake, schema: shop, python: "pipeline:total", depends_on: [lake/shop/clean],
     checks: [{name: positive, python: "pipeline:positive", blocking: true}]}
"""
TRANSLATED = f"""
type: {TYPE}
attributes:
  project: .
  translation:
    group_name: first
    key_prefix: ours
    tags: {{table: "{{{{ key.table }}}}"}}
"""
METADATA = """
name: shop
endpoints:
  lake: {system: files}
schedules:
  nightly: {cron: "0 6 * * *", select: total}
"""
PIPELINE = """
import polars as pl

def clean(partition):
    return pl.DataFrame({"rows": [2]})

def total(clean: dict[str, pl.DataFrame]):
    return pl.concat(clean.values())

def positive(data: pl.DataFrame):
    return data.height > 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a project with partitions, an input and a check."""
    folder = tmp_path / "project"
    (folder / "datasets").mkdir(parents=True)
    (folder / "metadata.yml").write_text(METADATA)
    (folder / "datasets" / "all.yml").write_text(DATASETS)
    (folder / "pipeline.py").write_text(PIPELINE)
    return folder


@pytest.fixture
def dg_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of components, in which `dg` is called."""
    root = tmp_path / "shop"
    (root / "shop" / "defs").mkdir(parents=True)
    for name in ("__init__.py", "defs/__init__.py", "definitions.py"):
        (root / "shop" / name).touch()
    (root / "dg.toml").write_text('directory_type = "project"\n\n[project]\nroot_module = "shop"\n')
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setenv("DG_CLI_CONFIG", str(tmp_path / "dg config"))
    yield root
    for name in [one for one in sys.modules if one == "shop" or one.startswith("shop.")]:
        del sys.modules[name]


@pytest.fixture
def dg_cli(dg_project: Path) -> Callable[..., Result]:
    """`dg` in this process."""
    assert dg_project
    return lambda *words: CliRunner().invoke(create_dg_cli(), list(words), catch_exceptions=False)


def files_below(folder: Path) -> dict[Path, bytes]:
    return {one.relative_to(folder): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_dg_lists_scaffolds_and_checks_it(dg_project: Path, dg_cli: Callable[..., Result]) -> None:
    listed = json.loads(dg_cli("list", "components", "--json").stdout)
    assert TYPE in {one["key"] for one in listed["items"]}
    assert dg_cli("scaffold", "defs", TYPE, "numbers").exit_code == 0
    folder = dg_project / "shop" / "defs" / "numbers"
    assert (folder / "defs.yaml").read_text().split() == ["type:", TYPE, "attributes:", "project:", "."]
    begin(other := dg_project.parent / "elsewhere" / "numbers")
    (folder / "defs.yaml").rename(dg_project / "kept")
    assert files_below(folder) == files_below(other), "what `metadata-assets init numbers` writes"
    (dg_project / "kept").rename(folder / "defs.yaml")
    assert dg_cli("check", "yaml").exit_code == 0
    (folder / "defs.yaml").write_text(f"type: {TYPE}\n\nattributes:\n  projekt: .\n")
    refused = dg_cli("check", "yaml")
    assert refused.exit_code == 1
    assert "defs.yaml:4" in refused.output
    assert "projekt" in refused.output


def test_what_is_scaffolded_is_materialized(environment: dict[str, str], stored: MetadataStore) -> None:
    """Also twice, in one code location: each is another project."""
    assert environment
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(component_cls=MetadataProject, defs_path="numbers")
        (path / "defs.yaml").write_text(TRANSLATED)
        sandbox.scaffold_component(component_cls=MetadataProject, defs_path="more")
        with sandbox.build_all_defs() as defs, dg.DagsterInstance.ephemeral() as instance:
            assert len(list(defs.resolve_all_asset_specs())) == 6
            key = dg.AssetKey(["ours", "lake", "numbers", "customers"])
            (spec,) = defs.resolve_asset_graph().assets_def_for_key(key).specs
            assert (spec.group_name, spec.tags["table"]) == ("first", "customers")
            job: Any = defs.resolve_implicit_global_asset_job_def()
            assert job.execute_in_process(instance=instance, asset_selection=[spec.key]).success
            assert dg.AssetKey(["lake", "more", "customers"]) in job.asset_layer.executable_asset_keys
    (record,) = stored.materializations(key_of(spec.key, spec.metadata))
    assert (record.row_count, record.current) == (3, True)


class Short(MetadataTranslator):
    """Datasets by their bare names."""

    def get_asset_spec(self, props: DatasetProps) -> dg.AssetSpec:
        spec = super().get_asset_spec(props)
        note = {"kind": "source" if props.dataset is None else "dataset", "metadata_assets/key": "not its to say"}
        return spec.replace_attributes(key=["short", props.key.table], metadata={**spec.metadata, **note})


def test_a_translator_changes_what_is_shown_and_not_what_it_is(
    project: Path, environment: dict[str, str], stored: MetadataStore
) -> None:
    assert environment
    defs = code_location(load_project(project), Short())
    graph = defs.resolve_asset_graph()
    clean, total = dg.AssetKey(["short", "clean"]), dg.AssetKey(["short", "total"])
    assert graph.get_all_asset_keys() == {clean, total}
    assert graph.get(total).parent_keys == {clean}
    assert {str(one) for one in graph.asset_check_keys} == {str(dg.AssetCheckKey(total, "positive"))}
    assert graph.get(clean).metadata["kind"] == "dataset"
    assert defs.resolve_job_def("nightly_job").asset_layer.executable_asset_keys == {total}
    with dg.DagsterInstance.ephemeral() as instance:
        for key, partition in ((clean, "a"), (clean, "b"), (total, None)):
            job: Any = defs.resolve_implicit_job_def_def_for_assets([key])
            assert job.execute_in_process(instance=instance, asset_selection=[key], partition_key=partition).success
    (record,) = stored.materializations(TOTAL)
    assert (record.current, [one.key for one in stored.inputs(record.id)]) == (True, [CLEAN, CLEAN])


def test_a_translator_that_takes_two_datasets_for_one_is_refused(project: Path) -> None:
    class Same(MetadataTranslator):
        def get_asset_spec(self, props: DatasetProps) -> dg.AssetSpec:
            return props.spec.replace_attributes(key="same")

    with pytest.raises(TranslatedTwice, match="lake/shop/clean and lake/shop/total one asset key, same"):
        code_location(load_project(project), Same())
