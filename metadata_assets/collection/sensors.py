"""Collection in Dagster: for each collected endpoint a job, and a sensor that asks for it when the schema changed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from identity.errors import MetadataError
from identity.ids import sha256_of
from identity.keys import short_name
from metadata_assets.collection.collection import collect_endpoint, endpoint_fingerprint
from metadata_assets.collection.errors import EndpointBusy, EndpointMoving, EndpointUnreachable
from metadata_assets.collection.observing import NAMES, Names, described, observations, results
from metadata_assets.collection.profiling import profile_endpoint
from metadata_assets.collection.scope import Scope
from metadata_assets.collection.watching import Memory, Run, away, decide, resting
from metadata_assets.datasets import KEY_METADATA, key_of
from metadata_assets.location_names import ALONE, LocationNames
from metadata_assets.spec import Collect, ProjectEndpoint
from resources.configurable import MetadataResource
from resources.locations import EndpointLocation
from resources.metadata.catalogs import CatalogOvertaken
from resources.metadata.plans import Collected
from resources.metadata.profiles import Profile
from resources.postgres.errors import UNREACHABLE

RUN_KEY_TAG: Final = "dagster/run_key"
_RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
_WORTH_A_RETRY = (EndpointUnreachable, EndpointBusy, EndpointMoving, CatalogOvertaken)
Clock = Callable[[], datetime]
_GAPS_SHOWN = 50
_CHANGES_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """One endpoint to collect, and what its job is called."""

    location: EndpointLocation
    collect: Collect
    name: str
    resource_key: str
    shown: Names
    """The assets as which Dagster shows its tables."""
    clock: Clock = lambda: datetime.now(UTC)

    @property
    def scope(self) -> Scope:
        return Scope.of(self.collect.schemas, self.collect.tables)

    def metadata(self, resources: Any) -> MetadataResource:
        found = getattr(resources, self.resource_key)
        assert isinstance(found, MetadataResource)
        return found


def collection_definitions(
    endpoints: Iterable[ProjectEndpoint],
    names: LocationNames = ALONE,
    shown: Names = NAMES,
    *,
    clock: Clock | None = None,
) -> dg.Definitions:
    """For each endpoint with `collect`: the job `collect_<slug>` and the running sensor `collect_<slug>_on_change`.

    They want a MetadataResource, under its name in `names`. `shown` are the assets as which Dagster shows tables.
    `clock` is what sensors wait by. Pure: nothing is connected to until a run or the daemon asks.
    """
    watched = _watched(endpoints, names, shown)
    watched = [replace(one, clock=clock) for one in watched] if clock else watched
    jobs = [_job(one) for one in watched]
    return dg.Definitions(jobs=jobs, sensors=[_sensor(one, job) for one, job in zip(watched, jobs, strict=True)])


def _watched(endpoints: Iterable[ProjectEndpoint], names: LocationNames, shown: Names) -> list[_Watched]:
    chosen = [(endpoint, endpoint.collect) for endpoint in endpoints if endpoint.collect is not None]
    jobs = _job_names([endpoint.slug for endpoint, _ in chosen])
    return [
        _Watched(
            location=endpoint.location,
            collect=collect,
            name=names.of(jobs[endpoint.slug]),
            resource_key=names.metadata,
            shown=shown,
        )
        for endpoint, collect in chosen
    ]


def _job_names(slugs: list[str]) -> Mapping[str, str]:
    """Dagster's names have no `-`. Two slugs that differ by nothing else get a digest each."""
    plain = {slug: f"collect_{slug.replace('-', '_')}" for slug in slugs}
    taken = Counter(plain.values())
    return {slug: name if taken[name] == 1 else f"{name}_{sha256_of(slug).hex()[:8]}" for slug, name in plain.items()}


