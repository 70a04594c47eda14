"""The frozen records of what lineage events say: what ran, what it read and wrote, and what was said beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from identity.credentials import scrub, scrubbed
from identity.keys import CanonicalKey, check_name
from resources.models import Field
from resources.runs import AttemptFact, RunFact

About = Literal["run", "job", "dataset", "input", "output"]

Origin = tuple[CanonicalKey, str]
"""A column of a dataset, that another column comes from."""

FACET_BYTES: Final = 64 * 1024
"""How large a facet may be; of a larger one only its size is kept."""
DESCRIPTION_CHARACTERS: Final = 8 * 1024
"""How much is kept of the description in a facet that is too large."""
EVENT_CHARACTERS: Final = 1024 * 1024
"""How much of a refused event is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """What an event said under one name, about its run, its job or a dataset.

    "input" and "output" are what it said of a dataset in this run. `sha256` decides between words of one moment.
    `fields` and `origins` are what it says of the columns of a dataset: all of them, however large it is.
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
        object.__setattr__(self, "document", scrubbed(dict(self.document)))


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
    """How many rows events wrote: none where they said nothing new."""

    runs: int = 0
    assets: int = 0
    datasets: int = 0
    facets: int = 0
    edges: int = 0
    columns: int = 0
    column_edges: int = 0

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
