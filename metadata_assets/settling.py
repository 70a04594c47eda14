"""Checks that are steps of their own: what they found decides about what was committed, whoever notices first.

What a run commits waits for the blocking checks of its dataset. It is settled by the step downstream in the same run
before it reads, by a process that ends, and by a sensor for runs that have neither or died: all ask the same question,
and the database answers it once.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import dagster as dg

from identity.errors import MetadataError
from identity.ids import EntityId
from identity.keys import CanonicalKey
from metadata_assets._dagster import Step
from metadata_assets.datasets import key_of
from metadata_assets.event_log import Evaluation, evaluations_after, evaluations_in, materialized_in, planned_in
from metadata_assets.noted import as_json, as_text
from resources.check_models import CheckEvaluation, CheckResult, CheckSeverity, Settled
from resources.configurable import MetadataResource
from resources.models import Published

IN_STEP_METADATA: Final = "metadata_assets/in_step"
"""On a check that runs in the step of its asset and is recorded by it, before there is an event."""
MATERIALIZATION_METADATA: Final = "metadata_assets/materialization_id"
"""On the event of what was made, whichever record that is."""
OVERLAP_SECONDS: Final = 300
"""So long an event may take to be seen after its worker wrote down when it was; the clocks' difference included."""
_PAGE: Final = 1_000
_PAGES: Final = 20


def is_recorded_by_its_step(spec: dg.AssetCheckSpec) -> bool:
    """Whether the results of a check need no looking for in the event log."""
    return bool(spec.metadata.get(IN_STEP_METADATA))


def awaited_checks(step: Step, asset_key: dg.AssetKey) -> tuple[frozenset[str], bool]:
    """The blocking checks of an asset that other steps evaluate, or this one after its output; and if these are all."""
    specs, complete = step.checks(asset_key)
    return frozenset(one.name for one in specs if one.blocking and not is_recorded_by_its_step(one)), complete


def checks_recorded(step: Step, asset_key: dg.AssetKey) -> frozenset[dg.AssetCheckKey]:
    """The checks of an asset whose results are recorded by their step, and not by what the event log says."""
    return frozenset(one.key for one in step.checks(asset_key)[0] if is_recorded_by_its_step(one))


def is_checked(step: Step, asset_key: dg.AssetKey, published: Published | None) -> bool:
    """Whether checks look at what this step made of an asset: in other steps, or in this one where it keeps it back."""
    specs, _complete = step.checks(asset_key)
    return any(published is None or not is_recorded_by_its_step(one) for one in specs)


def settle_run(
    instance: dg.DagsterInstance,
    metadata: MetadataResource,
    run_id: str,
    datasets: Mapping[dg.AssetKey, CanonicalKey],
    *,
    recorded: Collection[dg.AssetCheckKey] = (),
) -> list[Settled]:
    """Record what checks of these datasets found in a run so far, and publish what waited for that.

    Recorded whoever publishes: what refuses data is known when a person decides. `recorded` as in `settle`. Safe to ask
    at any time and by many. What is published by this call is told to Dagster as an observation. The views on the
    endpoints of these datasets follow, also what somebody published before and died. Raises what keeps the view of
    something behind that is published by this call.
    """
    store = metadata.store()
    found = evaluations_in(instance, run_id)
    settled = settle(instance, metadata, datasets, found, recorded=recorded, runs=[run_id])
    concerned: dict[str, set[EntityId]] = {key.endpoint: set() for key in datasets.values()}
    for one in settled:
        if one.settled:
            concerned.setdefault(store.thing(str(one.dataset)).entity.key.endpoint, set()).add(one.dataset)
    behind = follow(metadata, concerned)
    for each in behind:
        dg.get_dagster_logger().warning("%s", each.error)
    for each in behind:
        if each.ours:
            raise each.error
    return settled


def settle(
    instance: dg.DagsterInstance,
    metadata: MetadataResource,
    datasets: Mapping[dg.AssetKey, CanonicalKey],
    found: Iterable[Evaluation],
    *,
    recorded: Collection[dg.AssetCheckKey] = (),
    runs: Collection[str] = (),
) -> list[Settled]:
    """Record evaluations of the assets in `datasets`, and publish what has passed by them; `follow` switches views.

    `recorded` are checks whose steps record them; `runs` are looked at, too.
    """
    told = [one for one in found if one.found.asset_key in datasets and one.found.asset_check_key not in recorded]
    if not told and not runs:
        return []
    store = metadata.store()
    entities = store.entities({datasets[one.found.asset_key] for one in told})
    ids = {asset_key: entities[key].id for asset_key, key in datasets.items() if key in entities}
    planned: dict[str, frozenset[dg.AssetKey]] = {}
    evaluations = []
    for one in told:
        asset_key, target = one.found.asset_key, one.found.target_materialization_data
        elsewhere = target is not None and target.run_id != one.run_id
        if elsewhere and one.run_id not in planned:
            planned[one.run_id] = planned_in(instance, one.run_id)
        # A run that is to deliver the asset checks what it delivers, even where that never came to be.
        elsewhere = elsewhere and asset_key not in planned[one.run_id]
        evaluations.append(
            CheckEvaluation(
                dataset=ids[asset_key],
                result=_result(one),
                partition=one.found.partition,
                target_run_id=target.run_id if target is not None and elsewhere else None,
            )
        )
    settled = store.settle_checks(evaluations, runs=runs)
    _tell(instance, metadata, datasets, settled)
    return settled


