"""Columns as somebody tells them, brought to the catalog: which ones there are, and from which they are computed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey, check_name
from resources.graph.column_edges import (
    LOCK_ASSETS,
    ColumnWord,
    say_of_columns,
    settle_column_edges,
    word_digest,
)
from resources.lineage_records import Origin
from resources.metadata.imports import declare_columns, undeclared
from resources.metadata.noun import Noun
from resources.metadata.resolution import hold_names, writable
from resources.models import Field
from resources.postgres.session import Session, Sessions

_Answer = TypeVar("_Answer")

UNKNOWN: Final = "unknown"
"""The type of a column that nobody told."""

_THINGS = """
SELECT a.asset_id, a.qualified_name, a.key_sha256 FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s)
"""
_STORED = """
SELECT w.asset_id, w.origin_asset_id, w.sha256 FROM metadata.column_word w
WHERE w.tenant_id = %(tenant)s AND w.producer = %(producer)s AND """
_IN_SCOPE = _STORED + "w.scope = %(scope)s"
_OF_ASSETS = _STORED + "w.asset_id = ANY (%(assets)s)"
# What has an entry of its own from who declares columns of it.
_DECLARED = """
SELECT DISTINCT f.asset_id FROM metadata.asset a
JOIN metadata.schema_field f ON f.tenant_id = a.tenant_id AND f.asset_id = a.asset_id AND f.deleted_at IS NULL
WHERE a.tenant_id = %(tenant)s AND a.metadata ? %(by)s
  AND (f.metadata ->> 'declared_by' = %(by)s OR f.metadata -> 'also_declared_by' ? %(by)s)
