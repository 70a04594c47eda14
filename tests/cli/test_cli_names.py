"""`identity names`, and columns, jobs and dashboards at `identity show` and `identity key`: on a real control plane."""

import json
import os
from pathlib import Path

import psycopg
import pytest
from cli_calls import FLIGHTS, Call, Run
from test_cli_surface import shape

from identity.external import DataHub
from identity.ids import Entity, column_id, tenant_id
from identity.keys import CanonicalKey, ColumnKey, dashboard_key, dataset_key, job_key
from identity.naming import authority, endpoint_of
from metadata_assets.cli import documents
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint

PASSWORD = "Kanari31337"
SNOW = [dataset_key("wh", source="SHOP", schema="PUBLIC", table=table) for table in ("ORDERS", "orders", "ITEMS")]
DOTTED = dataset_key("wh", source="SHOP", schema="PUBLIC", table="a.b")
ORDERS = dataset_key("jfk", source="shop", schema="public", table="orders")
TOPIC, NOWHERE = dataset_key("bus", table="orders"), dataset_key("nowhere", table="t")
JOB, BOARD = job_key("etl", '["nightly", "load"]'), dashboard_key("looker", "43")
SYSTEMS = {"wh": "snowflake", "jfk": "postgres", "bus": "kafka", "etl": "dagster", "looker": "looker"}


@pytest.fixture
def registered(store: MetadataStore) -> MetadataStore:
    store.register_endpoints([Endpoint(slug=slug, system=system) for slug, system in SYSTEMS.items()])
    store.register_assets([Asset(key=key, type=AssetType.TABLE) for key in (*SNOW, DOTTED, ORDERS, TOPIC, NOWHERE)])
    store.register_assets([Asset(key=JOB, type=AssetType.JOB), Asset(key=BOARD, type=AssetType.DASHBOARD)])
    return store


@pytest.mark.usefixtures("registered")
def test_everything_that_is_registered_is_listed_with_its_name_there(run: Run) -> None:
    answer = run("identity", "names", "--catalog", "datahub", "--json")
    assert answer.code == 5, "some have no name there"
    found = {CanonicalKey.parse(one["key"]): one["there"] for one in answer.json["names"]}
    hub = DataHub(systems=SYSTEMS)
    assert found == {key: hub.name_of(key) for key in (*SNOW, ORDERS, TOPIC, JOB, BOARD)}
    assert {one["what"] for one in answer.json["refused"]} == {"wh/PUBLIC/a.b", "nowhere/t"}
    assert (answer.json["conflicts"], answer.json["one_way"]) == ([], [])
    table = run("identity", "names", "--catalog", "datahub")
    assert table.code == 5
    assert "Without a name on the other side: 2" in table.out


@pytest.mark.usefixtures("registered")
def test_two_things_with_one_name_there_are_a_conflict_and_none_is_listed(run: Run) -> None:
    answer = run("identity", "names", "--lowercase", "--json")
    assert answer.code == 5
    assert shape(answer.json) == documents.NAMES
    (conflict,) = answer.json["conflicts"]
    assert sorted(conflict["keys"]) == sorted(str(key) for key in SNOW[:2])
    assert conflict["names"][0]["there"].endswith("wh.shop.public.orders,PROD)")
    listed = {one["key"] for one in answer.json["names"]}
    assert not listed & set(conflict["keys"])
    assert set(answer.json["one_way"]) == {str(key) for key in (SNOW[2], ORDERS, TOPIC)}
    shown = run("identity", "names", "--lowercase").out
    assert "Conflicts, one here or there and several on the other side: 1" in shown
    assert "3 names in lower case" in shown


