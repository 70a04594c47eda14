"""What all catalogs have in common: names that lead back, and collections of them without silent merges."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from identity.errors import InvalidKey, InvalidUrl, MetadataError
from identity.keys import CanonicalKey, Kind
from identity.naming import Naming, System, UnknownSystem, system

Name = TypeVar("Name", bound=Hashable)


class InvalidName(InvalidKey):
    """not a name that leads to a key, {reason}: {value!r}; {fix}"""


class NotExpressible(InvalidKey):
    """no name there leads back to this key, {reason}: {value!r}; {fix}"""


class Catalog(Protocol[Name]):
    """Somebody else's names of our things."""

    def name_of(self, key: CanonicalKey) -> Name:
        """The name of a key. Raises NotExpressible when there is none."""

    def key_of(self, name: Name) -> CanonicalKey:
        """The key of a name. Raises InvalidName, or what a part of it is refused with; nothing repeats a credential."""


@dataclass(frozen=True, slots=True)
class Conflict(Generic[Name]):
    """Several names of one key, or several keys of one name, in the order they came. Which is right, a person says."""

    keys: tuple[CanonicalKey, ...]
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """What stands at a position of the collection, from 0, has no counterpart. The error withholds credentials."""

    position: int
    error: MetadataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped(Generic[Name]):
    """A collection, mapped one to one as far as that goes; nothing in `conflicts` or `refused` is in `pairs`."""

    pairs: tuple[tuple[CanonicalKey, Name], ...]
    conflicts: tuple[Conflict[Name], ...]
    refused: tuple[Refused, ...]
    folded: tuple[CanonicalKey, ...] = ()
    """Keys in `pairs` whose names have lost their case: they lead back by this mapping and not by themselves."""

    @property
    def names(self) -> Mapping[CanonicalKey, Name]:
        return dict(self.pairs)

    @property
    def keys(self) -> Mapping[Name, CanonicalKey]:
        return {name: key for key, name in self.pairs}


def keys_of(names: Iterable[Name], catalog: Catalog[Name]) -> Mapped[Name]:
    """The keys of names. Different names of one key are a conflict, even if they differ only in a default port."""
    found, refused = _each(names, catalog.key_of)
    by_key: dict[CanonicalKey, list[Name]] = defaultdict(list)
    for name, key in found.items():
        by_key[key].append(name)
    return Mapped(
        pairs=tuple((key, same[0]) for key, same in by_key.items() if len(same) == 1),
        conflicts=tuple(Conflict((key,), tuple(same)) for key, same in by_key.items() if len(same) > 1),
        refused=refused,
    )


def names_of(keys: Iterable[CanonicalKey], catalog: Catalog[Name]) -> Mapped[Name]:
    """The names of keys. Different keys of one name are a conflict."""
    found, refused = _each(keys, catalog.name_of)
    by_name: dict[Name, list[CanonicalKey]] = defaultdict(list)
    for key, name in found.items():
        by_name[name].append(key)
    pairs = tuple((same[0], name) for name, same in by_name.items() if len(same) == 1)
    return Mapped(
        pairs=pairs,
        conflicts=tuple(Conflict(tuple(same), (name,)) for name, same in by_name.items() if len(same) > 1),
        refused=refused,
        folded=tuple(key for key, name in pairs if not leads_back(name, key, catalog)),
    )


Given = TypeVar("Given", bound=Hashable)
Found = TypeVar("Found")


def _each(
    given: Iterable[Given], translate: Callable[[Given], Found]
) -> tuple[dict[Given, Found], tuple[Refused, ...]]:
    found: dict[Given, Found] = {}
    refused = []
    for position, one in enumerate(given):
        try:
            found[one] = translate(one)
        except (InvalidKey, InvalidUrl) as error:
            refused.append(Refused(position, error))
    return found, tuple(refused)


def leads_back(name: Name, key: CanonicalKey, catalog: Catalog[Name]) -> bool:
    """Whether the name alone leads to this key."""
    try:
        return catalog.key_of(name) == key
    except (InvalidKey, InvalidUrl):
        return False


def sure(name: Name, key: CanonicalKey, catalog: Catalog[Name]) -> Name:
    """The name, when it leads back. Raises NotExpressible: what separates the parts of a name is inside one of them."""
    if not leads_back(name, key, catalog):
        raise inexpressible(key, "a separator in it cannot be escaped there", "rename the thing, or leave it out there")
    return name


def inexpressible(key: CanonicalKey, reason: str, fix: str) -> NotExpressible:
    return NotExpressible(value=str(key), reason=reason, fix=fix)


def invalid(name: str, reason: str, fix: str) -> InvalidName:
    return InvalidName(value=name, reason=reason, fix=fix)


def system_of(key: CanonicalKey, systems: Mapping[str, str]) -> System:
    """The rules of the system at a key's endpoint. Raises NotExpressible for an endpoint that is not there."""
    if key.kind is Kind.ENDPOINT or key.namespace not in systems:
        raise inexpressible(key, "its endpoint is not in this mapping", "name the endpoint and its system")
    return rules_of(systems[key.namespace])


def rules_of(name: str) -> System:
    """The rules of a system, by any of its names or `name+driver`; of one without rules, a scheduler or a BI tool, that
    its names are what they are.
    """
    try:
        return system(name)
    except UnknownSystem:
        return System(name=name, levels=(None, None, "name"), naming=Naming.VERBATIM, documented="")


def joined(key: CanonicalKey, rules: System) -> str:
    """The names of a dataset, outermost first, with what separates them in its system: a dot, in paths a slash."""
    present = (name for name in (key.source, key.schema, key.table) if name is not None)
    return separator(rules).join(present)


def split(text: str, rules: System) -> dict[str, str] | None:
    """The inverse of `joined`; None when the text has too few or too many parts. A path takes the rest."""
    used = rules.used
    limit = -1 if rules.naming is Naming.IDENTIFIERS else len(used) - 1
    parts = text.split(separator(rules), limit)
    levels = used if len(parts) == len(used) else tuple(level for level in used if level not in rules.may_lack)
    return dict(zip(levels, parts, strict=True)) if len(parts) == len(levels) else None


def separator(rules: System) -> str:
    return "." if rules.naming is Naming.IDENTIFIERS else "/"
