"""Ids of an earlier catalog: what they meant is decided from names, and from then on they are answered."""

import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from store_inputs import Counts, Lake

from identity.keys import CanonicalKey, dataset_key, job_key
from identity.nodes import Reference
from resources.graph_store import GraphStore
from resources.metadata.assets import UnknownKey
from resources.metadata.legacy import Imported
from resources.metadata.legacy_names import LegacyRow, Names, legacy_key, read
from resources.metadata_store import MetadataStore
from resources.models import LEGACY, Asset, AssetType, Endpoint
from resources.postgres.errors import RenameRefused, ReservedEndpoint
from resources.postgres.rehearsal import Rehearsal

ORDERS = dataset_key("shop", source="shop", schema="public", table="orders")
SALES = dataset_key("shop", source="shop", schema="sales", table="orders")
UPPER = dataset_key("snow", source="DB", schema="PUBLIC", table="ORDERS")
DOTTED = dataset_key("shop", source="shop", schema="public", table="a.b")
FILE = dataset_key("s3_bucket", table="2013/01/part.parquet")
NIGHTLY = job_key("dagster", "nightly")
SYSTEMS = {"shop": "postgres", "snow": "snowflake"}


def names(*keys: CanonicalKey, old: dict[CanonicalKey, CanonicalKey] | None = None) -> Names:
    return Names({**{key: key for key in keys}, **(old or {})}, SYSTEMS)


EVERYTHING = names(ORDERS, SALES, UPPER, DOTTED, FILE, NIGHTLY)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        (str(ORDERS), [ORDERS]),
        ("shop/public/orders", [ORDERS]),
        ("shop.public.orders", [ORDERS]),
        ("public.orders", [ORDERS, UPPER]),
        ("PUBLIC.ORDERS", [ORDERS, UPPER]),
        ('"public".orders', [ORDERS]),
        ('"PUBLIC"."ORDERS"', [UPPER]),
        ("db.public.orders", [UPPER]),
        ("sales.orders", [SALES]),
        ("orders", [ORDERS, SALES, UPPER]),
        ("a.b", [DOTTED]),
        ('public."a.b"', [DOTTED]),
        ("s3://bucket/2013/01/part.parquet", [FILE]),
        ("part.parquet", []),
        ("nightly", [NIGHTLY]),
        ("nothing", []),
        ("", []),
        ("mid1:dataset:shop:~/~/orders", []),
    ],
)
def test_a_reference_means_every_thing_that_it_could_name(reference: str, meant: list[CanonicalKey]) -> None:
    assert list(EVERYTHING.meant_by(reference)) == sorted(meant)


def test_an_old_name_means_what_has_another_one_now() -> None:
    known = names(SALES, old={ORDERS: SALES})
    assert known.meant_by("public.orders") == (SALES,)
    assert known.meant_by("orders") == (SALES,), "two names of one thing"


def test_lines_that_contradict_each_other_are_ambiguous() -> None:
    rows = [
        LegacyRow(1, "7", "shop.public.orders"),
        LegacyRow(2, "7", "sales.orders"),
        LegacyRow(3, "8", "sales.orders"),
    ]
    reading = read([*rows, LegacyRow(4, "8", "shop/sales/orders")], EVERYTHING)
    assert [(one.id, one.candidates) for one in reading.ambiguous] == [("7", (ORDERS, SALES))]
    assert [(one.row.id, one.target) for one in reading.certain] == [("8", SALES)]


@pytest.mark.parametrize(
    ("identifier", "reference"),
    [
        ("", "orders"),
        ("postgres://ann:s3cr3t@db/x", "orders"),
        ("7", "postgres://ann:s3cr3t@db/x"),
        ("password=s3cr3t", "orders"),
        ("7", "mid1:dataset:shop"),
        ("a\0b", "orders"),
        ("mid1:dataset:shop:~/~/old", "orders"),
        ("identity:0f0f0f0f-0000-4000-8000-000000000000", "orders"),
    ],
)
def test_what_cannot_be_stored_is_refused_without_repeating_a_credential(identifier: str, reference: str) -> None:
    reading = read([LegacyRow(3, identifier, reference)], EVERYTHING)
    (refused,) = reading.refused
    assert refused.line == 3
    assert "s3cr3t" not in str(refused.error)


