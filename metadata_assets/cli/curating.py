"""`collection` and `migrate identities`: curated lists of references."""

from collections.abc import Sequence
from typing import get_args

from rich.console import RenderableType

from identity.nodes import Reference
from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import facts, plain, printable, table
from metadata_assets.cli.referring import kind_of, one_of, reference, said
from resources.graph.collections import CollectionKind, CollectionSummary, MigratedCollection
from resources.graph.identities import Preview


def _summary(one: CollectionSummary) -> dict[str, object]:
    return {
        "slug": one.slug,
        "name": one.name,
        "kind": one.kind,
        "description": one.description,
        "items": one.items,
        "raw_keys": one.raw_keys,
        "version": one.version,
        "updated_at": plain(one.updated_at),
    }


def create(cli: Cli, slug: str, *, name: str | None, kind: str, description: str | None) -> ExitCode:
    chosen: CollectionKind = one_of(kind, get_args(CollectionKind), "kind")  # type: ignore[assignment]
    with cli.opened(actor=person()) as opened:
        made = opened.graph.create_collection(slug, name=name or slug, kind=chosen, description=description)
    cli.show(_summary(made), f"{made.slug} is there")
    return ExitCode.OK


def list_collections(cli: Cli) -> ExitCode:
    with cli.opened() as opened:
        found = opened.graph.collections()
    cells = ((one.slug, one.name, one.kind, one.items, one.updated_at) for one in found)
    listing = table("Collections", ("collection", "name", "kind", "items", "changed"), cells)
    cli.show([_summary(one) for one in found], listing if found else "no collections yet")
    return ExitCode.OK


def show(cli: Cli, slug: str, *, identities: bool) -> ExitCode:
    with cli.opened() as opened:
        summary = opened.graph.collection(slug)
        items = opened.graph.preview_collection(slug)
    broken = any(one.problem for one in items)
    cli.show(
        {**_summary(summary), "items": [_item(one, identities) for one in items]},
        facts(summary.name, {"kind": summary.kind, "description": summary.description, "items": summary.items}),
        "",
        _items(items, identities),
    )
    return ExitCode.PARTIAL if broken else ExitCode.OK


def _item(one: Preview, identities: bool) -> dict[str, object]:
    path = {"path": [str(each) for each in one.path]} if identities else {}
    return {
        "reference": str(one.reference),
        "key": str(one.node.key) if one.node else None,
        "name": said(one.node.key) if one.node else None,
        "type": one.node.type if one.node else None,
        "gone_since": plain(one.node.deleted_at) if one.node else None,
        "same_as": str(one.same_as) if one.same_as else None,
        "problem": str(one.problem) if one.problem else None,
        **path,
    }


def _items(items: Sequence[Preview], identities: bool) -> RenderableType:
    columns = ("item", "type", "problem") + (("by",) if identities else ())
    cells = []
    for one in items:
        name = said(one.node.key) if one.node else str(one.reference)
        kind = kind_of(one.node)
        if kind and one.same_as:
            kind += ", there already"
        by = (" → ".join(map(said, one.path[:-1])),) if identities else ()
        cells.append((name, kind, one.problem, *by))
    return table("Items", columns, cells)


def change(cli: Cli, slug: str, names: Sequence[str], *, there: bool) -> ExitCode:
    """Add items, or take them out."""
    with cli.opened(actor=person()) as opened:
        references = [reference(opened, name) for name in names]
        act = opened.graph.add_items if there else opened.graph.remove_items
        _tell(cli, slug, act(slug, references))
    return ExitCode.OK


def move(cli: Cli, slug: str, name: str, *, to: int) -> ExitCode:
    with cli.opened(actor=person()) as opened:
        _tell(cli, slug, opened.graph.move_item(slug, reference(opened, name), to - 1))
    return ExitCode.OK


def delete(cli: Cli, slug: str) -> ExitCode:
    with cli.opened(actor=person()) as opened:
        opened.graph.delete_collection(slug)
    cli.show({"deleted": slug}, f"{printable(slug)} is gone; what it referred to stays")
    return ExitCode.OK


def _tell(cli: Cli, slug: str, items: Sequence[Reference]) -> None:
    cli.show({"slug": slug, "items": [str(one) for one in items]}, f"{printable(slug)} has {len(items):,} items")


def migrate_identities(cli: Cli, *, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        done = opened.graph.migrate_collections(dry_run=dry_run)
        edges = opened.graph.refresh_reference_edges()
    answer = {
        "dry_run": dry_run,
        "collections": [_migrated(one) for one in done],
        "edges": {"opened": edges.opened, "closed": edges.closed},
    }
    wrapped = sum(len(one.wrapped) for one in done)
    told = f"{wrapped:,} keys in {len(done):,} collections {'would be' if dry_run else 'are'} references now"
    cli.show(answer, f"{told}; edges: {edges.opened:,} opened, {edges.closed:,} closed")
    return ExitCode.OK


def _migrated(one: MigratedCollection) -> dict[str, object]:
    wrapped = [{"key": str(key), "reference": str(node) if node else None} for key, node in one.wrapped.items()]
    return {"slug": one.slug, "wrapped": wrapped, "dropped": [str(each) for each in one.dropped]}
