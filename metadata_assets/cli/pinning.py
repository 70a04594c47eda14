"""`pin`, `unpin` and `pins`: names for versions."""

import re
from collections.abc import Sequence
from typing import ClassVar

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey
from metadata_assets.cli import records
from metadata_assets.cli.choosing import dataset_called
from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.moments import end_meant
from metadata_assets.cli.output import printable, table
from resources.metadata_store import MetadataStore

_AT = re.compile(r"(.+)@([0-9]{1,18})")


class PinnedTwice(MetadataError):
    """{name} is named twice; a pin has one version of each dataset"""

    name: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def pin(
    cli: Cli, name: str, versions: Sequence[str], *, expires: str | None, reason: str | None, dry_run: bool
) -> ExitCode:
    end = end_meant(expires)
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        done = opened.store.pin(name, _wanted(opened.store, versions), expires_at=end, reason=reason)
    answer = {"dry_run": dry_run, "replayed": done.replayed, **records.pin(done)}
    verb = "would have" if dry_run else "has"
    until = f", until {printable(done.expires_at)}" if done.expires_at else ""
    again = ", by an earlier call" if done.replayed else ""
    has = printable(records.versions_named(done.versions))
    cli.show(answer, f"pin {printable(done.name)} {verb} {has}{until}{again}")
    return ExitCode.OK


def _wanted(store: MetadataStore, versions: Sequence[str]) -> dict[CanonicalKey, int | None]:
    """The datasets and versions of `DATASET[@VERSION]`; None is the present version."""
    wanted: dict[CanonicalKey, int | None] = {}
    for text in versions:
        found = _AT.fullmatch(text)
        key = dataset_called(store, found[1] if found else text).entity.key
        if key in wanted:
            raise PinnedTwice(name=shown(text))
        wanted[key] = int(found[2]) if found else None
    return wanted


def unpin(cli: Cli, name: str, *, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        removed = opened.store.unpin(name)
    would = "would be removed" if dry_run else "is removed"
    told = f"pin {name} {would}: nothing keeps its data any more" if removed else f"pin {name} was removed before"
    cli.show({"dry_run": dry_run, "name": name, "removed": removed}, printable(told))
    return ExitCode.OK


def list_pins(cli: Cli, *, every: bool) -> ExitCode:
    with cli.opened() as opened:
        found = opened.store.pins(removed=every)
    columns = ("pin", "state", "versions", "until", "made", "by", "why")
    cells = (
        (
            one.name,
            one.state,
            records.versions_named(one.versions),
            one.expires_at,
            one.created_at,
            one.created_by,
            one.reason,
        )
        for one in found
    )
    cli.show([records.pin(one) for one in found], table("Pins", columns, cells) if found else "there are no pins")
    return ExitCode.OK
