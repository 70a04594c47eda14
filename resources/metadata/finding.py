"""Finding things by what people write: each question is a few ranges of an index, however many names there are.

A name is looked up by its own end first: `flights/public/jfk/shop` is the table `flights` of the schema `public` at the
endpoint `jfk`, source `shop`, spelled as in its key.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Final, Self

from identity.errors import InvalidKey
from identity.ids import Entity, TenantId
from identity.keys import SLUG, CanonicalKey, Kind, dataset_key
from resources.postgres.session import Row, Session

MOST: Final = 100
"""So many candidates of one range are looked at: what has more is ambiguous by far."""

_NEAR: Final = 20
_ABSENT: Final = "~"

Ask = Callable[[str, Row], list[Row]]
"""Asks one statement: within a transaction (`session.rows`), or in one of its own and one round trip (`call`)."""

_BETWEEN = "SELECT * FROM metadata.names_within(%(lower)s, %(upper)s, %(sources)s, %(systems)s, %(limit)s)"

_SHORT = """
SELECT n.* FROM (
  SELECT array_agg(s.start || e.slug || '/') AS lower, array_agg(s.start || e.slug || '0') AS upper
  FROM unnest(%(starts)s::text[]) AS s (start) CROSS JOIN metadata.slugs_of(%(endpoint)s) AS e (slug)) g,
  metadata.names_within(g.lower, g.upper, NULL, NULL, %(limit)s) n
"""

_AROUND = "SELECT * FROM metadata.names_around(%(endings)s, %(keys)s, %(limit)s)"


@dataclass(frozen=True, slots=True)
class Thing:
    """What a name means, by the name that it has or had last: `entity.key`; since when it is gone.

    `key` is a key that leads to it: that name, or an old one where another thing has that name by now; None where all
    its names are other things'.
    """

    entity: Entity
    key: CanonicalKey | None
    closed_at: datetime | None

    @classmethod
    def of(cls, tenant: TenantId, row: Row) -> Self:
        own, leading = CanonicalKey.parse(row["present_key"]), row["leading_key"]
        entity = Entity.from_database(tenant, own, row["entity_id"], row["birth_sha256"])
        return cls(entity, None if leading is None else CanonicalKey.parse(leading), row["closed_at"])

    @property
    def name_taken(self) -> bool:
        """Whether another thing is called as this one was."""
        return self.key != self.entity.key


@dataclass(frozen=True, slots=True)
class Found:
    """A name that leads to something, and whether it is the thing's own.

    `range` is the place of the range that it was found in, from 0.
    """

    range: int
    key: CanonicalKey
    own: bool
    thing: Thing

    @classmethod
    def of(cls, tenant: TenantId, row: Row) -> Self:
        return cls(row["range"] - 1, CanonicalKey.parse(row["key"]), row["own"], Thing.of(tenant, row))

    @property
    def leading(self) -> CanonicalKey:
        """A key that leads to the thing: whatever else, this one does."""
        return self.thing.key or self.key


@dataclass(frozen=True, slots=True)
class Ending:
    """An end of names: the own name first, as keys spell it; of one source or of the endpoints of one system only."""

    start: str
    source: str | None = None
    system: str | None = None


def called(ask: Ask, tenant: TenantId, name: str) -> list[Thing]:
    """What is called endpoint/schema/table, as somebody types it who knows of no slash in a name.

    Own names of what is there count first, then old names, then what is gone.
    """
    endpoint, _, rest = name.partition("/")
    starts = [start for start in _starts(rest) if start] if SLUG.fullmatch(endpoint) else []
    if not starts:
        return []
    rows = ask(_SHORT, {"starts": starts, "endpoint": endpoint, "limit": MOST})
    found = [one for one in (Found.of(tenant, row) for row in rows) if one.key.kind is Kind.DATASET]
    ranks: list[set[Thing]] = [
        {one.thing for one in found if one.own and one.thing.closed_at is None},
        {one.thing for one in found if not one.own and one.thing.closed_at is None},
        {one.thing for one in found},
    ]
    return sorted(next((rank for rank in ranks if rank), set()), key=lambda one: (one.entity.key, one.entity.id.value))


def ending_so(session: Session, endings: Sequence[Ending]) -> Iterator[Found]:
    """The names with these ends. Of one that has very many, only the first ones, if they are several things."""
    rows = session.rows(_BETWEEN, _ranges(endings, MOST))
    found = [Found.of(session.tenant, row) for row in rows]
    yield from found
    for place, ending in enumerate(endings):
        here = [one for one in found if one.range == place]
        if len(here) == MOST and len({one.thing for one in here}) == 1:  # one thing with very many names: ask for all
            yield from (Found.of(session.tenant, row) for row in session.rows(_BETWEEN, _ranges([ending], None)))


def _ranges(endings: Sequence[Ending], limit: int | None) -> Row:
    return {
        "lower": [one.start for one in endings],
        "upper": [f"{one.start[:-1]}0" for one in endings],  # what follows / in the order of bytes
        "sources": [one.source for one in endings],
        "systems": [one.system for one in endings],
        "limit": limit,
    }


def spelled_in_key(part: str | None) -> str | None:
    """A name as keys spell it; None when nothing can be called so."""
    if part is None:
        return _ABSENT
    try:
        return str(dataset_key("x", table=part)).rpartition("/")[2]
    except InvalidKey:
        return None


def start_of(*parts: str | None) -> str | None:
    """The start of the endings of names with these parts, the own name first; None when nothing can be called so."""
    spelled = [spelled_in_key(part) for part in parts]
    return None if None in spelled else "".join(f"{part}/" for part in spelled)


def _starts(rest: str) -> Iterator[str | None]:
    """Where schema and table may part, and no schema at all."""
    yield start_of(rest, None)
    pieces = rest.split("/")
    for place in range(1, len(pieces)):
        yield start_of("/".join(pieces[place:]), "/".join(pieces[:place]))


def nearest(name: str, spelled: Iterable[tuple[str, CanonicalKey]]) -> list[CanonicalKey]:
    """Of these keys, each under what people would type, the few that look most like a name."""
    pool = dict(spelled)
    return list(dict.fromkeys(pool[one] for one in get_close_matches(name, pool, n=3, cutoff=0.4)))


def around(ask: Ask, own: str, keys: Collection[CanonicalKey]) -> list[tuple[CanonicalKey, CanonicalKey]]:
    """Names near an own name and near these keys in the order of names, each with the present one; a bounded number."""
    words = {spelled_in_key(word) for word in (own, own.lower(), own.upper(), own.capitalize(), own[:2], own[:1])}
    rows = ask(
        _AROUND,
        {"endings": sorted(word for word in words if word), "keys": sorted(map(str, keys)), "limit": _NEAR},
    )
    return [(CanonicalKey.parse(row["key"]), CanonicalKey.parse(row["present_key"])) for row in rows]


def keys_like(name: str) -> list[CanonicalKey]:
    """Keys that would stand near a name that somebody typed as endpoint/schema/table."""
    endpoint, _, rest = name.partition("/")
    schema, _, table = rest.rpartition("/")
    if not SLUG.fullmatch(endpoint) or not table:
        return []
    try:  # absent sources are last in the order of keys, empty ones first
        return [dataset_key(endpoint, source=source, schema=schema or None, table=table) for source in (None, "")]
    except InvalidKey:
        return []
