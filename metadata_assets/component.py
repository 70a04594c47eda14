"""A project as a Dagster component: `dg scaffold defs metadata_assets.component.MetadataProject shop`."""

import os
from dataclasses import dataclass, field
from types import ModuleType
from typing import Annotated, Any, ClassVar
from weakref import WeakKeyDictionary

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name
from metadata_assets.beginning import begin
from metadata_assets.location import code_location
from metadata_assets.spec import Project, load_project
from metadata_assets.translating import DatasetProps, MetadataTranslator, asset_keys
from resources.settings import Settings


class DatasetOfAnother(MetadataError):
    """the project {reader} reads {dataset} as a table of a source, which {maker} in the same code location makes; \
declare both in one project, or put one of the projects into another code location"""

    reader: str
    dataset: str
    maker: str
    exit_code: ClassVar[int] = 2


class ProjectScaffolder(dg.Scaffolder[Any]):
    """The project that `metadata-assets init` begins, which can be materialized as it is."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml` and the files of the project beside it."""
        begin(request.target_path)
        dg.scaffold_component(request, {"project": "."})


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
        """The definitions of the project. Raises ProjectInvalid, with files, lines and columns; DatasetOfAnother."""
        folder = context.path / self.project
        environment = Settings.from_env(os.environ, cwd=folder).environment
        project = load_project(folder, environment=environment)
        here = context.component_loc
        others = _told.setdefault(context.component_tree.defs_module, _Told())
        shown = others.shown_beside(here, project)
        defs = code_location(project, self, beside_others=True, shown=shown)
        others.tell(here, project, asset_keys(defs.assets or ()))
        return defs


@dataclass(slots=True)
class _Told:
    """What the projects of one module of components have built, each by its place; Dagster has an asset once."""

    sources: dict[CanonicalKey, tuple[object, str, dg.AssetKey]] = field(default_factory=dict)
    """Which project shows a source table, and how."""
    made: dict[CanonicalKey, tuple[object, str]] = field(default_factory=dict)

    def shown_beside(self, here: object, project: Project) -> dict[CanonicalKey, dg.AssetKey]:
        """The source tables that other projects show. Raises DatasetOfAnother."""
        shown = {key: one for key, one in self.sources.items() if one[0] != here}
        made = {key: one for key, one in self.made.items() if one[0] != here}
        found = [(project.name, key, made[key][1]) for key in project.sources if key in made]
        found += [(shown[one.key][1], one.key, project.name) for one in project.datasets if one.key in shown]
        for reader, key, maker in found:
            raise DatasetOfAnother(reader=reader, dataset=short_name(key), maker=maker)
        return {key: asset for key, (_place, _name, asset) in shown.items()}

    def tell(self, here: object, project: Project, own: dict[CanonicalKey, dg.AssetKey]) -> None:
        self.sources.update((key, (here, project.name, own[key])) for key in project.sources if key in own)
        self.made.update((one.key, (here, project.name)) for one in project.datasets)


_told: WeakKeyDictionary[ModuleType, _Told] = WeakKeyDictionary()
