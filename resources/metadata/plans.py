"""What is known of an endpoint's catalog, what a collection is to change, and what it did: values only."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final

from identity.keys import CanonicalKey
from resources.graph.edges import EdgeChanges
from resources.models import Asset, Edge, Field, Gap, Origins

NO_EDGES: Final = EdgeChanges(0, 0)

COLLECTED_KEYS: Final = frozenset(
    {
        "relation",
        "object",
        "moved_from",
        "comment",
        "row_estimate",
        "definition",
        "broken",
        "partition_key",
        "partitions",
        "primary_key",
        "unique_keys",
        "foreign_keys",
    }
)
"""The keys of an asset's metadata that a collection owns. "relation" says that it saw the asset: without it, an asset
of the endpoint is only declared, and no collection closes it. "object" is the source's own id of it. "moved_from" is
the endpoint where it was seen, while somebody calls it otherwise: a look at either one settles it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAsset:
    """An asset as it is stored, closed ones included. Compared by text: `name` is the key's.

    `former` are the names that still lead to it, and that nothing else took. `materialized`: we write it ourselves.
    `here`: it is this endpoint that saw it last, if any did.
    """

    name: str
    type: str
    description: str | None
    metadata: Mapping[str, Any]
    open: bool
    fields: Mapping[str, Field] = field(default_factory=dict)
    closed_fields: frozenset[str] = frozenset()
    former: frozenset[str] = frozenset()
    materialized: bool = False
    here: bool = True

    @property
    def object(self) -> str | None:
        """The source's own id of it: server, database and relation, where it has one."""
        found: str | None = self.metadata.get("object")
        return found

    @property
    def collected(self) -> bool:
        """Whether the last collection of this endpoint that could tell saw it."""
        return self.open and self.here and "relation" in self.metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is stored of an endpoint, fields only counted. `fingerprint` is the one of the look that it comes from."""

    fingerprint: str | None
    assets: Mapping[str, KnownAsset]
    fields: int


Column = tuple[CanonicalKey, Field]
Move = tuple[CanonicalKey, CanonicalKey]
"""What a thing was called, and what it is called now."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a collection found otherwise than before, under its present name. `breaking`: readers may break.

    `before` and `after` are what was and what is: a type, a name, a key.
    """

    kind: str
    key: CanonicalKey
    _: KW_ONLY
    breaking: bool
    column: str | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one look at an endpoint changes in the store. `edges` is None where nobody looked at them,
    nor at `origins` of columns.

    `joined` are names of this endpoint that lead to what another endpoint collects as the same object, and its names:
    nothing but edges is written about them. Those in `joined_anew` do not lead there yet: its source calls it so now.

    First the things that had the names in `replaced` are closed, because something else has these names; then come the
    renames; everything else is by the names from after that. Of columns, `fields_closed` comes first, by their old
    names; then `fields_renamed`, which has the old name beside each; then the rest.
    """

    endpoint: str
    fingerprint: str
    complete: bool
    replaced: tuple[CanonicalKey, ...] = ()
    renamed: tuple[Move, ...] = ()
    joined: tuple[Move, ...] = ()
    joined_anew: frozenset[CanonicalKey] = frozenset()
    created: tuple[Asset, ...] = ()
    changed: tuple[Asset, ...] = ()
    reopened: tuple[Asset, ...] = ()
    closed: tuple[CanonicalKey, ...] = ()
    unchanged: int = 0
    fields_replaced: int = 0
    fields_renamed: tuple[tuple[str, Column], ...] = ()
    fields_created: tuple[Column, ...] = ()
    fields_changed: tuple[Column, ...] = ()
    fields_reopened: tuple[Column, ...] = ()
    fields_closed: tuple[Column, ...] = ()
    fields_unchanged: int = 0
    edges: frozenset[Edge] | None = None
    origins: Mapping[CanonicalKey, Origins] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of something a collection found new, changed, back again, gone, and as they were.

    What is `renamed` is counted a second time, as changed or as unchanged.
    """

    new: int
    changed: int
    reopened: int
    closed: int
    unchanged: int
    renamed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection did. `rows_written` counts the rows of the catalog, their audit rows left out."""

    endpoint: str
    fingerprint: str
    assets: Counts
    fields: Counts
    edges: EdgeChanges
    rows_written: int
    gaps: tuple[Gap, ...]
    changes: tuple[Change, ...] = ()

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that may break whoever reads the tables."""
        return tuple(change for change in self.changes if change.breaking)

    @property
    def complete(self) -> bool:
        """Whether it saw everything. If not, it closed nothing."""
        return not self.gaps


def outcome(plan: Plan, *, edges: EdgeChanges = NO_EDGES, rows_written: int = 0) -> Collected:
    """What a plan amounts to, given what writing it did."""
    return Collected(
        endpoint=plan.endpoint,
        fingerprint=plan.fingerprint,
        assets=Counts(
            len(plan.created),
            len(plan.changed),
            len(plan.reopened),
            len(plan.closed) + len(plan.replaced),
            plan.unchanged + len(plan.joined),
            len(plan.renamed),
        ),
        fields=Counts(
            len(plan.fields_created),
            len(plan.fields_changed),
            len(plan.fields_reopened),
            len(plan.fields_closed) + plan.fields_replaced,
            plan.fields_unchanged,
            len(plan.fields_renamed),
        ),
        edges=edges,
        rows_written=rows_written,
        gaps=plan.gaps,
        changes=plan.changes,
    )
