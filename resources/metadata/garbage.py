"""Garbage: files that nobody can ask for any more, decided by the database before the first of them is touched."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey
from resources.metadata.noun import Noun
from resources.metadata.resolution import present_key
from resources.postgres.session import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What stays of replaced data: that of the last `versions` versions (1: of the present one), and whatever was
    replaced, or committed and never published, less than `time` ago."""

    versions: int = 10
    time: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """Files of an attempt that cannot commit any more. `redelivered`: another one had committed the same."""

    location: str
    run_id: str
    redelivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Condemned:
    """A materialization whose files are about to go."""

    materialization_id: UUID
    key: CanonicalKey
    partition: str | None
    location: str
    byte_count: int | None


_REAP = "SELECT * FROM metadata.reap_staging(%(after)s, %(limit)s)"
_REAPABLE = "SELECT * FROM metadata.reapable_staging(%(after)s, %(limit)s)"
_FORGET = "SELECT metadata.forget_staging(%(locations)s) AS count"
_CONDEMN = "SELECT metadata.condemn(%(dataset)s, %(versions)s, %(time)s, %(limit)s) AS count"
_COLLECTED = "SELECT metadata.mark_collected(%(materializations)s) AS count"

_COLUMNS = f"""{present_key("a.qualified_name")} AS qualified_name, m.materialization_id, m.partition_key, m.location,
  m.byte_count"""

_CONDEMNABLE = f"""
SELECT {_COLUMNS} FROM metadata.condemnable(%(dataset)s, %(versions)s, %(time)s, %(limit)s) m
JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = %(dataset)s
ORDER BY m.materialization_id
"""

_WAITING = f"""
SELECT {_COLUMNS} FROM metadata.condemned x
JOIN metadata.materialization m ON m.tenant_id = x.tenant_id AND m.materialization_id = x.materialization_id
JOIN metadata.asset a ON a.tenant_id = m.tenant_id AND a.asset_id = m.dataset_id
WHERE x.tenant_id = %(tenant)s AND x.state = 'condemned'
  AND (%(after)s::uuid IS NULL OR x.materialization_id > %(after)s)
  AND (%(datasets)s::uuid[] IS NULL OR m.dataset_id = ANY (%(datasets)s))
ORDER BY x.materialization_id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Garbage(Noun):
    """Decide what is garbage, and remember what is gone. Files are the business of `resources/collecting.py`."""

    def reap(self, *, after: str = "", limit: int = 1000) -> list[Abandoned]:
        """End the leases of attempts that did not commit in time or need not; what they, and earlier ones, left.

        In the order of locations, from `after` on. None of them can commit from now on (LeaseLost).
        """
        return _abandoned(self.sessions.call(_REAP, {"after": after, "limit": limit}))

    def reapable(self, *, after: str = "", limit: int = 1000) -> list[Abandoned]:
        """What `reap` would answer; changes nothing."""
        return _abandoned(self.sessions.call(_REAPABLE, {"after": after, "limit": limit}))

    def forget(self, locations: Collection[str]) -> int:
        """The files at these locations of `reap` are gone; how many that is news of."""
        (row,) = self.sessions.call(_FORGET, {"locations": sorted(locations)})
        count: int = row["count"]
        return count

    def condemn(self, dataset: Entity, retention: Retention, *, limit: int = 1000) -> int:
        """Condemn replaced data of a dataset; how many materializations. From now on nobody publishes or pins them.

        Never what is current, in a version that is pinned, within the retention, or the newest of its partition while
        that is unpublished. Waits for a publish, a rollback or a pin of the dataset, and sees what it did. Raises
        DataCollected for a retention of less than the present version.
        """
        (row,) = self.sessions.call(_CONDEMN, {**_parameters(dataset, retention), "limit": limit})
        count: int = row["count"]
        return count

    def condemnable(self, dataset: Entity, retention: Retention, *, limit: int = 1000) -> list[Condemned]:
        """What `condemn` would condemn; changes nothing."""
        parameters = {"tenant": self.tenant.value, **_parameters(dataset, retention), "limit": limit}
        return _condemned(self.sessions.call(_CONDEMNABLE, parameters))

    def condemned(
        self, datasets: Collection[Entity] | None = None, *, after: UUID | None = None, limit: int = 1000
    ) -> list[Condemned]:
        """What is condemned and not collected yet, of some datasets or of all, by id, from `after` on."""
        ids = None if datasets is None else [one.id.value for one in datasets]
        parameters = {"tenant": self.tenant.value, "after": after, "datasets": ids, "limit": limit}
        return _condemned(self.sessions.call(_WAITING, parameters))

    def collected(self, materializations: Collection[UUID]) -> int:
        """The files of these condemned materializations are gone; how many that is news of."""
        (row,) = self.sessions.call(_COLLECTED, {"materializations": sorted(materializations)})
        count: int = row["count"]
        return count


def _parameters(dataset: Entity, retention: Retention) -> Row:
    return {"dataset": dataset.id.value, "versions": retention.versions, "time": retention.time}


def _abandoned(rows: Sequence[Row]) -> list[Abandoned]:
    return [Abandoned(location=row["location"], run_id=row["run_id"], redelivered=row["redelivered"]) for row in rows]


def _condemned(rows: Sequence[Row]) -> list[Condemned]:
    return [
        Condemned(
            materialization_id=row["materialization_id"],
            key=CanonicalKey.parse(row["qualified_name"]),
            partition=row["partition_key"] or None,
            location=row["location"],
            byte_count=row["byte_count"],
        )
        for row in rows
    ]
