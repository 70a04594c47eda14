"""Edges between columns: from which columns of other datasets one is computed, who says so, and from when to when.

What is said is kept by names, as it is said. The edges follow: they join the columns that have these names now, or had
them last. So they are the same whether a table was looked at before somebody spoke of it, or after.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg.types.json import Jsonb

from identity.ids import sha256_of
from identity.keys import CanonicalKey, check_name, key_text
from resources.graph.edges import EdgeChanges
from resources.postgres.session import Row, Session


@dataclass(frozen=True, slots=True)
class ColumnWord:
    """The column `name` of an asset is computed from a column of `origin`; `scope` is where a producer says so.

    `holder` is the asset that has the origin's name now, None where nothing has.
    """

    asset: UUID
    name: str
    origin: CanonicalKey
    origin_name: str
    scope: str
    holder: UUID | None

    def __post_init__(self) -> None:
        for name in (self.scope, self.name, self.origin_name):
            check_name(name)


@dataclass(frozen=True, slots=True)
class ChangedWords:
    """What is new or not said any more: the assets that it was said of, and those that the origins' names lead to."""

    of: frozenset[UUID] = frozenset()
    origins: frozenset[UUID] = frozenset()


NOTHING_SAID: Final = ChangedWords()

_SAY = """
SELECT c.asset_id, c.origin_asset_id FROM metadata.say_of_columns(
  %(producer)s, %(scope)s::text, %(assets)s::uuid[], %(words)s) AS c
"""
_SETTLE = "SELECT * FROM metadata.settle_column_edges(%(said)s, %(origins)s, %(columns)s)"

LOCK_ASSETS: Final = """
SELECT a.asset_id FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s) ORDER BY a.asset_id FOR NO KEY UPDATE
"""


def say_of_columns(
    session: Session,
    words: Collection[ColumnWord],
    *,
    producer: str,
    of: Collection[UUID] | None,
    scope: str | None = None,
) -> ChangedWords:
    """Keep what a producer says of the columns of the assets `of`, or of all; what changed by that.

    What it said there before and does not say now is forgotten: all of it, or that of one scope. Edges follow when
    `settle_column_edges` is asked.
    """
    check_name(producer)
    words = sorted(set(words), key=lambda word: (word.asset, word.name))
    parameters = {
        "producer": producer,
        "scope": scope,
        "assets": None if of is None else sorted(of),
        "words": Jsonb([_row(word, producer) for word in words]),
    }
    rows = session.rows(_SAY, parameters)
    origins = frozenset(row["origin_asset_id"] for row in rows if row["origin_asset_id"] is not None)
    return ChangedWords(frozenset(row["asset_id"] for row in rows), origins)


def settle_column_edges(
    session: Session, said: ChangedWords = NOTHING_SAID, *, columns: Collection[UUID]
) -> EdgeChanges:
    """Let edges be what is said: of assets whose words changed, and of `columns`, whose columns did.

    Of these also the edges that lead to them. One statement however many they are; it holds them, and their origins.
    """
    if not said.of and not columns:
        return EdgeChanges(0, 0)
    parameters = {"said": sorted(said.of), "origins": sorted(said.origins), "columns": sorted(columns)}
    (row,) = session.rows(_SETTLE, parameters)
    return EdgeChanges(**row)


def word_digest(word: ColumnWord, producer: str) -> bytes:
    """Of all texts of a word: equal for the same word of the same producer."""
    return sha256_of(word.name, key_text(word.origin), word.origin_name, producer, word.scope)


def _row(word: ColumnWord, producer: str) -> Row:
    return {
        "asset_id": str(word.asset),
        "name": word.name,
        "origin_key": key_text(word.origin),
        "origin_name": word.origin_name,
        "origin_asset_id": None if word.holder is None else str(word.holder),
        "scope": word.scope,
        "sha256": word_digest(word, producer).hex(),
    }
