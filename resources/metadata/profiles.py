"""Profiles: what looks at the rows of tables found, the newest first. None is ever changed; old ones are forgotten."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from identity.ids import Entity
from identity.keys import CanonicalKey, check_name
from resources.metadata.noun import Noun
from resources.metadata.resolution import owners

Value = int | float | str | None
"""Dates and times are ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """One column. `nulls` is their share, 0 to 1. Only of numbers, dates and times the least and the greatest is told.

    `distinct` counts the values of the sample.
    """

    name: str
    nulls: float | None
    distinct: int
    least: Value = None
    greatest: Value = None

    def __post_init__(self) -> None:
        for text in (self.name, self.least, self.greatest):
            if isinstance(text, str):
                check_name(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One table. `rows` were counted when `sampled` is as large, else they are the source's estimate."""

    key: CanonicalKey
    rows: int | None
    sampled: int
    columns: tuple[ColumnProfile, ...]
    at: datetime | None = None
    """Since when it is so, by the store's clock; None before it is recorded."""


_RECORD = "SELECT metadata.record_profiles(%(profiles)s) AS recorded"

_OF = """
SELECT p.row_count, p.sampled, p.columns, p.at FROM metadata.profile p
WHERE p.tenant_id = %(tenant)s AND p.asset_id = %(asset)s ORDER BY p.at DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Profiles(Noun):
    """Record and read profiles."""

    def record_profiles(self, profiles: Collection[Profile]) -> int:
        """Keep what was found of tables that are stored under these names; of how many it is news.

        What equals the newest profile of its table is not: `at` says since when that is so.
        """
        with self.session() as session:
            known = owners(session, [one.key for one in profiles])
            rows = [_row(known[one.key], one) for one in profiles if one.key in known]
            recorded: int = session.rows(_RECORD, {"profiles": Jsonb(rows)})[0]["recorded"] if rows else 0
            return recorded

    def profiles(self, entity: Entity, *, limit: int = 10) -> Sequence[Profile]:
        """The newest profiles of a table, the newest first."""
        parameters = {"tenant": self.tenant.value, "asset": entity.id.value, "limit": limit}
        return [
            Profile(
                key=entity.key,
                rows=row["row_count"],
                sampled=row["sampled"],
                columns=tuple(ColumnProfile(**one) for one in row["columns"]),
                at=row["at"],
            )
            for row in self.sessions.call(_OF, parameters)
        ]


def _row(entity: Entity, profile: Profile) -> dict[str, Any]:
    return {
        "asset_id": str(entity.id),
        "row_count": profile.rows,
        "sampled": profile.sampled,
        "columns": [asdict(one) for one in profile.columns],
    }
