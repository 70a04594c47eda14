"""`identity show`, `rename`, `move`, `merge` and `unmerge`: what things are called and were called."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from rich.console import RenderableType

from identity.errors import InvalidKey, MetadataError, shown
from identity.ids import Entity
from identity.keys import CanonicalKey, ColumnKey, short_name
from metadata_assets.cli import records
from metadata_assets.cli.catalog import NAME_TAKEN
from metadata_assets.cli.columns import column_as_written, names_column, show_column
from metadata_assets.cli.context import Cli, Opened, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.moments import moment
from metadata_assets.cli.naming import NotAThing, Places, is_key, key_as_written, key_to_rename, thing_called
from metadata_assets.cli.output import facts, printable, table
from resources.metadata.assets import UnknownKey, is_id
from resources.metadata.endpoint_aliases import provisional_slug
from resources.metadata.legacy_names import legacy_key
from resources.metadata_store import MetadataStore
from resources.models import Alias, Renamed


class UnpairedName(MetadataError):
    """{name} has no new name; write them in pairs: OLD NEW OLD NEW"""

    name: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class RenamedTwice(MetadataError):
    """{name} is renamed twice in one call; give it one new name"""

    name: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NotMerged(MetadataError):
    """no merge that is in force took the name {name}; `metadata-assets identity show {holder}` lists merges"""

    name: str
    holder: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


def show_names(cli: Cli, name: str, *, as_of: str | None) -> ExitCode:
    at = None if as_of is None else moment(as_of)
    with cli.opened() as opened:
        store = opened.store
        if names_column(name):
            written = column_as_written(store, name)
            if isinstance(written, ColumnKey):
                if at is not None:
                    fix = "leave --as-of out: it is told with the names that it had"
                    raise NotAThing(name=shown(name), what="a column", fix=fix)
                return show_column(cli, store.column(written), written)
        asked = CanonicalKey.parse(name) if is_key(name) else key_as_written(store, store.thing(name), name)
        entity = store.thing(name).entity if at is None else store.entity_at(asked, at)
        present, closed = store.presence(entity)
        similar = store.suggestions(present) if at is None else []
        every = store.aliases_of(entity)
    names = [one for one in every if at is None or _held(one, at)]
    taken = not any(one.kind == "primary" and one.valid_to is None for one in every)
    answer = {
        "name": short_name(present),
        "key": present,
        "id": entity.id,
        "asked": asked,
        "as_of": at,
        "closed_at": closed,
        "name_taken": taken,
        "names": [records.alias(one) for one in names],
        "similar": similar,
    }
    cli.show(answer, _about(entity, present, asked, at, closed, taken), "", _names(names), *_similar(similar))
    return ExitCode.OK


def _held(one: Alias, at: datetime) -> bool:
    return one.valid_from <= at and (one.valid_to is None or one.valid_to > at)


def _about(
    entity: Entity,
    present: CanonicalKey,
    asked: CanonicalKey,
    at: datetime | None,
    closed: datetime | None,
    name_taken: bool,
) -> RenderableType:
    then = {f"was {short_name(asked)}": at} if at else {}
    gone = {"closed since": closed, "its name": NAME_TAKEN if name_taken else None}
    return facts(short_name(present), {"key": present, "id": entity.id, **then, **gone})


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
        places = Places(opened.store)
        for old, new in pairs:
            was = key_to_rename(opened.store, old)
            if was in batch:
                raise RenamedTwice(name=shown(old))
            batch[was] = places.new_key(was, new)
        return _rename(cli, opened, batch, reason=reason, dry_run=dry_run)


def move(cli: Cli, names: Sequence[str], to: str, *, reason: str | None, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        keys = [key_to_rename(opened.store, name) for name in names]
        places = Places(opened.store)
        batch = {key: places.moved_key(key, to) for key in keys}
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
        things = [thing_called(opened.store, name).entity for name in (loser, winner)]
        done = opened.store.merge(*things, reason=reason)
    gone, stays = (thing.key for thing in things)
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
    """A merge by its id, by an id of what it closed, or by a name that it took from that; and that name."""
    if is_id(which):
        merge = store.merge_of(UUID(which))
        if merge is not None:
            return merge, None
    try:
        thing = store.thing(which)
    except UnknownKey:
        if not is_id(which):
            raise
        return UUID(which), None  # the store says that no such merge is in force
    written = key_as_written(store, thing, which)
    merge = store.merge_of(written) or _merge_of_legacy(store, which)
    if merge is None:
        raise NotMerged(name=short_name(written), holder=short_name(thing.entity.key))
    return merge, short_name(written)


def _merge_of_legacy(store: MetadataStore, which: str) -> UUID | None:
    """The merge that took an id of an earlier catalog from what it closed."""
    try:
        return store.merge_of(legacy_key(which))
    except InvalidKey:
        return None
