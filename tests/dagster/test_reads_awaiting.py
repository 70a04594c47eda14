"""What a step of an adopted project has read is what its run made, also where nobody has published that yet."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from adopting import records
from deployment import Deployment, deployed

from metadata_assets.datasets import key_of
from metadata_assets.settling import settle_run
from resources.configurable import MetadataResource
from resources.metadata_store import MetadataStore
from resources.models import Materialization


@pytest.fixture
def deployment(environment: dict[str, str]) -> Iterator[Deployment]:
    with deployed(Path(environment["DAGSTER_HOME"]), "awaiting.py") as found:
        yield found


ORDERS = dg.AssetKey("orders")


def settled(deployment: Deployment, metadata: MetadataResource, job: str) -> None:
    """Run a job, and let what its check found decide afterwards, as the sensor does."""
    run = deployment.launch_job(job)
    assert run.is_success
    settle_run(deployment.instance, metadata, run.run_id, {ORDERS: key_of(ORDERS, None)})


def read_by(store: MetadataStore, record: Materialization) -> list[tuple[object, int | None]]:
    return [(one.materialization_id, one.version) for one in store.inputs(record.id)]


@pytest.mark.parametrize("job", ["in_process", pytest.param("processes", marks=pytest.mark.proof)])
def test_what_awaits_its_checks_is_what_the_step_downstream_has_read(
    deployment: Deployment, stored: MetadataStore, metadata: MetadataResource, job: str
) -> None:
    """In the process that made it and in others; and the published data, where its run made none."""
    for _time in range(2):
        settled(deployment, metadata, job)
    assert deployment.launch_job("report_alone").is_success
    first, second = records(stored, "orders")
    assert [first.published_in, second.published_in] == [1, 2]
    one, two, alone = records(stored, "report")
    assert read_by(stored, one) == [(first.id, None)]
    assert read_by(stored, two) == [(second.id, None)]
    assert read_by(stored, alone) == [(second.id, 2)]


def test_a_run_that_goes_on_has_read_what_the_first_one_made(
    deployment: Deployment, stored: MetadataStore, metadata: MetadataResource, tmp_path: Path
) -> None:
    settled(deployment, metadata, "in_process")
    (tmp_path / "fail").touch()
    failed = deployment.launch_job("in_process")
    assert not failed.is_success
    assert deployment.reexecute(failed, "FROM_FAILURE").is_success
    (_, made), (_, report) = records(stored, "orders"), records(stored, "report")
    assert read_by(stored, report) == [(made.id, None)]

    (tmp_path / "fail").touch()
    overtaken = deployment.launch_job("in_process")
    settled(deployment, metadata, "in_process")
    assert deployment.reexecute(overtaken, "FROM_FAILURE").is_success
    *_, newest = records(stored, "orders")
    *_, report = records(stored, "report")
    assert read_by(stored, report) == [(newest.id, 2)], "what was published is newer than what that run had made"


def test_a_run_goes_on_with_all_before_it(
    deployment: Deployment, stored: MetadataStore, metadata: MetadataResource, tmp_path: Path
) -> None:
    """The second one of four made it anew, and is neither the last nor the first."""
    settled(deployment, metadata, "in_process")
    (tmp_path / "fail").touch()
    run = deployment.launch_job("in_process")
    for strategy in ("ALL_STEPS", "FROM_FAILURE"):
        (tmp_path / "fail").touch()
        run = deployment.reexecute(run, strategy)
        assert not run.is_success
    assert deployment.reexecute(run, "FROM_FAILURE").is_success
    (*_, made), (*_, report) = records(stored, "orders"), records(stored, "report")
    assert made.run_id not in {run.root_run_id, run.run_id}
    assert read_by(stored, report) == [(made.id, None)]


def test_partitions_that_nobody_published_are_what_was_read(deployment: Deployment, stored: MetadataStore) -> None:
    """Of each the same one; and a version that is published later than what a run made is what it reads."""
    assert deployment.launch("orders", "report").is_success
    for _time in range(2):
        run = deployment.launch("days", "summary", tags={"dagster/partition": "tue"})
        assert run.is_success
    _, made = records(stored, "days", "tue")
    _, summary = records(stored, "summary")
    assert (made.id, None) in read_by(stored, summary)
    assert made.published_in is None