@dataclass(frozen=True, slots=True)
class Behind:
    """What keeps views behind what is published; `ours`, when views of datasets are among them that were asked for."""

    error: MetadataError
    ours: bool


def follow(metadata: MetadataResource, endpoints: Mapping[str, Collection[EntityId]]) -> list[Behind]:
    """Let the views on these endpoints show what is published, whoever published it; what keeps some behind.

    Each endpoint comes with the datasets that are asked for. Files have no views. Cheap where nothing is behind.
    """
    behind = []
    for endpoint, datasets in sorted(endpoints.items()):
        tables = metadata.tables_of(endpoint)
        if tables is None:
            continue
        from resources.tables.switching import settle  # and Polars, which steps without tables would wait for

        try:
            refused = settle(tables).refused
        except MetadataError as error:
            behind.append(Behind(error, bool(datasets)))
        else:
            behind += [Behind(one.error, not set(one.datasets).isdisjoint(datasets)) for one in refused]
    return behind


def check_results(
    results: Iterable[dg.AssetCheckResult], *, run_id: str, evaluation: int, blocking: Collection[str]
) -> list[CheckResult]:
    """What the checks in a step found, as it is recorded."""
    return [
        CheckResult(
            name=one.check_name or "",
            run_id=run_id,
            evaluation=evaluation,
            passed=one.passed,
            blocking=one.check_name in blocking,
            severity=_severity(one.severity),
            description=as_text(one.description),
            metadata=as_json(one.metadata),
        )
        for one in results
    ]


def look_at_checks(
    context: dg.SensorEvaluationContext, metadata: MetadataResource, *, clock: Callable[[], float]
) -> dg.SkipReason:
    """A tick of the sensor that settles what asset checks decide about."""
    repository = context.repository_def
    assert repository is not None
    graph = repository.asset_graph
    datasets = {key: key_of(key, graph.get(key).metadata) for key in graph.get_all_asset_keys()}
    recorded = {key for key in graph.asset_check_keys if is_recorded_by_its_step(graph.get_check_spec(key))}
    after = int(json.loads(context.cursor)["after"]) if context.cursor else -1
    settled, seen, problems = 0, 0, []
    read = after
    for _page in range(_PAGES):
        found = evaluations_after(context.instance, read, limit=_PAGE)
        outcome = settle(context.instance, metadata, datasets, found, recorded=recorded)
        settled += sum(one.settled for one in outcome)
        problems += [_refusal(one) for one in outcome if one.refused]
        seen += len(found)
        after = max([after, *(one.number for one in found if one.at < clock() - OVERLAP_SECONDS)])
        if len(found) < _PAGE:
            break
        read = found[-1].number
    context.update_cursor(json.dumps({"after": after}))
    made = [key for key in datasets if graph.get(key).is_materializable]
    problems += [str(one.error) for one in follow(metadata, {datasets[key].endpoint: () for key in made})]
    words = [f"{seen} evaluations of checks read, {settled} versions published", *dict.fromkeys(problems)]
    return dg.SkipReason("; ".join(words))


def _result(one: Evaluation) -> CheckResult:
    return CheckResult(
        name=one.found.check_name,
        run_id=one.run_id,
        evaluation=one.number,
        passed=one.found.passed,
        blocking=bool(one.found.blocking),
        severity=_severity(one.found.severity),
        description=as_text(one.found.description),
        metadata=as_json(one.found.metadata),
    )


def _tell(
    instance: dg.DagsterInstance,
    metadata: MetadataResource,
    datasets: Mapping[dg.AssetKey, CanonicalKey],
    settled: Collection[Settled],
) -> None:
    """Tell Dagster what is published by this call, and people what was refused though its checks had passed."""
    for one in settled:
        if one.refused:
            dg.get_dagster_logger().warning("%s", _refusal(one))
    if not any(one.settled for one in settled):
        return
    entities = metadata.store().entities(datasets.values())
    names = {entities[key].id: asset_key for asset_key, key in datasets.items() if key in entities}
    for one in settled:
        if one.settled and one.dataset not in names:
            names |= _named(instance, metadata, one)
        if one.settled and one.dataset in names:
            facts = {"metadata_assets/version": one.version, "metadata_assets/run_id": one.run_id}
            words = f"published as version {one.version}: its checks have passed"
            event = dg.AssetObservation(names[one.dataset], description=words, metadata=facts)
            instance.report_runless_asset_event(event)


def _named(
    instance: dg.DagsterInstance, metadata: MetadataResource, settled: Settled
) -> Mapping[EntityId, dg.AssetKey]:
    """Dagster's name of a dataset that the caller did not ask about, and that was published with what it did.

    By the event of what was made, or else as an asset that no project declares; empty where neither says it.
    """
    made = {str(one) for one in settled.published}
    for asset_key, noted in materialized_in(instance, settled.run_id):
        said = noted.get(MATERIALIZATION_METADATA)
        if said is not None and said.value in made:
            return {settled.dataset: asset_key}
    planned = {key_of(one, None): one for one in planned_in(instance, settled.run_id)}
    entities = metadata.store().entities(planned.keys())
    return {entity.id: planned[key] for key, entity in entities.items() if entity.id == settled.dataset}


def _refusal(one: Settled) -> str:
    return f"what run {one.run_id} made of dataset {one.dataset} passed its checks and was not published: {one.refused}"


def _severity(severity: dg.AssetCheckSeverity) -> CheckSeverity:
    return "ERROR" if severity is dg.AssetCheckSeverity.ERROR else "WARN"
