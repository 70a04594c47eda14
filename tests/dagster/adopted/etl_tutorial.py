"""After the shape of Dagster's ETL tutorial: tables that a DuckDB resource writes, asset keys with prefixes, months as
partitions, an asset check, an asset with config and a sensor that asks for it, automation conditions.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb

MONTHLY = dg.MonthlyPartitionsDefinition("2018-01-01", end_date="2018-04-01")


class Warehouse(dg.ConfigurableResource["Warehouse"]):
    """A DuckDB file."""

    name: str

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        with duckdb.connect(Path(os.environ["METADATA_PROJECT"]) / self.name) as connection:
            return connection.execute(statement).fetchall()


def raw(name: str, select: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=["target", "main", f"raw_{name}"],
        kinds={"duckdb"},
        automation_condition=dg.AutomationCondition.on_cron("0 0 * * 1"),
    )
    def table(warehouse: Warehouse) -> None:
        warehouse.ask(f"CREATE OR REPLACE TABLE raw_{name} AS {select}")

    return table


customers = raw("customers", "SELECT 1 AS id, 'Ann' AS name")
orders = raw("orders", "SELECT 1 AS id, 1 AS customer, DATE '2018-02-03' AS ordered")


@dg.asset_check(asset=customers, description="Every customer has an id.")
def no_id_is_missing(warehouse: Warehouse) -> dg.AssetCheckResult:
    ((missing,),) = warehouse.ask("SELECT count(*) FROM raw_customers WHERE id IS NULL")
    return dg.AssetCheckResult(passed=missing == 0)


@dg.multi_asset(
    specs=[
        dg.AssetSpec("stg_customers", deps=[customers]),
        dg.AssetSpec("stg_orders", deps=[orders], description="As a model of dbt."),
    ],
    can_subset=True,
)
def models(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[dg.MaterializeResult]:
    for asset_key in sorted(context.selected_asset_keys):
        name = asset_key.path[-1].removeprefix("stg_")
        warehouse.ask(f"CREATE OR REPLACE VIEW stg_{name} AS SELECT * FROM raw_{name}")
        yield dg.MaterializeResult(asset_key=asset_key)


@dg.asset(
    deps=["stg_orders"],
    partitions_def=MONTHLY,
    automation_condition=dg.AutomationCondition.eager(),
    description="Orders of a month",
)
def monthly_orders(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    ((count,),) = warehouse.ask(
        f"SELECT count(*) FROM stg_orders WHERE strftime(ordered, '%Y-%m-01') = '{context.partition_key}'"
    )
    return dg.MaterializeResult(metadata={"dagster/row_count": count})


class Request(dg.Config):
    since: str = "2018-01-01"


@dg.asset(deps=["stg_orders", "stg_customers"])
def adhoc_request(config: Request, warehouse: Warehouse) -> dg.MaterializeResult:
    rows = warehouse.ask(f"SELECT * FROM stg_orders WHERE ordered >= '{config.since}'")
    return dg.MaterializeResult(metadata={"preview": dg.MetadataValue.json([str(row) for row in rows])})


adhoc_job = dg.define_asset_job("adhoc_job", selection=["adhoc_request"])


@dg.sensor(job=adhoc_job)
def adhoc_sensor() -> dg.SkipReason:
    return dg.SkipReason("nobody asked")


defs = dg.Definitions(
    assets=[customers, orders, models, monthly_orders, adhoc_request],
    asset_checks=[no_id_is_missing],
    jobs=[adhoc_job],
    sensors=[adhoc_sensor],
    resources={"warehouse": Warehouse(name="warehouse.duckdb"), "metadata": "a resource of the project's own"},
)
EXPECTED = {
    "target/main/raw_customers": 1,
    "target/main/raw_orders": 1,
    "stg_customers": 1,
    "stg_orders": 1,
    "monthly_orders": 1,
    "adhoc_request": 1,
}
PARTITION = "2018-02-01"
