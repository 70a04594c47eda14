"""Lineage events: what other tools say that ran, and what it read and wrote. In any order, as often as one likes."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Jsonb

from identity.ids import Entity, sha256_of
from identity.keys import CanonicalKey, Kind, key_text, short_name
from resources.lineage_records import Facet, LineageEvent, MaterializedColumns, RecordedLineage, RefusedEvent
from resources.metadata.assets import registered
from resources.metadata.event_columns import (
    MATERIALIZED,
    MATERIALIZED_LINEAGE,
    MATERIALIZED_SCHEMA,
    bring_facets,
    column_words,
)
from resources.metadata.noun import Noun
from resources.metadata.resolution import hold_names, writable
from resources.metadata.runs import attempt_item, run_item
from resources.metadata.told_columns import with_names
from resources.models import Asset, AssetType
from resources.postgres.session import Row, Session

EVENTS: Final = "openlineage"
"""The producer of edges that events told, and the source of runs that they told."""

_RECORD = """
SELECT * FROM metadata.record_lineage(
  %(producer)s, %(jobs)s, %(attempts)s, %(datasets)s, %(facets)s, %(links)s)
"""
# Of which datasets materializations said where columns come from.
_NOTED = f"""
SELECT h.key FROM metadata.holders_of(%(keys)s) h
WHERE EXISTS (SELECT 1 FROM metadata.column_word w
  WHERE w.tenant_id = %(tenant)s AND w.asset_id = h.entity_id AND w.producer = '{MATERIALIZED}')
"""
_REFUSE = "SELECT metadata.refuse_events(%(events)s) AS written"
_ACCEPT = "SELECT metadata.accept_events(%(digests)s) AS written"
_REFUSED = """
SELECT refused_id AS id, place, text, characters, sha256, error, reason, tries, first_at, last_at
FROM metadata.refused_event WHERE tenant_id = %(tenant)s AND accepted_at IS NULL
ORDER BY last_at DESC, refused_id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class LineageEvents(Noun):
    """Record lineage events, and keep those that could not be read."""

    def record_events(self, events: Sequence[LineageEvent]) -> RecordedLineage:
        """Record what events say; one transaction, and as many statements for a thousand as for one.

        Events come in any order, as often and in as many batches as one likes: the rows are the same, and what says
        nothing new writes nothing. Nothing is ever closed but columns and edges between columns that a newer word of
        the same job lacks: an event is a look at one run and never at everything.
        """
        return with_names(self.sessions, lambda session, held: _record(session, events, names_held=held))

    def record_materialized_columns(self, told: Sequence[MaterializedColumns]) -> int:
        """Record what materializations said of columns; how many edges between columns that wrote.

        Of each dataset the newest word counts, in whatever order they come: one without origins takes back what was
        said, and is nothing where nothing was. Datasets that nobody registered are left out, and nothing is registered.
        """
        return with_names(self.sessions, lambda session, held: _record_materialized(session, told, names_held=held))

    def refuse_events(self, refused: Iterable[RefusedEvent]) -> int:
        """Keep events that could not be read, with the reason; how many that wrote.

        It writes none that was refused for the same reason within a day.
        """
        rows = [
            {
                "sha256": one.sha256.hex(),
                "place": one.place,
                "text": one.text,
                "characters": one.characters,
                "error": one.error,
                "reason": one.reason,
            }
            for one in refused
        ]
        (row,) = self.sessions.call(_REFUSE, {"events": Jsonb(rows)})
        written: int = row["written"]
        return written

    def refused_events(self, *, limit: int = 100) -> list[RefusedEvent]:
        """The events that wait for being read, those that were tried last first."""
        given = {"tenant": self.tenant.value, "limit": limit}
        return [RefusedEvent(**row) for row in self.sessions.call(_REFUSED, given)]

    def accept_events(self, digests: Collection[bytes]) -> int:
        """Say that refused events were read by now; how many."""
        (row,) = self.sessions.call(_ACCEPT, {"digests": sorted(digests)})
        written: int = row["written"]
        return written


def _record(session: Session, events: Sequence[LineageEvent], *, names_held: bool) -> RecordedLineage:
    written, entities = _registered(session, {key for event in events for key in _keys(event)})
    parameters = {
        "producer": EVENTS,
        "jobs": Jsonb([run_item(event.run) for event in events if event.run is not None]),
        "attempts": Jsonb([attempt_item(event.attempt) for event in events if event.attempt is not None]),
        "datasets": Jsonb([row for event in events for row in _datasets(event, entities)]),
        "facets": Jsonb([_facet(event, one, entities) for event in events for one in event.facets]),
        "links": Jsonb([row for event in events if event.run is None for row in _links(event, entities)]),
    }
    (row,) = session.rows(_RECORD, parameters)
    described = {one.asset for event in events for one in event.facets if (one.fields, one.origins) != (None, None)}
    assets = {entities[key].id.value for key in described if key is not None}
    columns, column_edges = bring_facets(session, assets, producer=EVENTS, names_held=names_held)
    cut = sum(one.is_cut for event in events for one in event.facets)
    return RecordedLineage(assets=written, columns=columns, column_edges=column_edges, cut=cut, **row)


