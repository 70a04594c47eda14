"""What a look at a part answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

NAMED = 5
"""How many of something are named in a message."""


class Wrong(Enum):
    """Whether something is wrong with a part."""

    NO = auto()
    A_LITTLE = auto()
    YES = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a look found, in words."""

    detail: str
    wrong: Wrong = Wrong.NO
    fix: str | None = None


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
