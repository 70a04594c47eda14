"""How a dataset is divided, and which partitions of its inputs each of its partitions needs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, assert_never

Grain = Literal["hourly", "daily", "weekly", "monthly"]
MappingKind = Literal["same", "all", "last", "offset", "window", "dimension"]
GRAINS: tuple[Grain, ...] = ("hourly", "daily", "weekly", "monthly")
"""From the finest to the coarsest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePartitions:
    """One partition per hour, day, week or month from `start` on, up to before `end` if there is one.

    Both are wall-clock times of `timezone`. Weeks begin on the weekday of `start`.
    """

    grain: Grain
    start: datetime
    end: datetime | None = None
    timezone: str = "UTC"

    def __str__(self) -> str:
        return f"{self.grain} ({self.timezone})"


@dataclass(frozen=True, slots=True)
class StaticPartitions:
    """These partitions and no others."""

    keys: tuple[str, ...]

    def __str__(self) -> str:
        return "static"


@dataclass(frozen=True, slots=True)
class DynamicPartitions:
    """Partitions that are added while the project runs, under a name that datasets share."""

    name: str

    def __str__(self) -> str:
        return f"dynamic ({self.name})"


Dimension = TimePartitions | StaticPartitions | DynamicPartitions


@dataclass(frozen=True, slots=True)
class MultiPartitions:
    """One partition for each pair of partitions of two dimensions, in the order of their names."""

    dimensions: tuple[tuple[str, Dimension], ...]

    def __str__(self) -> str:
        return " and ".join(f"{name}: {one}" for name, one in self.dimensions)


Partitions = Dimension | MultiPartitions


@dataclass(frozen=True, slots=True)
class Mapping:
    """Which partitions of an input one partition needs.

    same: the one of the same name. all: all. last: the newest. offset: the one `offset` steps away.
    window: those whose time overlaps, for inputs of another grain.
    dimension: where one of the two is divided in two dimensions, and the other as one of these: those of the same name.
    """

    kind: MappingKind
    offset: int = 0

    def __str__(self) -> str:
        return f"{{offset: {self.offset}}}" if self.kind == "offset" else self.kind


def default_mapping(own: Partitions | None, upstream: Partitions | None) -> Mapping | None:
    """What a dependency without `partitions` means; None when the input has no partitions."""
    if upstream is None:
        return None
    if own is None:
        return Mapping("all")
    if isinstance(own, TimePartitions) and isinstance(upstream, TimePartitions) and own.grain != upstream.grain:
        return Mapping("window")
    if isinstance(own, MultiPartitions) != isinstance(upstream, MultiPartitions):
        return Mapping("dimension")
    return Mapping("same")


def shared_dimension(own: Partitions | None, upstream: Partitions | None) -> str | None:
    """The dimension of one of them as which the other is divided."""
    if isinstance(own, MultiPartitions) == isinstance(upstream, MultiPartitions):
        return None
    several, single = (own, upstream) if isinstance(own, MultiPartitions) else (upstream, own)
    assert isinstance(several, MultiPartitions)
    return next((name for name, one in several.dimensions if one == single), None)


def feeds_several(mapping: Mapping | None, own: Partitions | None, upstream: Partitions | None) -> bool:
    """Whether one partition can get more than one partition of this input."""
    if mapping is None or mapping.kind in ("same", "last", "offset"):
        return False
    if mapping.kind == "dimension":
        return isinstance(upstream, MultiPartitions)
    if mapping.kind == "window" and isinstance(own, TimePartitions) and isinstance(upstream, TimePartitions):
        nested = GRAINS.index(own.grain) <= GRAINS.index(upstream.grain)
        return not nested or (own.grain == "weekly" and upstream.grain == "monthly")
    return True


Reason = tuple[str, str]
"""Why something cannot work, and the fix."""


def mapping_problem(
    mapping: Mapping, own: Partitions | None, upstream: Partitions | None, *, may_miss: bool
) -> Reason | None:
    """Why this mapping cannot work between datasets divided like this; None when it can.

    Unless inputs may miss, every partition must find those it needs among the input's.
    """
    if upstream is None:
        return "the input has no partitions", "leave `partitions` out"
    match mapping.kind:
        case "all" | "last":
            return None
        case "window" | "offset" if not (isinstance(own, TimePartitions) and isinstance(upstream, TimePartitions)):
            return (
                f"{mapping} is for partitions of time; this is {own or 'not partitioned'}, its input {upstream}",
                _FIX,
            )
        case "dimension":
            return None if shared_dimension(own, upstream) else _no_dimension(own, upstream)
        case "same" | "offset" if _kind(own) != _kind(upstream):
            return f"this is {own or 'not partitioned'} and its input {upstream}: no partitions are the same", _FIX
        case "window" if isinstance(own, TimePartitions) and own.timezone != getattr(upstream, "timezone", None):
            return f"this is {own} and its input {upstream}: their days begin at different times", "use one timezone"
    return None if may_miss else _missing_input(mapping, own, upstream)


def _no_dimension(own: Partitions | None, upstream: Partitions | None) -> Reason:
    reason = f"this is {own or 'not partitioned'} and its input {upstream}: none of these dimensions is the other's"
    return reason, "give both the same start, end, timezone or names, or say all"


_FIX = "use one of same, window, {offset: -1}, all, last that fits both"


def _kind(partitions: Partitions | None) -> object:
    """What two datasets must share to have the same partitions."""
    match partitions:
        case TimePartitions():
            return partitions.grain, partitions.timezone
        case StaticPartitions() | None:
            return type(partitions)
        case DynamicPartitions() | MultiPartitions():
            return partitions
    assert_never(partitions)


def _missing_input(mapping: Mapping, own: Partitions | None, upstream: Partitions) -> Reason | None:
    fix = "set `missing: skip`, or change the partitions of one of them"
    match own, upstream:
        case TimePartitions(), TimePartitions():
            first = _shifted(upstream.start, upstream.grain, max(0, -mapping.offset))
            if own.start < first:
                return f"its partitions before {first:%Y-%m-%d %H:%M} would find no input", fix
            last = upstream.end and _shifted(upstream.end, upstream.grain, min(0, -mapping.offset))
            if last and (own.end is None or own.end > last):
                return f"its partitions from {last:%Y-%m-%d %H:%M} on would find no input", fix
        case StaticPartitions(), StaticPartitions() if set(own.keys) - set(upstream.keys):
            absent = ", ".join(sorted(set(own.keys) - set(upstream.keys))[:5])
            return f"its partitions {absent} would find no input", fix
    return None


def _shifted(moment: datetime, grain: Grain, steps: int) -> datetime:
    match grain:
        case "hourly":
            return moment + timedelta(hours=steps)
        case "daily":
            return moment + timedelta(days=steps)
        case "weekly":
            return moment + timedelta(weeks=steps)
        case "monthly":
            years, month = divmod(moment.month - 1 + steps, 12)
            return moment.replace(year=moment.year + years, month=month + 1)
    assert_never(grain)
