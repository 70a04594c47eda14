"""A SELECT in a file of the project: as it is written, and as DuckDB gets it, each place of one in the other."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from identity.ids import sha256_of
from identity.keys import CanonicalKey
from metadata_assets.spec.problems import At, Problem, nearest

_DUCKDBS_OWN = frozenset(["information_schema", "main", "memory", "pg_catalog", "system", "temp"])
"""Catalogs and schemas that a DuckDB in memory has by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """An input that a SELECT reads, and what it is called there: `"lake/nyc"."orders"`.

    `name` is what Dagster and the functions of checks call the input.
    """

    key: CanonicalKey
    name: str

    @property
    def schema(self) -> str:
        if self.key.schema is None and self.key.endpoint in _DUCKDBS_OWN:
            return f"{self.key.endpoint}/~"
        return "/".join(part for part in (self.key.endpoint, self.key.schema) if part is not None)

    @property
    def table(self) -> str:
        return self.key.table

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.table)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One SELECT. `statement` is `written` with the names of its inputs in the place of `{{ … }}`.

    `pieces`: where each part of the statement begins, in it and in what is written. `takes_partition`: it has the
    parameter `$partition`.
    """

    file: str
    written: str = field(repr=False)
    statement: str
    pieces: tuple[tuple[int, int, bool], ...] = field(repr=False, compare=False)
    relations: tuple[Relation, ...]
    takes_partition: bool = False

    def at(self, offset: int) -> At:
        """The place in the file of the character at `offset` of the statement."""
        start, begun, is_reference = self.pieces[bisect_right(self.pieces, (offset, len(self.written), True)) - 1]
        return place(self.file, self.written, begun if is_reference else begun + offset - start)

    @property
    def digest(self) -> str:
        """Another one as soon as the file is."""
        return sha256_of(self.written).hex()[:16]


@dataclass(frozen=True, slots=True)
class Reference:
    """One `{{ ref(…) }}` or `{{ source(…) }}` between two places of a file."""

    function: str
    arguments: tuple[str, ...]
    start: int
    end: int


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def ascii_lower(name: str) -> str:
    """What two names have in common that are one to DuckDB: it ignores the case of a to z alone."""
    return name.encode().lower().decode()


def place(file: str, text: str, offset: int) -> At:
    before = text[:offset]
    return At(file, before.count("\n") + 1, offset - before.rfind("\n"))


_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/
    |(?P<quotes>(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<block>\{%|\{\#)
    |(?P<open>\{\{-?)(?:(?P<inside>(?:[^}'"]|'[^']*'|"[^"]*")*?)(?P<close>-?\}\}))?""",
    re.DOTALL | re.VERBOSE,
)
_CALL = re.compile(r"\s*(?P<function>\w+)\s*\((?P<arguments>.*)\)\s*", re.DOTALL)
_ARGUMENTS = re.compile(r"""\s*(?:'[^'{}]*'|"[^"{}]*")\s*(?:,\s*(?:'[^'{}]*'|"[^"{}]*")\s*)*""")
_ARGUMENT = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_FUNCTIONS = {"ref": (1, "{{ ref('name') }}"), "source": (3, "{{ source('endpoint', 'schema', 'table') }}")}
_BOTH = " or ".join(form for _count, form in _FUNCTIONS.values())


def references(file: str, text: str) -> Iterator[Reference | Problem]:
    """What stands in {{ }}, in order. Comments are left alone; nothing is replaced inside of quotes."""
    for found in _TOKEN.finditer(text):
        at = place(file, text, found.start())
        if found["quotes"] is not None and "{{" in found[0]:
            inside = place(file, text, found.start() + found[0].index("{{"))
            yield Problem(inside, "", "{{ }} inside of quotes is not replaced", f"write {_BOTH} without quotes around")
        elif found["block"]:
            yield Problem(at, "", f"{found[0]} has no meaning here", f"write plain SQL with {_BOTH}")
        elif found["open"] and found["inside"] is None:
            yield Problem(at, "", "{{ is not closed", f"write {_BOTH}")
        elif found["open"]:
            yield _reference(found["inside"], found.start(), found.end(), at)


def _reference(inside: str, start: int, end: int, at: At) -> Reference | Problem:
    call = _CALL.fullmatch(inside)
    function = call["function"] if call else ""
    if call is None or function not in _FUNCTIONS:
        near = nearest(function, list(_FUNCTIONS))
        fix = f"did you mean {near[0]}? " if near else ""
        return Problem(at, "", "only inputs stand in {{ }}", f"{fix}write {_BOTH}, and everything else as SQL")
    count, form = _FUNCTIONS[function]
    arguments = _ARGUMENTS.fullmatch(call["arguments"]) and _ARGUMENT.findall(call["arguments"])
    if not arguments or len(arguments) != count:
        return Problem(at, "", f"{function}() takes {count} text{'s' if count > 1 else ''} in quotes", f"write {form}")
    return Reference(function, tuple(single or double for single, double in arguments), start, end)
