"""Which schemas of a database are collected."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Schemas:
    """Names of schemas to include and to exclude; `*` stands for any characters, `?` for one, case counts.

    With nothing to include, all are. System and temporary schemas never are.
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
        """Those to include by their very name: one that is not there is a mistake, or a schema that was dropped."""
        return [pattern for pattern in self.include if not set(pattern) & set("*?")]


EVERY_SCHEMA = Schemas()


def _regex(pattern: str) -> str:
    """An expression that matches whole names. `***=` would be read as a directive only at its start, which is `^`."""
    translated = {"*": ".*", "?": "."}
    return f"^(?:{''.join(translated.get(character) or _escaped(character) for character in pattern)})$"


def _escaped(character: str) -> str:
    return character if re.match(r"\w", character) else f"\\{character}"