"""
# Which columns of these assets those of others come from.
_USED = """
SELECT DISTINCT w.origin_asset_id AS asset_id, w.origin_name AS name FROM metadata.column_word w
WHERE w.tenant_id = %(tenant)s AND w.origin_asset_id = ANY (%(assets)s) AND w.producer = %(producer)s
  AND w.asset_id <> ALL (%(but)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldColumns:
    """What is told of one dataset: its columns where somebody knows them, and by scope where each comes from."""

    fields: tuple[Field, ...] | None = None
    origins: Mapping[str, Mapping[str, frozenset[Origin]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnWords(Noun):
    """Record what a producer says of columns."""

    def record_columns(self, told: Mapping[CanonicalKey, ToldColumns], *, producer: str, scope: str) -> tuple[int, int]:
        """Record all that a producer says of columns in its scope; how many rows of columns, and of edges, that wrote.

        One transaction. What it said there before and does not say any more is closed: edges, and columns of what has
        an entry `<producer>:<scope>`. What is as it was writes nothing. Datasets that nobody registered are left out.
        """
        check_name(producer)
        check_name(scope)

        def work(session: Session, names_held: bool) -> tuple[int, int]:
            return _recorded(session, told, producer=producer, scope=scope, names_held=names_held)

        return with_names(self.sessions, work)


def _recorded(
    session: Session, told: Mapping[CanonicalKey, ToldColumns], *, producer: str, scope: str, names_held: bool
) -> tuple[int, int]:
    by = f"{producer}:{scope}"
    held = {entity.id.value: told[key] for key, entity in writable(session, told.keys()).items()}
    declared = {row["asset_id"] for row in session.rows(_DECLARED, {"tenant": session.tenant_value, "by": by})}

    def read(assets: Iterable[UUID]) -> dict[UUID, ToldColumns]:
        return {one: held[one] for one in assets if one in held}

    ids = held.keys() | declared
    return bring_columns(session, ids, read, producer=producer, by=by, scope=scope, names_held=names_held)


class NamesNeeded(Exception):
    """a word is about a name that nobody has: its transaction has to begin with the names held"""


def with_names(sessions: Sessions, work: Callable[[Session, bool], _Answer]) -> _Answer:
    """What `work` answers in a transaction of its own: begun anew with the names held where it needs them.

    `work` is told whether they are, and raises NamesNeeded: names come before rows, so they cannot be held later.
    """

    def holding(session: Session) -> _Answer:
        hold_names(session, exclusive=True)
        return work(session, True)

    try:
        return sessions.perform(lambda session: work(session, False))
    except NamesNeeded:
        return sessions.perform(holding)


def bring_columns(
    session: Session,
    ids: Collection[UUID],
    read: Callable[[Collection[UUID]], Mapping[UUID, ToldColumns]],
    *,
    producer: str,
    by: str,
    scope: str | None = None,
    names_held: bool,
) -> tuple[int, int]:
    """Bring the columns of some datasets and their edges to what is told; how many rows of each that wrote.

    As many statements for a thousand datasets as for one. What is as it was is only looked at, and nobody waits for it.
    Else all that it is about is held at once, in the order of ids: `read`, which answers what is told of datasets, is
    asked again then, because who told something of them meanwhile is to be read whole. With a `scope` it is all that
    the producer has to say there: edges of that scope which are not told are closed, of whatever dataset. What a
    collection saw of columns stands, and a column that it did not see has no edges: what is told of it is kept until it
    does. Raises NamesNeeded where a word is about what nobody has and the names are not held: whoever gives such a name
    either sees this word or is seen by it.
    """
    ids = frozenset(ids)
    if not ids and scope is None:
        return 0, 0

    def look() -> _Look:
        return _looked(session, ids, read, producer=producer, scope=scope)

    def fields(told: _Look, assets: Collection[UUID]) -> dict[Entity, tuple[Field, ...]]:
        used = {} if scope else _used(session, assets, producer, ids)
        return _to_declare(session, told, {**told.said, **read(set(assets) - ids)}, assets, used)

    told = look()
    if told.is_stored and not undeclared(session, fields(told, ids), by=by, complete=True):
        return 0, 0
    _check_named(told, names_held=names_held)
    held = told.around
    _lock(session, held)
    told = look()
    _check_named(told, names_held=names_held)  # a holder may have gone meanwhile
    _lock(session, told.around - held)
    changed = say_of_columns(session, told.words, producer=producer, scope=scope, of=None if scope else ids)
    written, described = declare_columns(session, fields(told, told.around), by=by, complete=True)
    edges = settle_column_edges(session, changed, columns=described)
    return written, edges.opened + edges.closed


@dataclass(frozen=True, slots=True)
class _Look:
    """What is told of datasets now, as words, and whether these are what is stored.

    `around` are the datasets, whatever their columns come from, and what was said before of either.
    """

    said: Mapping[UUID, ToldColumns]
    words: tuple[ColumnWord, ...]
    is_stored: bool
    around: frozenset[UUID]


def _check_named(told: _Look, *, names_held: bool) -> None:
    if not names_held and any(word.holder is None for word in told.words):
        raise NamesNeeded


def _looked(
    session: Session,
    ids: frozenset[UUID],
    read: Callable[[Collection[UUID]], Mapping[UUID, ToldColumns]],
    *,
    producer: str,
    scope: str | None,
) -> _Look:
    said = read(ids)
    names = {key for one in said.values() for _column, origins in _columns(one) for key, _name in origins}
    sources = {key: entity.id.value for key, entity in writable(session, names).items()}
    words = tuple(_words(said, sources))
    given = {"tenant": session.tenant_value, "producer": producer, "scope": scope, "assets": sorted(ids)}
    rows = session.rows(_IN_SCOPE if scope else _OF_ASSETS, given)
    stored = {(row["asset_id"], row["origin_asset_id"], row["sha256"]) for row in rows}
    before = {one for asset, origin, _digest in stored for one in (asset, origin) if one is not None}
    return _Look(
        said=said,
        words=words,
        is_stored={(one.asset, one.holder, word_digest(one, producer)) for one in words} == stored,
        around=ids | before | set(sources.values()),
    )


def _to_declare(
    session: Session,
    look: _Look,
    told: Mapping[UUID, ToldColumns],
    assets: Collection[UUID],
    used: Mapping[UUID, set[str]],
) -> dict[Entity, tuple[Field, ...]]:
    """The columns of assets that are told, and those that are only named somewhere: in these words, or `used`."""
    named: dict[UUID | None, set[str]] = {}
    for word in look.words:
        named.setdefault(word.holder, set()).add(word.origin_name)
    fields = {}
    for asset, entity in _things(session, assets).items():
        one = told.get(asset, ToldColumns())
        own = {column for column, _origins in _columns(one)}
        fields[entity] = _fields(one.fields or (), own | named.get(asset, set()) | used.get(asset, set()))
    return fields


def _lock(session: Session, assets: Collection[UUID]) -> None:
    if assets:
        session.rows(LOCK_ASSETS, {"tenant": session.tenant_value, "assets": sorted(assets)})


def _columns(one: ToldColumns) -> Iterator[tuple[str, frozenset[Origin]]]:
    for by in one.origins.values():
        yield from by.items()


def _fields(schema: tuple[Field, ...], names: Collection[str]) -> tuple[Field, ...]:
    """The columns of a schema, and behind them those that are only named somewhere, in the order of their names."""
    told = {one.name for one in schema}
    only_named = sorted(set(names) - told)
    return schema + tuple(
        Field(name=name, type=UNKNOWN, nullable=True, position=number)
        for number, name in enumerate(only_named, len(schema) + 1)
    )


def _words(said: Mapping[UUID, ToldColumns], sources: Mapping[CanonicalKey, UUID]) -> Iterator[ColumnWord]:
    for asset, one in said.items():
        for scope, columns in one.origins.items():
            for column, origins in columns.items():
                for key, name in origins:
                    yield ColumnWord(asset, column, key, name, scope, sources.get(key))


def _used(session: Session, assets: Collection[UUID], producer: str, but: Collection[UUID]) -> dict[UUID, set[str]]:
    given = {"tenant": session.tenant_value, "assets": sorted(assets), "producer": producer, "but": sorted(but)}
    found: dict[UUID, set[str]] = {}
    for row in session.rows(_USED, given):
        found.setdefault(row["asset_id"], set()).add(row["name"])
    return found


def _things(session: Session, assets: Collection[UUID]) -> dict[UUID, Entity]:
    return {
        row["asset_id"]: Entity.from_database(
            session.tenant, CanonicalKey.parse(row["qualified_name"]), row["asset_id"], row["key_sha256"]
        )
        for row in session.rows(_THINGS, {"tenant": session.tenant_value, "assets": sorted(assets)})
    }
