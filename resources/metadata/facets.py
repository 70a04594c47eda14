"""Facets: what lineage events said of jobs, datasets and runs, and which of them have something in theirs."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from psycopg.types.json import Jsonb

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, check_name
from resources.metadata.noun import Noun
from resources.postgres.session import Row

MOST_WANTED: Final = 20
"""How many facets one question may ask for."""

_PART: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^".=\[\]]+)')


class NotAFacet(MetadataError):
    """{given} names no facet: write NAME, NAME.PART or NAME.PART=VALUE, and in " what has a dot or = in it"""

    given: str
    exit_code: ClassVar[int] = 2


class TooManyFacets(MetadataError):
    """{count} facets are asked for at once; ask for {most} at most"""

    count: int
    most: int
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class WantedFacet:
    """A facet of this name, something at a path in it, or a value there; without a path the value may be anywhere.

    A path leaves out the places in lists. `value` is what JSON has for one: a text, a number, true, false or null;
    `...` asks for none.
    """

    name: str
    path: tuple[str, ...] = ()
    value: Any = ...

    def __post_init__(self) -> None:
        for text in (self.name, *self.path, self.value):
            if isinstance(text, str):
                check_name(text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From NAME[.PART]...[=VALUE]; a VALUE that is no JSON is a text. Raises NotAFacet."""
        parts, rest = [], text
        while (found := _PART.match(rest)) is not None:
            quoted = found[1] is not None
            parts.append(_unquoted(found[0], text) if quoted else found[2])
            rest = rest[found.end() :]
            if not rest.startswith("."):
                break
            rest = rest[1:]
        if not parts or not parts[0] or (rest and not rest.startswith("=")) or (found is None):
            raise NotAFacet(given=shown(text))
        return cls(parts[0], tuple(parts[1:]), _value(rest[1:]) if rest else ...)

    def document(self) -> Row:
        said = {} if self.value is ... else {"value": self.value}
        return {"name": self.name, "path": list(self.path), **said}


def _unquoted(text: str, whole: str) -> str:
    try:
        found: str = json.loads(text)
    except ValueError:
        raise NotAFacet(given=shown(whole)) from None
    return found


def _value(text: str) -> Any:
    try:
        found = json.loads(text, parse_constant=str)
    except ValueError:
        return text
    return text if isinstance(found, list | dict) or found in (inf, -inf) else found


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetHit:
    """A job or a dataset that has all that was asked for. `name_taken`: another thing has that name by now."""

    id: UUID
    key: CanonicalKey
    type: str
    closed_at: datetime | None
    name_taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetRun:
    """A run that has all that was asked for, in what was said of it, of its inputs or its outputs."""

    run_id: str
    job: str | None
    status: str
    started_at: datetime | None
    ended_at: datetime | None


_ASSETS: Final = """
SELECT a.asset_id AS id, k.key, a.type, a.deleted_at AS closed_at, a.deleted_at IS NOT NULL
  AND k.key IS DISTINCT FROM metadata.leading_key(a.asset_id, a.qualified_name, a.deleted_at, e.names) AS name_taken
FROM (SELECT metadata.endpoint_names() AS names OFFSET 0) e
CROSS JOIN metadata.asset a
CROSS JOIN LATERAL (
  SELECT CASE WHEN e.names IS NULL THEN a.qualified_name
    ELSE metadata.present_key(a.qualified_name, e.names) END AS key) k
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (ARRAY(
  SELECT f.subject::uuid FROM metadata.subjects_with(%(of)s, %(wanted)s, %(after)s, %(limit)s) f))
ORDER BY a.asset_id
"""
# In the order of bytes, whatever the database sorts texts by: the next page begins behind the last of them.
_RUNS: Final = """
SELECT j.run_id, j.name AS job, j.status, j.started_at, j.ended_at
FROM metadata.job j
WHERE j.tenant_id = %(tenant)s AND j.run_id = ANY (ARRAY(
  SELECT f.subject FROM metadata.subjects_with(%(of)s, %(wanted)s, %(after)s, %(limit)s) f))
ORDER BY j.run_id COLLATE "C"
"""


@dataclass(frozen=True, slots=True)
class Facets(Noun):
    """Search what events said."""

    def with_facets(
        self, wanted: Sequence[WantedFacet], *, after: UUID | None = None, limit: int = 100
    ) -> list[FacetHit]:
        """The jobs and datasets that have all of these, by id, from `after` on.

        Counted is what was said of a job, of a dataset, and of a dataset as a run's input or output. Raises
        TooManyFacets.
        """
        rows = self._asked(_ASSETS, "asset", wanted, "" if after is None else str(after), limit)
        return [FacetHit(**{**row, "key": CanonicalKey.parse(row["key"])}) for row in rows]

    def runs_with_facets(self, wanted: Sequence[WantedFacet], *, after: str = "", limit: int = 100) -> list[FacetRun]:
        """The runs that have all of these, by id, from `after` on. Raises TooManyFacets."""
        return [FacetRun(**row) for row in self._asked(_RUNS, "run", wanted, after, limit)]

    def _asked(self, statement: str, of: str, wanted: Sequence[WantedFacet], after: str, limit: int) -> list[Row]:
        if len(wanted) > MOST_WANTED:
            raise TooManyFacets(count=len(wanted), most=MOST_WANTED)
        documents = Jsonb([one.document() for one in wanted])
        given = {"tenant": self.tenant.value, "of": of, "wanted": documents, "after": after, "limit": limit}
        return self.sessions.call(statement, given)
