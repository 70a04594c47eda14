"""The databases, and the three source systems in them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from sources import Loaded, Progress, load_sources

from resources.postgres.databases import Databases
from resources.settings import Settings
from showcase.advance import Advance, advancing
from showcase.stage import Stage, on_stage


@contextmanager
def opened(settings: Settings, console: Console) -> Iterator[Stage]:
    """The stage, with all databases open; starts the embedded server where one is on it.

    Raises what any command would: ProjectInvalid, DatabaseUnreachable, SchemaNotCurrent and their like.
    """
    with ExitStack() as until_closed:
        with console.status("opening the databases"):
            Databases(settings).reach()
            stage = until_closed.enter_context(on_stage(settings, console))
        stage.say(f"the databases are open; what Dagster logs goes to {settings.home / 'demo.log'}")
        yield stage


def fill_sources(stage: Stage) -> Loaded:
    """Load the flights of 2013 into the databases of three airports, unless they are there."""
    stage.title("Three source systems: the flights that left New York in 2013")
    with ExitStack() as until_loaded:
        bar: list[Advance] = []

        def progress(one: Progress) -> None:
            if not bar:
                bar.append(until_loaded.enter_context(advancing(stage.console, "loading", one.rows_total, "rows")))
            bar[0](one.rows)

        loaded = load_sources(stage.metadata.databases().data, progress=progress)
    rows = sum(sum(tables.values()) for tables in loaded.rows.values())
    there = [airport for airport in loaded.rows if airport not in loaded.filled]
    if loaded.filled:
        stage.say(f"loaded: {', '.join(loaded.filled)}")
    if there:
        stage.say(f"already there, complete: {', '.join(there)}")
    stage.say(f"{len(loaded.rows)} databases, {rows:,} rows, {loaded.flights:,} flights")
    return loaded
