"""Materializations and observations from Dagster's event log: those that no process has recorded itself.

External assets, observable ones, runs of before the project was adopted, ops that report an asset, processes that died
between event and record, runs while the store could not be reached. Whatever is recorded already stays as it is, so the
log may be read again and again, in any order.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import dagster as dg

from identity.errors import MetadataError
from identity.idempotency import Delivery, Intent
from identity.ids import Entity, child_id
from identity.keys import CanonicalKey
from metadata_assets._dagster import output_named
from metadata_assets.datasets import key_of, publish_policy_of
from metadata_assets.deliveries import DELIVERY_METADATA, kept
from metadata_assets.event_log import storage_of
from metadata_assets.intent import intent_of_run
from metadata_assets.mirror.asset_events import LoggedAsset, Page, asset_events_after, asset_events_in
from metadata_assets.mirror.materialized_columns import MALFORMED, record_noted_columns
from metadata_assets.mirror.runs import OVERLAP, PAGE, Position
from metadata_assets.noted import Noted
from metadata_assets.settling import MATERIALIZATION_METADATA
from resources.configurable import MetadataResource
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Staged

EVENT_METADATA: Final = "metadata_assets/event"
"""On a record that was made from the event log: the number of its event there, and whether it was an observation."""
_OUTPUT: Final = "event"
"""The output of what no op here yields."""
_NOT_THERE: Final = 4
_BEFORE_ALL: Final = -(2**62)
_SECONDS: Final = 20.0
_LEAVES_SECONDS: Final = 60.0
"""So long an event is left to the process that told of it and records it itself, with what it was made from."""
_PIECE: Final = 100
"""How many events are recorded before the time is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvents:
    """What a look at the log came to. There may be more to read when it is not `complete`."""

    seen: int
    recorded: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """An event with the delivery that it tells of, its attempt, and what it may be recorded as.

    That is by the event's word, and by what its dataset is now.
    """

    logged: LoggedAsset
    asset_key: dg.AssetKey
    entity: Entity
    delivery: Delivery
    said: Mapping[str, Any]
    attempt: UUID
    ids: frozenset[UUID]


