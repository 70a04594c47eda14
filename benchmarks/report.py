"""What a benchmark found, how it is measured, and how it is shown.

A benchmark is a module of this package with a function `run() -> list[Result]`. Times move from machine to machine and
never gate; a gate is a ratio to a limit of the same run, with room for noise, or an exact count, with none.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

Verdict = Literal["ok", "too slow", "unclear", "broken"]

ROUNDS = 11
CALLS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """A count that has no noise, and the most that it may be."""

    what: str
    found: int
    at_most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line: a case against its limit, both measured in turn. Ratios are the medians of rounds, with quartiles."""

    benchmark: str
    case: str
    limit: str
    milliseconds: float
    limit_milliseconds: float
    ratio: float
    quartiles: tuple[float, float]
    at_most: float | None = None
    """The ratio that passes; None where the limit is told for comparison only."""
    exact: tuple[Exact, ...] = ()

    @classmethod
    def once(
        cls,
        benchmark: str,
        case: str,
        limit: str,
        ours: float,
        theirs: float,
        *,
        at_most: float | None = None,
        exact: tuple[Exact, ...] = (),
    ) -> Self:
        """What was measured once, in seconds, against its limit."""
        return cls(
            benchmark=benchmark,
            case=case,
            limit=limit,
            milliseconds=ours * 1e3,
            limit_milliseconds=theirs * 1e3,
            ratio=ours / theirs,
            quartiles=(ours / theirs, ours / theirs),
            at_most=at_most,
            exact=exact,
        )

    @property
    def verdict(self) -> Verdict:
        low, high = self.quartiles
        if any(count.found > count.at_most for count in self.exact):
            return "broken"
        if (high - low) / self.ratio > 0.5:
            return "unclear"
        return "ok" if self.at_most is None or self.ratio <= self.at_most else "too slow"

    def document(self) -> dict[str, Any]:
        """The same as JSON data."""
        exact = [{"what": count.what, "found": count.found, "at_most": count.at_most} for count in self.exact]
        return {
            "benchmark": self.benchmark,
            "case": self.case,
            "limit": self.limit,
            "milliseconds": self.milliseconds,
            "limit_milliseconds": self.limit_milliseconds,
            "ratio": self.ratio,
            "quartiles": list(self.quartiles),
            "at_most": self.at_most,
            "exact": exact,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Rounds:
    """The time of each case in each round, in milliseconds."""

    times: Mapping[str, Sequence[float]]

    def result(
        self,
        benchmark: str,
        case: str,
        limit: str,
        *,
        at_most: float | None = None,
        exact: tuple[Exact, ...] = (),
    ) -> Result:
        """One case against another one of the same rounds."""
        ours, theirs = self.times[case], self.times[limit]
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        return Result(
            benchmark=benchmark,
            case=case,
            limit=limit,
            milliseconds=statistics.median(ours),
            limit_milliseconds=statistics.median(theirs),
            ratio=middle,
            quartiles=(low, high),
            at_most=at_most,
            exact=exact,
        )


def p99(times: Iterable[float]) -> float:
    """The time within which 99 of 100 calls are done."""
    return statistics.quantiles(times, n=100)[-1]


def measured(
    cases: Mapping[str, Callable[[], Callable[[], object]]],
    *,
    rounds: int = ROUNDS,
    calls: int = CALLS,
    of: Callable[[Iterable[float]], float] = statistics.median,
) -> Rounds:
    """Time the cases in turn, in another order each round, after one round to warm up.

    A case makes its input and answers with the call to be timed, so that making the input is not. `of` is what counts
    of the calls of a round: their median, or their `p99`. Python's own collector rests meanwhile, as with timeit: it
    runs when it is due, and that call is nobody's in particular.
    """
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name in random.sample(list(cases), len(cases)):
            gc.collect()
            gc.disable()
            try:
                value = of([_milliseconds(cases[name]()) for _ in range(calls)])
            finally:
                gc.enable()
            if number:
                found[name].append(value)
    return Rounds(found)


def _milliseconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - begin) / 1e6
