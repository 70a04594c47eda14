"""`import dbt` as people call it, and what docs/imports.md tells them to type."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cli_calls import Run, shape
from scratch_databases import ScratchDatabases
from sqlalchemy.engine import make_url

from metadata_assets.cli import documents
from resources.metadata_store import MetadataStore
from resources.models import Endpoint
from tests.collection.conftest import contents
from tests.importers.dbt_projects import catalog, manifest, node, source, written

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "imports.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
(PROJECT,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
TABLES = "CREATE TABLE IF NOT EXISTS raw_orders (id int); CREATE OR REPLACE VIEW orders AS TABLE raw_orders"


def things(url: str) -> set[tuple[str, str]]:
    """The ids and names of all assets."""
    return {(row["asset_id"], row["qualified_name"]) for _xmin, _xmax, row in contents(url)["asset"]}


@pytest.fixture
def database(environ: dict[str, str], empty_databases: ScratchDatabases) -> Iterator[str]:
    """The name of a database that the project of the page has as its warehouse."""
    with empty_databases.one() as url:
        yield warehouse(environ, url)


def warehouse(environ: dict[str, str], url: str) -> str:
    name = str(make_url(url).database)
    environ["WAREHOUSE_URL"] = url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    (Path(environ["METADATA_PROJECT"]) / "metadata.yml").write_text(PROJECT.replace("analytics", name))
    return name


@pytest.fixture
def target(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which dbt leaves its files, below the one where people are."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "target"
    folder.mkdir()
    raw = source("raw_orders", database=database)
    written(folder, manifest(raw, node("model", "orders", "source.shop.raw_orders", database=database)))
    written(folder, catalog({"model.shop.orders": {"id": "integer"}}), "catalog.json")
    return folder


def test_the_commands_of_the_page_do_what_it_says(run: Run, target: Path, metadata_url: str) -> None:
    assert target
    answers = {}
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "metadata-assets"
        answers[command] = run(*arguments)
    assert {command: answer.err for command, answer in answers.items() if answer.code} == {}
    dry, first, again, lineage, shown, _several = answers.values()
    assert "4 rows would be written" in dry.out
    assert "5 rows written: 1 edges opened, 0 closed" in first.out
    assert again.json["rows_written"] == 0
    assert "raw_orders" in lineage.out
    assert "dbt:shop" in shown.out
    stored = things(metadata_url)
    assert run("collect").code == 0
    assert things(metadata_url) == stored, "the collection that comes later finds the same two things"


def test_the_document_has_the_documented_shape(run: Run, target: Path, database: str) -> None:
    reads = ["source.shop.raw_orders", "model.shop.gone"]
    written(
        target, manifest(source("raw_orders", database=database), node("model", "orders", *reads, database=database))
    )
    answer = run("import", "dbt", "target/manifest.json", "--json")
    assert (answer.code, shape(answer.json)) == (5, documents.DBT_IMPORTED)
    assert answer.json["endpoints"] == [{"endpoint": "warehouse", "scope": "shop@warehouse"}]
    assert answer.json["gaps"] == [
        {"name": "model.shop.orders", "reason": "it reads model.shop.gone, which the manifest lacks"}
    ]
    assert "gap: model.shop.orders: it reads model.shop.gone" in run("import", "dbt", "target/manifest.json").err


def test_a_rehearsal_writes_nothing(run: Run, target: Path, metadata_url: str) -> None:
    assert target
    before = {name: [row for _x, _y, row in rows] for name, rows in contents(metadata_url).items()}
    assert run("import", "dbt", "target/manifest.json", "--dry-run", "--json").json["edges"]["opened"] == 1
    assert {name: [row for _x, _y, row in rows] for name, rows in contents(metadata_url).items()} == before


Broken = Callable[[Path, str], object]
REFUSED: dict[str, tuple[list[str], int, str, Broken]] = {
    "no such file": (["nowhere.json"], 2, "nowhere.json cannot be imported: it cannot be read", lambda _f, _d: None),
    "no such endpoint": (
        ["target/manifest.json", "--endpoint", "warehous"],
        3,
        "there is no endpoint warehous; did you mean warehouse?",
        lambda _f, _d: None,
    ),
    "another system": (
        ["target/manifest.json", "--endpoint", "warehouse"],
        2,
        "endpoint warehouse is of system postgres, and the manifest was made for snowflake",
        lambda folder, _d: written(folder, manifest(adapter="snowflake")),
    ),
    "another database": (
        ["target/manifest.json"],
        2,
        "source.shop.raw is in the database elsewhere of postgres, which is no endpoint here (warehouse has ",
        lambda folder, _d: written(folder, manifest(source("raw", database="elsewhere"))),
    ),
    "an endpoint of another database": (
        ["target/manifest.json", "--endpoint", "elsewhere=warehouse"],
        2,
        "endpoint warehouse has the database ",
        lambda _f, _d: None,
    ),
    "nothing in it": (
        ["target/manifest.json"],
        2,
        "manifest.json cannot be imported: it has no model, seed, snapshot or source with a table",
        lambda folder, _d: written(folder, manifest()),
    ),
    "a node with a hole": (
        ["target/manifest.json"],
        2,
        "manifest.json cannot be imported: model.shop.orders: alias: it is missing; compile the project again",
        lambda folder, name: written(folder, manifest(node("model", "orders", database=name, alias=None))),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_writes_nothing(run: Run, target: Path, database: str, metadata_url: str, case: str) -> None:
    arguments, code, said, broken = REFUSED[case]
    broken(target, database)
    answer = run("import", "dbt", *arguments)
    assert (answer.code, said in answer.err) == (code, True), answer.err
    stored = contents(metadata_url)
    assert (stored["asset"], stored["endpoint"]) == ([], []), "nor is an endpoint registered"


def test_an_endpoint_that_only_the_store_has(run: Run, target: Path, store: MetadataStore) -> None:
    """Of a system that no collection reads yet."""
    store.register_endpoints([Endpoint(slug="account", system="snowflake")])
    document = manifest(
        node("model", "orders", database="SALES", relation_name="SALES.PUBLIC.orders"), adapter="snowflake"
    )
    written(target, document)
    assert run("import", "dbt", "target/manifest.json", "--endpoint", "account").code == 0
    assert run("dataset", "show", "account/PUBLIC/ORDERS", "--json").json["name"] == "account/PUBLIC/ORDERS"
