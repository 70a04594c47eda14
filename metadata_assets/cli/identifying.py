"""`identity show`, `rename`, `move`, `merge` and `unmerge`: what things are called and were called."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

from rich.console import RenderableType

from identity.errors import MetadataError, shown
from identity.ids import Entity
from identity.keys import CanonicalKey, ColumnKey, short_name
from metadata_assets.cli import records
from metadata_assets.cli.columns import column_as_written, names_column, show_column
from metadata_assets.cli.context import Cli, Opened, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.naming import key_as_written, moved_key, new_key
from metadata_assets.cli.output import facts, printable, table
from resources.metadata.endpoint_aliases import provisional_slug
from resources.metadata_store import MetadataStore
from resources.models import Alias, Renamed


class NotAMoment(MetadataError):
    """{text} is not a time; write it like 2026-03-01 or 2026-03-01T12:00:00+00:00"""

    text: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class UnpairedName(MetadataError):
    """{name} has no new name; write them in pairs: OLD NEW OLD NEW"""

    name: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class RenamedTwice(MetadataError):
    """{name} is renamed twice in one call; give it one new name"""

    name: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NotMerged(MetadataError):
    """no merge gave the name {name} to {holder}; `metadata-assets identity show {holder}` lists its merges"""

    name: str
    holder: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


def show_names(cli: Cli, name: str, *, as_of: str | None) -> ExitCode:
    at = None if as_of is None else moment(as_of)
    with cli.opened() as opened:
        store = opened.store
        if at is None and names_column(name):
            written = column_as_written(store, name)
            if isinstance(written, ColumnKey):
                return show_column(cli, store.column(written), written)
        asked = key_as_written(store, name)
        entity = store.entity(store.resolve(str(asked))) if at is None else store.entity_at(asked, at)
        present, closed = store.presence(entity)
        similar = store.suggestions(present) if at is None else []
        names = [one for one in store.aliases_of(entity) if at is None or _held(one, at)]
    answer = {
        "name": short_name(present),
        "key": present,
        "id": entity.id,
        "asked": asked,
        "as_of": at,
        "closed_at": closed,
        "names": [records.alias(one) for one in names],
        "similar": similar,
    }
    cli.show(answer, _about(entity, present, asked, at, closed), "", _names(names), *_similar(similar))
    return ExitCode.OK


def moment(text: str) -> datetime:
    """A time as people write it; without a zone it is in UTC. Raises NotAMoment."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise NotAMoment(text=shown(text)) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _held(one: Alias, at: datetime) -> bool:
    return one.valid_from <= at and (one.valid_to is None or one.valid_to > at)


def _about(
    entity: Entity, present: CanonicalKey, asked: CanonicalKey, at: datetime | None, closed: datetime | None
) -> RenderableType:
    then = {f"was {short_name(asked)}": at} if at else {}
    return facts(short_name(present), {"key": present, "id": entity.id, **then, "closed since": closed})


def _similar(found: Sequence[CanonicalKey]) -> Sequence[RenderableType]:
    names = ", ".join(printable(short_name(one)) for one in found)
    return ["", f"Similar names, of other things: {names}"] if found else []


def _names(names: Sequence[Alias]) -> RenderableType:
    columns = ("name", "kind", "from", "to", "by", "why", "change")
    cells = (
        (short_name(one.key), _kind(one), one.valid_from, one.valid_to, one.actor, one.reason, one.batch)
        for one in names
    )
    return table("Names", columns, cells)


def _kind(one: Alias) -> str:
    return "own name" if one.kind == "primary" else one.kind


def register(cli: Cli, where: str, endpoint: str, *, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        store = opened.store
        slug = provisional_slug(where, store.registered_endpoint(endpoint))
        is_new = store.register_endpoint_as(slug, endpoint, reason=reason)
    would = "would be" if dry_run else "is"
    told = (
        f"{slug} {would} {endpoint} from now on, with every key below it" if is_new else f"{slug} is {endpoint} already"
    )
    cli.show({"dry_run": dry_run, "slug": slug, "endpoint": endpoint, "is_new": is_new}, told)
    return ExitCode.OK


def unregister(cli: Cli, slug: str, *, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        endpoint = opened.store.unregister_endpoint_as(slug, reason=reason)
    would = "would be" if dry_run else "is"
    told = f"{slug} {would} no longer {endpoint}: keys below the two are two again"
    cli.show({"dry_run": dry_run, "slug": slug, "endpoint": endpoint}, told)
    return ExitCode.OK


def rename(cli: Cli, names: Sequence[str], *, reason: str | None, dry_run: bool) -> ExitCode:
    pairs = list(zip(names[::2], names[1::2], strict=False))
    if len(names) % 2:
        raise UnpairedName(name=shown(names[-1]))
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        batch: dict[CanonicalKey, CanonicalKey] = {}
        for old, new in pairs:
            was = key_as_written(opened.store, old)
            if was in batch:
                raise RenamedTwice(name=shown(old))
            batch[was] = new_key(opened.store, was, new)
        return _rename(cli, opened, batch, reason=reason, dry_run=dry_run)


def move(cli: Cli, names: Sequence[str], to: str, *, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        keys = [key_as_written(opened.store, name) for name in names]
        batch = {key: moved_key(opened.store, key, to) for key in keys}
        return _rename(cli, opened, batch, reason=reason, dry_run=dry_run)


def _rename(
    cli: Cli, opened: Opened, batch: Mapping[CanonicalKey, CanonicalKey], *, reason: str | None, dry_run: bool
) -> ExitCode:
    done = opened.store.rename(batch, reason=reason)
    answer = {"dry_run": dry_run, "renamed": [records.renamed(one) for one in done]}
    cli.show(answer, _renamed(done, dry_run))
    return ExitCode.OK


def _renamed(done: Sequence[Renamed], dry_run: bool) -> RenderableType:
    if not done:
        return "nothing to rename: all of it is called so already"
    title = "Would be renamed" if dry_run else "Renamed"
    return table(
        title, ("was", "is now", "id"), ((short_name(one.was), short_name(one.now), one.entity) for one in done)
    )


def merge(cli: Cli, loser: str, winner: str, *, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        gone, stays = opened.store.resolve(loser), opened.store.resolve(winner)
        done = opened.store.merge(opened.store.entity(gone), opened.store.entity(stays), reason=reason)
    answer = {"dry_run": dry_run, "merge": None if dry_run else done, "loser": gone, "winner": stays}
    told = f"{printable(short_name(gone))} {'would be' if dry_run else 'is'} {printable(short_name(stays))} from now on"
    cli.show(answer, told if dry_run else f"{told}; take it back with: metadata-assets identity unmerge {done}")
    return ExitCode.OK


def unmerge(cli: Cli, which: str, *, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        merge, name = _merge(opened.store, which)
        back = opened.store.unmerge(merge, reason=reason)
    cli.show(
        {"dry_run": dry_run, "merge": merge, "id": back, "name": name},
        f"{printable(name or back)} {'would be' if dry_run else 'is'} a thing of its own again",
    )
    return ExitCode.OK


def _merge(store: MetadataStore, which: str) -> tuple[UUID, str | None]:
    """A merge by its id, or by a name that it gave to its winner, and that name."""
    try:
        return UUID(which), None
    except ValueError:
        written = key_as_written(store, which)
    present = store.resolve(str(written))
    names = store.aliases_of(present)
    for one in names:
        if one.key == written and one.kind != "primary" and one.valid_to is None and one.batch is not None:
            return one.batch, short_name(written)
    raise NotMerged(name=short_name(written), holder=short_name(present))
