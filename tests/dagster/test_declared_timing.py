"""What a project declares of time, as Dagster's daemon does it: each run that is due is launched, and delivers once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment, deployed

from identity.keys import dataset_key
from resources.metadata_store import MetadataStore

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own
METADATA = """
name: timed
endpoints:
  lake: {system: files}
schedules:
  every_minute: {cron: "* * * * *", select: rows}
"""
DATASETS = """
datasets:
  - {name: rows, endpoint: lake, python: "code:rows"}
  - {name: total, endpoint: lake, sql: total.sql, automation: eager}
"""
ROWS, TOTAL = dataset_key("lake", table="rows"), dataset_key("lake", table="total")


@pytest.fixture
def deployment(environment: dict[str, str], tmp_path: Path) -> Iterator[Deployment]:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text(METADATA)
    (tmp_path / "datasets" / "all.yml").write_text(DATASETS)
    (tmp_path / "datasets" / "total.sql").write_text("SELECT count(*) AS rows FROM {{ ref('rows') }}")
    (tmp_path / "code.py").write_text("import polars as pl\n\ndef rows():\n    return pl.DataFrame({'n': [1, 2]})\n")
    with deployed(Path(environment["DAGSTER_HOME"]), "declared.py") as found:
        yield found


def runs_of(store: MetadataStore, key: object) -> list[str | None]:
    """The runs that delivered a dataset, by record."""
    return [one.run_id for one in store.materializations(key)]  # type: ignore[arg-type]


def test_schedules_and_conditions_launch_runs_that_deliver_once(deployment: Deployment, stored: MetadataStore) -> None:
    assert deployment.look_at_conditions(minute=0) == [], "nothing is newer than anything"
    due = deployment.tick_schedule("every_minute", minutes=3)  # the first look of the daemon begins to count
    assert [run.is_success for run in due] == [True, True]
    assert sorted(map(str, runs_of(stored, ROWS))) == sorted(run.run_id for run in due), "a record for each tick"
    (automated,) = deployment.look_at_conditions(minute=5)
    assert automated.is_success
    assert runs_of(stored, TOTAL) == [automated.run_id]
    assert deployment.look_at_conditions(minute=6) == [automated], "it is not asked for again"
    deployment.launch("lake/rows")
    again = deployment.look_at_conditions(minute=7)
    assert len(again) == 2
    assert sorted(map(str, runs_of(stored, TOTAL))) == sorted(run.run_id for run in again)
    assert stored.current(TOTAL)[0].row_count == 1
