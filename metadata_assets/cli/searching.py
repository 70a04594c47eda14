"""`search`: what has facets of OpenLineage that somebody asks for."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

from identity.errors import MetadataError, shown
from identity.keys import short_name
from metadata_assets.cli.catalog import NAME_TAKEN
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.history import written_id
from metadata_assets.cli.output import table
from resources.metadata.facets import FacetHit, WantedFacet


class FacetNeeded(MetadataError):
    """say which facets: --facet NAME, --facet NAME.PART or --facet NAME.PART=VALUE"""

    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NotACursor(MetadataError):
    """--after {given} is no id; take `next` of the page before"""

    given: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def search_facets(cli: Cli, facets: Sequence[str], *, runs: bool, after: str | None, limit: int) -> ExitCode:
    if not facets:
        raise FacetNeeded
    wanted = [WantedFacet.parse(one) for one in facets]
    return _runs(cli, wanted, after or "", limit) if runs else _assets(cli, wanted, after, limit)


def _assets(cli: Cli, wanted: Sequence[WantedFacet], after: str | None, limit: int) -> ExitCode:
    start = None if after is None else written_id(after)
    if after is not None and start is None:
        raise NotACursor(given=shown(after))
    with cli.opened() as opened:
        found = opened.store.with_facets(wanted, after=start, limit=limit)
    cursor = str(found[-1].id) if len(found) == limit else None
    hits = [{"name": _name(one), **asdict(one), "key": one.key} for one in found]
    rows = ((_name(one), one.type.lower(), one.closed_at, NAME_TAKEN if one.name_taken else None) for one in found)
    shown_ = table("Jobs and datasets", ("name", "type", "gone since", "its name"), rows)
    cli.show({"hits": hits, "next": cursor}, *([shown_] if found else ["nothing has such facets"]), *_more(cursor))
    return ExitCode.OK


def _runs(cli: Cli, wanted: Sequence[WantedFacet], after: str, limit: int) -> ExitCode:
    with cli.opened() as opened:
        found = opened.store.runs_with_facets(wanted, after=after, limit=limit)
    cursor = found[-1].run_id if len(found) == limit else None
    hits = [{"run": one.run_id, **{k: v for k, v in asdict(one).items() if k != "run_id"}} for one in found]
    rows = ((one.run_id, one.job, one.status, one.started_at, one.ended_at) for one in found)
    shown_ = table("Runs", ("run", "job", "status", "started", "ended"), rows)
    cli.show({"hits": hits, "next": cursor}, *([shown_] if found else ["no run has such facets"]), *_more(cursor))
    return ExitCode.OK


def _name(one: FacetHit) -> str:
    return str(one.id) if one.name_taken else short_name(one.key)


def _more(cursor: str | None) -> Sequence[str]:
    return () if cursor is None else (f"there may be more: --after {cursor}",)
