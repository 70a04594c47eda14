"""The frozen records of what lineage events say: what ran, what it read and wrote, and what was said beside."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

from identity.credentials import scrub, scrubbed
from identity.keys import CanonicalKey, check_name
from resources.models import Field
from resources.models import Origin as Origin  # events tell of them too
from resources.runs import AttemptFact, RunFact

About = Literal["run", "job", "dataset", "input", "output"]

FACET_BYTES: Final = 64 * 1024
"""How large a facet may be; of a larger one only its size is kept."""
DESCRIPTION_CHARACTERS: Final = 8 * 1024
"""How much is kept of the description in a facet that is too large."""
EVENT_CHARACTERS: Final = 1024 * 1024
"""How much of a refused event is kept."""


COLUMNS: Final = 10_000
"""How many columns a facet may say something of; of one that says more the first ones are kept."""
COLUMN_ORIGINS: Final = 50_000
"""From how many columns those of one dataset may come."""
COLUMN_CHARACTERS: Final = 2 * 1024 * 1024
"""How many characters may be said of columns, names and keys among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """What an event said under one name, about its run, its job or a dataset.

    "input" and "output" are what it said of a dataset in this run. `sha256` decides between words of one moment.
    `fields` and `origins` are what it says of the columns of a dataset, however large it is, within COLUMNS,
    COLUMN_ORIGINS and COLUMN_CHARACTERS: beyond these it is cut, and `_cut` in the document says so.
    """

    about: About
    name: str
    document: Mapping[str, Any]
    sha256: bytes
    asset: CanonicalKey | None = None
    fields: tuple[Field, ...] | None = None
    origins: Mapping[str, frozenset[Origin]] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        of = len(self._columns())
        if self.fields is not None:
            object.__setattr__(self, "fields", tuple(_within(self.fields, _field_size, COLUMNS, COLUMN_CHARACTERS)))
        if self.origins is not None:
            object.__setattr__(self, "origins", _origins_within(self.origins))
        kept = len(self._columns())
        cut = {"_cut": {"columns": kept, "of": of}} if kept < of else {}
        object.__setattr__(self, "document", scrubbed({**self.document, **cut}))

    @property
    def is_cut(self) -> bool:
        """Whether it says more of columns than is kept."""
        return "_cut" in self.document

    def _columns(self) -> Sized:
        return self.fields or self.origins or ()


_T = TypeVar("_T")


def _within(given: Iterable[_T], size: Callable[[_T], tuple[int, int]], most: int, characters: int) -> Iterator[_T]:
    """The first ones, as long as their number and characters are within the bounds."""
    for one in given:
        number, length = size(one)
        most, characters = most - number, characters - length
        if most < 0 or characters < 0:
            return
        yield one


def _field_size(one: Field) -> tuple[int, int]:
    return 1, len(one.name) + len(one.type) + len(str(one.metadata.get("comment") or ""))


def _origins_size(one: tuple[str, frozenset[Origin]]) -> tuple[int, int]:
    column, origins = one
    return len(origins), len(column) + sum(len(str(key)) + len(name) for key, name in origins)


def _origins_within(origins: Mapping[str, frozenset[Origin]]) -> dict[str, frozenset[Origin]]:
    named = islice(sorted(origins.items()), COLUMNS)
    return dict(_within(named, _origins_size, COLUMN_ORIGINS, COLUMN_CHARACTERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializedColumns:
    """What a materialization said of its dataset's columns: where they come from, and of which types they are.

    `text` is all of it, equal where that is.
    """

    dataset: CanonicalKey
    at: datetime
    fields: tuple[Field, ...] | None
    origins: Mapping[str, frozenset[Origin]]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEvent:
    """One event, read: of a run of a job, of a job, or of a dataset.

    Without a run the outputs of a job are made from its inputs all the same.
    """

    at: datetime
    job: CanonicalKey | None = None
    run: RunFact | None = None
    attempt: AttemptFact | None = None
    inputs: tuple[CanonicalKey, ...] = ()
    outputs: tuple[CanonicalKey, ...] = ()
    others: tuple[CanonicalKey, ...] = ()
    facets: tuple[Facet, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLineage:
    """How many rows events wrote: none where they said nothing new. `cut` are facets that are kept in part."""

    runs: int = 0
    assets: int = 0
    datasets: int = 0
    facets: int = 0
    edges: int = 0
    columns: int = 0
    column_edges: int = 0
    cut: int = 0

    @property
    def rows_written(self) -> int:
        return sum((self.runs, self.assets, self.datasets, self.facets, self.edges, self.columns, self.column_edges))

    def __add__(self, other: "RecordedLineage") -> "RecordedLineage":
        return RecordedLineage(
            **{name: getattr(self, name) + getattr(other, name) for name in RecordedLineage.__dataclass_fields__}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEvent:
    """An event that could not be read, as it is kept: where it came from, its text, what was wrong with it.

    `characters` is how many it had: more than `text` has where that was cut. Such a one cannot be tried again.
    """

    place: str
    text: str
    characters: int
    sha256: bytes
    error: str
    reason: str
    id: UUID | None = None
    tries: int = 1
    first_at: datetime | None = None
    last_at: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("place", "text", "error", "reason"):
            given = getattr(self, name).replace("\0", "�").encode("utf-8", "replace").decode()
            object.__setattr__(self, name, scrub(given))
        object.__setattr__(self, "text", self.text[:EVENT_CHARACTERS])

    @property
    def is_whole(self) -> bool:
        return self.characters <= EVENT_CHARACTERS
