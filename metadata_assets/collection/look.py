"""What every collector answers: one look at the catalog of one database, in the same words for all systems."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from metadata_assets.collection.rows import Name, Names
from resources.models import Catalog, Gap


class Look(Protocol):
    """One look at the catalog of a source. It writes nothing there, and takes no longer than its limits.

    Ask for the fingerprint before the rest: it is never newer, so whatever moved in between is found by the next look.
    Only estimates may come earlier.
    """

    @property
    def names(self) -> Names:
        """How the tables of this source are called."""

    @property
    def place(self) -> str | None:
        """Within one place an object id is one table. None where the source has no ids that last: names are all."""

    def fingerprint(self) -> str:
        """Digest of all that `catalog` tells except row estimates: changes when and only when that does."""

    def estimates(self) -> Mapping[Name, int | None]:
        """The row estimate of every relation that can be read, None where the source has none; asked for once."""

    def gaps(self) -> Sequence[Gap]:
        """What this login may not read, and what was asked for but is not there."""

    def catalog(self, fingerprint: str) -> Catalog:
        """Everything that can be read, with gaps for what cannot."""
