"""Act a: the catalogs of three systems with the same table names, collected twice, and the asset graph mirrored."""

from collections.abc import Sequence
from dataclasses import dataclass

from metadata_assets.cli.output import table
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.collection.scope import Scope
from metadata_assets.mirror.lineage import Mirrored, mirror, snapshot
from metadata_assets.spec import ProjectEndpoint
from resources.metadata.plans import Collected
from showcase.promises import Promise, few
from showcase.stage import Stage

# Asked of the table itself: the stores would compute the ids that this is to compare.
_STORED = """
SELECT e.slug, a.name, a.qualified_name, a.asset_id, encode(a.key_sha256, 'hex') AS digest
FROM metadata.asset a JOIN metadata.endpoint e ON e.tenant_id = a.tenant_id AND e.endpoint_id = a.endpoint_id
WHERE a.tenant_id = %(tenant)s AND e.slug = ANY (%(slugs)s) AND a.deleted_at IS NULL
ORDER BY a.qualified_name
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An asset of a source as its row says."""

    endpoint: str
    table: str
    key: str
    id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogs:
    """Both collections of every endpoint, what is stored afterwards, and what was mirrored between them."""

    first: Sequence[Collected]
    again: Sequence[Collected]
    stored: Sequence[Stored]
    mirrored: Mirrored

    @property
    def document(self) -> list[dict[str, object]]:
        """One entry for each collection of each endpoint."""
        return [_entry(number, one) for number, found in enumerate((self.first, self.again), start=1) for one in found]


def collect(stage: Stage) -> Catalogs:
    """Collect, mirror the asset graph, collect again."""
    stage.title("a) The same table names on three systems are different tables")
    endpoints = [one for one in stage.project.endpoints.values() if one.collect is not None]
    first = [_collect(stage, one) for one in endpoints]
    graph = snapshot(stage.definitions.resolve_asset_graph())
    mirrored = mirror(stage.store, stage.graph, graph, code_location=stage.project.name)
    again = [_collect(stage, one) for one in endpoints]
    found = Catalogs(first=first, again=again, stored=_stored(stage, endpoints), mirrored=mirrored)
    _tell(stage, found)
    return found


def promises(stage: Stage, found: Catalogs) -> list[Promise]:
    """What the two collections show."""
    tables = {
        one.endpoint: tuple(row.table for row in found.stored if row.endpoint == one.endpoint) for one in found.first
    }
    gaps = [f"{gap.name}: {gap.reason}" for one in (*found.first, *found.again) for gap in one.gaps]
    ids, keys = {row.id for row in found.stored}, {row.key for row in found.stored}
    named_flights = {row.id for row in found.stored if row.table == "flights"}
    offline = {str(stage.store.entity(stage.store.resolve(row.key)).id) for row in found.stored}
    written = sum(one.rows_written for one in found.again)
    return [
        Promise(
            name="catalogs_collected",
            promise="the same tables are found on every endpoint",
            evidence=few(gaps)
            or f"{len(tables)} endpoints x {len(next(iter(tables.values()), ()))} tables and views, no gaps",
            held=not gaps and len(set(tables.values())) == 1 and len(tables) == 3 and bool(found.stored),
        ),
        Promise(
            name="identities_distinct",
            promise="every table has an identity of its own, which follows from its name alone",
            evidence=f"{len(keys)} keys, {len(ids)} ids, equal to those computed; {len(named_flights)} called flights",
            held=len(ids) == len(keys) == len(found.stored) and len(named_flights) == len(tables) and offline == ids,
        ),
        Promise(
            name="second_collection_writes_nothing",
            promise="collecting an unchanged source writes nothing",
            evidence=f"{written:,} rows written by the second collection",
            held=written == 0,
        ),
    ]


def _collect(stage: Stage, endpoint: ProjectEndpoint) -> Collected:
    assert endpoint.collect is not None
    scope = Scope.of(endpoint.collect.schemas)
    return collect_endpoint(stage.store, endpoint.location, stage.metadata.databases(), scope=scope)


def _stored(stage: Stage, endpoints: Sequence[ProjectEndpoint]) -> list[Stored]:
    with stage.store.session() as session:
        parameters = {"tenant": session.tenant_value, "slugs": [one.slug for one in endpoints]}
        rows = session.rows(_STORED, parameters)
    return [
        Stored(
            endpoint=row["slug"],
            table=row["name"],
            key=row["qualified_name"],
            id=str(row["asset_id"]),
            digest=row["digest"],
        )
        for row in rows
    ]


def _tell(stage: Stage, found: Catalogs) -> None:
    columns = ("endpoint", "tables and views", "identities", "columns", "rows written", "rows written again", "gaps")
    rows = [
        (
            one.endpoint,
            sum(row.endpoint == one.endpoint for row in found.stored),
            len({row.id for row in found.stored if row.endpoint == one.endpoint}),
            again.fields.unchanged or one.fields.new + one.fields.unchanged,
            one.rows_written,
            again.rows_written,
            len(one.gaps),
        )
        for one, again in zip(found.first, found.again, strict=True)
    ]
    stage.show(table("Collected", columns, rows))
    if not any(one.rows_written for one in found.first):
        stage.say("nothing was written the first time either: all of it had been collected before")
    stage.say()
    same_name = [(row.key, row.id) for row in found.stored if row.table == "flights"]
    stage.show(table("Three tables called public.flights", ("key", "id"), same_name))
    edges = found.mirrored.edges
    stage.say(
        f"the asset graph is mirrored: {found.mirrored.assets_written} assets written, "
        f"{edges.opened} edges opened, {edges.closed} closed"
    )


def _entry(number: int, one: Collected) -> dict[str, object]:
    return {
        "collection": number,
        "endpoint": one.endpoint,
        "assets": one.assets.new + one.assets.changed + one.assets.reopened + one.assets.unchanged,
        "rows_written": one.rows_written,
        "gaps": [{"name": gap.name, "reason": gap.reason} for gap in one.gaps],
        "fingerprint": one.fingerprint,
    }
