"""`impact`: what breaks if a thing goes."""

from rich.console import RenderableType

from identity.keys import short_name
from metadata_assets.cli.column_lineage import column_meant, show_column_impact
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import facts, table
from metadata_assets.cli.records import Document
from resources.impacts import Affected, Held, Impact


def show_impact(cli: Cli, name: str, *, limit: int) -> ExitCode:
    with cli.opened() as opened:
        column = column_meant(opened.store, name)
        if column is not None:
            entity = opened.store.entity(column.key.dataset)
            reached = opened.graph.column_lineage(entity, "down", column=column.id)
            return show_column_impact(cli, column, reached, limit=limit)
        found = opened.store.impact(opened.store.thing(name).entity, limit=limit)
    cli.show(described(found), *page(found))
    return ExitCode.OK


def described(found: Impact) -> Document:
    """The same as JSON."""
    return {
        **_affected(found.thing),
        "count": found.count,
        "made": [_affected(one) for one in found.made],
        "readers": [
            {
                "name": short_name(one.key),
                "key": one.key,
                "partitions": one.partitions,
                "read_at": one.read_at,
                "run": one.run_id,
                "job": one.job,
            }
            for one in found.readers
        ],
        "pins": [{**_held(one), "state": one.state, "created_by": one.by, "created_at": one.at} for one in found.pins],
        "releases": [{**_held(one), "actor": one.by, "released_at": one.at} for one in found.releases],
        "collections": [
            {"slug": one.slug, "title": one.name, "reference": str(one.reference), "key": one.key}
            for one in found.collections
        ],
        "cut": found.cut,
    }


def page(found: Impact) -> list[RenderableType]:
    """What people read: first how much, then what."""
    thing = found.thing
    published = sum(bool(one.version) for one in found.made)
    said = {
        "made from it": found.count,
        "of them published": published if len(found.made) == found.count else f"{published:,} of the first",
        "partitions really made from it": sum(one.partitions_made for one in found.made),
        "pins": len(found.pins),
        "releases": len(found.releases),
        "collections": len(found.collections),
        "its own version": thing.version,
    }
    human: list[RenderableType] = [facts(f"If {short_name(thing.key)} goes", said)]
    if found.made:
        columns = ("dataset", "type", "steps", "version", "partitions", "made from it", "published")
        rows = (
            (
                short_name(one.key),
                one.type.lower().replace("_", " "),
                one.steps,
                one.version or None,
                one.partitions,
                one.partitions_made,
                one.published_at,
            )
            for one in found.made
        )
        human += ["", table("Made from it", columns, rows)]
    if found.readers:
        read = ((short_name(one.key), one.partitions, one.read_at, one.run_id, one.job) for one in found.readers)
        human += ["", table("Read by what is published", ("dataset", "partitions", "last", "run", "job"), read)]
    for title, held in (("Pins", found.pins), ("Releases that are published", found.releases)):
        if held:
            kept = ((one.name, short_name(one.key), one.version, one.state, one.by, one.at) for one in held)
            human += ["", table(title, ("name", "dataset", "version", "state", "by", "since"), kept)]
    if found.collections:
        items = ((one.slug, one.name, short_name(one.key), str(one.reference)) for one in found.collections)
        human += ["", table("Collections", ("slug", "title", "has", "as"), items)]
    if not found.count:
        human += ["", "nothing is made from it"]
    if found.cut:
        human += ["", f"there is more than what is told of: {', '.join(found.cut)}"]
    return human


def _affected(one: Affected) -> Document:
    return {
        "name": short_name(one.key),
        "key": one.key,
        "type": one.type,
        "steps": one.steps,
        "version": one.version,
        "published_at": one.published_at,
        "partitions": one.partitions,
        "partitions_made": one.partitions_made,
    }


def _held(one: Held) -> Document:
    return {
        "pin" if one.state else "release": one.name,
        "name": short_name(one.key),
        "key": one.key,
        "version": one.version,
    }
