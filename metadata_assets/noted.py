"""What assets and checks note in Dagster: what it says, and all of it as JSON data, as it can be searched."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import dagster as dg

from metadata_assets._dagster import as_dict, is_record
from resources.models import METADATA_DEPTH

JOB_METADATA: Final = "metadata_assets/job"
"""Where a materialization says which job made it, beside what its asset noted."""

COLUMN_LINEAGE: Final = "dagster/column_lineage"


@dataclass(frozen=True, slots=True)
class Noted:
    """What a materialization of an asset noted, and when."""

    asset_key: dg.AssetKey
    at: datetime
    metadata: Mapping[str, Any]

    @classmethod
    def of_partitions(
        cls, asset_key: dg.AssetKey, at: datetime, noted: Mapping[str | None, Mapping[str, Any]]
    ) -> "Noted":
        """What a run noted of an asset, from what it noted of each partition: the word of one, whole.

        It is the last one, by its name, of those that say where columns come from.
        """
        saying = [one for one, metadata in noted.items() if value_of(metadata, COLUMN_LINEAGE) is not None]
        return cls(asset_key, at, noted[max(saying or noted, key=lambda one: one or "")])

    @property
    def says_columns(self) -> bool:
        """Whether it says where columns come from."""
        return value_of(self.metadata, COLUMN_LINEAGE) is not None


def value_of(metadata: Mapping[str, Any], name: str) -> Any:
    """What metadata have under a name, with or without Dagster's wrapping."""
    given = metadata.get(name)
    return given.value if isinstance(given, dg.MetadataValue) else given


def as_json(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON has no words for is told as text. What is nested too deep stays so: whoever stores it refuses it."""
    return {as_text(name) or "": _json(getattr(value, "value", value), 1) for name, value in metadata.items()}


def as_text(text: str | None) -> str | None:
    """A text that PostgreSQL takes: without NUL and without half of a character."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode() if text else text


def _json(value: Any, depth: int) -> Any:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case dg.AssetKey():
            return as_text(value.to_user_string())
        case dict() | list() | tuple() if depth > METADATA_DEPTH:
            return value
        case dict():
            return {as_text(str(name)) or "": _json(item, depth + 1) for name, item in value.items()}
        case tuple() if is_record(value):  # what Dagster made: it refuses to be gone through
            return _json(as_dict(value), depth)
        case list() | tuple():
            return [_json(item, depth + 1) for item in value]
        case _:
            return as_text(str(value))
