"""`metadata-assets demo`: this project run headless, and every promise of the product held up to what happened.

Loads the sources, collects their catalogs, materializes the days that are asked for, delivers one of them again,
explains where it came from, counts everything, reads a source table while it is renamed, rolls a version back and
forward again under a reader's eyes, records what ran, and says which promises held. Safe to repeat: what is there
already is left alone. Each act is a file in `showcase/`.
"""

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import dagster as dg
from rich.console import Console
from showcase import (
    collecting,
    counting,
    delivering,
    explaining,
    going_back,
    materializing,
    opening,
    recording,
    renaming,
)
from showcase.job import logging_to
from showcase.planning import days_asked, example_day
from showcase.promises import Promise, summary
from showcase.stage import Stage

from metadata_assets.cli.output import document
from resources.configurable import close_all
from resources.settings import Settings


@dataclass(slots=True)
class Told:
    """What the acts have told so far: promises, the parts of the JSON document, and how long each act took."""

    promises: list[Promise] = field(default_factory=list)
    parts: dict[str, object] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def broken(self) -> list[Promise]:
        return [one for one in self.promises if not one.held]

    @property
    def document(self) -> dict[str, object]:
        return {"promises": self.promises, **self.parts, "seconds": self.seconds}

    @contextmanager
    def timed(self, act: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[act] = round(time.monotonic() - started, 3)


def run(settings: Settings, *, days: int, json_output: bool, console: Console) -> int:
    """Run the demo over so many days from 2013-01-01. 0 when every promise held, 1 when one did not.

    Called by `metadata-assets demo`, which has set DAGSTER_HOME and what else Dagster reads in this process's
    environment. Progress and tables go to `console`; with `json_output` stdout gets one JSON document.
    """
    told = Told()
    wanted = days_asked(days)
    with warnings.catch_warnings(), logging_to(settings.home / "demo.log"):
        warnings.simplefilter("ignore", dg.BetaWarning)  # they are the plugin's affair
        try:
            with told.timed("total"), ExitStack() as until_told:
                with told.timed("open"):
                    stage = until_told.enter_context(opening.opened(settings, console))
                _perform(stage, wanted, told)
            _conclude(stage, told)
        finally:
            close_all()
    if json_output:
        sys.stdout.write(document(told.document))
    return 1 if told.broken else 0


def _perform(stage: Stage, days: list[str], told: Told) -> None:
    """All acts, in order. An act whose promise is broken does not stop the others."""
    day = example_day(days)
    with told.timed("sources"):
        told.parts["sources"] = opening.fill_sources(stage)
    with told.timed("collect"):
        catalogs = collecting.collect(stage)
        told.promises += collecting.promises(stage, catalogs)
        told.parts["collections"] = catalogs.document
    with told.timed("materialize"):
        materialized = materializing.materialize(stage, days)
        told.promises += materializing.promises(materialized)
        told.parts["materialized"] = materialized.document
    with told.timed("deliver_again"):
        deliveries = delivering.deliver_again(stage, day)
        told.promises += delivering.promises(deliveries)
        told.parts["deliveries"] = [one.document for one in deliveries.all]
    with told.timed("explain"):
        explained = explaining.explain(stage, day)
        told.promises += explaining.promises(stage, explained)
        told.parts["explain"] = explained.document if explained else None
    with told.timed("count"):
        counted = counting.count(stage, days)
        told.promises += counting.promises(counted)
        told.parts["counts"] = counted.document
    with told.timed("rename"):
        renamed = renaming.rename_and_back(stage, day)
        told.promises += renaming.promises(renamed)
        told.parts["renamed"] = renamed.document
    with told.timed("go_back"):
        way_back = going_back.go_back_and_forward(stage)
        told.promises += going_back.promises(way_back)
        told.parts["rolled_back"] = way_back.document if way_back else None
    with told.timed("record"):
        recorded = recording.record(stage, deliveries)
        told.promises += recording.promises(recorded)
        told.parts["runs"] = recorded.document


def _conclude(stage: Stage, told: Told) -> None:
    """The summary, and what to make of it."""
    stage.say()
    stage.show(summary(told.promises))
    stage.say()
    seconds = f"{told.seconds['total']:,.1f} s"
    if told.broken:
        names = ", ".join(one.name for one in told.broken)
        stage.say(
            f"{len(told.broken)} of {len(told.promises)} promises did not hold, in {seconds}: {names}", "bold red"
        )
    else:
        stage.say(f"all {len(told.promises)} promises held, in {seconds}", "bold green")
        stage.say("look around: `metadata-assets datasets`, or `metadata-assets dev` for the Dagster UI")
