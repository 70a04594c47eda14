"""`datasets` and `dataset show`."""

from collections.abc import Sequence

from rich.console import RenderableType

from identity.keys import short_name
from metadata_assets.cli import records
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.moments import version_meant
from metadata_assets.cli.output import facts, table
from resources.graph.walk import Lineage
from resources.models import Asset, Current, DatasetSummary, Version

NAME_TAKEN = "is another thing's now"


def list_datasets(cli: Cli, *, collected: bool) -> ExitCode:
    with cli.opened() as opened:
        found = opened.store.datasets(collected=collected)
    cli.show([records.summary(one) for one in found], _listing(found, collected))
    return ExitCode.OK


def _listing(found: Sequence[DatasetSummary], collected: bool) -> RenderableType:
    if not found:
        kind = "assets" if collected else "datasets"
        return f"no {kind} yet: `metadata-assets collect` reads the sources, a materialization makes a dataset"
    columns = ("dataset", "type", "publish", "version", "partitions", "rows", "materializations", "updated")
    return table("Datasets", columns, (_cells(one) for one in found))


def _cells(one: DatasetSummary) -> Sequence[object]:
    return (
        short_name(one.key),
        one.type.lower().replace("_", " "),
        one.publish_policy,
        one.published_version or None,
        one.partitions or None,
        one.row_count,
        one.materializations or None,
        one.updated_at,
    )


def show_dataset(cli: Cli, name: str, *, at: str | None) -> ExitCode:
    meant = version_meant(at)
    with cli.opened() as opened:
        thing = opened.store.thing(name)
        asset = opened.store.asset(thing.entity)
        datasets = [] if thing.name_taken else opened.store.datasets()
        summary = next((one for one in datasets if one.key == asset.key), None)
        number = 0 if summary is None and at is None else opened.store.version_at(thing.entity, meant)
        version = next(iter(opened.store.versions(thing.entity, until=number, limit=1)), None) if number else None
        current = opened.store.current(thing.entity, at=number or None)
        made_from = opened.graph.lineage(thing.entity, "up", depth=1)
        makes = opened.graph.lineage(thing.entity, "down", depth=1)
    answer = {
        **records.asset(asset),
        "id": thing.entity.id,
        "name_taken": thing.name_taken,
        "publish": summary.publish_policy if summary else None,
        "version": number or None,
        **records.said_of(version),
        "materializations": summary.materializations if summary else 0,
        "partitions": [records.current(one) for one in current],
        "made_from": _others(made_from),
        "makes": _others(makes),
    }
    cli.show(answer, *_shown(asset, summary, version, current, _others(made_from), _others(makes), thing.name_taken))
    return ExitCode.OK


def _others(found: Lineage) -> list[str]:
    others = (node for node in found.things.values() if node.id != found.start_id)
    return [str(node.id) if node.name_taken else short_name(node.key) for node in others]


def _version(one: Version) -> str:
    equals = f", which equals {one.restored}" if one.restored else ""
    released = f", of release {one.release}" if one.release else ""
    return f"{one.number:,}, by {one.kind}{equals}{released}"


def _shown(
    asset: Asset,
    summary: DatasetSummary | None,
    version: Version | None,
    current: Sequence[Current],
    made_from: list[str],
    makes: list[str],
    name_taken: bool,
) -> list[RenderableType]:
    rows = [one.row_count for one in current if one.row_count is not None]
    partitions = sorted(one.partition for one in current if one.partition is not None)
    about = {
        "key": asset.key,
        "type": asset.type.lower().replace("_", " "),
        "description": asset.description,
        "publish": summary.publish_policy if summary else None,
        "version": (_version(version) if version else "nothing published yet") if summary else None,
        "why": version.reason if version else None,
        "partitions": f"{len(partitions):,}, from {partitions[0]} to {partitions[-1]}" if partitions else None,
        "rows": sum(rows) if rows else asset.metadata.get("row_estimate"),
        "materializations": summary.materializations if summary else None,
        "closed since": asset.closed_at,
        "its name": NAME_TAKEN if name_taken else None,
        "made from": ", ".join(made_from),
        "makes": ", ".join(makes),
    }
    shown: list[RenderableType] = [facts(short_name(asset.key), about)]
    if asset.fields:
        columns = ("column", "type", "nullable", "comment")
        cells = ((one.name, one.type, one.nullable, one.metadata.get("comment")) for one in asset.fields)
        shown += ["", table("Columns", columns, cells)]
    return shown
