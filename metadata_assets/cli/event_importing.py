"""`import openlineage`, `import refused`, `import retry`: events into the store, and those that were kept aside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from identity.naming import Authority
from metadata_assets.cli.collecting import GAPS_SHOWN
from metadata_assets.cli.context import Cli, Opened, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import plain, printable
from metadata_assets.cli.servers import project_servers
from metadata_assets.importers.event_files import ImportedEvents, import_events, read_files, refused_before
from resources.lineage_records import COLUMN_ORIGINS, COLUMNS, RecordedLineage, RefusedEvent

TOLD: Final = 1000
"""How many refused events one answer tells."""
_MOST: Final = 100_000
_BEGINNING: Final = 200


def import_files(cli: Cli, files: Sequence[Path], *, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        servers = _registered(cli, opened)
        done = _with_progress(cli, import_events(opened.store, read_files(files), servers=servers))
    return _answer(cli, done, dry_run=dry_run)


def retry_refused(cli: Cli, *, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        waiting = opened.store.refused_events(limit=_MOST)
        again = import_events(opened.store, refused_before(waiting), servers=_registered(cli, opened))
        done = _with_progress(cli, again, of=len(waiting))
    return _answer(cli, done, dry_run=dry_run)


def _registered(cli: Cli, opened: Opened) -> Mapping[str, Authority]:
    """The servers of the project's databases, whose endpoints are registered as a collection does it."""
    servers, endpoints = project_servers(cli, opened.databases)
    opened.store.register_endpoints(endpoints, servers=servers)
    return servers


def show_refused(cli: Cli, *, limit: int) -> ExitCode:
    with cli.opened() as opened:
        found = opened.store.refused_events(limit=limit)
    document = [
        {
            "id": one.id,
            "place": one.place,
            "error": one.error,
            "reason": one.reason,
            "tries": one.tries,
            "first_at": one.first_at,
            "last_at": one.last_at,
            "characters": one.characters,
            "text": one.text,
        }
        for one in found
    ]
    said = [f"{one.place}: {one.reason}\n  {one.text[:_BEGINNING]}" for one in found]
    cli.show([plain(one) for one in document], *(map(_printable, said) if said else ["no event is kept aside"]))
    return ExitCode.OK


def _printable(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _with_progress(cli: Cli, batches: Iterable[ImportedEvents], *, of: int | None = None) -> ImportedEvents:
    """All batches together; how far it is, is told on stderr where people look at it."""
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = cli.json_output or not cli.err.is_terminal
    events, recorded, refused, count = 0, RecordedLineage(), list[RefusedEvent](), 0
    with Progress(*columns, console=cli.err, transient=True, disable=hidden) as progress:
        task = progress.add_task("events", total=of)
        for batch in batches:
            events, recorded = events + batch.events, recorded + batch.recorded
            count += len(batch.refused)
            refused += batch.refused[: TOLD - len(refused)]
            progress.update(task, completed=events)
    return ImportedEvents(events=events, recorded=recorded, refused=tuple(refused), aside=count)


def _answer(cli: Cli, done: ImportedEvents, *, dry_run: bool) -> ExitCode:
    wrote = {one.name: getattr(done.recorded, one.name) for one in fields(RecordedLineage) if one.name != "cut"}
    document = {
        "dry_run": dry_run,
        "events": done.events,
        "rows_written": done.recorded.rows_written,
        **wrote,
        "cut": done.recorded.cut,
        "refused": done.aside,
        "first": [{"place": one.place, "error": one.error, "reason": one.reason} for one in done.refused],
    }
    would = "would be " if dry_run else ""
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in wrote.items() if count) or "nothing is new"
    cli.show(
        plain(document),
        f"{done.events} events read, {done.aside} {would}kept aside",
        f"{done.recorded.rows_written} rows {would}written: {said}",
    )
    if done.recorded.cut:
        cli.complain(
            f"cut: {done.recorded.cut} facets say more of columns than is kept: {COLUMNS:,} columns of a dataset, from "
            f"{COLUMN_ORIGINS:,} others; `_cut` in the facet says how many there were"
        )
    for one in done.refused[:GAPS_SHOWN]:
        cli.complain(f"aside: {printable(one.place)}: {printable(one.reason)}")
    if done.aside > GAPS_SHOWN:
        cli.complain(f"{done.aside - GAPS_SHOWN} more; all of them: metadata-assets import refused")
    return ExitCode.PARTIAL if done.aside else ExitCode.OK
