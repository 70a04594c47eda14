"""The naming rules as values: complete, consistent, and right on vectors, our own and OpenLineage's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

from identity.errors import MetadataError
from identity.ids import Entity, tenant_id
from identity.keys import CanonicalKey, Kind, dashboard_key
from identity.naming import (
    DEFAULT_PORTS,
    GLOBAL,
    SYNONYMS,
    SYSTEMS,
    Authority,
    Fold,
    Naming,
    UnknownSystem,
    authority,
    endpoint_of,
    endpoint_slug,
    location_key,
    openlineage_key,
    openlineage_pair,
    reference_key,
    system,
)
from identity.naming.openlineage import openlineage_server
from identity.naming.rules import ALL

ROOT = Path(__file__).resolve().parents[2]


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOT / "tests/vectors" / name).read_text("ascii").splitlines()]


VECTORS = lines("naming.jsonl")
PUBLISHED = lines("openlineage_naming.jsonl")


def key_of(vector: dict[str, Any]) -> CanonicalKey:
    match vector["door"]:
        case "reference":
            session = {"source": vector.get("source"), "schema": vector.get("schema")}
            return reference_key(vector["text"], of=vector["of"], endpoint="e", **session)
        case "location":
            return location_key(vector["text"])
    return openlineage_key(vector["namespace"], vector["text"])


def test_there_are_vectors_for_every_system() -> None:
    assert len(VECTORS) >= 200
    named = {vector["of"] for vector in VECTORS if vector["door"] == "reference"}
    assert {rules.name for rules in ALL} - {SYSTEMS[name].name for name in named if name in SYSTEMS} <= {
        "postgresql",
    }


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "want" in vector], ids=str)
def test_every_vector_has_its_key(vector: dict[str, Any]) -> None:
    assert str(key_of(vector)) == vector["want"]


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "refused" in vector], ids=str)
def test_every_other_is_refused_with_the_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(MetadataError) as refusal:
        key_of(vector)
    assert vector["refused"] in str(refusal.value)
    assert refusal.value.facts["fix"]
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "back" in vector], ids=str)
def test_an_openlineage_pair_leads_back(vector: dict[str, Any]) -> None:
    server, _ = openlineage_server(vector["namespace"])
    pair = openlineage_pair(CanonicalKey.parse(vector["want"]), server)
    assert pair == ((vector["namespace"], vector["text"]) if vector["back"] is True else tuple(vector["back"]))


@pytest.mark.parametrize("reference", ["a.b.", ".b", "a..c", '"a"."".c'])
def test_an_empty_part_is_refused_naming_the_reference(reference: str) -> None:
    with pytest.raises(MetadataError, match="a part of it is empty") as refusal:
        reference_key(reference, of="postgres", endpoint="e", source="d")
    assert refusal.value.facts["value"] == reference


def test_the_names_of_openlineage_in_both_directions() -> None:
    """One example of each naming of https://openlineage.io/docs/spec/naming, as its Python client writes it."""
    assert len(PUBLISHED) == 26
    keys = [openlineage_key(row["namespace"], row["name"]) for row in PUBLISHED]
    assert len(set(keys)) == len(keys)
    for row, key in zip(PUBLISHED, keys, strict=True):
        server, _ = openlineage_server(row["namespace"])
        assert openlineage_pair(key, server) == (row["namespace"], row["name"])
        assert {name for name in (key.source, key.schema, key.table) if name} - {"topic"} <= set(row["parts"].values())


@pytest.mark.parametrize("rules", ALL, ids=lambda rules: rules.name)
def test_the_rules_of_a_system_are_whole(rules: Any) -> None:
    assert rules.documented
    assert rules.used[-1] == "table"
    assert SYSTEMS[rules.name] is rules
    assert SYNONYMS.get(rules.name, rules.name) == rules.scheme
    assert DEFAULT_PORTS.get(rules.scheme) == rules.port
    assert not rules.alone or rules.everywhere or rules.local
    assert not rules.streams or rules.naming is Naming.VERBATIM
    assert rules.default_schema is None or "schema" in rules.used
    assert rules.default_source is None or "source" in rules.used
    assert rules.may_lack <= set(rules.used) - {"table"}
    assert all(len(pair) == 2 for pair in rules.quotes)
    assert (rules.naming is Naming.IDENTIFIERS) or not rules.quotes
    assert not (rules.fold is Fold.UPPER and rules.bare_unicode), (
        "how Oracle folds a letter is its character set's rule"
    )
    assert (rules.namespace is None) == (rules.dataset == "")


