"""What a check found is recorded with the data that it examined, by every policy, when its run ends."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import polars as pl
import pytest

from metadata_assets.datasets import PUBLISH_METADATA, key_of
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG
from metadata_assets.io_manager import Audited
from metadata_assets.sensors import checks_sensor
from metadata_assets.settling import IN_STEP_METADATA
from resources.check_models import CheckResult
from resources.metadata_store import MetadataStore
from resources.postgres.refusals import ChecksRefuse

DATA = dg.AssetKey("data")
KEY = key_of(DATA, None)
EVERYTHING = dg.AssetSelection.assets(DATA) | dg.AssetSelection.all_asset_checks()


class Data:
    """A dataset that says a number, and two blocking checks: `blind` reads nothing, then `looks` refuses some."""

    def __init__(self, instance: dg.DagsterInstance, resources: dict[str, Any], policy: str) -> None:
        self.instance, self.resources = instance, resources
        self.number, self.bad, self.seen = 0, {2}, list[int]()
        self.before_the_check: Callable[[], object] = lambda: None

        @dg.asset(metadata={PUBLISH_METADATA: policy})
        def data() -> pl.DataFrame:
            self.number += 1
            return pl.DataFrame({"a": [self.number]})

        @dg.asset_check(asset=data, blocking=True, op_tags={"dagster/priority": "1"})
        def blind() -> dg.AssetCheckResult:
            self.before_the_check()
            return dg.AssetCheckResult(passed=True)

        @dg.asset_check(asset=data, blocking=True)
        def looks(data: pl.DataFrame) -> dg.AssetCheckResult:
            self.seen.append(data["a"][0])
            return dg.AssetCheckResult(passed=data["a"][0] not in self.bad)

        self.defs = dg.Definitions(
            assets=[data],
            asset_checks=[blind, looks],
            sensors=[checks_sensor()],
            executor=dg.in_process_executor,
            resources=resources,
            jobs=[
                dg.define_asset_job("everything", EVERYTHING),
                dg.define_asset_job("checks", dg.AssetSelection.all_asset_checks()),
            ],
        )

    def run(self, job: str = "everything", **facts: Any) -> dg.ExecuteInProcessResult:
        found = self.defs.resolve_job_def(job)
        return found.execute_in_process(instance=self.instance, raise_on_error=False, **facts)

    def tick(self) -> str:
        """What the sensor says."""
        repository = self.defs.get_repository_def()
        resources = {"metadata": self.resources["metadata"]}
        with dg.build_sensor_context(self.instance, None, repository_def=repository, resources=resources) as context:
            return str(repository.get_sensor_def("settle_checks").evaluate_tick(context).skip_message)


@pytest.fixture
def data(instance: dg.DagsterInstance, resources: dict[str, Any], request: pytest.FixtureRequest) -> Data:
    return Data(instance, resources, request.param)


def verdicts(store: MetadataStore) -> list[dict[str, bool]]:
    """What the checks say by now about each materialization, the oldest first."""
    records = reversed(store.materializations(KEY))
    return [{name: one.passed for name, one in store.checks_of(record.id).latest.items()} for record in records]


@pytest.mark.parametrize("data", ["manually"], indirect=True)
def test_a_person_does_not_publish_unawares_what_a_check_has_just_refused(data: Data, stored: MetadataStore) -> None:
    data.bad = {1}
    assert not data.run().success
    (waits,) = stored.unpublished(KEY)
    assert waits.failed == ("looks",), "before any tick of the sensor"
    with pytest.raises(ChecksRefuse, match="blocking check looks refuses"):
        stored.publish_by_hand([waits.materialization_id], reason="looked at it")
    assert stored.versions(KEY) == []
    assert data.run().success
    assert verdicts(stored) == [{"blind": True, "looks": False}, {"blind": True, "looks": True}]
    stored.publish_by_hand([one.materialization_id for one in stored.unpublished(KEY)], reason="looked at it")
    assert [one.number for one in stored.versions(KEY)] == [1]


def test_what_a_step_records_of_its_checks_is_not_recorded_again(
    instance: dg.DagsterInstance, resources: dict[str, Any], stored: MetadataStore
) -> None:
    own = dg.AssetCheckSpec("own", asset="data", blocking=True, metadata={IN_STEP_METADATA: True})

    @dg.multi_asset(outs={"data": dg.AssetOut(metadata={PUBLISH_METADATA: "manually"})}, check_specs=[own])
    def data() -> Iterator[Any]:
        result = dg.AssetCheckResult(asset_key="data", check_name="own", passed=False)
        table = pl.DataFrame({"a": [1]})
        yield dg.Output(Audited({None: table}, lambda _committed: [result], frozenset({"own"})), "data")
        yield result

    dg.materialize([data], instance=instance, resources=resources, raise_on_error=False)
    (record,) = stored.materializations(KEY)
    assert [one.result.name for one in stored.checks_of(record.id).results] == ["own"]


@pytest.mark.parametrize("data", ["immediately", "when_checks_pass"], indirect=True)
def test_a_check_is_about_what_its_run_made_though_readers_have_something_else(
    data: Data, stored: MetadataStore
) -> None:
    assert data.run().success
    other = stored.materializations(KEY)[0].id

    def roll_back() -> None:
        if stored.version_at(KEY) == 2:
            stored.rollback(KEY, to=1, expected=2)

    data.before_the_check = roll_back
    assert not data.run().success
    assert data.seen == [1, 2]
    assert verdicts(stored) == [{"blind": True, "looks": True}, {"blind": True, "looks": False}]
    assert [one.materialization_id for one in stored.current(KEY)] == [other]
    data.tick()
    assert verdicts(stored) == [{"blind": True, "looks": True}, {"blind": True, "looks": False}]


def replaying(data: Data, number: int) -> dg.ExecuteInProcessResult:
    return data.run(tags={IDEMPOTENCY_KEY_TAG: f"number {number}"})


@pytest.mark.parametrize("data", ["immediately"], indirect=True)
def test_what_is_delivered_again_is_checked_again_though_readers_have_newer_data(
    data: Data, stored: MetadataStore
) -> None:
    data.bad = set()
    assert replaying(data, 1).success
    assert replaying(data, 2).success
    data.bad = {1}
    assert not replaying(data, 1).success
    assert data.seen == [1, 2, 1]
    assert verdicts(stored) == [{"blind": True, "looks": False}, {"blind": True, "looks": True}]


@pytest.mark.parametrize("data", ["immediately", "when_checks_pass"], indirect=True)
def test_a_run_of_checks_alone_is_about_what_readers_have(data: Data, stored: MetadataStore) -> None:
    data.bad = set()
    assert data.run().success
    assert data.run().success
    stored.rollback(KEY, to=1, expected=2)
    data.bad = {1}
    data.run("checks")
    assert data.seen == [1, 2, 1]
    assert verdicts(stored) == [{"blind": True, "looks": False}, {"blind": True, "looks": True}]


@pytest.mark.parametrize("data", ["when_checks_pass"], indirect=True)
def test_what_failed_its_check_and_was_retracted_is_not_said_to_have_passed(data: Data, stored: MetadataStore) -> None:
    data.bad = {1}
    failed = data.run()
    (record,) = stored.materializations(KEY)
    stored.retract(record.id, reason="bad")
    (found,) = stored.settle_checks(runs=[failed.run_id])
    assert (found.failed, found.refused, found.settled) == (("looks",), None, False)
    assert "passed its checks" not in data.tick()
    passed = CheckResult(name="looks", run_id=failed.run_id, evaluation=10**9, passed=True, blocking=True)
    stored.record_checks([record.id], [passed])
    (found,) = stored.settle_checks(runs=[failed.run_id])
    assert found.failed == ()
    assert "is retracted" in str(found.refused)
    assert stored.versions(KEY) == []
