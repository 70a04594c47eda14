"""Garbage: files that nobody can ask for any more, decided by the database before the first of them is touched."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from identity.ids import Entity
from resources.metadata.noun import Noun
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
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a look at some materializations of a dataset found: those that are garbage now.

    `last` is where the next look begins, None when there is nothing behind this one.
    """

    garbage: tuple[Condemned, ...]
    last: tuple[datetime, UUID] | None


_REAP = "SELECT * FROM metadata.reap_staging(%(after)s, %(limit)s)"
_REAPABLE = "SELECT * FROM metadata.reapable_staging(%(after)s, %(limit)s)"
_FORGET = "SELECT metadata.forget_staging(%(locations)s) AS count"
_LOOK = """
SELECT * FROM metadata.look_for_garbage(%(dataset)s, %(versions)s, %(time)s, %(after_at)s, %(after_id)s, %(limit)s)
"""
_CONDEMN = "SELECT metadata.condemn_garbage(%(dataset)s, %(versions)s, %(time)s, %(materializations)s) AS condemned"
_COLLECTED = "SELECT metadata.mark_collected(%(materializations)s) AS count"

_WAITING = """
SELECT m.materialization_id, m.location FROM metadata.condemned x
JOIN metadata.materialization m ON m.tenant_id = x.tenant_id AND m.materialization_id = x.materialization_id
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

    def look(
        self,
        dataset: Entity,
        retention: Retention,
        *,
        after: tuple[datetime, UUID] | None = None,
        limit: int = 1000,
    ) -> Looked:
        """Look at the next materializations of a dataset for what `condemn` would condemn; changes nothing.

        In the order in which they were committed, `limit` of them from `after` on. Waits for nobody, and nobody for it.
        Raises DataCollected for a retention of less than the present version.
        """
        at, last = after or (None, None)
        (row,) = self.sessions.call(
            _LOOK, {**_parameters(dataset, retention), "after_at": at, "after_id": last, "limit": limit}
        )
        pairs = zip(row["materialization_ids"], row["locations"], strict=True)
        garbage = tuple(Condemned(materialization_id=one, location=at) for one, at in pairs)
        return Looked(garbage=garbage, last=None if row["seen_id"] is None else (row["seen_at"], row["seen_id"]))

    def condemn(self, dataset: Entity, retention: Retention, materializations: Collection[UUID]) -> set[UUID]:
        """Condemn those of these materializations of a dataset that are garbage now: nobody publishes or pins them.

        Never what is current, in a version that is pinned, within the retention, waits for a check that may still come,
        or the newest of its partition while that is unpublished. Waits for a publish, a rollback or a pin of the
        dataset, and sees what it did. Raises DataCollected for a retention of less than the present version.
        """
        parameters = {**_parameters(dataset, retention), "materializations": sorted(materializations)}
        (row,) = self.sessions.call(_CONDEMN, parameters)
        return set(row["condemned"])

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
    return [Condemned(materialization_id=row["materialization_id"], location=row["location"]) for row in rows]