def test_every_name_of_a_system_is_one_systems() -> None:
    names = [name for rules in ALL for name in (rules.name, *rules.also)]
    assert sorted(set(names)) == sorted(names)
    asked = "postgres redshift mysql mariadb mssql oracle snowflake bigquery databricks unity hive glue athena trino"
    asked += " clickhouse duckdb sqlite s3 gcs abfs file kafka dagster pubsub cosmosdb kusto synapse cassandra cratedb"
    asked += " db2 oceanbase teradata dbfs hdfs wasbs"
    assert set(asked.split()) <= set(names)
    assert system("PostgreSQL+psycopg").name == "postgresql"
    with pytest.raises(UnknownSystem, match="postgresql"):
        system("nosuch")


def test_a_setting_of_a_server_is_told_by_its_rules() -> None:
    windows = replace(system("mysql"), fold=Fold.LOWER, folds_quoted=True)
    assert reference_key("Shop.`Orders`", of=windows, endpoint="shop").segments == (None, "shop", "orders")
    exact = replace(system("redshift"), folds_quoted=False)
    key = reference_key('Sales."Orders"', of=exact, endpoint="dwh", source="dev")
    assert key.segments == ("dev", "sales", "Orders")


ONE_TABLE = [
    ("oracle://h:1521", "ORCL.HR.EMP", ("oracle", "hr.emp", "orcl", None)),
    ("db2://h:50000", "SAMPLE.S.T", ("db2", "s.t", "sample", None)),
    ("azurekusto://h.kusto.windows.net", "DB/T", ("kusto", "db.T", None, None)),
    ("trino://h:8080", "Hive.Web.T", ("trino", "t", "HIVE", "web")),
    ("hive://h:10000", "Sales.T", ("hive", "T", None, "SALES")),
    ("databricks://h", "Main.S.T", ("databricks", "`main`.`s`.`T`", None, None)),
    ("arn:aws:glue:us-east-1:123456789012", "table/D/T", ("glue", "d.t", None, None)),
    ("awsathena://athena.us-east-1.amazonaws.com:443", "AwsDataCatalog.D.T", ("athena", "t", "awsdatacatalog", "d")),
    ("bigquery", "example.com:p.d.t", ("bigquery", "`example.com:p`.d.t", None, None)),
    ("pubsub", "topic:example.com:p:t", ("pubsub", "t", "example.com:p", "topic")),
    ("postgres://h:5432", f"d.s.{'t' * 70}", ("postgres", f"s.{'T' * 80}", "d", None)),
    ("redshift://h:5439", f"d.s.{'t' * 130}", ("redshift", f"s.{'T' * 140}", "d", None)),
    ("abfss://c@h", "/a//b/", ("abfs", "a/b", "c", None)),
    ("file://localhost", "/a/b/", ("file", "/a//b", None, None)),
]


@pytest.mark.parametrize(("namespace", "name", "said"), ONE_TABLE, ids=lambda value: str(value)[:40])
def test_what_a_system_has_once_has_one_key_whoever_names_it(
    namespace: str, name: str, said: tuple[str, str, str | None, str | None]
) -> None:
    of, reference, source, schema = said
    there = openlineage_key(namespace, name)
    assert reference_key(reference, of=of, endpoint=there.endpoint, source=source, schema=schema) == there