@pytest.mark.usefixtures("registered")
def test_names_of_a_file_have_their_keys_and_two_of_one_thing_are_a_conflict(run: Run, tmp_path: Path) -> None:
    hub = DataHub(systems=SYSTEMS)
    names = tmp_path / "urns.txt"
    leaking = f"urn:li:dataset:(urn:li:dataPlatform:kafka,bus.x;password={PASSWORD},PROD)"
    names.write_text("\n".join([hub.name_of(ORDERS), "", hub.name_of(TOPIC), "nonsense", leaking]), "utf-8")
    answer = run("identity", "names", str(names), "--json")
    assert answer.code == 5
    assert [one["key"] for one in answer.json["names"]] == [str(ORDERS), str(TOPIC)]
    assert [one["what"] for one in answer.json["refused"]] == ["line 4", "line 5"]
    assert PASSWORD not in answer.out + answer.err
    names.write_text("table\tjfk.shop.public.orders\r\ntopic\tbus.orders\r\n", "utf-8")
    answer = run("identity", "names", str(names), "--catalog", "openmetadata", "--json")
    assert (answer.code, [one["key"] for one in answer.json["names"]]) == (0, [str(ORDERS), str(TOPIC)])
    names.write_text("hdfs_path\tx@nowhere\n", "utf-8")
    assert run("identity", "names", str(names), "--catalog", "atlas").code == 5
    names.write_text("no type\n", "utf-8")
    assert run("identity", "names", str(names), "--catalog", "atlas", "--json").error["error"] == "UnreadableNames"
    assert run("identity", "names", "--catalog", "amundsen", "--json").error["error"] == "UnknownCatalog"


def test_where_all_is_one_to_one_the_exit_code_is_0(run: Run, store: MetadataStore) -> None:
    store.register_endpoints([Endpoint(slug="jfk", system="postgres")])
    store.register_assets([Asset(key=ORDERS, type=AssetType.TABLE)])
    assert run("identity", "names").code == 0


@pytest.mark.parametrize(("key", "kind"), [(JOB, "JOB"), (BOARD, "DASHBOARD")])
def test_jobs_and_dashboards_have_a_type_and_are_found_by_their_keys(
    run: Run, registered: MetadataStore, key: CanonicalKey, kind: str
) -> None:
    shown = run("identity", "show", str(key), "--json").json
    assert (shown["key"], shown["id"]) == (str(key), str(registered.entity(key).id))
    assert registered.asset(key).type is AssetType(kind)
    assert run("datasets", "--all", "--json").code == 0
    listed = {one["key"]: one["type"] for one in run("datasets", "--all", "--json").json}
    assert listed[str(key)] == kind


def column(database: str, key: CanonicalKey, name: str, former: list[str]) -> None:
    """A column as a collection leaves it behind."""
    asset = Entity(tenant_id("default"), key).id
    with psycopg.connect(
        database, options=f"-c metadata.actor=test -c metadata.tenant={tenant_id('default')}"
    ) as connection:
        connection.execute(
            "INSERT INTO metadata.schema_field (tenant_id, field_id, asset_id, name, type, nullable, position, "
            "former_names) VALUES (%s, %s, %s, %s, 'int', true, 1, %s)",
            (tenant_id("default").value, column_id(asset, (former or [name])[0]), asset.value, name, former),
        )


@pytest.mark.usefixtures("registered")
def test_a_column_is_shown_by_the_names_that_it_and_its_table_had(run: Run, metadata_url: str) -> None:
    column(metadata_url, ORDERS, "total", ["amount"])
    identifier = str(column_id(Entity(tenant_id("default"), ORDERS).id, "amount"))
    run("identity", "rename", "jfk/public/orders", "sales")
    now = dataset_key("jfk", source="shop", schema="public", table="sales")
    for name in ("jfk/public/orders#amount", "jfk/public/sales#total", f"{ORDERS}#amount", f"{now}#total"):
        shown = run("identity", "show", name, "--json").json
        assert (shown["id"], shown["key"], shown["name"]) == (identifier, f"{now}#total", "jfk/public/sales#total")
        assert (shown["former_names"], shown["type"], shown["gone"]) == (["amount"], "int", False)
    assert "was called" in run("identity", "show", "jfk/public/sales#amount").out
    assert run("identity", "show", "jfk/public/sales#nothing", "--json").error["error"] == "UnknownColumn"
    assert run("identity", "show", "jfk/public/nothing#total", "--json").error["error"] == "UnknownKey"
    secret = run("identity", "show", f"jfk/public/sales#postgres://ann:{PASSWORD}@db/x", "--json")
    assert (secret.code, PASSWORD in secret.err) == (2, False)


def test_a_table_with_a_hash_in_its_name_comes_before_a_column(
    run: Run, registered: MetadataStore, metadata_url: str
) -> None:
    hashed = dataset_key("jfk", source="shop", schema="public", table="orders#total")
    column(metadata_url, ORDERS, "total", [])
    registered.register_assets([Asset(key=hashed, type=AssetType.TABLE)])
    assert run("identity", "show", "jfk/public/orders#total", "--json").json["key"] == str(hashed)
    assert run("identity", "show", f"{ORDERS}#total", "--json").json["column"] == "total"


