"""What docs/runs.md tells people to write works."""

import re
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
from store_inputs import Lake

from resources.metadata_store import MetadataStore

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "runs.md").read_text("utf-8")
SCRIPTS, EXECUTOR = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(END,) = re.findall(r"`(store\.record_runs\([^`]*\))`", TEXT)


def test_what_the_page_says_of_scripts_works(stored: MetadataStore, instance: dg.DagsterInstance) -> None:
    @dg.asset
    def alone() -> None: ...

    run = dg.materialize([alone], instance=instance)
    exec(SCRIPTS, {"store": stored, "instance": instance})
    assert stored.run(run.run_id).summary.status == "succeeded"


def test_what_the_page_says_of_executors_works(store: MetadataStore, lake: Lake) -> None:
    lake.store.register_datasets([(lake.asset("table"), "immediately")])
    run_id = f"run-{uuid.uuid4()}"
    names: dict[str, Any] = {"store": store, "load_flights": lambda _attempt: [lake.staged("table")]}
    exec(EXECUTOR.replace("run-7", run_id), names)
    (task,) = store.run(run_id).tasks
    assert (task.step_key, [one.status for one in task.attempts]) == ("load flights", ["succeeded"])
    assert store.version_at(lake.key("table")) == 1
    exec(f"from resources.runs import RunFact\n{END.replace('run-7', run_id)}", names)
    assert store.run(run_id).summary.status == "succeeded"