def record_materializations(
    store: MetadataStore,
    instance: dg.DagsterInstance,
    asset_graph: Any,
    *,
    location: str | None = None,
    seconds: float = _SECONDS,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> RecordedEvents:
    """Record what the log says since the last look about the assets of a graph, each delivery exactly once.

    A run that ended is read whole: its end finds whatever became visible late. After `seconds` the next look goes on.
    It goes no further than to what a run that goes on has told within a minute and is about to record itself.
    """
    source = f"dagster-events:{storage_of(instance)}" + (f":{location}" if location else "")
    until = clock() + seconds
    position = Position.parse(store.mirror_position(source))
    seen, recorded, more = 0, 0, True
    while more and clock() < until:
        page = asset_events_after(instance, position.since, limit=PAGE + OVERLAP)
        page = page.before(_on_its_way(instance, page, position, now()))
        more, looked_at = page.more, list(page.numbers)
        for at, (first, said, ended) in enumerate(_pieces(page, position)):
            if at and clock() >= until:
                more, looked_at = True, [one for one in looked_at if one < first]
                break
            seen += len(said)
            events = said if ended is None else asset_events_in(instance, ended)
            recorded += record_events(store, instance, asset_graph, events)
        after = position.advanced(looked_at)
        if after != position:
            store.record_runs(source, position=after.kept())
        position = after
    return RecordedEvents(seen=seen, recorded=recorded, complete=not more)


def _on_its_way(instance: dg.DagsterInstance, page: Page, position: Position, now: float) -> int | None:
    """The first event that was not seen before and that its process records itself, now or within a minute."""
    told = {
        one.number: one.run_id
        for one in page.said
        if one.number not in position.seen and "attempt" in _said(one.event) and abs(now - one.at) < _LEAVES_SECONDS
    }
    if not told:
        return None
    runs = instance.get_runs(dg.RunsFilter(run_ids=sorted(set(told.values()))))
    going_on = {one.run_id for one in runs if not one.is_finished}
    return min((number for number, run_id in told.items() if run_id in going_on), default=None)


def _pieces(page: Page, position: Position) -> Iterator[tuple[int, Sequence[LoggedAsset], str | None]]:
    """What a page has that was not seen before, in its order: some events, or a run that ended; each with its number.

    Other work is not begun before a piece is done, so a look takes hardly longer than it may.
    """
    said = {one.number: one for one in page.said if one.number not in position.seen}
    some: list[LoggedAsset] = []
    for number in sorted(page.numbers):
        if number in said:
            some.append(said[number])
        ended = page.ended.get(number) if number not in position.seen else None
        if some and (ended is not None or len(some) == _PIECE):
            yield some[0].number, some, None
            some = []
        if ended is not None:
            yield number, (), ended
    if some:
        yield some[0].number, some, None


def record_events(
    store: MetadataStore, instance: dg.DagsterInstance, asset_graph: Any, events: Iterable[LoggedAsset]
) -> int:
    """Record of these events what is not recorded yet; how many records that made.

    An event that cannot be recorded is told in the log, by its number and run, and keeps no other from being recorded.
    """
    events = list(events)
    told = sorted(_told(store, instance, asset_graph, events), key=lambda one: not one.said)
    there = store.recorded_among({one for each in told for one in each.ids})
    missing: dict[UUID, _Told] = {}
    for each in told:
        is_ours = _value(each.logged.event, MATERIALIZATION_METADATA) is not None
        if there.isdisjoint(each.ids) and (not is_ours or each.said):
            missing.setdefault(each.delivery.materialization_id, each)
    if missing:
        _register(store, asset_graph, missing.values())
    recorded = 0
    for each in missing.values():
        try:
            _record(store, instance, asset_graph, each)
        except MetadataError as error:
            if error.exit_code == _NOT_THERE:
                raise
            _left_out(each.logged, error)
        else:
            recorded += 1
    record_noted_columns(store, asset_graph, _noted(asset_graph, events))
    return recorded


def _noted(asset_graph: Any, events: Iterable[LoggedAsset]) -> Iterator[Noted]:
    """What each run noted of an asset, of all its partitions together; and what nobody's run did."""
    known = asset_graph.get_all_asset_keys()
    together: dict[tuple[dg.AssetKey, str | int], list[LoggedAsset]] = {}
    for one in events:
        if one.event.asset_key in known and _counts(asset_graph, one):
            together.setdefault((one.event.asset_key, one.run_id or one.number), []).append(one)
    for (asset_key, _of), some in together.items():
        at = datetime.fromtimestamp(max(one.at for one in some), UTC)
        yield Noted.of_partitions(asset_key, at, {one.event.partition: one.event.metadata for one in some})


def look_at_materializations(context: dg.SensorEvaluationContext, metadata: MetadataResource) -> dg.SkipReason:
    """A tick of the sensor that records from the event log."""
    repository, origin = context.repository_def, context.code_location_origin
    assert repository is not None
    location = origin.location_name if origin is not None else None
    done = record_materializations(metadata.store(), context.instance, repository.asset_graph, location=location)
    more = "" if done.complete else "; there is more"
    return dg.SkipReason(f"{done.seen} events read, {done.recorded} recorded{more}")


def _told(
    store: MetadataStore, instance: dg.DagsterInstance, asset_graph: Any, events: Iterable[LoggedAsset]
) -> list[_Told]:
    """The deliveries that events tell of, in their order: of assets of this graph."""
    known = asset_graph.get_all_asset_keys()
    about = [one for one in events if one.event.asset_key in known and _counts(asset_graph, one)]
    keys = {one.event.asset_key: _key(asset_graph, one.event.asset_key) for one in about}
    entities = store.entities(set(keys.values()))
    runs: dict[str, dg.DagsterRun | None] = {}

    def run_of(run_id: str) -> dg.DagsterRun | None:
        if run_id not in runs:
            runs[run_id] = instance.get_run_by_id(run_id)
        return runs[run_id]

    said_in = {(one.run_id, one.event.asset_key) for one in about if _said(one.event)}
    told = []
    for one in about:
        if not _said(one.event) and _is_told_by_its_step(asset_graph, one, said_in, run_of):
            continue
        try:
            told.append(_told_by(one, entities[keys[one.event.asset_key]], instance, asset_graph, run_of))
        except MALFORMED as error:
            _left_out(one, error)
    return told


def _is_told_by_its_step(
    asset_graph: Any,
    one: LoggedAsset,
    said_in: Collection[tuple[str, dg.AssetKey]],
    run_of: Callable[[str], dg.DagsterRun | None],
) -> bool:
    """Whether an event only repeats what a step says itself, or may until its run ends, which is read whole then."""
    if not one.run_id or not asset_graph.get(one.event.asset_key).is_materializable:
        return False
    run = run_of(one.run_id)
    return (one.run_id, one.event.asset_key) in said_in or (run is not None and not run.is_finished)


def _told_by(
    one: LoggedAsset,
    entity: Entity,
    instance: dg.DagsterInstance,
    asset_graph: Any,
    run_of: Callable[[str], dg.DagsterRun | None],
) -> _Told:
    """The delivery that one event tells of; raises one of MALFORMED where it tells of none. It asks no store."""
    said, partition = _said(one.event), one.event.partition
    run = run_of(one.run_id) if one.run_id and not said else None
    if said:
        intent = Intent.parse(said["intent"][partition] if isinstance(said["intent"], dict) else said["intent"])
    elif not one.run_id:
        intent = Intent("key", f"dagster event {storage_of(instance)}:{one.number}")
    elif run is None:
        intent = Intent("run", one.run_id)
    else:
        intent = intent_of_run(instance, run, lambda: asset_graph, one.event.asset_key, partition)
    noted = _value(one.event, MATERIALIZATION_METADATA)
    output = said.get("output")
    if output is None and one.run_id:  # what its step would deliver for the same intent
        output = output_named(asset_graph, one.event.asset_key)
    delivery = Delivery(entity.tenant, entity.id, partition, intent, output or _OUTPUT)
    # What was recorded of such an event before it counted as its step's.
    other = Delivery(entity.tenant, entity.id, partition, intent, said.get("output", _OUTPUT))
    return _Told(
        logged=one,
        asset_key=one.event.asset_key,
        entity=entity,
        delivery=delivery,
        said=said,
        attempt=UUID(said["attempt"]) if "attempt" in said else child_id(entity.id, "event", str(one.number)),
        ids=frozenset({delivery.materialization_id, other.materialization_id, *([UUID(noted)] if noted else [])}),
    )


def _left_out(one: LoggedAsset, error: Exception) -> None:
    dg.get_dagster_logger().warning(
        "event %s of run %s about %s cannot be recorded: %s: %s",
        one.number,
        one.run_id or "none",
        one.event.asset_key.to_user_string(),
        type(error).__name__,
        error,
    )


def _counts(asset_graph: Any, one: LoggedAsset) -> bool:
    """An observation counts where nothing else says what data an asset has; ours tell what we know already."""
    if isinstance(one.event, dg.AssetMaterialization):
        return True
    ours = any(name.startswith("metadata_assets/") for name in one.event.metadata)
    return not ours and not asset_graph.get(one.event.asset_key).is_materializable


def _record(store: MetadataStore, instance: dg.DagsterInstance, asset_graph: Any, told: _Told) -> None:
    event, number = told.logged.event, told.logged.number
    observed = isinstance(event, dg.AssetObservation)
    rows = _value(event, "dagster/row_count")
    data_version = (event.tags or {}).get("dagster/data_version")
    staged = Staged(
        delivery=told.delivery,
        location=None,
        manifest_sha256=None,
        row_count=rows if isinstance(rows, int) and rows >= 0 else None,
        byte_count=None,
        data_version=data_version,
        code_version=asset_graph.get(told.asset_key).code_version,
        metadata={**kept(event.metadata), EVENT_METADATA: {"number": number, "observed": observed}},
    )
    attempt = Attempt(
        id=told.attempt,
        run_id=told.logged.run_id or "none",
        step_key=told.logged.step_key or "none",
        retry_number=0,
        fencing_token=_token(store, instance, told),
    )
    policy = publish_policy_of(asset_graph.get(told.asset_key).metadata)
    if policy == "immediately" and not (observed and _is_known(store, told, data_version)):
        store.commit_and_publish(attempt, [staged], {})
    else:
        store.commit(attempt, [staged], {})


def _is_known(store: MetadataStore, told: _Told, data_version: str | None) -> bool:
    """Whether an observation found what is published already: then there is nothing new to publish."""
    current = store.current(told.entity, [told.delivery.partition])
    return bool(current) and current[0].data_version == data_version


def _token(store: MetadataStore, instance: dg.DagsterInstance, told: _Told) -> int:
    """The fencing token that its step took; else that of the published data that it replaces, or one before all others.

    A token that this store has never given is another store's, or was given after what a backup brought back.
    """
    said = told.said.get("fencing_token")
    if isinstance(said, int) and _BEFORE_ALL <= said < store.next_fencing_token():
        return said
    before_all = _BEFORE_ALL + told.logged.number
    partition = told.delivery.partition
    current = store.current(told.entity, [partition])
    if not current:
        return before_all
    published = store.materialization(current[0].materialization_id)
    from_log = published.metadata.get(EVENT_METADATA)
    if from_log is None and told.logged.at <= published.committed_at.timestamp():
        return before_all
    if from_log is not None and told.logged.number <= from_log["number"]:
        return before_all
    later = dg.AssetRecordsFilter(
        asset_key=told.asset_key,
        asset_partitions=[partition] if partition is not None else None,
        after_storage_id=told.logged.number,
    )
    observed = isinstance(told.logged.event, dg.AssetObservation)
    fetch = instance.fetch_observations if observed else instance.fetch_materializations
    # Never a new one: a step that already runs took a smaller one, and its data are newer.
    return before_all if fetch(later, limit=1).records else published.fencing_token


def _register(store: MetadataStore, asset_graph: Any, told: Collection[_Told]) -> None:
    nodes = {one.asset_key: asset_graph.get(one.asset_key) for one in told}
    store.register_datasets(
        (
            Asset(key=_key(asset_graph, key), type=AssetType.DATASET, description=node.description),
            publish_policy_of(node.metadata),
        )
        for key, node in sorted(nodes.items())
    )


def _key(asset_graph: Any, asset_key: dg.AssetKey) -> CanonicalKey:
    return key_of(asset_key, asset_graph.get(asset_key).metadata)


def _value(event: dg.AssetMaterialization | dg.AssetObservation, name: str) -> Any:
    found = event.metadata.get(name)
    return getattr(found, "value", found)


def _said(event: dg.AssetMaterialization | dg.AssetObservation) -> Mapping[str, Any]:
    said = _value(event, DELIVERY_METADATA)
    return said if isinstance(said, dict) else {}
