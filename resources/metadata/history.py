"""History that is kept for a time: what is told again and again would grow without end."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from resources.metadata.noun import Noun
from resources.postgres.session import Row

BATCH: Final = 1000
"""How many rows go in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How much history stays: what is younger than `time`, of the profiles of a table the last `profiles` of it.

    The newest profile of a table stays for ever.
    """

    time: timedelta = timedelta(days=90)
    profiles: int = 100

    def __post_init__(self) -> None:
        if self.time < timedelta(0) or self.profiles < 1:
            raise ValueError(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How many rows went, or would go: profiles, facets of runs, events that had been refused."""

    profiles: int = 0
    facets: int = 0
    refused_events: int = 0

    @property
    def rows(self) -> int:
        return self.profiles + self.facets + self.refused_events


_PROFILES = """
SELECT * FROM metadata.forget_profiles(%(profiles)s, %(time)s, %(after)s, %(limit)s, %(rehearsed)s)
"""
_FACETS = "SELECT metadata.forget_facets(%(time)s, %(limit)s, %(rehearsed)s) AS forgotten"
_REFUSED = "SELECT metadata.forget_refused(%(time)s, %(limit)s, %(rehearsed)s) AS forgotten"


@dataclass(frozen=True, slots=True)
class History(Noun):
    """Forget what is older than anybody asked to keep."""

    def forget(self, kept: Kept, *, rehearsed: bool = False, batch: int = BATCH) -> Forgotten:
        """Forget everything else, `batch` rows in one transaction, so that nobody waits for it; how much that was.

        It may be interrupted and repeated at any time, by several at once. `rehearsed`, nothing changes.
        """
        given = {
            "time": kept.time,
            "profiles": kept.profiles,
            "limit": None if rehearsed else batch,
            "rehearsed": rehearsed,
        }
        return Forgotten(
            profiles=self._profiles(given), facets=self._all(_FACETS, given), refused_events=self._all(_REFUSED, given)
        )

    def _profiles(self, given: Row) -> int:
        count, after = 0, None
        while True:
            (row,) = self.sessions.call(_PROFILES, {**given, "after": after})
            forgotten: int = row["forgotten"]
            count += forgotten
            if row["last"] is None:
                return count
            after = row["last"]

    def _all(self, statement: str, given: Row) -> int:
        count = 0
        while True:
            (row,) = self.sessions.call(statement, given)
            forgotten: int = row["forgotten"]
            count += forgotten
            if given["limit"] is None or forgotten == 0:
                return count