def test_the_key_of_a_column_is_computed_without_a_database(call: Call, elsewhere: dict[str, str]) -> None:
    about = ["--system", "postgres", "--endpoint", "jfk", "--source", "shop"]
    told = call(elsewhere, "identity", "key", "Orders", *about, "--column", "Total", "--json").json
    assert told["key"] == f"{ORDERS}#total"
    assert told["id"] == str(column_id(Entity(tenant_id("default"), ORDERS).id, "total"))
    assert told["dataset_id"] == str(Entity(tenant_id("default"), ORDERS).id)
    assert call(elsewhere, "identity", "key", f"{ORDERS}#total", "--json").json == told
    exact = call(elsewhere, "identity", "key", str(ORDERS), "--column", "To tal", "--json").json
    assert exact["key"] == str(ColumnKey(ORDERS, "To tal"))
    for given in ([str(ORDERS), "--column", f"pwd={PASSWORD}"], ["o", *about, "--column", f"pwd={PASSWORD}"]):
        refused = call(elsewhere, "identity", "key", *given, "--json")
        assert (refused.code, PASSWORD in refused.err) == (2, False)
    assert call(elsewhere, "identity", "key", str(JOB), "--column", "x").code == 2


def test_a_dataset_is_still_shown_as_before(run: Run, store: MetadataStore) -> None:
    store.register_assets([Asset(key=FLIGHTS, type=AssetType.DATASET)])
    assert run("identity", "show", "lake/nyc/flights", "--json").json["key"] == str(FLIGHTS)


@pytest.mark.parametrize("catalog", ["openmetadata", "atlas"])
@pytest.mark.parametrize("option", [["--lowercase"], ["--environment", "PROD"]])
def test_what_only_datahub_has_is_not_dropped_silently(run: Run, catalog: str, option: list[str]) -> None:
    answer = run("identity", "names", "--catalog", catalog, *option, "--json")
    assert (answer.code, answer.error["error"]) == (2, "OnlyDataHub")


def test_an_ordinary_environment_hides_no_folder(call: Call, environ: dict[str, str], tmp_path: Path) -> None:
    """A shell says where it is in PWD and OLDPWD, which read like passwords."""
    shell = {**os.environ, **environ, "PWD": str(tmp_path), "OLDPWD": str(tmp_path.parent)}
    answer = call(shell, "identity", "names", str(tmp_path / "nofile.txt"))
    assert f"cannot use {tmp_path / 'nofile.txt'}" in answer.err


@pytest.mark.parametrize(
    ("catalog", "name", "key"),
    [
        ("datahub", "urn:li:dataset:(urn:li:dataPlatform:postgres,jfk.shop.public.orders,PROD)", ORDERS),
        ("openmetadata", "jfk.shop.public.orders", ORDERS),
        ("openmetadata", "table\tjfk.shop.public.orders", ORDERS),
        ("atlas", "shop.public.orders@jfk", ORDERS),
        ("openlineage", "postgres://db.example.com\tshop.public.orders", ORDERS),
        ("dagster", '["sales", "orders"]', dataset_key("etl", table='["sales", "orders"]')),
    ],
)
def test_old_ids_are_imported_with_the_names_of_other_catalogs(
    run: Run, registered: MetadataStore, tmp_path: Path, catalog: str, name: str, key: CanonicalKey
) -> None:
    registered.register_endpoints([Endpoint(slug="jfk", system="postgres", attributes={"host": "db.example.com"})])
    registered.register_assets([Asset(key=key, type=AssetType.TABLE)])
    if catalog == "openlineage":  # below the provisional endpoint of the server, which is known as jfk
        registered.register_endpoint_as(endpoint_of(authority("postgresql://db.example.com")), "jfk")
    file = tmp_path / "old.jsonl"
    lines = [{"legacy_id": "id-1", "reference": name}, {"legacy_id": "id-2", "reference": "no name there"}]
    file.write_text("\n".join(map(json.dumps, lines)))
    answer = run("identity", "import", str(file), "--from", catalog, "--json")
    assert (answer.code, answer.json["linked"]) == (5, 1), answer.out
    assert len(answer.json["refused"]) + len(answer.json["unknown"]) == 1
    assert run("identity", "show", "id-1", "--json").json["key"] == str(key)


def test_an_import_in_unknown_words_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text("legacy_id,reference\n")
    assert run("identity", "import", str(file), "--from", "amundsen", "--json").error["error"] == "UnknownWords"
