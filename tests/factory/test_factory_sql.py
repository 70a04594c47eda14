"""Datasets that are one SELECT, materialized by Dagster: what is read, committed and told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pyarrow as pa
import pytest

from identity.keys import CanonicalKey, dataset_key, short_name
from metadata_assets.factory import definitions_for
from metadata_assets.spec import load_project
from metadata_assets.sql.computing import NotATable, PartitionsDisagree, SqlFailed, SqlFunction
from metadata_assets.sql.engine import Room
from resources.locations import place
from resources.metadata_store import MetadataStore
from resources.settings import BadMemory, Settings

DATASETS = """
datasets:
  - {name: flights, endpoint: lake, schema: nyc, python: "code:flights"}
  - {name: carriers, endpoint: lake, schema: nyc, sql: carriers.sql}
"""
DIVIDED = """
datasets:
  - name: days
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    sql: days.sql
    checks: [{name: two, python: "code:two", blocking: true}]
  - name: all_days
    endpoint: lake
    schema: nyc
    sql: all_days.sql
    depends_on: [{dataset: lake/nyc/days, missing: skip}]
  - name: week
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    sql: week.sql
    depends_on: [{dataset: lake/nyc/days, partitions: {offset: -1}, missing: skip}]
"""
CODE = """
import polars as pl

LATE = [10, 20, 30]

def flights() -> pl.DataFrame:
    return pl.DataFrame({"day": [1, 1, 2], "carrier": ["AA", "UA", "AA"], "late": LATE})

def two(data: pl.DataFrame, flights) -> bool:
    return data.height == 2 == flights.query("SELECT count(*) FROM {table} WHERE day = %s", [data["day"][0]]).item()
