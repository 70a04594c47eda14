"""Which tables of a database are collected."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Patterns:
    """Names to include and to exclude; `*` stands for any characters, `?` for one, case counts.

    With nothing to include, all are.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """From one list, as a project writes it: `sales_*`, and `!sales_old` to exclude."""
        given = tuple(patterns)
        return cls(
            tuple(pattern for pattern in given if not pattern.startswith("!")),
            tuple(pattern[1:] for pattern in given if pattern.startswith("!")),
        )

    @property
    def wanted(self) -> list[str]:
        """Those to include, as regular expressions of PostgreSQL."""
        return [_regex(pattern) for pattern in self.include or ("*",)]

    @property
    def unwanted(self) -> list[str]:
        """Those to exclude, as regular expressions of PostgreSQL."""
        return [_regex(pattern) for pattern in self.exclude]

    @property
    def named(self) -> list[str]:
        """Those to include by their very name: one that is not there is a mistake, or was dropped."""
        return [pattern for pattern in self.include if not set(pattern) & set("*?")]

    def cover(self, name: str) -> bool:
        """Whether a name is to be collected."""
        included = not self.include or any(_matches(pattern, name) for pattern in self.include)
        return included and not any(_matches(pattern, name) for pattern in self.exclude)


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a database is collected: these tables of these schemas. System and temporary schemas never are."""

    schemas: Patterns = Patterns()
    tables: Patterns = Patterns()

    @classmethod
    def of(cls, schemas: Iterable[str] = (), tables: Iterable[str] = ()) -> Self:
        """From the lists of a project."""
        return cls(Patterns.of(schemas), Patterns.of(tables))

    def covers(self, schema: str, table: str) -> bool:
        """Whether a table is to be collected."""
        return self.schemas.cover(schema) and self.tables.cover(table)


EVERYTHING = Scope()

NO_SUCH_SCHEMA = "there is no such schema: correct its name, or take it out of the schemas to collect"
NO_SUCH_TABLE = "there is no such table: correct its name, or take it out of the tables to collect"


def _matches(pattern: str, name: str) -> bool:
    translated = {"*": ".*", "?": "."}
    expression = "".join(translated.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, name, re.DOTALL) is not None


def _regex(pattern: str) -> str:
    """An expression that matches whole names. `***=` would be read as a directive only at its start, which is `^`."""
    translated = {"*": ".*", "?": "."}
    return f"^(?:{''.join(translated.get(character) or _escaped(character) for character in pattern)})$"


def _escaped(character: str) -> str:
    return character if re.match(r"\w", character) else f"\\{character}"