def _job(watched: _Watched) -> dg.JobDefinition:
    slug = watched.location.slug

    @dg.op(
        name=f"{watched.name}_catalog",  # a job's graph has the job's name, and a repository has a name once
        out=dg.Out(dg.Nothing),  # no I/O manager has to do with it
        required_resource_keys={watched.resource_key},
        retry_policy=_RETRIES,
        description=f"Reads the catalog of endpoint {slug} and writes what changed to the metadata store.",
    )
    def collect(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
        metadata = watched.metadata(context.resources)
        context.log.info(f"collecting the catalog of endpoint {slug}")
        try:
            collected = collect_endpoint(metadata.store(), watched.location, metadata.databases(), scope=watched.scope)
        except MetadataError as error:
            raise dg.Failure(str(error), allow_retries=isinstance(error, _WORTH_A_RETRY)) from None
        _log(context, collected)
        profiled = _profiled(context, watched, metadata) if watched.collect.profile else ()
        for observation in observations(metadata.store(), context.instance, collected, profiled, names=watched.shown):
            context.log_event(observation)
        yield dg.Output(None, metadata=_facts(collected))

    @dg.job(name=watched.name, executor_def=dg.in_process_executor, description=f"Collects endpoint {slug}.")
    def job() -> None:
        collect()

    return job


def _profiled(context: dg.OpExecutionContext, watched: _Watched, metadata: MetadataResource) -> Sequence[Profile]:
    """What was found of the rows. That nothing could be found is no failure: the catalog is collected."""
    try:
        found = profile_endpoint(metadata.store(), watched.location, metadata.databases())
    except MetadataError as error:
        context.log.warning(f"no profiles: {error}")
        return ()
    for gap in found.left[:_GAPS_SHOWN]:
        context.log.warning(f"no profile of {gap.name}: {gap.reason}")
    return found.profiles


def observable_sources(
    definitions: Iterable[dg.AssetsDefinition | dg.AssetSpec],
    endpoints: Iterable[ProjectEndpoint],
    names: LocationNames = ALONE,
    shown: Names = NAMES,
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The definitions, with the tables of collected endpoints as observable assets: to observe one is to collect.

    Only of such does Dagster take an observation for an update, which makes stale what depends on them.
    """
    given = list(definitions)
    found: list[dg.AssetsDefinition | dg.AssetSpec] = []
    for watched in _watched(endpoints, names, shown):
        slug = watched.location.slug
        specs = [one for one in given if isinstance(one, dg.AssetSpec) and _endpoint(one) == slug]
        if specs:
            given = [one for one in given if one not in specs]
            found.append(_observable(watched, specs))
    return [*given, *found]


def _endpoint(spec: dg.AssetSpec) -> str:
    return key_of(spec.key, spec.metadata).endpoint if KEY_METADATA in spec.metadata else spec.key.path[0]


def _observable(watched: _Watched, specs: Sequence[dg.AssetSpec]) -> dg.AssetsDefinition:
    def observe(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        metadata = watched.metadata(context.resources)
        store = metadata.store()
        try:
            collected = collect_endpoint(store, watched.location, metadata.databases(), scope=watched.scope)
        except MetadataError as error:
            raise dg.Failure(str(error), allow_retries=isinstance(error, _WORTH_A_RETRY)) from None
        wanted = context.selected_asset_keys
        yield from results(store, collected, wanted, names=watched.shown)
        for observation in observations(store, context.instance, collected, without=wanted, names=watched.shown):
            context.log_event(observation)

    decorated: Callable[..., dg.AssetsDefinition] = dg.multi_observable_source_asset(
        name=f"observe_{watched.name}",
        specs=specs,
        can_subset=True,
        required_resource_keys={watched.resource_key},
    )
    return decorated(observe)


def _log(context: dg.OpExecutionContext, collected: Collected) -> None:
    tables, columns = collected.assets, collected.fields
    context.log.info(
        f"endpoint {collected.endpoint}: {collected.rows_written} rows written; "
        f"tables: {tables.new} new, {tables.changed} changed, {tables.reopened} back, {tables.closed} gone, "
        f"{tables.unchanged} unchanged; columns: {columns.new} new, {columns.changed} changed, {columns.closed} gone"
    )
    for gap in collected.gaps[:_GAPS_SHOWN]:
        context.log.warning(f"not collected: {gap.name}, {gap.reason}")


def _facts(collected: Collected) -> dict[str, Any]:
    """What the UI shows of a collection."""
    counts = {
        f"{noun}_{what}": getattr(number, what)
        for noun, number in (("tables", collected.assets), ("columns", collected.fields))
        for what in ("new", "changed", "reopened", "closed", "unchanged")
    }
    return counts | {
        "edges_opened": collected.edges.opened,
        "edges_closed": collected.edges.closed,
        "rows_written": collected.rows_written,
        "complete": collected.complete,
        "fingerprint": collected.fingerprint,
        "changes": dg.MetadataValue.json(
            [{"table": short_name(one.key), **described(one)} for one in collected.changes[:_CHANGES_SHOWN]]
        ),
        "breaking_changes": len(collected.breaking),
        "gaps": dg.MetadataValue.json([{"name": gap.name, "reason": gap.reason} for gap in collected.gaps]),
    }


def _sensor(watched: _Watched, job: dg.JobDefinition) -> dg.SensorDefinition:
    slug = watched.location.slug

    @dg.sensor(
        name=f"{watched.name}_on_change",
        job=job,
        minimum_interval_seconds=max(1, int(watched.collect.every.total_seconds())),
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={watched.resource_key},
        description=f"Collects endpoint {slug} when the fingerprint of its schema changed.",
    )
    def on_change(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = Memory.parse(context.cursor)
        last_run = _last_run(context.instance, job.name, memory.run_key)
        try:
            return look(watched.metadata(context.resources), memory, last_run)
        except UNREACHABLE as error:  # our own store: that says nothing of the endpoint
            skipped = f"{error}; this was about the metadata store, endpoint {slug} is looked at again the next time"
            return dg.SensorResult(skip_reason=skipped, cursor=memory.cursor)

    def look(metadata: MetadataResource, memory: Memory, last_run: Run) -> dg.SensorResult:
        now = watched.clock()
        if rest := resting(memory, now):
            return dg.SensorResult(skip_reason=rest.skip, cursor=rest.memory.cursor)
        databases, store = metadata.databases(), metadata.store()
        try:
            seen = endpoint_fingerprint(watched.location, databases, scope=watched.scope)
        except MetadataError as error:
            failed = away(memory, str(error), name=slug, now=now)
            return dg.SensorResult(skip_reason=failed.skip, cursor=failed.memory.cursor)
        stored = store.endpoint(slug)
        decision = decide(
            memory,
            seen=seen,
            collected=stored.schema_fingerprint if stored else None,
            last_run=last_run,
            name=slug,
            now=now,
        )
        if decision.skip is not None:
            return dg.SensorResult(skip_reason=decision.skip, cursor=decision.memory.cursor)
        request = dg.RunRequest(run_key=decision.memory.run_key, tags={"metadata_assets/endpoint": slug})
        return dg.SensorResult(run_requests=[request], cursor=decision.memory.cursor)

    return on_change


def _last_run(instance: dg.DagsterInstance, job_name: str, run_key: str) -> Run:
    runs = instance.get_runs(filters=dg.RunsFilter(job_name=job_name, tags={RUN_KEY_TAG: run_key}), limit=1)
    if not runs:
        return Run.NONE
    if not runs[0].is_finished:
        return Run.ACTIVE
    return Run.SUCCEEDED if runs[0].is_success else Run.FAILED
