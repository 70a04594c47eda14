"""What docs/checks.md tells people to write works, in its order."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from metadata_assets.location import code_location
from metadata_assets.sensors import checks_sensor
from metadata_assets.spec import load_project
from resources.configurable import close_all

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "checks.md").read_text("utf-8")
DECLARED, ASKED, READ, WITHOUT_PROJECT = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PROJECT = "name: test\nendpoints:\n  lake: {system: files}\n"
DATASETS = """
datasets:
  - {name: flights, endpoint: lake, schema: nyc, python: code:flights, partitions: {daily: {start: 2013-07-04}}}
"""
CODE = "import polars as pl\n\ndef flights(partition): return pl.DataFrame({'day': [partition]})\n"


def test_what_the_page_says_of_checks_works(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_text("id\n")
    names: dict[str, Any] = {}
    exec(DECLARED, names)
    defs: dg.Definitions = names["defs"]
    assert [one.name for one in defs.sensors or ()] == [checks_sensor().name]
    run = defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, raise_on_error=False)
    (event,) = run.get_asset_materialization_events()
    names["materialization_id"] = event.materialization.metadata["metadata_assets/materialization_id"].value
    exec(ASKED, names)
    checked = names["checked"]
    assert (checked.awaited, checked.failed, checked.latest["has_rows"].passed) == (("has_rows",), ("has_rows",), False)


def test_what_the_page_says_of_reading_works(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, text in (("metadata.yml", PROJECT), ("datasets/all.yml", DATASETS), ("code.py", CODE)):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    location = code_location(load_project("."))
    for day in ("2013-07-04", "2013-07-05"):
        dg.materialize(
            list(location.assets or ()), partition_key=day, instance=instance, resources=dict(location.resources or {})
        )
    store = location.resources["metadata"].store()  # type: ignore[index]
    store.pin("june", {store.resolve("lake/nyc/flights"): 1})
    names: dict[str, Any] = {"store": store}
    exec(READ, names)
    assert isinstance(names["metadata"].read("lake/nyc/flights"), pl.DataFrame)
    exec(WITHOUT_PROJECT.replace("s3://lake", f"{tmp_path}/home/lake"), names)
    assert names["reader"].read("lake/nyc/flights", at="june")["day"].to_list() == ["2013-07-04"]
    close_all()
