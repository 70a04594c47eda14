"""Act e: a source table is renamed between two collections, and everything known of it stays with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from identity.keys import CanonicalKey, short_name
from metadata_assets import dataset_key
from metadata_assets.cli.output import table
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.collection.schemas import Schemas
from resources.metadata.catalogs import Collected
from resources.postgres.engine import libpq
from showcase.promises import Promise, few
from showcase.stage import Stage

AIRPORT: Final = "jfk"
NAME: Final = "weather"
OTHER_NAME: Final = "weather_of_the_airport"

_IS_THERE: Final = "SELECT to_regclass(%s) IS NOT NULL"
_RENAME: Final = "ALTER TABLE public.{was} RENAME TO {now}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known under a name at one moment: whose it is, and what hangs on it. `key` is the present one."""

    key: CanonicalKey
    id: str
    columns: tuple[str, ...]
    downstream: frozenset[CanonicalKey]
    """What is made from it, itself left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """What was known before, while the table had another name, by both of its names then, and afterwards."""

    before: Known
    renamed: Collected
    meanwhile: Known
    by_old_name: Known
    restored: Collected
    after: Known

    @property
    def document(self) -> dict[str, object]:
        return {
            "was": short_name(self.before.key),
            "now": short_name(self.meanwhile.key),
            "id": self.before.id,
            "ids": sorted({one.id for one in (self.before, self.meanwhile, self.by_old_name, self.after)}),
            "new_things": self.renamed.assets.new + self.restored.assets.new,
            "columns": len(self.meanwhile.columns),
            "downstream": sorted(map(short_name, self.meanwhile.downstream)),
        }


def rename_and_back(stage: Stage) -> Renaming:
    """Rename a table of a source, collect, look; rename it back, collect, look."""
    stage.title(f"e) {AIRPORT}/public/{NAME} is renamed in its database, and collected")
    with _connected(stage) as connection:
        _rename(connection, OTHER_NAME, NAME)  # a demo that was killed may have left it so
        _collect(stage)
        before = _known(stage, NAME)
        _rename(connection, NAME, OTHER_NAME)
        try:
            renamed = _collect(stage)
            meanwhile, by_old_name = _known(stage, OTHER_NAME), _known(stage, NAME)
        finally:
            _rename(connection, OTHER_NAME, NAME)
        restored = _collect(stage)
    found = Renaming(
        before=before,
        renamed=renamed,
        meanwhile=meanwhile,
        by_old_name=by_old_name,
        restored=restored,
        after=_known(stage, NAME),
    )
    _tell(stage, found)
    return found


def promises(found: Renaming) -> list[Promise]:
    """A rename loses nothing and makes nothing new."""
    wrong = problems(found)
    return [
        Promise(
            name="rename_keeps_identity",
            promise="a table that is renamed in its source keeps its id, columns and lineage",
            evidence=few(wrong)
            or f"{short_name(found.before.key)} was {found.meanwhile.key.table}, under one id: "
            f"{len(found.before.columns)} columns, {len(found.before.downstream)} datasets made from it",
            held=not wrong,
        )
    ]


def problems(found: Renaming) -> Sequence[str]:
    """What a rename changed that it must not; pure."""
    looks = {"under its new name": found.meanwhile, "under its old name": found.by_old_name, "afterwards": found.after}
    wrong = [f"another thing {when}" for when, one in looks.items() if one.id != found.before.id]
    wrong += [f"other columns {when}" for when, one in looks.items() if one.columns != found.before.columns]
    wrong += [f"other lineage {when}" for when, one in looks.items() if one.downstream != found.before.downstream]
    if (found.meanwhile.key.table, found.by_old_name.key.table, found.after.key.table) != (
        OTHER_NAME,
        OTHER_NAME,
        NAME,
    ):
        wrong.append("the names are not those of the source")
    if found.renamed.assets.new or found.restored.assets.new:
        wrong.append("a rename made something new")
    if not found.before.downstream:
        wrong.append("nothing is made from it: there was nothing to lose")
    return wrong


def _known(stage: Stage, name: str) -> Known:
    key = dataset_key(AIRPORT, source=stage.metadata.location(AIRPORT).database, schema="public", table=name)
    asset, entity = stage.store.asset(key), stage.store.entity(key)
    lineage = stage.graph.lineage(entity, "down")
    return Known(
        key=asset.key,
        id=str(entity.id),
        columns=tuple(one.name for one in asset.fields or ()),
        downstream=frozenset(lineage.nodes) - {lineage.start},
    )


def _collect(stage: Stage) -> Collected:
    endpoint = stage.project.endpoints[AIRPORT]
    assert endpoint.collect is not None
    schemas = Schemas.of(endpoint.collect.schemas)
    return collect_endpoint(stage.store, endpoint.location, stage.metadata.databases(), schemas=schemas)


@contextmanager
def _connected(stage: Stage) -> Iterator[psycopg.Connection]:
    url = stage.metadata.location(AIRPORT).database_url(stage.metadata.databases())
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        yield connection


def _rename(connection: psycopg.Connection, was: str, now: str) -> None:
    """Rename a table, if it is there by that name."""
    there = connection.execute(_IS_THERE, [f"public.{was}"]).fetchone()
    if there and there[0]:
        connection.execute(sql.SQL(_RENAME).format(was=sql.Identifier(was), now=sql.Identifier(now)))


def _tell(stage: Stage, found: Renaming) -> None:
    rows = [
        (moment, short_name(one.key), one.id, len(one.columns), len(one.downstream))
        for moment, one in (
            ("before", found.before),
            ("renamed", found.meanwhile),
            ("asked for by its old name", found.by_old_name),
            ("renamed back", found.after),
        )
    ]
    stage.show(table("One table", ("when", "is called", "id", "columns", "made from it"), rows))
    stage.say(f"its names, and from when to when: metadata-assets identity show {short_name(found.after.key)}")
