"""Where columns come from, as materializations say it: `dagster/column_lineage` that no definition has."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import dagster as dg

from identity.errors import MetadataError
from metadata_assets.datasets import key_of
from metadata_assets.mirror.columns import columns_of, columns_text
from metadata_assets.noted import COLUMN_LINEAGE, Noted, value_of
from resources.lineage_records import MaterializedColumns
from resources.metadata_store import MetadataStore

MALFORMED: Final = (LookupError, TypeError, ValueError, AttributeError, MetadataError)
"""What reading an event raises that somebody else wrote."""


def record_noted_columns(store: MetadataStore, asset_graph: Any, noted: Iterable[Noted]) -> int:
    """Record from which columns those of assets come, as materializations noted it; how many edges that wrote.

    Of an asset the newest note counts, in whatever order they come. What its definition says already is left to that.
    A note that cannot be recorded is told in the log, and keeps no other from being recorded.
    """
    told: list[MaterializedColumns] = []
    for one in noted:
        try:
            told += _told(asset_graph, one)
        except MALFORMED as error:
            dg.get_dagster_logger().warning(
                "where the columns of %s come from cannot be recorded: %s: %s",
                one.asset_key.to_user_string(),
                type(error).__name__,
                error,
            )
    return store.record_materialized_columns(told) if told else 0


def _told(asset_graph: Any, one: Noted) -> Iterator[MaterializedColumns]:
    lineage = value_of(one.metadata, COLUMN_LINEAGE)
    if not isinstance(lineage, dg.TableColumnLineage):
        return
    named = {
        dep.asset_key for deps in lineage.deps_by_column.values() for dep in deps if asset_graph.has(dep.asset_key)
    }
    keys = {key: key_of(key, asset_graph.get(key).metadata) for key in {one.asset_key, *named}}
    columns = columns_of(one.metadata, keys)
    if columns is None or not columns.origins:
        return
    declared = columns_of(asset_graph.get(one.asset_key).metadata, keys)
    if declared is not None and declared.origins == columns.origins:
        columns = replace(columns, origins={})
    yield MaterializedColumns(
        dataset=keys[one.asset_key],
        at=one.at,
        fields=columns.fields,
        origins=next(iter(columns.origins.values()), {}),
        text=json.dumps(columns_text(columns), sort_keys=True),
    )
