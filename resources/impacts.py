"""What depends on a thing, as a record: what breaks if it goes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from identity.keys import CanonicalKey
from identity.nodes import Reference
from resources.models import AssetType

Listed = Literal["made", "readers", "partitions", "pins", "releases", "collections"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Something that is made from the thing over `steps` edges, the thing itself at 0 steps.

    `version` is the published one, None of what is no dataset, 0 where nothing is published. `partitions_made`: how
    many of the partitions that readers get now were really made from it, over any number of steps.
    """

    key: CanonicalKey
    type: AssetType
    steps: int
    version: int | None
    published_at: datetime | None
    partitions: int | None
    partitions_made: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A dataset whose published data read the thing: how many of its partitions, and which run did so last."""

    key: CanonicalKey
    partitions: int
    read_at: datetime
    run_id: str
    job: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A version of an affected dataset that a pin or a release has. `state` of a pin: open or expired."""

    name: str
    key: CanonicalKey
    version: int
    by: str
    at: datetime
    state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A collection that holds an affected thing, by its key or by an identity node that leads to it."""

    slug: str
    name: str
    reference: Reference
    key: CanonicalKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Everything that is known to need a thing, the nearest first. `cut`: of which there is more than what is told."""

    thing: Affected
    made: tuple[Affected, ...]
    count: int
    """How many there are, also where `made` is cut."""
    readers: tuple[Reader, ...]
    pins: tuple[Held, ...]
    releases: tuple[Held, ...]
    collections: tuple[Collected, ...]
    cut: tuple[Listed, ...]
