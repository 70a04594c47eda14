"""Identity nodes: stable references to things that may become other things, and where such a reference leads.

    identity:8c1f4b8e-…  →  identity:03d2a6c5-…  →  mid1:dataset:jfk:flights/public/flights

A reference is a canonical key or `identity:<id>`. Nothing here knows how nodes are stored: the target of a node comes
from a function that the caller gives.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import total_ordering
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from identity.errors import InvalidKey, MetadataError
from identity.keys import CanonicalKey

SCHEME: Final = "identity"
DEFAULT_MAX_DEPTH: Final = 64
"""How many identity nodes a reference may lead through unless the caller says otherwise."""

FARTHEST: Final = 1000
"""How many a guard may allow at most, and how many the edges of the graph follow, whatever guard a reader has."""

GAP: Final = 1 << 20
"""The distance between two items that are added one after the other: twenty moves fit between them."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEAD = SCHEME + ":"
_SHAPE = "a reference is a canonical key (mid1:…) or identity: and an id in lower case"


@total_ordering
@dataclass(frozen=True, slots=True)
class IdentityKey:
    """The name of an identity node: `identity:<id>`. It stays the same whatever the node leads to."""

    id: UUID

    def __post_init__(self) -> None:
        if not isinstance(self.id, UUID):
            raise TypeError("an IdentityKey is made of a UUID; a text becomes one by IdentityKey.parse(text)")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` is, byte for byte. Raises InvalidKey."""
        head, separator, identifier = text.partition(":")
        if head != SCHEME or not separator or not _ID.fullmatch(identifier):
            raise InvalidKey(value=text, reason="it does not name an identity node", fix=_SHAPE)
        return cls(UUID(identifier))

    def __str__(self) -> str:
        return f"{_HEAD}{self.id}"

    def __lt__(self, other: object) -> bool:
        return str(self) < str(other) if isinstance(other, IdentityKey) else NotImplemented


Reference = CanonicalKey | IdentityKey


def parse_reference(text: str) -> Reference:
    """What a text refers to. Whatever is neither kind of key is refused, connection URLs included: InvalidKey."""
    return IdentityKey.parse(text) if text.startswith(_HEAD) else CanonicalKey.parse(text)


def reference_text(reference: Reference) -> str:
    """A reference as it is stored. A programming error, hence TypeError: a text or an id is not a reference."""
    if not isinstance(reference, CanonicalKey | IdentityKey):
        raise TypeError("a reference is a CanonicalKey or an IdentityKey; a text becomes one by parse_reference(text)")
    return str(reference)


def node_id(key: IdentityKey) -> UUID:
    """The id of a node by its name; TypeError for anything else."""
    if not isinstance(key, IdentityKey):
        raise TypeError("a node is named by an IdentityKey; a text becomes one by IdentityKey.parse(text)")
    return key.id


class BrokenReference(MetadataError):
    """{reference} leads to nothing: {trail}"""

    reference: str
    path: tuple[str, ...]
    trail: str
    exit_code: ClassVar[int] = 3

    @classmethod
    def at(cls, path: Sequence[Reference], **facts: Any) -> Self:
        """The error of a reference, path[0], with all that was met on its way."""
        texts = tuple(map(str, path))
        return cls(reference=texts[0], path=texts, trail=" -> ".join(_shortened(texts)), **facts)


class UnknownIdentity(MetadataError):
    """there is no identity node {reference}"""

    reference: str
    exit_code: ClassVar[int] = 3


class MissingIdentity(BrokenReference):
    """{reference} leads to an identity node that does not exist: {trail}"""


class IdentityCycle(BrokenReference):
    """{reference} leads back to where it was: {trail}"""


class IdentityTooDeep(BrokenReference):
    """{reference} leads through more than {max_depth} identity nodes: {trail}"""

    max_depth: int


def _shortened(texts: Sequence[str]) -> Sequence[str]:
    return texts if len(texts) <= 12 else [*texts[:6], f"({len(texts) - 12} more)", *texts[-6:]]


@dataclass(frozen=True, slots=True)
class Trail:
    """Where a reference leads: all that was met on the way, the reference first and the key last."""

    path: tuple[Reference, ...]
    key: CanonicalKey

    @property
    def reference(self) -> Reference:
        return self.path[0]

    @property
    def depth(self) -> int:
        """How many identity nodes were followed; 0 for a key, which leads to itself."""
        return len(self.path) - 1


def follow(
    reference: Reference, target_of: Callable[[IdentityKey], Reference | None], *, max_depth: int = DEFAULT_MAX_DEPTH
) -> Trail:
    """Follow a reference from node to node to a key. `target_of` answers None for a node that does not exist.

    Raises IdentityCycle, whose path ends with the node at which it met itself, IdentityTooDeep when there is no key
    within `max_depth` nodes, and MissingIdentity.
    """
    path: list[Reference] = [reference]
    seen: set[Reference] = set()
    here = reference
    while isinstance(here, IdentityKey):
        if len(seen) >= max_depth:
            raise IdentityTooDeep.at(path, max_depth=max_depth)
        seen.add(here)
        target = target_of(here)
        if target is None:
            raise MissingIdentity.at(path)
        path.append(target)
        if target in seen:
            raise IdentityCycle.at(path)
        here = target
    return Trail(tuple(path), here)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionChange:
    """What to write to make one ordered list into another: in this order, and nothing else.

    `drop` goes away; `wrap` are keys that become references to identity nodes where they stand; `place` gives an item
    its position, a new item if its reference is not there yet.
    """

    drop: tuple[Reference, ...] = ()
    wrap: Mapping[CanonicalKey, IdentityKey] = field(default_factory=dict)
    place: Mapping[Reference, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.drop or self.wrap or self.place)


Positions = Mapping[Reference, int]
"""The items of a collection: their positions by reference, in order."""


def keys_to_wrap(references: Collection[Reference]) -> tuple[CanonicalKey, ...]:
    """The keys among references, each once and in order: what a collection never stores as it is."""
    return tuple(dict.fromkeys(one for one in references if isinstance(one, CanonicalKey)))


def wrapped(stored: Positions, identities: Mapping[CanonicalKey, IdentityKey]) -> CollectionChange:
    """Replace each key that a collection still stores by its identity node, where it stands.

    Where the node is in the collection too, the first of the two places stays.
    """
    order = list(stored)
    drop: list[Reference] = []
    wrap: dict[CanonicalKey, IdentityKey] = {}
    for key in keys_to_wrap(order):
        node = identities[key]
        if node in stored and order.index(node) < order.index(key):
            drop.append(key)
        else:
            drop += [node] if node in stored else []
            wrap[key] = node
    return CollectionChange(drop=tuple(drop), wrap=wrap)


def after(stored: Positions, change: CollectionChange) -> Positions:
    """The items as they are when the change was written, in their new order."""
    kept = {
        change.wrap.get(one, one) if isinstance(one, CanonicalKey) else one: at
        for one, at in stored.items()
        if one not in change.drop
    }
    return dict(sorted({**kept, **change.place}.items(), key=lambda item: item[1]))


def added(
    stored: Positions, given: Sequence[Reference], identities: Mapping[CanonicalKey, IdentityKey]
) -> CollectionChange:
    """Append references to a collection: keys as their identity nodes, nothing twice, in the order given.

    Keys that the collection still stores are wrapped on the way (`identities` knows those, too).
    """
    change = wrapped(stored, identities)
    items = after(stored, change)
    wanted = (identities[one] if isinstance(one, CanonicalKey) else one for one in given)
    new = [one for one in dict.fromkeys(wanted) if one not in items]
    last = max(items.values(), default=0)
    place: dict[Reference, int] = {one: last + GAP * number for number, one in enumerate(new, start=1)}
    return CollectionChange(drop=change.drop, wrap=change.wrap, place=place)


def moved(stored: Positions, which: Reference, index: int) -> CollectionChange:
    """Move one item so that it is the `index`-th, from 0; an index beyond the end is the end.

    Its new position lies between its neighbours', so no other item is written, unless there is no room left: then all
    are numbered anew.
    """
    others = [one for one in stored if one != which]
    index = max(0, min(index, len(others)))
    if list(stored)[index] == which:
        return CollectionChange()
    before = stored[others[index - 1]] if index else None
    behind = stored[others[index]] if index < len(others) else None
    between = _between(before, behind)
    if between is not None:
        return CollectionChange(place={which: between})
    order = [*others[:index], which, *others[index:]]
    return CollectionChange(place={one: GAP * number for number, one in enumerate(order, start=1)})


def _between(before: int | None, behind: int | None) -> int | None:
    """A number between two, or beyond the only one; None when there is no room."""
    if before is None:
        return None if behind is None else behind - GAP
    if behind is None:
        return before + GAP
    return (before + behind) // 2 if behind - before > 1 else None
