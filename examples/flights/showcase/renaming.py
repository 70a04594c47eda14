"""Act e: a source table is renamed between two collections, and everything known of it stays with it.

While it has the other name a day is materialized from it by the project's files, which say the old one.
"""

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
from metadata_assets.collection.scope import Scope
from resources.metadata.plans import Collected
from resources.postgres.engine import libpq
from showcase.promises import Promise, few
from showcase.runs import Ran, execute
from showcase.stage import WEATHER, Stage

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
class Made:
    """What is published of a day that is made from the table, and what that was made from: keys as they are now."""

    version: int
    data: str | None
    inputs: frozenset[CanonicalKey]
    upstream: frozenset[CanonicalKey]

    def without_names(self) -> tuple[str | None, int, int]:
        """What a rename must not change: the data, and how many things they and their lineage are made from."""
        return self.data, len(self.inputs), len(self.upstream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """What was known before, while the table had another name, by both of its names then, and afterwards.

    `ran` made a day while the table had another name; `made` is that day before, then, and afterwards.
    """

    before: Known
    renamed: Collected
    meanwhile: Known
    by_old_name: Known
    day: str
    ran: Ran
    made: tuple[Made, Made, Made]
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
            "read_meanwhile": {
                "dataset": short_name(WEATHER),
                "partition": self.day,
                "run_id": self.ran.run_id,
                "reason": self.ran.reason,
                "versions": [one.version for one in self.made],
                "inputs": [sorted(map(short_name, one.inputs)) for one in self.made],
            },
        }


def rename_and_back(stage: Stage, day: str) -> Renaming:
    """Rename a table of a source, collect, look, make a day from it; rename it back, collect, look."""
    stage.title(f"e) {AIRPORT}/public/{NAME} is renamed in its database, collected, and read")
    with _connected(stage) as connection:
        _rename(connection, OTHER_NAME, NAME)  # a demo that was killed may have left it so
        _collect(stage)
        before, made_before = _known(stage, NAME), _made(stage, day)
        _rename(connection, NAME, OTHER_NAME)
        try:
            renamed = _collect(stage)
            meanwhile, by_old_name = _known(stage, OTHER_NAME), _known(stage, NAME)
            ran = execute(stage, day, [WEATHER])
            made_meanwhile = _made(stage, day)
        finally:
            _rename(connection, OTHER_NAME, NAME)
        restored = _collect(stage)
    found = Renaming(
        before=before,
        renamed=renamed,
        meanwhile=meanwhile,
        by_old_name=by_old_name,
        day=day,
        ran=ran,
        made=(made_before, made_meanwhile, _made(stage, day)),
        restored=restored,
        after=_known(stage, NAME),
    )
    _tell(stage, found)
    return found


def promises(found: Renaming) -> list[Promise]:
    """A rename loses nothing and makes nothing new."""
    wrong, unread = problems(found), reading_problems(found)
    version = found.made[1].version
    return [
        Promise(
            name="rename_keeps_identity",
            promise="a table that is renamed in its source keeps its id, columns and lineage",
            evidence=few(wrong)
            or f"{short_name(found.before.key)} was {found.meanwhile.key.table}, under one id: "
            f"{len(found.before.columns)} columns, {len(found.before.downstream)} datasets made from it",
            held=not wrong,
        ),
        Promise(
            name="renamed_source_is_read",
            promise="what the project's files call by its old name is read by its new one, and recorded so",
            evidence=few(unread)
            or f"{short_name(WEATHER)} {found.day}, version {version}, is made from {short_name(found.meanwhile.key)}; "
            "the same data as before",
            held=not unread,
        ),
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


def reading_problems(found: Renaming) -> Sequence[str]:
    """What the run between the renames did otherwise than one before them; pure."""
    if not found.ran.success:
        return [f"the run failed: {found.ran.reason}"]
    before, meanwhile, after = found.made
    old, new = found.before.key, found.meanwhile.key
    wrong = []
    if meanwhile.without_names() != before.without_names() or after.without_names() != before.without_names():
        wrong.append("other data, inputs or lineage than before")
    if (meanwhile.version, after.version) != (before.version + 1, before.version + 1):
        wrong.append(f"versions {before.version}, {meanwhile.version}, {after.version}: not one more")
    for what, was, is_now, again in (
        ("record", before.inputs, meanwhile.inputs, after.inputs),
        ("lineage", before.upstream, meanwhile.upstream, after.upstream),
    ):
        if old not in was or is_now != was - {old} | {new}:
            wrong.append(f"the {what} does not say the present name")
        if again != was:
            wrong.append(f"the {what} does not follow the name back")
    return wrong


def _made(stage: Stage, day: str) -> Made:
    (version,) = stage.store.versions(WEATHER, limit=1) or (None,)
    found = stage.store.current(WEATHER, [day])
    inputs = [one.key for each in found for one in stage.store.inputs(each.materialization_id)]
    lineage = stage.graph.lineage(stage.store.entity(WEATHER), "up")
    return Made(
        version=version.number if version else 0,
        data=found[0].data_version if found else None,
        inputs=frozenset(inputs),
        upstream=frozenset(lineage.nodes) - {lineage.start},
    )


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
    scope = Scope.of(endpoint.collect.schemas)
    return collect_endpoint(stage.store, endpoint.location, stage.metadata.databases(), scope=scope)


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
    reads = [
        (moment, one.version, few([short_name(key) for key in sorted(one.inputs) if key.endpoint == AIRPORT]), one.data)
        for moment, one in zip(("before", "made while it was renamed", "renamed back"), found.made, strict=True)
    ]
    title = f"{short_name(WEATHER)} of {found.day}, made by files that say {short_name(found.before.key)}"
    stage.show(table(title, ("when", "version", f"is made from, of {AIRPORT}", "data"), reads))
    if not found.ran.success:
        stage.say(f"the run failed: {found.ran.reason}", style="red")
    stage.say(f"its names, and from when to when: metadata-assets identity show {short_name(found.after.key)}")