def test_uuids_are_one_in_whatever_case() -> None:
    identifier = str(uuid.UUID(int=0xABCDEF << 64))
    assert legacy_key(identifier.upper()) == legacy_key(identifier)
    assert legacy_key("ORDERS") != legacy_key("orders")


def given(lake: Lake, *pairs: tuple[str, str]) -> list[LegacyRow]:
    """Lines about tables of the lake, by ids that no other test has."""
    return [
        LegacyRow(line, f"{name}-{lake.endpoint}", f"{lake.endpoint}/nyc/{meant}")
        for line, (name, meant) in enumerate(pairs, start=1)
    ]


def outcome(done: Imported) -> tuple[int, int, int, int, int, int]:
    listed = (done.ambiguous, done.unknown, done.taken, done.refused)
    return done.linked, done.already, *map(len, listed)  # type: ignore[return-value]


def test_everything_that_asks_by_an_old_id_is_answered(lake: Lake) -> None:
    lake.datasets("orders")
    written = lake.committed("orders", "p", intent="first")
    identifier = str(uuid.uuid4())
    done = lake.store.import_legacy([LegacyRow(1, identifier, f"{lake.endpoint}/nyc/orders")], reason="the move")
    assert outcome(done) == (1, 0, 0, 0, 0, 0)
    key = legacy_key(identifier)
    for name in (identifier, identifier.upper(), str(key)):
        assert lake.store.resolve(name) == lake.key("orders")
    assert lake.store.entity(key).id == lake.entity("orders").id
    assert [one.id for one in lake.store.materializations(key)] == [written]
    reference: Reference = key
    assert GraphStore(lake.store.sessions).resolve_node(reference).key == lake.key("orders")
    (alias,) = [one for one in lake.store.aliases_of(lake.key("orders")) if one.kind == "legacy"]
    assert (alias.key, alias.actor, alias.reason) == (key, "test", "the move")


def test_an_old_id_follows_what_it_meant(lake: Lake) -> None:
    lake.datasets("orders", "copy")
    (row,) = given(lake, ("old", "orders"))
    lake.store.import_legacy([row])
    lake.store.rename({lake.key("orders"): lake.key("sales")})
    assert lake.store.resolve(row.id) == lake.key("sales")
    lake.store.merge(lake.entity("copy"), lake.entity("sales"))
    assert lake.store.resolve(row.id) == lake.key("sales")
    with pytest.raises(RenameRefused):
        lake.store.rename({legacy_key(row.id): lake.key("other")})


def test_what_is_uncertain_is_listed_and_left_alone(lake: Lake, counts: Counts) -> None:
    keys = [dataset_key(lake.endpoint, source=source, schema="nyc", table="twin") for source in ("a", "b")]
    lake.store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in keys)
    before = counts()
    done = lake.store.import_legacy(given(lake, ("both", "twin"), ("none", "nothing")))
    assert outcome(done) == (0, 0, 1, 1, 0, 0)
    assert done.ambiguous[0].candidates == tuple(keys)
    assert not done.complete
    assert counts() == before
    with pytest.raises(UnknownKey):
        lake.store.resolve(f"both-{lake.endpoint}")


def test_the_rules_of_the_system_decide_what_a_reference_means(lake: Lake) -> None:
    lake.store.register_endpoints([Endpoint(slug=lake.endpoint, system="snowflake")])
    table = f"FACT_{lake.endpoint}".upper()
    key = dataset_key(lake.endpoint, source="DB", schema="PUBLIC", table=table)
    lake.store.register_assets([Asset(key=key, type=AssetType.TABLE)])
    lake.store.import_legacy([LegacyRow(1, f"{lake.endpoint}-7", f"public.{table.lower()}")])
    assert lake.store.resolve(f"{lake.endpoint}-7") == key


def test_an_import_that_is_repeated_writes_nothing(lake: Lake, counts: Counts) -> None:
    lake.assets("a", "b", "c")
    rows = given(lake, ("1", "a"), ("2", "b"), ("3", "c"), ("3", "c"))
    assert outcome(lake.store.import_legacy(rows)) == (3, 0, 0, 0, 0, 0)
    before = counts()
    assert outcome(lake.store.import_legacy(rows)) == (0, 3, 0, 0, 0, 0)
    assert counts() == before


