"""A column is called after its dataset, and its id hangs off its dataset's id."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_names import datasets, keys, names, prop, recut
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import InvalidKey
from identity.ids import Entity, child_id, column_id, column_ids, tenant_id
from identity.keys import CanonicalKey, ColumnKey, dataset_key, job_key, short_name
from identity.naming import Fold, InvalidReference, column_key, reference_key, system

FLIGHTS = dataset_key("jfk", source="flights", schema="public", table="flights")
VECTORS = [
    json.loads(line)
    for line in (Path(__file__).resolve().parents[1] / "vectors/columns.jsonl").read_text("ascii").splitlines()
]
columns = st.builds(ColumnKey, datasets, names)


def test_every_vector() -> None:
    assert len(VECTORS) >= 120
    assert len({vector["key"] for vector in VECTORS}) == len(VECTORS)
    for vector in VECTORS:
        key = ColumnKey(CanonicalKey.parse(vector["dataset"]), vector["name"])
        assert str(key) == vector["key"]
        assert ColumnKey.parse(vector["key"]) == key
        ids = {slug: column_id(Entity(tenant_id(slug), key.dataset).id, key.name) for slug in ("default", "acme")}
        assert {slug: str(one) for slug, one in ids.items()} == vector["ids"]
        dataset = Entity(tenant_id("default"), key.dataset).id
        assert column_ids(dataset, ["first", key.name])[1:] == [ids["default"].hex]


@prop
@given(columns)
def test_parse_is_the_inverse_of_format(key: ColumnKey) -> None:
    assert ColumnKey.parse(str(key)) == key
    assert pickle.loads(pickle.dumps(key)) == key
    assert str(key).isascii()


@prop
@given(columns, keys)
def test_no_column_has_the_key_of_anything_else(column: ColumnKey, other: CanonicalKey) -> None:
    assert str(column) != str(other)
    with pytest.raises(InvalidKey):
        CanonicalKey.parse(str(column))
    with pytest.raises(InvalidKey):
        ColumnKey.parse(str(other))


@prop
@given(recut(2))
def test_where_a_table_ends_and_its_column_starts_is_part_of_the_key(
    pair: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    found = [ColumnKey(dataset_key("jfk", table=table), column) for table, column in pair]
    assert len({str(key) for key in found}) == 2
    hashed = [ColumnKey(dataset_key("jfk", table=f"{table}#"), f"#{column}") for table, column in pair]
    assert len({str(key) for key in (*found, *hashed)}) == 4


@prop
@given(st.lists(columns, max_size=6, unique=True))
def test_columns_sort_as_their_texts_do(several: list[ColumnKey]) -> None:
    assert [str(key) for key in sorted(several)] == sorted(map(str, several))


def test_its_id_is_a_child_of_its_datasets_id_and_survives_a_rename() -> None:
    tenant = tenant_id("default")
    flights, departures = Entity(tenant, FLIGHTS), dataset_key("jfk", source="flights", schema="public", table="d")
    renamed = Entity.from_database(tenant, departures, flights.id.value, flights.key_sha256)
    carrier = column_id(flights.id, "carrier")
    assert column_id(renamed.id, "carrier") == carrier == child_id(flights.id, "column", "carrier")
    assert column_id(Entity(tenant, departures).id, "carrier") != carrier


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (str(FLIGHTS), "it names no column"),
        (f"{FLIGHTS}#", "a segment is not encoded canonically"),
        (f"{FLIGHTS}#~", "it names no column"),
        (f"{FLIGHTS}#a#b", "a segment is not encoded canonically"),
        (f"{FLIGHTS}#a/b", "a segment is not encoded canonically"),
        (f"{FLIGHTS}#%61", "a segment is not encoded canonically"),
        ("mid1:job:etl:x#a", "a job has no columns"),
        ("mid1:endpoint:jfk#a", "a endpoint has no columns"),
        ("jfk/public/flights#a", "it does not have the parts of a key"),
    ],
)
def test_what_is_not_canonical_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidKey) as refusal:
        ColumnKey.parse(text)
    assert reason in str(refusal.value)
    assert refusal.value.facts["fix"]


def test_what_is_no_column_is_refused() -> None:
    with pytest.raises(InvalidKey, match="a job has no columns"):
        ColumnKey(job_key("etl", "x"), "a")
    with pytest.raises(InvalidKey, match="too long"):
        ColumnKey(FLIGHTS, "x" * 1501)
    with pytest.raises(InvalidKey, match="NUL"):
        ColumnKey(FLIGHTS, "a\0b")
    with pytest.raises(InvalidKey, match="credential") as refusal:
        ColumnKey(FLIGHTS, "postgres://ann:Kanari31337@db/x")
    assert "Kanari" not in str(refusal.value)
    wrong: Any = str(FLIGHTS)
    with pytest.raises(TypeError):
        ColumnKey(wrong, "a")


def test_what_people_call_it() -> None:
    assert short_name(ColumnKey(FLIGHTS, "dep_delay")) == "jfk/public/flights#dep_delay"
    assert short_name(ColumnKey(FLIGHTS, "a#b")) == f"{FLIGHTS}#a%23b"
    assert short_name(ColumnKey(FLIGHTS, "")) == f"{FLIGHTS}#%"
    assert short_name(ColumnKey(dataset_key("jfk", table="a/b"), "c")) == "mid1:dataset:jfk:~/~/a%2Fb#c"


@pytest.mark.parametrize(
    ("of", "said", "name"),
    [
        ("postgres", "Dep_Delay", "dep_delay"),
        ("postgres", '"Dep Delay"', "Dep Delay"),
        ("postgres", "x" * 70, "x" * 63),
        ("oracle", "dep_delay", "DEP_DELAY"),
        ("snowflake", '"dep.delay"', "dep.delay"),
        ("bigquery", "`Dep.Delay`", "Dep.Delay"),
        ("trino", '"Dep"', "dep"),
        ("mysql", "Dep", "Dep"),
        ("databricks", "Dep_Delay", "Dep_Delay"),
        ("databricks", "`Dep Delay`", "Dep Delay"),
        ("hive", "Dep_Delay", "dep_delay"),
        ("redshift", '"Dep"', "dep"),
        ("bigquery", "Dep", "Dep"),
        ("s3", "a.b c", "a.b c"),
    ],
)
def test_a_statement_says_a_column_by_the_rules_of_its_system(of: str, said: str, name: str) -> None:
    assert column_key(said, of=of, dataset=FLIGHTS) == ColumnKey(FLIGHTS, name)


@pytest.mark.parametrize("of", ["mysql", "mariadb", "oceanbase"])
def test_a_setting_for_tables_does_not_touch_columns(of: str) -> None:
    lowered = replace(system(of), fold=Fold.LOWER, folds_quoted=True, one_case=(("table", Fold.LOWER),))
    table = reference_key("Shop.Orders", of=lowered, endpoint="jfk")
    assert (table.table, column_key("Dep_Delay", of=lowered, dataset=table).name) == ("orders", "Dep_Delay")


@pytest.mark.parametrize(
    ("of", "said", "reason"),
    [
        ("postgres", "a.b", "it has several parts"),
        ("postgres", "", "a part of it is empty"),
        ("kafka", "", "a part of it is empty"),
        ("mysql", "a" * 65, "too long"),
        ("postgres", "host=db password=Kanari31337", "credential"),
    ],
)
def test_what_names_no_column_is_refused(of: str, said: str, reason: str) -> None:
    with pytest.raises(InvalidReference, match=reason) as refusal:
        column_key(said, of=of, dataset=FLIGHTS)
    assert "Kanari" not in str(refusal.value)
