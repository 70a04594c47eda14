"""Progress for people: a bar on a terminal, a line now and then where there is none."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""

Advance = Callable[[int], None]
"""Told how many more are done."""


@contextmanager
def advancing(console: Console, doing: str, total: int, unit: str) -> Iterator[Advance]:
    """Shows how many of `total` are done, how fast it goes and how long it still takes."""
    if not console.is_terminal:
        yield _Lines(console, doing, total, unit).advance
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TextColumn(unit),
        _Rate(unit),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(doing, total=total)
        yield lambda number: shown.advance(task, number)


def rate(per_second: float, unit: str) -> str:
    """`1,200 rows/s` where it goes fast, `1.3 s each` where it goes slowly."""
    return f"{per_second:,.0f} {unit}/s" if per_second >= 10 else f"{1 / per_second:.1f} s each"


class _Rate(ProgressColumn):
    """How fast it goes."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(rate(task.speed, self._unit) if task.speed else "")


@dataclass(slots=True)
class _Lines:
    """Progress in lines, LINE_EVERY seconds apart."""

    console: Console
    doing: str
    total: int
    unit: str
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def advance(self, number: int) -> None:
        self.done += number
        now = time.monotonic()
        if now - self.told < LINE_EVERY or self.done >= self.total:
            return
        self.told = now
        per_second = self.done / (now - self.started)
        left = (self.total - self.done) / per_second if per_second else 0.0
        self.console.print(
            f"  {self.doing}: {self.done:,} of {self.total:,} {self.unit}, "
            f"{rate(per_second, self.unit) if per_second else 'waiting'}, about {left:,.0f} s left",
            markup=False,
        )
