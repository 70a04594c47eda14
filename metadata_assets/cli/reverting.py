"""`rollback` and `retract`: readers get what was before, or no longer what is bad."""

import sys
from collections.abc import Iterator, Sequence
from typing import ClassVar
from uuid import UUID

import typer
from rich.console import RenderableType

from identity.errors import MetadataError, shown
from identity.ids import Entity
from identity.keys import short_name
from metadata_assets.cli import records, views
from metadata_assets.cli.choosing import dataset_called
from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import plain, printable, table
from resources.metadata.assets import is_id
from resources.metadata_store import MetadataStore
from resources.version_records import RolledBack

DIFFERENCES_SHOWN = 20


class ExpectNeeded(MetadataError):
    """{dataset} is at version {present}; nothing was changed: look what that is with \
`metadata-assets versions {dataset}`, then say --expect {present}"""

    dataset: str
    present: int
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NotConfirmed(MetadataError):
    """nothing was changed: it was not confirmed"""


class NotAMaterialization(MetadataError):
    """{text} is no id of a materialization; find it with `metadata-assets materializations DATASET`"""

    text: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def roll_back(cli: Cli, name: str, *, to: int, expect: int | None, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        dataset = dataset_called(opened.store, name).entity
        if expect is None:
            expect = _seen(cli, opened.store, dataset, to, dry_run=dry_run)
        done = opened.store.rollback(dataset.key, to=to, expected=expect, reason=reason)
        behind = [] if dry_run else views.follow(cli, opened, [dataset])
    answer = {
        "dry_run": dry_run,
        "name": short_name(dataset.key),
        "key": plain(dataset.key),
        "was": expect,
        "version": done.version,
        "restored": done.restored,
        "partitions_changed": done.partitions_changed,
        "replayed": done.replayed,
        "behind": views.documents(behind),
    }
    cli.show(answer, _told(short_name(dataset.key), done, expect, dry_run=dry_run))
    return views.told(cli, behind)


def _seen(cli: Cli, store: MetadataStore, dataset: Entity, to: int, *, dry_run: bool) -> int:
    """The present version, once somebody at a terminal has seen what would change and said yes."""
    present = store.version_at(dataset)
    if dry_run:
        return present
    if cli.json_output or not sys.stdin.isatty():
        raise ExpectNeeded(dataset=short_name(dataset.key), present=present)
    for part in _differences(store, dataset, to, present):
        cli.err.print(part)
    name = printable(short_name(dataset.key))
    if not typer.confirm(f"{name} is at version {present}. Make it what it was in version {to}?", err=True):
        raise NotConfirmed
    return present


def _differences(store: MetadataStore, dataset: Entity, to: int, present: int) -> Iterator[RenderableType]:
    now, then = ({one.partition: one for one in store.current(dataset, at=at)} for at in (present, to))
    differing: Sequence[str | None] = sorted(
        (
            one
            for one in {*now, *then}
            if one not in now or one not in then or now[one].materialization_id != then[one].materialization_id
        ),
        key=lambda one: one or "",
    )
    rows = [
        (
            one,
            now[one].row_count if one in now else "absent",
            then[one].row_count if one in then else "absent",
            then[one].materialization_id if one in then else None,
        )
        for one in differing[:DIFFERENCES_SHOWN]
    ]
    yield table("Would change", ("partition", "rows now", "rows then", "materialization then"), rows)
    if len(differing) > DIFFERENCES_SHOWN:
        yield f"and {len(differing) - DIFFERENCES_SHOWN:,} more"


def _told(name: str, done: RolledBack, was: int, *, dry_run: bool) -> str:
    verb = "would become" if dry_run else "is"
    changed = f"{done.partitions_changed:,} partition{'' if done.partitions_changed == 1 else 's'} changed"
    again = ", by an earlier call" if done.replayed else ""
    return f"{printable(name)} {verb} version {done.version}, which equals {done.restored}; was {was}; {changed}{again}"


def retract(cli: Cli, which: str, *, reason: str, dry_run: bool) -> ExitCode:
    if not is_id(which):
        raise NotAMaterialization(text=shown(which))
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        done = opened.store.retract(UUID(which), reason=reason)
        changed = [] if dry_run or done.version is None else [opened.store.entity(done.key)]
        behind = views.follow(cli, opened, changed)
    name = short_name(done.key)
    of = f"{name} partition {done.partition}" if done.partition else name
    would = "would be retracted" if dry_run else "is retracted"
    absent = "readers did not have it" if done.version is None else f"absent from version {done.version} on"
    cli.show(
        {"dry_run": dry_run, **records.retraction(done), "behind": views.documents(behind)},
        f"materialization {done.materialization_id} of {printable(of)} {would}: {absent}",
    )
    return views.told(cli, behind)
