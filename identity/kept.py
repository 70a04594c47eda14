"""Answers that are kept, for names that come again and again."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

LONGEST: Final = 256
"""Of a longer text no answer is kept: how many are kept would not bound how much memory they take."""

_Text = TypeVar("_Text", str, str | None)
_Answer = TypeVar("_Answer")


def kept(count: int) -> Callable[[Callable[[_Text], _Answer]], Callable[[_Text], _Answer]]:
    """Keep the answers of a pure function of a text, so many of them, the last ones asked for; errors are not kept."""

    def keeping(function: Callable[[_Text], _Answer]) -> Callable[[_Text], _Answer]:
        known = lru_cache(maxsize=count)(function)

        @wraps(function)
        def answer(text: _Text) -> _Answer:
            return known(text) if text is None or len(text) <= LONGEST else function(text)

        return answer

    return keeping
