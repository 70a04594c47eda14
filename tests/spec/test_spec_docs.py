"""What is written about projects is true: examples are projects, and every field is explained."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest
from pydantic import BaseModel

from identity.keys import dataset_key
from metadata_assets.datasets import key_of
from metadata_assets.factory import definitions_for
from metadata_assets.location import code_location
from metadata_assets.spec import load_project, models
from resources.configurable import close_all
from resources.locations import place
from resources.metadata_store import MetadataStore

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
TEXT = (ROOT / "docs" / "project.md").read_text("utf-8")
FILE = re.compile(r"```(?:yaml|python)\n# ([\w/.]+)\n(.*?)```", re.DOTALL)
PARTITIONS = re.findall(r"^partitions: .*$", TEXT, re.MULTILINE)
MODELS = [model for model in vars(models).values() if isinstance(model, type) and issubclass(model, BaseModel)]


CRM = """
    CREATE TABLE customers (id text PRIMARY KEY, name text NOT NULL, since date NOT NULL);
    CREATE TABLE orders (
        id bigint PRIMARY KEY, customer text NOT NULL REFERENCES customers, amount numeric(10, 2) NOT NULL, {} date
    );
    INSERT INTO customers VALUES ('a', 'Ann', '2020-02-02'), ('b', 'Bob', '2021-02-02');
    INSERT INTO orders VALUES
        (1, 'a', 10.50, '2026-01-01'), (2, 'b', 1.25, '2026-01-01'), (3, 'a', 0.50, '2026-01-02');
"""
Shop = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_database: Callable[..., str], metadata_url: str) -> Any:
    """A function that writes an example over a small real CRM; its answer runs a dataset of it, maybe a partition."""
    crm = make_database()
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    monkeypatch.setenv("METADATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRM_DATABASE_URL", crm)

    def write(text: str, *, day: str) -> Shop:
        with psycopg.connect(crm) as connection:
            connection.execute(CRM.format(day).encode())
            database = connection.info.dbname
        text = text.replace("database: crm", f"database: {database}").replace("/srv/lake", str(tmp_path / "lake"))
        write_example(text, tmp_path / "shop")
        location = code_location(load_project(tmp_path / "shop"))

        def run(name: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
            return dg.materialize(
                list(location.assets or ()),
                selection=[dg.AssetKey(["lake", "sales", name])],
                instance=instance,
                partition_key=partition,
                resources=location.resources,
            )

        return run

    with dg.DagsterInstance.ephemeral() as instance:
        yield write
    close_all()


def current(store: MetadataStore, name: str) -> dict[str | None, int | None]:
    """The published partitions of a dataset and their rows."""
    return {one.partition: one.row_count for one in store.current(dataset_key("lake", schema="sales", table=name))}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def test_the_complete_example_runs(shop: Callable[..., Shop], store: MetadataStore, tmp_path: Path) -> None:
    run = shop(TEXT, day="placed_on")
    assert checks(run("orders", "2026-01-01")) == {"complete": True, "not_smaller": False}
    assert run("orders", "2026-01-02").success
    assert run("orders", "2026-01-03").success, "a day without orders"
    assert current(store, "orders") == {"2026-01-01": 2, "2026-01-02": 1}
    assert run("customers").success
    assert run("month", "2026-01-01").success
    assert run("month", "2026-02-01").success, "a month without orders"
    assert current(store, "month") == {}, "it is published manually"
    (month,) = store.materializations(dataset_key("lake", schema="sales", table="month"))
    (file,) = (tmp_path / "lake" / place(str(month.location))[1]).glob("*.parquet")
    assert pl.read_parquet(file).rows() == [("Ann", Decimal("11.00")), ("Bob", Decimal("1.25"))]
    store.publish([month.id])
    assert current(store, "month") == {"2026-01-01": 2}


def test_the_example_of_the_readme_runs(shop: Callable[..., Shop], store: MetadataStore) -> None:
    run = shop(README, day="ordered_on")
    assert checks(run("orders", "2026-01-01")) == {"complete": True}
    assert current(store, "orders") == {"2026-01-01": 2}


def write_example(text: str, folder: Path) -> list[str]:
    """Write the files of an example as a reader would; the names of them."""
    (folder / "datasets").mkdir(parents=True)
    files = FILE.findall(text)
    for file, content in files:
        (folder / file).write_text(content, encoding="utf-8")
    return [file for file, _ in files]


def test_the_complete_example_is_a_project(tmp_path: Path) -> None:
    assert write_example(TEXT, tmp_path) == ["metadata.yml", "datasets/sales.yml", "pipeline.py", "quality.py"]
    project = load_project(tmp_path)
    assert [dataset.name for dataset in project.datasets] == ["customers", "month", "orders"]
    assert len(definitions_for(project)) == 5


def test_the_example_of_the_readme_is_a_project(tmp_path: Path) -> None:
    assert write_example(README, tmp_path) == ["metadata.yml", "datasets/orders.yml", "pipeline.py", "quality.py"]
    project = load_project(tmp_path)
    assert [dataset.name for dataset in project.datasets] == ["orders"]
    assert len(definitions_for(project)) == 2


def test_the_resources_of_the_readme_run_an_asset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: MetadataStore, metadata_url: str
) -> None:
    """As written there, with an asset in the place of the dots; below a home that has nothing yet."""
    (code,) = re.findall(r"```python\n(import dagster as dg\n.*?)```", README, re.DOTALL)
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    monkeypatch.setenv("METADATA_HOME", str(tmp_path))
    numbers = dg.asset(name="numbers")(lambda: pl.DataFrame({"a": [1, 2]}))
    names: dict[str, Any] = {"numbers": numbers}
    exec(code.replace("[...]", "[numbers]"), names)
    with dg.DagsterInstance.ephemeral() as instance:
        assert names["defs"].resolve_implicit_global_asset_job_def().execute_in_process(instance=instance).success
    assert [one.row_count for one in store.current(key_of(dg.AssetKey("numbers"), None))] == [2]


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_every_way_to_divide_a_dataset_works(tmp_path: Path, partitions: str) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text("name: x\nendpoints: {lake: {system: files}}")
    dataset = f"datasets:\n  - name: a\n    endpoint: lake\n    python: a:b\n    {partitions}\n"
    (tmp_path / "datasets" / "a.yml").write_text(dataset)
    assert load_project(tmp_path).datasets[0].partitions is not None


def test_all_ways_are_there() -> None:
    assert {line.split("{")[1].split(":")[0] for line in PARTITIONS} == set(models.PartitionsFields.model_fields)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_explained(model: type[BaseModel]) -> None:
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for name in names if f"`{name}`" not in TEXT and f"{name}:" not in TEXT} == set()