def test_an_id_never_changes_what_it_leads_to(lake: Lake) -> None:
    lake.assets("a", "b")
    lake.store.import_legacy(given(lake, ("1", "a")))
    done = lake.store.import_legacy(given(lake, ("1", "b"), ("2", "b")))
    assert outcome(done) == (1, 0, 0, 0, 1, 0)
    assert done.taken[0].meant == lake.key("b")
    assert lake.store.resolve(f"1-{lake.endpoint}") == lake.key("a")


class Stopped(Exception):
    """Somebody pulled the plug."""


def test_stopped_between_two_batches_the_next_call_does_the_rest(lake: Lake) -> None:
    tables = [f"t{number}" for number in range(10)]
    lake.assets(*tables)
    rows = given(lake, *((f"id{name}", name) for name in tables))
    told: list[tuple[int, int]] = []

    def stop(done: int, of: int) -> None:
        told.append((done, of))
        if done >= 6:
            raise Stopped

    with pytest.raises(Stopped):
        lake.store.import_legacy(rows, batch_size=3, progress=stop)
    assert told == [(3, 10), (6, 10)]
    assert outcome(lake.store.import_legacy(rows, batch_size=3)) == (4, 6, 0, 0, 0, 0)


def test_a_rehearsal_says_the_same_and_writes_nothing(lake: Lake, counts: Counts) -> None:
    lake.assets("a", "b")
    rehearsed = MetadataStore(Rehearsal(lake.store.sessions.engine, lake.store.tenant, "test"))
    lake.store.import_legacy(given(lake, ("1", "a")))
    before = counts()
    rows = given(lake, ("1", "a"), ("2", "b"), ("3", "nothing"))
    assert outcome(rehearsed.import_legacy(rows)) == (1, 1, 0, 1, 0, 0)
    assert counts() == before
    assert outcome(lake.store.import_legacy(rows)) == (1, 1, 0, 1, 0, 0)


def test_two_imports_at_once_name_each_id_once(lake: Lake, open_store: Callable[..., MetadataStore]) -> None:
    tables = [f"t{number}" for number in range(40)]
    lake.assets(*tables)
    rows = given(lake, *((f"id{name}", name) for name in tables))
    stores: Iterable[MetadataStore] = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda store: store.import_legacy(rows, batch_size=7), stores))
    assert sum(one.linked for one in done) == 40
    assert all(one.linked + one.already == 40 for one in done)


def test_another_tenant_knows_nothing_of_it(lake: Lake, open_store: Callable[..., MetadataStore]) -> None:
    lake.assets("a")
    rows = given(lake, ("1", "a"))
    lake.store.import_legacy(rows)
    other = open_store("other")
    assert outcome(other.import_legacy(rows)) == (0, 0, 0, 1, 0, 0)
    with pytest.raises(UnknownKey):
        other.resolve(rows[0].id)


def test_a_name_of_today_comes_before_an_old_id(lake: Lake) -> None:
    lake.assets("orders", "totals")
    short = f"{lake.endpoint}/nyc/totals"
    lake.store.import_legacy([LegacyRow(1, short, f"{lake.endpoint}/nyc/orders")])
    assert lake.store.resolve(short) == lake.key("totals")


def test_only_ids_of_an_earlier_catalog_are_named_this_way(lake: Lake) -> None:
    lake.assets("a")
    with lake.store.session() as session, pytest.raises(Exception, match="is no id of an earlier catalog"):
        session.rows(
            "SELECT * FROM metadata.name_legacy_ids(gen_random_uuid(), NULL, jsonb_build_array("
            "jsonb_build_object('key', 'mid1:dataset:lake:~/nyc/b', 'entity_id', %s::text)))",
            [str(lake.entity("a").id)],
        )


def test_nothing_else_is_ever_where_old_ids_are(lake: Lake, counts: Counts) -> None:
    """Else the things of a project's endpoint would be the imported ones, and new rows would change those."""
    lake.assets("flights")
    store, there = lake.store, dataset_key(LEGACY, schema="nyc", table="flights")
    before = counts()
    with pytest.raises(ReservedEndpoint, match="choose another name"):
        store.register_endpoints([Endpoint(slug=LEGACY, system="postgres")])
    with pytest.raises(ReservedEndpoint):
        store.register_assets([Asset(key=there, type=AssetType.TABLE)])
    with pytest.raises(ReservedEndpoint):
        store.rename({lake.key("flights"): there})
    assert counts() == before
