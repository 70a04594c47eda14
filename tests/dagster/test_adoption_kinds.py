"""Exactly one record of every kind of asset: also when the process dies, and where only the event log knows of it."""

import runpy
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import psycopg
import pytest
from adopting import from_log, records, told
from deployment import PROJECTS
from run_processes import die_when_told

from metadata_assets import with_metadata
from metadata_assets.datasets import key_of
from metadata_assets.mirror.asset_events import asset_events_in
from metadata_assets.mirror.materialized import EVENT_METADATA, record_events
from metadata_assets.settling import MATERIALIZATION_METADATA
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own
EXPLICIT = {"metadata_assets/idempotency_key": "k"}
DAYS = dg.StaticPartitionsDefinition(["2026-01-01", "2026-01-02"])


def test_a_process_that_dies_leaves_one_record_of_every_kind(
    environment: dict[str, str], stored: MetadataStore, ephemeral: dg.DagsterInstance
) -> None:
    """It has told Dagster of a graph, of one over dynamic outputs and of two multi-assets, and recorded none."""
    project = runpy.run_path(str(PROJECTS / "kinds.py"))
    defs, names = project["defs"], [name for made in project["MADE"].values() for name in made]
    keys = {name: key_of(dg.AssetKey(name), None) for name in names}
    stored.register_datasets([(Asset(key=key, type=AssetType.DATASET), "immediately") for key in keys.values()])
    with psycopg.connect(environment["METADATA_DATABASE_URL"]) as connection:  # until then nobody makes a version
        for key in keys.values():
            connection.execute("SELECT pg_advisory_xact_lock(uuid_hash_extended(%s, 0))", [stored.entity(key).id.value])
        tags = {**EXPLICIT, "home": environment["DAGSTER_HOME"]}
        assert die_when_told("kinds.py", tags, project["MADE"]) == [-signal.SIGKILL] * len(project["MADE"])
        assert [records(stored, name) for name in names] == [[]] * len(names)
    graph = defs.resolve_asset_graph()
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags=tags))
        assert len(runs) == len(project["MADE"])
        events = {name: told(instance, name, *runs) for name in names}
        for _look in range(2):
            for run in runs:
                record_events(stored, instance, graph, asset_events_in(instance, run.run_id))
    left = {name: [(one.intent, str(one.id), one.current) for one in records(stored, name)] for name in names}
    assert left == {name: [("key:k", event[MATERIALIZATION_METADATA], True)] for name, (event,) in events.items()}
    for job in project["MADE"]:
        again = defs.get_repository_def().get_job(job).execute_in_process(instance=ephemeral, tags=EXPLICIT)
        assert again.success
    assert from_log(stored, ephemeral, defs) == 0
    found = {name: records(stored, name) for name in names}
    assert {name: [str(one.id) for one in some] for name, some in found.items()} == {
        name: [left[name][0][1]] for name in names
    }
    assert all(one.redeliveries >= 1 for (one,) in found.values())
    assert [len(records(stored, name)) for name in ("after_halves", "after_sides")] == [1, 1]


@dg.observable_source_asset(name="seen")
def observed() -> dg.DataVersion:
    return dg.DataVersion("7")


@dg.observable_source_asset(name="seen", partitions_def=DAYS)
def observed_by_day() -> dg.DataVersionsByPartition:
    return dg.DataVersionsByPartition({"2026-01-01": "7", "2026-01-02": "8"})


@dg.multi_observable_source_asset(specs=[dg.AssetSpec("seen")])
def observed_with_others() -> Any:
    yield dg.ObserveResult(asset_key="seen", data_version=dg.DataVersion("7"))


@dg.op
def _reports() -> None:
    dg.OpExecutionContext.get().log_event(dg.AssetMaterialization("seen", tags={"dagster/data_version": "7"}))


@dg.job
def reports() -> None:
    _reports()


def _by_hand(event: Any) -> Callable[[dg.DagsterInstance], object]:
    return lambda instance: instance.report_runless_asset_event(event("seen", tags={"dagster/data_version": "7"}))


def _by_run(asset: Any) -> Callable[[dg.DagsterInstance], object]:
    keys = [dg.AssetKey("seen")]

    def run(instance: dg.DagsterInstance) -> None:
        job = with_metadata(dg.Definitions(assets=[asset])).resolve_implicit_job_def_def_for_assets(keys)
        assert job is not None
        assert job.execute_in_process(instance=instance, asset_selection=keys).success

    return run


EXTERNAL = dg.AssetSpec("seen")
OUTSIDE: dict[str, tuple[Any, Callable[[dg.DagsterInstance], object], bool]] = {
    "external, reported": (EXTERNAL, _by_hand(dg.AssetMaterialization), False),
    "external, observed": (EXTERNAL, _by_hand(dg.AssetObservation), True),
    "external, reported by an op": (EXTERNAL, lambda instance: reports.execute_in_process(instance=instance), False),
    "observable": (observed, _by_run(observed), True),
    "observable by partition": (observed_by_day, _by_run(observed_by_day), True),
    "observable, several": (observed_with_others, _by_run(observed_with_others), True),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_what_only_the_log_knows_is_recorded_once(
    kind: str, ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    """Each time that it is told, whoever looks, at once or again: another version only where the data are others."""
    asset, tell, is_observed = OUTSIDE[kind]
    defs = with_metadata(dg.Definitions(assets=[asset]))
    partitions = list(DAYS.get_partition_keys()) if "partition" in kind else [None]
    source = f"dagster-events:{ephemeral.run_storage.get_run_storage_id()}"  # from now on nobody writes into SQLite
    for times in (1, 2):
        tell(ephemeral)
        begin = threading.Barrier(2)

        def look(_number: int, begin: threading.Barrier = begin) -> int:
            begin.wait()
            return from_log(stored, ephemeral, defs)

        with ThreadPoolExecutor(2) as both:
            list(both.map(look, range(2)))
        stored.record_runs(source, position={"after": -1})
        assert from_log(stored, ephemeral, defs) == 0, "a log that is read anew"
        for number, partition in enumerate(partitions):
            found = records(stored, "seen", partition)
            assert len(found) == times
            assert {one.data_version for one in found} == {str(7 + number)}
            assert all(one.metadata[EVENT_METADATA]["observed"] is is_observed for one in found)
            assert [one.redeliveries for one in found] == [0] * times
            assert sum(one.published_in is not None for one in found) == (1 if is_observed else times)
