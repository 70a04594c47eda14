"""`gc`: files that nobody can ask for any more go, and old history; it is told which."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from rich.console import RenderableType
from upath import UPath

from identity.errors import MetadataError
from identity.ids import Entity, EntityId
from metadata_assets.cli.context import Cli, Opened, person
from metadata_assets.cli.elsewhere import files_root
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import printable, table
from metadata_assets.spec import Project, load_project
from metadata_assets.spec.loading import METADATA_FILE
from resources import failpoints
from resources.collecting import Collected, Collector
from resources.files import intermediate
from resources.locations import EndpointLocation
from resources.metadata.garbage import Garbage, Retention
from resources.metadata.history import Forgotten, History, Kept
from resources.settings import Settings
from resources.storage import FileStorage, Storage
from resources.tables.store import TableStorage

LEFT_SHOWN = 20
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
KEEP_VERSIONS = 10
KEEP_FOR = "7d"
"""What stays where nobody says otherwise."""
KEEP_HISTORY = "90d"
UNKNOWN_FOR = timedelta(days=7)
"""How long values of a run that Dagster does not know (any more) are kept: it may have had no instance."""


class NotADuration(MetadataError):
    """{option} {given}: write a number and s, m, h or d, such as 7d"""

    option: str
    given: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


@dataclass(frozen=True, slots=True)
class Values:
    """What steps handed to each other: of how many runs it went, or would go."""

    runs: int = 0
    files: int = 0
    byte_count: int = 0


def collect_garbage(
    cli: Cli,
    names: Sequence[str],
    *,
    dry_run: bool,
    keep_versions: int | None,
    keep_for: str | None,
    keep_history: str | None,
) -> ExitCode:
    retention = Retention(versions=keep_versions or KEEP_VERSIONS, time=_duration("--keep-for", keep_for or KEEP_FOR))
    kept = Kept(time=_duration("--keep-history", keep_history or KEEP_HISTORY))
    failpoints.arm(cli.settings.failpoint)
    project = (
        load_project(cli.settings.project, environment=cli.settings.environment)
        if (cli.settings.project / METADATA_FILE).exists()
        else None
    )
    locations = {slug: one.location for slug, one in project.endpoints.items()} if project else {}
    with cli.opened(actor=person()) as opened, cli.err.status("looking for garbage") as status:
        collector = Collector(
            Garbage(opened.store.sessions),
            lambda slug: _storage_of(slug, locations, opened, cli.settings),
            rehearsed=dry_run,
            progress=lambda done: status.update(f"{len(done.gone):,} folders, {done.byte_count:,} bytes"),
        )
        datasets = _datasets(opened, names)
        own = {} if keep_versions or keep_for else _declared(opened, project)
        done = collector.collect(datasets, retention, own=own, abandoned=not names)
        values = Values() if names else _values(cli.settings, retention.time, dry_run=dry_run)
        forgotten = Forgotten() if names else History(opened.store.sessions).forget(kept, rehearsed=dry_run)
    document = {**_document(done, values, dry_run=dry_run), "history": asdict(forgotten)}
    cli.show(document, *_shown(done, values, dry_run=dry_run), *_history(forgotten, dry_run=dry_run))
    for at, error in [*done.away.items(), *done.left.items()][:LEFT_SHOWN]:
        cli.complain(f"left: {printable(at)}: {printable(error)}")
    return ExitCode.PARTIAL if done.left or done.away else ExitCode.OK


def _duration(option: str, given: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", given)
    if found is None:
        raise NotADuration(option=option, given=given)
    return int(found[1]) * _UNITS[found[2]]


def _declared(opened: Opened, project: Project | None) -> Mapping[EntityId, Retention]:
    """What the project says of its datasets."""
    said = {one.key: one.retention for one in (project.datasets if project else ()) if one.retention}
    entities = opened.store.entities(said)
    return {
        entities[key].id: Retention(versions=one.versions, time=one.time)
        for key, one in said.items()
        if key in entities
    }


def _storage_of(slug: str, locations: Mapping[str, EndpointLocation], opened: Opened, settings: Settings) -> Storage:
    there = locations.get(slug)
    if there is not None and there.system == "postgres":
        return TableStorage(slug, lambda: there.database_url(opened.databases), opened.store)
    return FileStorage(slug, files_root(slug, locations, opened.store, settings))


def _datasets(opened: Opened, names: Sequence[str]) -> Sequence[Entity]:
    known = () if names else opened.store.datasets()
    keys = [opened.store.resolve(name) for name in names] or [one.key for one in known]
    entities = opened.store.entities(keys)
    return [entities[key] for key in dict.fromkeys(keys)]


def _values(settings: Settings, age: timedelta, *, dry_run: bool) -> Values:
    """A failed run is waited for, too: whoever re-executes it from the failure reads what its steps had made."""
    root = UPath(settings.intermediate)
    waiting = {run: intermediate.size_of(root, run) for run in intermediate.runs_waiting(root)}
    now = datetime.now(UTC).timestamp()
    old = {run for run, (_files, _bytes, at) in waiting.items() if at < now - age.total_seconds()}
    if not old:
        return Values()
    from metadata_assets.cli.ended_runs import ends_of

    ends = ends_of(settings, old)
    unknown = {run for run in old - set(ends) if waiting[run][2] < now - UNKNOWN_FOR.total_seconds()}
    ended = {run for run, end in ends.items() if end is not None and end < now - age.total_seconds()}
    gone = Counter[str]()
    for run in sorted(ended | unknown):
        files, size = waiting[run][:2] if dry_run else intermediate.drop(root, run)
        gone.update(runs=1, files=files, byte_count=size)
    return Values(**gone)


def _document(done: Collected, values: Values, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "abandoned": done.count("abandoned"),
        "replaced": done.count("replaced"),
        "runs": values.runs,
        "files": sum(one.files for one in done.gone) + values.files,
        "bytes": done.byte_count + values.byte_count,
        "gone": [
            {"why": one.kind, "location": one.location, "files": one.files, "bytes": one.byte_count}
            for one in done.gone
        ],
        "away": [{"endpoint": slug, "message": str(error)} for slug, error in done.away.items()],
        "left": [{"location": at, "message": str(error)} for at, error in done.left.items()],
    }


_WHAT = {
    "abandoned": "attempts that never committed, or too late",
    "replaced": "replaced data",
}


def _history(forgotten: Forgotten, *, dry_run: bool) -> Iterator[str]:
    if forgotten.rows:
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in asdict(forgotten).items() if count)
        yield f"{'would be forgotten' if dry_run else 'forgotten'} of the history: {counts}"


def _shown(done: Collected, values: Values, *, dry_run: bool) -> Iterator[RenderableType]:
    rows: list[tuple[object, ...]] = []
    for kind, what in _WHAT.items():
        of_kind = [one for one in done.gone if one.kind == kind]
        rows.append((what, len(of_kind), sum(o.files for o in of_kind), sum(o.byte_count for o in of_kind)))
    rows.append(("values between steps of ended runs", values.runs, values.files, values.byte_count))
    yield table("Would go" if dry_run else "Collected", ("what", "folders", "files", "bytes"), rows)
    if done.away:
        yield f"nothing of {', '.join(done.away)} was collected: what is there cannot be seen from here"
    if done.left:
        yield f"{len(done.left)} folders could not be removed; run it again when they can"
