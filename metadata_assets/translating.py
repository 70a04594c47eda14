"""How Dagster shows the datasets of a project: keys, groups, owners, tags, metadata. What they are stays the same."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import dagster as dg

from identity.errors import MetadataError
from identity.keys import CanonicalKey
from metadata_assets.datasets import KEY_METADATA, PUBLISH_METADATA, key_of
from metadata_assets.noted import COLUMN_LINEAGE
from metadata_assets.spec import Dataset, Project, asset_key


class TranslatedTwice(MetadataError):
    """the translator gives {datasets} one asset key, {asset}; give each dataset a key of its own"""

    datasets: str
    asset: str


@dataclass(frozen=True, slots=True)
class DatasetProps:
    """What a translator is told: a dataset of the project (None for a source table), and how it would be shown."""

    key: CanonicalKey
    dataset: Dataset | None
    spec: dg.AssetSpec


class MetadataTranslator:
    """How datasets are shown in Dagster. Override `get_asset_spec`:

    class Ours(MetadataTranslator):
        def get_asset_spec(self, props: DatasetProps) -> dg.AssetSpec:
            return super().get_asset_spec(props).replace_attributes(group_name="sales")

    Key, group, owners, tags, kinds, description, metadata and automation condition count; a new key is known to all
    that depend on it. The dataset stays the one that its canonical key names, with its records and versions.
    """

    def get_asset_spec(self, props: DatasetProps) -> dg.AssetSpec:
        """How one dataset is shown."""
        return props.spec


def translated(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec],
    project: Project,
    translator: MetadataTranslator,
    elsewhere: Mapping[CanonicalKey, dg.AssetKey] = MappingProxyType({}),
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The same assets as the translator shows them. Raises TranslatedTwice.

    `elsewhere` are tables that somebody else shows, under these keys: those keys are known to all that depend on them.
    """
    given = list(assets)
    specs = {spec.key: spec for one in given for spec in _specs(one)}
    shown = {key: _shown(project, spec, translator) for key, spec in specs.items()}
    taken: dict[dg.AssetKey, dg.AssetKey] = {}
    for key, spec in shown.items():
        other = taken.setdefault(spec.key, key)
        if other != key:
            both = f"{other.to_user_string()} and {key.to_user_string()}"
            raise TranslatedTwice(datasets=both, asset=spec.key.to_user_string())
    keys = {asset_key(key): name for key, name in elsewhere.items()} | {key: one.key for key, one in shown.items()}
    by_new_key = {spec.key: spec for spec in shown.values()}

    def as_shown(spec: dg.AssetSpec) -> dg.AssetSpec:
        wanted = by_new_key[spec.key]
        lineage = spec.metadata.get(COLUMN_LINEAGE)
        is_ours = lineage is not None and wanted.metadata.get(COLUMN_LINEAGE) == lineage
        return spec.replace_attributes(
            group_name=wanted.group_name,
            owners=wanted.owners,
            tags=wanted.tags,
            description=wanted.description,
            automation_condition=wanted.automation_condition,
            metadata={**wanted.metadata, **(_renamed(lineage, keys) if is_ours else {})},
        )

    renamed = [
        one.with_attributes(asset_key_replacements=keys) if isinstance(one, dg.AssetsDefinition) else shown[one.key]
        for one in given
    ]
    return list(dg.map_asset_specs(as_shown, renamed))


def _renamed(lineage: Any, keys: Mapping[dg.AssetKey, dg.AssetKey]) -> dict[str, dg.TableColumnLineage]:
    """The column lineage of a SELECT by the keys that the translator gives to what it reads."""
    said: dg.TableColumnLineage = getattr(lineage, "value", lineage)
    return {
        COLUMN_LINEAGE: dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(keys.get(one.asset_key, one.asset_key), one.column_name) for one in deps]
                for column, deps in said.deps_by_column.items()
            }
        )
    }


def asset_keys(assets: Iterable[object]) -> dict[CanonicalKey, dg.AssetKey]:
    """Under which key Dagster shows each dataset."""
    return {key_of(spec.key, spec.metadata): spec.key for one in assets for spec in _specs(one)}


def _specs(one: object) -> Iterable[dg.AssetSpec]:
    if isinstance(one, dg.AssetsDefinition):
        return one.specs
    return [one] if isinstance(one, dg.AssetSpec) else ()


def _shown(project: Project, spec: dg.AssetSpec, translator: MetadataTranslator) -> dg.AssetSpec:
    """How the translator shows a spec. Which dataset it is and when it is published are not its to say."""
    key = key_of(spec.key, spec.metadata)
    wanted = translator.get_asset_spec(DatasetProps(key, project.datasets_by_key.get(key), spec))
    fixed = {name: spec.metadata[name] for name in (KEY_METADATA, PUBLISH_METADATA) if name in spec.metadata}
    return wanted.replace_attributes(deps=spec.deps, metadata={**wanted.metadata, **fixed})