"""
CARRIERS = "SELECT carrier, avg(late) AS late FROM {{ ref('flights') }} GROUP BY ALL ORDER BY carrier"
DAYS = "SELECT day, carrier FROM {{ source('jfk', 'public', 'flights') }} WHERE day = $partition::DATE"
Sql = Callable[..., None]


@pytest.fixture
def sql(tmp_path: Path) -> Sql:
    """A function that writes the files of SQL of a project, by name without .sql."""

    def write(**files: str) -> None:
        folder = tmp_path / "project" / "datasets"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.sql").write_text(text)

    return write


@pytest.fixture
def rows(store: MetadataStore, tmp_path: Path) -> Callable[[str], dict[str | None, list[Any]]]:
    """A function that answers with the published rows of a dataset of lake/nyc, by partition."""

    def published(name: str) -> dict[str | None, list[Any]]:
        found = {one.partition: place(str(one.location))[1] for one in store.current(key(name))}
        files = {partition: (tmp_path / "home").rglob(f"*{path}/*.parquet") for partition, path in found.items()}
        return {partition: pl.read_parquet(next(file)).rows() for partition, file in files.items()}

    return published


def key(name: str) -> CanonicalKey:
    return dataset_key("lake", schema="nyc", table=name)


def event_of(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetMaterialization:
    return result.asset_materializations_for_node(f"lake__nyc__{name}")[0]


def test_a_select_reads_what_is_published_and_is_recorded_as_made_from_it(
    workbench: Any, rows: Any, sql: Sql, store: MetadataStore
) -> None:
    sql(carriers=CARRIERS)
    bench = workbench(DATASETS, code=CODE)
    result = bench.run("flights", "carriers")
    assert rows("carriers") == {None: [("AA", 20.0), ("UA", 20.0)]}
    schema: Any = event_of(result, "carriers").metadata["dagster/column_schema"].value
    assert [(one.name, one.type) for one in schema.columns] == [("carrier", "string"), ("late", "double")]
    (made,) = store.materializations(key("carriers"))
    assert made.code_version == bench.project.dataset(key("carriers")).sql.digest
    assert [(one.key, one.version) for one in store.inputs(made.id)] == [(key("flights"), 1)]


def test_a_run_at_a_pin_reads_what_the_pin_has(workbench: Any, rows: Any, sql: Sql, store: MetadataStore) -> None:
    sql(carriers=CARRIERS)
    later = CODE.replace("[10, 20, 30]", "iter([[10, 20, 30], [1, 2, 3]])").replace(": LATE", ": next(LATE)")
    bench = workbench(DATASETS, code=later)
    bench.run("flights")
    store.pin("before", {key("flights"): 1})
    bench.run("flights")
    bench.run("carriers")
    assert rows("carriers") == {None: [("AA", 2.0), ("UA", 2.0)]}
    bench.run("carriers", tags={"metadata_assets/pin": "before"})
    assert rows("carriers") == {None: [("AA", 20.0), ("UA", 20.0)]}


def test_the_same_intent_delivered_twice_is_one_record(workbench: Any, sql: Sql, store: MetadataStore) -> None:
    sql(carriers=CARRIERS)
    bench = workbench(DATASETS, code=CODE)
    bench.run("flights")
    for _ in range(2):
        bench.run("carriers", tags={"metadata_assets/idempotency_key": "once"})
    assert len(store.materializations(key("carriers"))) == 1


def test_the_event_shows_from_which_columns_each_column_comes(workbench: Any, sql: Sql) -> None:
    sql(
        carriers="""
        WITH late AS (SELECT carrier, max(late) AS most FROM {{ ref('lake/nyc/flights') }} GROUP BY ALL)
        SELECT late.carrier AS Who, max(most) + count(*) AS "most late", now() AS at, flights.*
        FROM late JOIN {{ source('jfk', 'public', 'flights') }} ON late.carrier = flights.carrier GROUP BY ALL
        """
    )
    event = event_of(workbench(DATASETS, code=CODE).run("flights", "carriers"), "carriers")
    lineage: Any = event.metadata["dagster/column_lineage"].value
    found = {name: [(*d.asset_key.path, d.column_name) for d in deps] for name, deps in lineage.deps_by_column.items()}
    assert found == {
        "Who": [("lake", "nyc", "flights", "carrier")],
        "most late": [("lake", "nyc", "flights", "late")],
        "day": [("jfk", "public", "flights", "day")],
        "carrier": [("jfk", "public", "flights", "carrier")],
    }


def test_each_partition_gets_its_own_partition_of_inputs(workbench: Any, rows: Any, sql: Sql) -> None:
    """A day of a source by $partition, the day before, all days together; a check with an input decides as usual."""
    sql(
        days=DAYS,
        all_days="SELECT count(*)::INT AS n, min(day)::TEXT AS first FROM {{ ref('days') }}",
        week="SELECT $partition AS on, min(day)::TEXT AS before FROM {{ ref('days') }}",
    )
    bench = workbench(DIVIDED, code=CODE)
    result = bench.run_range("2013-01-01", "2013-01-03", "days", "week")
    assert [one.passed for one in result.get_asset_check_evaluations()] == [True]
    assert {day: len(found) for day, found in rows("days").items()} == dict.fromkeys(
        ("2013-01-01", "2013-01-02", "2013-01-03"), 2
    )
    assert rows("week") == {
        "2013-01-02": [("2013-01-02", "2013-01-01")],
        "2013-01-03": [("2013-01-03", "2013-01-02")],
    }, "the first day has no day before it"
    bench.run("all_days")
    assert rows("all_days") == {None: [(6, "2013-01-01")]}


def test_of_a_source_only_the_columns_that_are_needed_are_read(
    workbench: Any, rows: Any, sql: Sql, store: MetadataStore, source_database: str
) -> None:
    """The column that nobody asks for cannot be read: its value is no date that Python has."""
    with psycopg.connect(source_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE flights ADD odd date DEFAULT 'infinity', ADD \"per cent %s\" int DEFAULT 5")
    sql(carriers="SELECT count(*) AS n, max(#4) AS five FROM {{ source('jfk', 'public', 'flights') }}")
    workbench(DATASETS, code=CODE).run("carriers")
    assert rows("carriers") == {None: [(20, 5)]}
    (made,) = store.materializations(key("carriers"))
    (read,) = store.inputs(made.id)
    assert (short_name(read.key).split("/")[-1], read.metadata["rows_read"]) == ("flights", 20)


def test_what_duckdb_refuses_fails_the_run_at_its_line(workbench: Any, published: Any, sql: Sql) -> None:
    sql(carriers="SELECT carrier,\n       latte\nFROM {{ ref('lake/nyc/flights') }}")
    with pytest.raises(SqlFailed, match=r"^datasets/carriers.sql:2:8: Referenced column .*; did you mean late\?"):
        workbench(DATASETS, code=CODE).run("flights", "carriers")
    assert published("carriers") == {}


@pytest.fixture
def select(write_project: Any, sql: Sql) -> Callable[[str], SqlFunction]:
    """A function that answers with what computes a SELECT over `flights`, without a run."""

    def made(text: str) -> SqlFunction:
        sql(carriers=text)
        query = load_project(write_project(DATASETS, code=CODE)).datasets_by_key[key("carriers")].sql
        assert query is not None
        return SqlFunction(query)

    return made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT 'é' AS a\n  , carrier::INT\nFROM {{ ref('flights') }}", r"2:12: Could not convert .*; .*TRY_CAST"),
        ("SELECT\n f.latte FROM {{ ref('flights') }} f", r"2:2: f has no column latte; did you mean late\?"),
        ("SELECT medium(late)\nFROM {{ ref('flights') }} f", r'1:8: Scalar Function .*; Did you mean "median"\?'),
        ("FROM {{ ref('flights') }},\n read_csv('/etc/passwd')", "2:2: Cannot access file .* recorded as its inputs"),
        ("SELECT *, late FROM {{ ref('flights') }}", "1:1: two columns are called late; name them apart with AS, or"),
        ("SELECT error('no') FROM {{ ref('flights') }}", "1:1: no; correct the SQL there"),
    ],
)
def test_what_goes_wrong_is_told_at_its_line(select: Any, text: str, says: str) -> None:
    with pytest.raises(SqlFailed, match=f"^datasets/carriers.sql:{says}"):
        select(text)(flights=pa.table({"carrier": ["AA"], "late": [1]}))


def test_only_declared_inputs_are_in_reach(select: Any) -> None:
    """Not even a variable of the Python that asks: DuckDB would look at the one that has the table's name."""
    query = replace(select("FROM {{ ref('flights') }}").query, statement="FROM connection")
    with pytest.raises(SqlFailed, match="Table with name connection does not exist"):
        SqlFunction(query)(flights=pa.table({"carrier": ["AA"]}))


