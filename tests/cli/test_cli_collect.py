"""`collect` on sources whose tables get other names, and one server that the project has as two endpoints."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from cli_calls import Run
from sqlalchemy.engine import make_url

from identity.keys import CanonicalKey, dataset_key
from resources.metadata_store import MetadataStore

SOURCE = "CREATE TABLE orders (id int, note text); CREATE TABLE items (id int); CREATE VIEW report AS TABLE orders"


@pytest.fixture
def source(environ: dict[str, str], make_database: Callable[..., str]) -> Callable[[str], None]:
    """A function that changes a database that the project has as `crm` and as `crm-replica`."""
    url = make_database()
    environ["CRM_URL"] = url
    database = make_url(url).database
    (Path(environ["METADATA_PROJECT"]) / "metadata.yml").write_text(
        "name: shop\nendpoints:\n"
        f"  crm: {{system: postgres, url: env:CRM_URL, database: {database}, collect: {{}}}}\n"
        f"  crm-replica: {{system: postgres, url: env:CRM_URL, database: {database}, collect: {{}}}}\n"
    )

    def change(statements: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(statements.encode())

    change(SOURCE)
    return change


def key(environ: dict[str, str], endpoint: str, table: str) -> CanonicalKey:
    database = make_url(environ["CRM_URL"]).database
    return dataset_key(endpoint, source=str(database), schema="public", table=table)


def test_renames_are_told_with_who_made_them_known(
    run: Run, environ: dict[str, str], source: Callable[[str], None], store: MetadataStore
) -> None:
    run("collect", "crm")
    source("ALTER TABLE orders RENAME TO sales; ALTER TABLE items RENAME id TO number")
    shown = [line.split() for line in run("collect", "crm").out.splitlines()]
    header = next(line for line in shown if line[:1] == ["endpoint"])
    cells = next(line for line in shown if line[:1] == ["crm"])
    assert cells[header.index("renamed")] == "2"
    by_collection = store.aliases_of(key(environ, "crm", "sales"))[0]
    run("identity", "rename", "crm/public/sales", "sold")
    by_hand = store.aliases_of(key(environ, "crm", "sold"))[0]
    assert by_collection.actor == by_hand.actor
    assert by_hand.actor.startswith("cli:")


def test_one_server_with_two_endpoints_is_joined(
    run: Run, environ: dict[str, str], source: Callable[[str], None]
) -> None:
    assert run("collect").code == 0
    merged = run("identity", "merge", "crm-replica/public/orders", "crm/public/orders", "--json").json
    assert merged["winner"] == str(key(environ, "crm", "orders"))
    source("ALTER TABLE orders ADD more int; DROP TABLE items")
    assert run("collect").code == 0
    assert run("collect", "--json").json["rows_written"] == 0
    names = {one["name"] for one in json.loads(run("datasets", "--all", "--json").out)}
    assert names == {"crm/public/orders", "crm/public/report", "crm-replica/public/report"}
    assert run("dataset", "show", "crm-replica/public/orders", "--json").json["name"] == "crm/public/orders"
    refused = run("identity", "merge", "crm/public/report", "crm/public/orders", "--json").error
    assert "made from the other" in refused["message"]

    assert run("identity", "unmerge", merged["merge"]).code == 0
    assert run("dataset", "show", "crm-replica/public/orders", "--json").json["name"] == "crm-replica/public/orders"
    assert run("collect").code == 0
    assert run("collect", "--json").json["rows_written"] == 0


def test_files_are_collected_by_their_paths_in_the_project(run: Run, environ: dict[str, str]) -> None:
    project = Path(environ["METADATA_PROJECT"])
    with sqlite3.connect(project / "app.db") as connection:
        connection.execute("CREATE TABLE users (id integer PRIMARY KEY, name text)")
    connection.close()
    (project / "metadata.yml").write_text(
        "name: shop\nendpoints:\n"
        "  app: {system: sqlite, file: app.db, collect: {tables: ['!tmp_*']}}\n"
        "  marts: {system: duckdb, file: marts.duckdb, database: marts, collect: {}}\n"
    )
    answer = run("collect", "--json")
    app, marts = answer.json["endpoints"]
    assert (app["assets"]["new"], app["columns"]["new"]) == (1, 2)
    assert marts["error"]["error"] == "EndpointUnreachable"
    assert answer.code == 4
    assert run("dataset", "show", "app/main/users", "--json").json["key"] == "mid1:dataset:app:~/main/users"
