"""`invalidate` and `stale`: what has to be made anew, and why."""

from collections.abc import Sequence

from rich.console import RenderableType

from identity.keys import short_name
from metadata_assets.cli import records
from metadata_assets.cli.choosing import dataset_called
from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import table
from resources.version_records import Stale


def invalidate(
    cli: Cli, name: str, partitions: Sequence[str], *, reason: str, downstream: bool, dry_run: bool
) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        dataset = dataset_called(opened.store, name).entity
        done = opened.store.invalidate(dataset.key, partitions or None, reason=reason, downstream=downstream)
    answer = {"dry_run": dry_run, "invalidation": None if dry_run else done.id, "stale": _documents(done.stale)}
    nothing = "nothing is stale by this: nothing is published there"
    cli.show(answer, _listed(done.stale, "Would be stale" if dry_run else "Stale now", nothing))
    return ExitCode.OK


def list_stale(cli: Cli, name: str | None, *, limit: int) -> ExitCode:
    with cli.opened() as opened:
        dataset = None if name is None else opened.store.thing(name).entity
        found = opened.store.stale(dataset, limit=limit)
    cli.show(_documents(found), _listed(found, "Stale", "nothing is stale"))
    return ExitCode.OK


def _documents(found: Sequence[Stale]) -> list[records.Document]:
    return [records.stale(one) for one in found]


def _listed(found: Sequence[Stale], title: str, nothing: str) -> RenderableType:
    columns = ("dataset", "partition", "why", "by", "since", "made from", "materialization")
    cells = (
        (short_name(one.key), one.partition, one.reason, one.actor, one.at, one.cause, one.materialization_id)
        for one in found
    )
    return table(title, columns, cells) if found else nothing
