"""A project as a Dagster component: `dg scaffold defs metadata_assets.component.MetadataProject shop`."""

import os
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver

from metadata_assets.location import code_location
from metadata_assets.spec import load_project
from metadata_assets.translating import DatasetProps, MetadataTranslator
from resources.settings import Settings

_METADATA = """\
# What this project is called, and where its data are.
name: {name}
endpoints:
  lake: {{system: files}}
"""
_DATASETS = """\
datasets:
  - name: numbers
    endpoint: lake
    schema: {name}
    description: A first dataset.
    python: pipeline:numbers
"""
_PIPELINE = """\
import polars as pl


def numbers() -> pl.DataFrame:
    return pl.DataFrame({"number": [1, 2, 3]})
"""


class ProjectScaffolder(dg.Scaffolder[Any]):
    """A project of one dataset that can be materialized as it is."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml` and the files of the project beside it."""
        name = request.target_path.name.replace("-", "_").lower()
        dg.scaffold_component(request, {"project": "."})
        _write(request.target_path / "metadata.yml", _METADATA.format(name=name))
        _write(request.target_path / "datasets" / "numbers.yml", _DATASETS.format(name=name))
        _write(request.target_path / "pipeline.py", _PIPELINE)


@dg.scaffold_with(ProjectScaffolder)
class MetadataProject(dg.Component, dg.Model, dg.Resolvable, MetadataTranslator):
    """A project of declared datasets, recorded exactly once, versioned, with its lineage in one graph.

    `project` is the folder of its files, from the folder of this file; `translation` is how Dagster shows its datasets,
    with `key` (the canonical key), `dataset` and `spec` to build it from. A subclass may override `get_asset_spec`.
    """

    project: str = "."
    translation: (
        Annotated[
            TranslationFn[DatasetProps],
            TranslationFnResolver[DatasetProps](
                template_vars_for_translation_fn=lambda props: {
                    "key": props.key,
                    "dataset": props.dataset,
                    "spec": props.spec,
                },
            ),
        ]
        | None
    ) = None

    def get_asset_spec(self, props: DatasetProps) -> dg.AssetSpec:
        """How Dagster shows one dataset: as `translation` says, or as it is."""
        return props.spec if self.translation is None else self.translation(props.spec, props)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the project. Raises ProjectInvalid, with files, lines and columns."""
        folder = context.path / self.project
        environment = Settings.from_env(os.environ, cwd=folder).environment
        return code_location(load_project(folder, environment=environment), self)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