def test_inputs_that_are_not_one_table_are_refused_by_name(select: Any) -> None:
    function = select("FROM {{ ref('flights') }}")
    with pytest.raises(SqlFailed, match="1:1: lake/nyc/flights has the columns LATE and Late, one name to Du"):
        function(flights=pa.table({"Late": [1], "LATE": [2]}))
    with pytest.raises(NotATable, match=r"lake/nyc/flights is no table \(list\)"):
        function(flights=[1])
    with pytest.raises(PartitionsDisagree, match="the partitions of lake/nyc/flights do not fit into one table"):
        function(flights={"a": pa.table({"a": [1]}), "b": pa.table({"a": ["x"]})})
    assert function(flights={}) is None, "of an input that may be missing"
    both = function(flights={"a": pa.table({"a": [1]}), "b": pa.table({"a": [0.5], "b": [2]})})
    assert both.to_pydict() == {"a": [1.0, 0.5], "b": [None, 2]}


def test_columns_are_known_before_anything_runs(write_project: Any, sql: Sql) -> None:
    total = "SELECT day, sum(late) AS late, 1 AS one FROM {{ ref('flights') }} GROUP BY ALL"
    sql(carriers=total, more="FROM {{ ref('carriers') }}")
    columns = "columns: [{name: day, type: date}, {name: late, type: int64}]"
    datasets = DATASETS.replace('"code:flights"', f'"code:flights", {columns}')
    folder = write_project(f"{datasets}  - {{name: more, endpoint: lake, schema: nyc, sql: more.sql}}\n", code=CODE)
    (more,) = (one for one in definitions_for(load_project(folder)) if one.key.path[-1] == "more")
    assert isinstance(more, dg.AssetsDefinition)
    (spec,) = more.specs
    schema = spec.metadata["dagster/column_schema"]
    assert [(one.name, one.type) for one in schema.columns] == [
        ("day", "date32[day]"),
        ("late", "decimal128(38, 0)"),
        ("one", "int32"),
    ]
    assert spec.kinds == {"sql", "parquet"}


def test_a_run_gives_a_select_memory_and_a_folder_for_the_rest(
    workbench: Any, rows: Any, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METADATA_SQL_MEMORY", "500MiB")
    sql(carriers="SELECT current_setting('memory_limit') AS memory, current_setting('temp_directory') AS folder")
    result = workbench(DATASETS, code=CODE).run("carriers")
    ((memory, folder),) = rows("carriers")[None]
    assert (memory, Path(folder).parent) == ("500.0 MiB", tmp_path / "home" / "intermediate" / result.run_id)
    assert not Path(folder).parent.exists(), "it is gone with the run"


BIG = "SELECT max(place) AS places FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS place FROM range(2000000) t(i))"


def test_what_does_not_fit_into_memory_goes_to_the_folder(select: Any, tmp_path: Path) -> None:
    query = select(BIG).query
    assert SqlFunction(query, Room("60MB", str(tmp_path / "rest")))().to_pydict() == {"places": [2_000_000]}
    assert not (tmp_path / "rest").exists(), "DuckDB removes what it wrote"
    with pytest.raises(SqlFailed, match=r"carriers.sql:1:1: .*; let it have more by METADATA_SQL_MEMORY"):
        SqlFunction(query, Room("60MB"))()


@pytest.mark.parametrize("value", ["lots", "4", "0GB", "150%", "-1GB", "1GB'; --"])
def test_what_is_no_amount_of_memory_is_refused_by_the_variables_name(value: str) -> None:
    with pytest.raises(BadMemory, match="METADATA_SQL_MEMORY is no amount of memory; write it like 500MB"):
        _ = Settings.from_env({"METADATA_SQL_MEMORY": value}, cwd=Path("/")).sql_memory
