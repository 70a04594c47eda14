"""What is wrong with a project on disk: where, in which field, why, and the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from identity.errors import MetadataError

Path = tuple[str | int, ...]
"""The way to a value inside a YAML file: field names and indexes from 0."""


@dataclass(frozen=True, slots=True, order=True)
class At:
    """A place in a file of the project, as editors write it: `datasets/delays.yml:12:5`, line and column from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to correct. `field` is empty when it is the file as a whole; no part of it ever holds a secret."""

    at: At
    field: str
    reason: str
    fix: str

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        return f"{self.at}: {field}{self.reason}; {self.fix}"


class ProjectInvalid(MetadataError):
    """the project {project} cannot be used, correct this first:{listing}"""

    project: str
    problems: tuple[Problem, ...]
    listing: str
    exit_code: ClassVar[int] = 2

    def __init__(self, *, project: str, problems: Sequence[Problem]) -> None:
        """All the problems of a project at once, in the order of the files."""
        found = tuple(sorted(set(problems)))
        super().__init__(project=project, problems=found, listing="".join(f"\n  {problem}" for problem in found))


def field_name(path: Path) -> str:
    """`datasets[0].depends_on[1].dataset`, for people."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def nearest(wrong: str, known: Sequence[str]) -> list[str]:
    """At most three of the known names that could have been meant, the likeliest first."""
    folded = {name.lower(): name for name in sorted(known, reverse=True)}
    return [folded[name] for name in get_close_matches(wrong.lower(), list(folded), n=3, cutoff=0.6)]


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """The fix for a name that nobody knows: the nearest names, else all of them when they are few."""
    near = nearest(wrong, known)
    if near:
        return f"did you mean {' or '.join(near)}?"
    shown = sorted(known)[:12]
    return f"known are {', '.join(shown)}{', …' if len(known) > len(shown) else ''}" if known else "declare it first"
