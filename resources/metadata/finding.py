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
from identity.keys import SLUG, CanonicalKey, Kind, dataset_key
from resources.postgres.session import Row, Session

MOST: Final = 100
"""So many candidates of one range are looked at: what has more is ambiguous by far."""

_NEAR: Final = 20
_ABSENT: Final = "~"

Ask = Callable[[str, Row], list[Row]]
"""Asks one statement: within a transaction (`session.rows`), or in one of its own and one round trip (`call`)."""

_BETWEEN = "SELECT * FROM metadata.names_between(%(lower)s, %(upper)s, %(sources)s, %(systems)s, %(limit)s)"

_SHORT = """
SELECT n.* FROM (
  SELECT array_agg(s.start || e.slug || '/') AS lower, array_agg(s.start || e.slug || '0') AS upper
  FROM unnest(%(starts)s::text[]) AS s (start) CROSS JOIN metadata.slugs_of(%(endpoint)s) AS e (slug)) g,
  metadata.names_between(g.lower, g.upper, NULL, NULL, %(limit)s) n
"""

_AROUND = "SELECT * FROM metadata.names_around(%(endings)s, %(keys)s, %(limit)s)"


@dataclass(frozen=True, slots=True)
class Found:
    """A name that leads to something: whether it is the thing's own, what it is called now, since when it is gone.

    `range` is the place of the range that it was found in, from 0.
    """

    range: int
    key: CanonicalKey
    own: bool
    present: CanonicalKey
    closed_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> Self:
        key, present = CanonicalKey.parse(row["key"]), CanonicalKey.parse(row["present_key"])
        return cls(row["range"] - 1, key, row["own"], present, row["closed_at"])


@dataclass(frozen=True, slots=True)
class Ending:
    """An end of names: the own name first, as keys spell it; of one source or of the endpoints of one system only."""

    start: str
    source: str | None = None
    system: str | None = None


def called(ask: Ask, name: str) -> list[CanonicalKey]:
    """The present keys of what is called endpoint/schema/table, as somebody types it who knows of no slash in a name.

    Own names of what is there count first, then old names, then what is gone.
    """
    endpoint, _, rest = name.partition("/")
    starts = [start for start in _starts(rest) if start] if SLUG.fullmatch(endpoint) else []
    if not starts:
        return []
    rows = ask(_SHORT, {"starts": starts, "endpoint": endpoint, "limit": MOST})
    found = [one for one in map(Found.of, rows) if one.key.kind is Kind.DATASET]
    ranks: list[set[CanonicalKey]] = [
        {one.present for one in found if one.own and one.closed_at is None},
        {one.present for one in found if not one.own and one.closed_at is None},
        {one.present for one in found},
    ]
    return sorted(next((rank for rank in ranks if rank), set()))


def ending_so(session: Session, endings: Sequence[Ending]) -> Iterator[Found]:
    """The names with these ends. Of one that has very many, only the first ones, if they are several things."""
    rows = session.rows(_BETWEEN, _ranges(endings, MOST))
    found = [Found.of(row) for row in rows]
    yield from found
    for place, ending in enumerate(endings):
        here = [one for one in found if one.range == place]
        if len(here) == MOST and len({one.present for one in here}) == 1:  # one thing with very many names: ask for all
            yield from map(Found.of, session.rows(_BETWEEN, _ranges([ending], None)))


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