def _record_materialized(session: Session, told: Sequence[MaterializedColumns], *, names_held: bool) -> int:
    silent = {one.dataset for one in told if not one.origins} - {one.dataset for one in told if one.origins}
    if silent:
        rows = session.rows(_NOTED, {"tenant": session.tenant_value, "keys": [*map(key_text, sorted(silent))]})
        silent -= {CanonicalKey.parse(row["key"]) for row in rows}
        told = [one for one in told if one.dataset not in silent]
    if not told:
        return 0
    entities = writable(session, {one.dataset for one in told})
    events = [
        LineageEvent(at=one.at, facets=tuple(_materialized_facets(one))) for one in told if one.dataset in entities
    ]
    facets = [_facet(event, one, entities) for event in events for one in event.facets]
    nothing = Jsonb([])
    given = {"jobs": nothing, "attempts": nothing, "datasets": nothing, "links": nothing}
    session.rows(_RECORD, {**given, "producer": MATERIALIZED, "facets": Jsonb(facets)})
    assets = {entity.id.value for entity in entities.values()}
    _columns, edges = bring_facets(session, assets, producer=MATERIALIZED, names_held=names_held)
    return edges


def _materialized_facets(one: MaterializedColumns) -> Iterator[Facet]:
    """Both are of one materialization: one that does not say of which types its columns are takes that back."""
    for name, fields, origins in (
        (MATERIALIZED_SCHEMA, one.fields or (), None),
        (MATERIALIZED_LINEAGE, None, one.origins),
    ):
        yield Facet(
            about="dataset",
            name=name,
            document={},
            sha256=sha256_of(name, one.text),
            asset=one.dataset,
            fields=fields,
            origins=origins,
        )


def _keys(event: LineageEvent) -> set[CanonicalKey]:
    own = {event.job} if event.job is not None else set()
    return own | {*event.inputs, *event.outputs, *event.others}


def _registered(session: Session, keys: Collection[CanonicalKey]) -> tuple[int, Mapping[CanonicalKey, Entity]]:
    """The entity of each key, all of them there. An old and a new name of one thing may meet in a batch."""
    hold_names(session, exclusive=False)
    known = writable(session, keys)
    first: dict[Entity | CanonicalKey, CanonicalKey] = {}
    for key in sorted(keys):
        first.setdefault(_thing(key, known), key)
    assets = [Asset(key=key, type=_TYPES.get(key.kind, AssetType.DATASET)) for key in first.values()]
    written, entities = registered(session, assets)
    return written, {key: entities[first[_thing(key, known)]] for key in keys}


_TYPES: Final = {Kind.JOB: AssetType.JOB, Kind.DASHBOARD: AssetType.DASHBOARD}


def _thing(key: CanonicalKey, known: Mapping[CanonicalKey, Entity]) -> Any:
    return known[key].id if key in known else key


def scope_of(job: CanonicalKey) -> str:
    """The scope of the edges that runs of a job told."""
    return short_name(job)


def _datasets(event: LineageEvent, entities: Mapping[CanonicalKey, Entity]) -> list[Row]:
    if event.run is None or event.job is None:
        return []
    job, scope = str(entities[event.job].id), scope_of(event.job)
    return [
        {"run_id": event.run.run_id, "job": job, "role": role, "asset_id": str(entities[key].id), "scope": scope}
        for role, keys in (("input", event.inputs), ("output", event.outputs))
        for key in keys
    ]


def _links(event: LineageEvent, entities: Mapping[CanonicalKey, Entity]) -> list[Row]:
    if event.job is None:
        return []
    return [
        {"source": str(entities[output].id), "target": str(entities[read].id), "scope": scope_of(event.job)}
        for output in event.outputs
        for read in event.inputs
    ]


def _facet(event: LineageEvent, one: Facet, entities: Mapping[CanonicalKey, Entity]) -> Row:
    in_run = one.about in ("run", "input", "output")
    said_by = entities[event.job] if one.about == "dataset" and event.job is not None else None
    return {
        "about": one.about,
        "asset_id": None if one.asset is None else str(entities[one.asset].id),
        "run_id": event.run.run_id if in_run and event.run is not None else None,
        "said_by": None if said_by is None else str(said_by.id),
        "name": one.name,
        "as_of": event.at.isoformat(),
        "sha256": one.sha256.hex(),
        "document": dict(one.document),
        "columns": column_words(one),
    }