ONE_SERVER = [
    ("file", "file:///x", "file://localhost/x", "file://LOCALHOST/y"),
    ("kafka", "kafka://b1:9092", "kafka://b1,b2:9092", "kafka://user:secret@B1.,b2,b3:9094"),
    (
        "snowflake",
        "snowflake://org-my_acct",
        "snowflake://u:p@ORG-MY_ACCT.snowflakecomputing.com",
        "snowflake://org-my-acct",
    ),
    (
        "mssql",
        "jdbc:sqlserver://db;instanceName=A",
        r"mssql+pymssql://DB\a/x",
        "jdbc:sqlserver://;serverName=db;instanceName=a",
    ),
    ("snowflake", "snowflake://org-acct", "jdbc:snowflake://org-acct.snowflakecomputing.com:443/?db=x"),
    ("wasbs", "wasb://c@a.blob.core.windows.net", "wasbs://c@a.dfs.core.windows.net"),
    ("file", "files://nas", "file://nas/data"),
    ("hive", "hive://h", "jdbc:hive2://h:10000/default"),
    ("clickhouse", "clickhouse://h:9000", "clickhousedb+connect://h:9000"),
    ("awsathena", "awsathena+rest://:@athena.us-east-1.amazonaws.com:443/x", "athena://athena.us-east-1.amazonaws.com"),
]


@pytest.mark.parametrize(("name", "urls"), [(name, urls) for name, *urls in ONE_SERVER])
def test_one_server_has_one_endpoint_however_its_url_is_written(name: str, urls: list[str]) -> None:
    assert len({authority(url) for url in urls}) == 1
    assert authority(urls[0]).system == name


def test_any_broker_of_a_list_leads_to_the_endpoint_that_was_registered() -> None:
    known = {authority("kafka://b2:9092"): "bus"}
    assert openlineage_key("kafka://b1:9092,b2:9092", "orders", known) == location_key("kafka://b2/orders", known)
    assert location_key("kafka://b1,b2/orders", known).endpoint == "bus"
    assert openlineage_key("kafka://b1:9092", "orders", known).endpoint == "kafka_b1"


def test_a_server_is_at_its_registered_endpoint_and_else_at_a_provisional_one() -> None:
    server = authority("postgresql://sales:secret@db.example.com:5433/x")
    assert endpoint_of(server) == endpoint_slug(server)
    assert endpoint_of(server, {server: "jfk"}) == "jfk"
    key = openlineage_key("postgres://db.example.com:5433", "d.s.t", {server: "jfk"})
    assert str(key) == "mid1:dataset:jfk:d/s/t"
    assert str(location_key("s3://bucket/x", {Authority("s3", "bucket", None): "lake"})) == "mid1:dataset:lake:~/~/x"


def test_a_provisional_endpoint_never_takes_the_name_of_a_registered_one() -> None:
    known = {authority("postgresql://db:5433"): "postgresql_db"}
    with pytest.raises(MetadataError, match="names a registered server"):
        endpoint_of(authority("postgresql://db"), known)
    with pytest.raises(MetadataError, match="names a registered server"):
        endpoint_of(Authority("bigquery", GLOBAL, None), {authority("postgresql://db"): "bigquery_global"})


def test_what_there_is_one_of_in_the_world_is_one_endpoint() -> None:
    project, world = authority("bigquery://my-project/x"), Authority("bigquery", GLOBAL, None)
    assert endpoint_of(project) == endpoint_of(world) == "bigquery_global"
    assert endpoint_of(project, {world: "bq"}) == endpoint_of(world, {world: "bq"}) == "bq"
    assert endpoint_of(project, {project: "ours", world: "bq"}) == "ours"
    assert endpoint_of(project, {world: "bigquery_global"}) == "bigquery_global"


def test_a_dashboard_has_a_frozen_id() -> None:
    key = dashboard_key("looker", "42")
    assert str(key) == "mid1:dashboard:looker:42"
    assert CanonicalKey.parse(str(key)) == key
    tenant = uuid5(UUID("d6a36945-645d-4ac5-9ee1-ec690d0bebff"), "tenant:default")
    assert Entity(tenant_id("default"), key).id.value == uuid5(tenant, "mid1:dashboard:looker:42")


@pytest.mark.parametrize("level", ["source", "schema"])
def test_a_session_is_no_place_for_a_credential(level: str) -> None:
    session = {level: "host=db password=Kanari31337"}
    with pytest.raises(MetadataError, match="credential") as refusal:
        reference_key("t", of="postgres", endpoint="e", **session)
    assert "Kanari" not in str(refusal.value)


def test_only_a_dataset_has_a_name_in_openlineage() -> None:
    with pytest.raises(MetadataError, match="is not a dataset"):
        openlineage_pair(CanonicalKey(Kind.DASHBOARD, "bi", ("7",)), Authority("looker", "h", None))
