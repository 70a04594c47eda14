"""Names that change hands: whom a key leads to afterwards, before, and while several people change it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from store_inputs import Counts, Lake, Look, database_time, names_read, rows_read

from identity.keys import dataset_key, job_key
from resources.graph_store import GraphStore
from resources.metadata.assets import AmbiguousKey, OneThingTwice, UnknownKey
from resources.metadata.resolution import HOLDER, asked
from resources.metadata_store import MetadataStore
from resources.models import Endpoint, Read
from resources.postgres.errors import IdempotencyConflict, NameTaken, RenameRefused, UnknownName


@pytest.fixture(scope="module")
def stores_url(make_database: Callable[..., str], drop_database: Callable[[str], None]) -> Iterator[str]:
    """A database of its own: of names that others have left the planner may take another index."""
    url = make_database(migrated=True)
    yield url
    drop_database(url)


def test_a_rename_of_many_reads_in_proportion_where_nothing_was_counted_yet(
    open_store: Callable[..., MetadataStore], look: Look
) -> None:
    # First of all here, as no test has asked for statistics then.
    lake, names = Lake(open_store(), "fresh"), [f"t{number}" for number in range(200)]
    lake.assets(*names)
    before = rows_read(lake.store, look, "alias")
    lake.rename(**{name: f"moved_{name}" for name in names})
    assert (rows_read(lake.store, look, "alias") - before) < 2_000 * len(names)


def test_a_renamed_dataset_keeps_its_data_its_versions_and_its_lineage(lake: Lake) -> None:
    lake.datasets("orders", "totals")
    orders = lake.entity("orders")
    one = lake.committed("orders", "p", intent="first")
    lake.store.publish([one])
    lake.commit(lake.staged("totals"), reads={None: [Read(asset=orders, partition="p", materialization_id=one)]})
    assert lake.rename(orders="sales") == {"orders": "sales"}
    for name in ("orders", "sales"):
        assert lake.entity(name).id == orders.id
        assert lake.store.asset(lake.key(name)).key == lake.key("sales")
        assert [found.materialization_id for found in lake.store.current(lake.key(name))] == [one]
        assert [found.key for found in lake.store.materializations(lake.key(name))] == [lake.key("sales")]
        assert len(lake.store.versions(lake.key(name))) == 1
        assert lake.store.resolve(f"{lake.endpoint}/nyc/{name}") == lake.key("sales")
        assert lake.store.resolve(str(lake.key(name))) == lake.key("sales")
        graph = GraphStore(lake.store.sessions).lineage(lake.entity(name), "down")
        assert (graph.start, set(graph.nodes)) == (lake.key("sales"), {lake.key("sales"), lake.key("totals")})
    (again,) = lake.commit(lake.staged("orders", "p", intent="first"))
    assert (again.replayed, again.materialization_id) == (True, one), "the same intent, under whatever name"


def test_who_declares_an_old_name_means_the_thing_that_had_it(lake: Lake, counts: Counts) -> None:
    lake.datasets("orders")
    lake.rename(orders="sales")
    before = counts()
    lake.datasets("orders")
    assert counts() == before
    with pytest.raises(OneThingTwice, match="names of one thing"):
        lake.datasets("orders", "sales")


@pytest.mark.parametrize(
    ("batch", "after"),
    [
        ({"a": "b", "b": "a"}, {"a": "b", "b": "a"}),
        ({"a": "b", "b": "c", "c": "a"}, {"a": "b", "b": "c", "c": "a"}),
        ({"a": "backup", "b": "a"}, {"a": "backup", "b": "a", "c": "c"}),
        ({"a": "b", "b": "c", "c": "d"}, {"a": "b", "b": "c", "c": "d"}),
        ({"a": "x", "b": "b"}, {"a": "x", "b": "b"}),
    ],
)
def test_a_batch_is_judged_by_what_comes_out(lake: Lake, batch: dict[str, str], after: dict[str, str]) -> None:
    lake.assets("a", "b", "c")
    was = {name: lake.entity(name) for name in "abc"}
    assert lake.rename(**batch) == {one: other for one, other in batch.items() if one != other}
    for name, other in after.items():
        assert lake.entity(other).id == was[name].id
        assert lake.name_of(was[name]) == other
        assert lake.store.asset(lake.key(other)).key == lake.key(other)


def test_an_old_name_leads_on_until_something_else_takes_it(lake: Lake, look: Look) -> None:
    lake.assets("a", "b")
    first, second = lake.entity("a"), lake.entity("b")
    lake.rename(a="c")
    assert lake.entity("a").id == first.id
    between = database_time(look)
    lake.rename(b="a")
    assert lake.entity("a").id == second.id
    assert lake.store.entity_at(lake.key("a"), between).id == first.id
    assert lake.store.entity_at(lake.key("c"), between).id == first.id
    history = [(one.key.table, one.kind, one.valid_to is None) for one in lake.store.aliases_of(first)]
    assert history == [("a", "rename", False), ("c", "primary", True), ("a", "primary", False)]
    newest = lake.store.aliases_of(lake.key("a"))[0]
    assert (newest.actor, newest.reason, newest.entity) == ("test", "because", second.id)
    with pytest.raises(UnknownKey, match="it named nothing at"):
        lake.store.entity_at(lake.key("c"), datetime.fromtimestamp(0, tz=between.tzinfo))


def test_renaming_back_is_a_rename(lake: Lake) -> None:
    lake.assets("a")
    one = lake.entity("a")
    lake.rename(a="b")
    lake.rename(b="a")
    assert (lake.name_of(one), lake.entity("b").id, lake.entity("a")) == ("a", one.id, one)


def test_what_is_called_so_already_is_left_alone(lake: Lake, counts: Counts) -> None:
    lake.assets("a")
    lake.rename(a="b")
    before = counts()
    assert lake.rename(a="b") == lake.rename(b="b") == {}
    assert {**counts(), "idempotency": 0} == {**before, "idempotency": 0}


@pytest.mark.parametrize(
    ("batch", "error", "text"),
    [
        ({"nobody": "x"}, UnknownName, "nothing is called .*nobody"),
        ({"a": "c"}, NameTaken, "something else is called .*/c"),
        ({"a": "b", "b": "c"}, NameTaken, "something else is called .*/c"),
        ({"a": "x", "b": "x"}, RenameRefused, "several things are to be called .*/x"),
        ({"old": "x"}, RenameRefused, "/old is called .*/d by now"),
    ],
)
def test_a_batch_that_cannot_be_is_refused_whole(
    lake: Lake, counts: Counts, batch: dict[str, str], error: type[Exception], text: str
) -> None:
    lake.assets("a", "b", "c", "old")
    lake.rename(old="d")
    before = counts()
    with pytest.raises(error, match=text):
        lake.rename(**batch)
    assert counts() == before


def test_a_dataset_does_not_become_a_job(lake: Lake) -> None:
    lake.assets("a")
    with pytest.raises(RenameRefused, match="is a dataset and cannot become a job"):
        lake.store.rename({lake.key("a"): job_key(lake.endpoint, "a")})


def test_a_request_is_done_once_and_answered_the_same(lake: Lake, counts: Counts) -> None:
    lake.assets("a", "b")
    swap = {lake.key("a"): lake.key("b"), lake.key("b"): lake.key("a")}
    first = lake.store.rename(swap, key=f"swap {lake.endpoint}")
    before = counts()
    again = lake.store.rename(swap, key=f"swap {lake.endpoint}")
    assert [(one.entity, one.was, one.now) for one in first] == [(one.entity, one.was, one.now) for one in again]
    assert [one.replayed for one in (*first, *again)] == [False, False, True, True]
    assert counts() == before
    with pytest.raises(IdempotencyConflict):
        lake.store.rename({lake.key("a"): lake.key("c")}, key=f"swap {lake.endpoint}")


def test_a_batch_is_told_once_with_who_and_why(lake: Lake, look: Look) -> None:
    lake.assets("a", "b")
    entity = lake.entity("a")
    lake.rename(a="x", b="y")
    statement = "SELECT topic, payload FROM metadata.outbox WHERE payload -> 'renames' @> %s::jsonb"
    (event,) = look(statement, f'[{{"was": "{lake.key("a")}"}}]')
    assert event["topic"] == "entity.renamed"
    assert (event["payload"]["actor"], event["payload"]["reason"]) == ("test", "because")
    assert [(one["was"], one["now"]) for one in event["payload"]["renames"]] == [
        (str(lake.key(was)), str(lake.key(is_now))) for was, is_now in (("a", "x"), ("b", "y"))
    ]
    audit = (
        "SELECT after_state FROM metadata.audit WHERE actor = 'test' AND entity_type = 'ALIAS' AND action = 'CREATE'"
    )
    told = look(audit + " AND after_state ->> 'entity_id' = %s ORDER BY audit_id", str(entity.id))
    assert [row["after_state"]["reason"] for row in told] == [None, "because", "because"]


def test_a_move_to_another_endpoint_is_a_rename(lake: Lake, look: Look) -> None:
    lake.store.register_endpoints([Endpoint(slug=f"{lake.endpoint}-eu", system="files")])
    lake.datasets("a")
    there = dataset_key(f"{lake.endpoint}-eu", schema="nyc", table="a")
    lake.store.rename({lake.key("a"): there})
    entity = lake.entity("a")
    assert entity.id == lake.store.entity(there).id
    assert lake.store.aliases_of(there)[0].kind in ("primary", "endpoint")
    statement = "SELECT e.slug FROM metadata.asset a JOIN metadata.endpoint e USING (endpoint_id) WHERE asset_id = %s"
    assert look(statement, entity.id.value) == [{"slug": there.endpoint}]
    assert lake.store.resolve(f"{lake.endpoint}/nyc/a") == there


def test_hundreds_of_renames_later_the_first_name_is_one_index_hit(lake: Lake, look: Look) -> None:
    lake.assets("t0", "other")
    entity = lake.entity("t0")
    for number in range(250):
        lake.store.rename({lake.key(f"t{number}"): lake.key(f"t{number + 1}")})
    keys = [lake.key(f"t{number}") for number in range(251)]
    found = lake.store.entities(keys)
    assert {one.id for one in found.values()} == {entity.id}
    assert len(lake.store.aliases_of(entity)) == 501
    look("ANALYZE metadata.alias")
    for key in (lake.key("t0"), lake.key("t125"), lake.key("t250"), lake.key("other")):
        with lake.store.session() as session:
            session.rows("SET LOCAL enable_seqscan = off")  # a small table of a test would be read whole
            before = names_read(session)
            session.rows(f"SELECT {HOLDER}", asked(key))
            assert names_read(session) - before == Counter(idx_scan=1, idx_tup_fetch=1)


def test_renaming_one_of_many_rewrites_its_own_rows_only(lake: Lake, look: Look) -> None:
    names = [f"t{number}" for number in range(300)]
    lake.datasets(*names)
    tables = ("asset", "alias", "dataset", "relationship", "schema_field", "materialization")
    kept = "SELECT xmin::text, to_jsonb(t) AS row FROM metadata.{} t ORDER BY ctid"
    before = {table: look(kept.format(table)) for table in tables}
    lake.rename(t7="seven")
    after = {table: look(kept.format(table)) for table in tables}
    gone = {table: [row for row in before[table] if row not in after[table]] for table in tables}
    new = {table: [row for row in after[table] if row not in before[table]] for table in tables}
    assert {table: len(rows) for table, rows in gone.items() if rows} == {"asset": 1, "alias": 1}
    assert {table: len(rows) for table, rows in new.items() if rows} == {"asset": 1, "alias": 3}


def test_several_that_rename_at_the_same_time_agree(lake: Lake, open_store: Callable[..., MetadataStore]) -> None:
    """Two names swapped over and over by several: every swap happens once and nothing is lost."""
    lake.assets("a", "b", "c")
    ids = {lake.entity(name).id for name in "abc"}
    together = threading.Barrier(4)

    def swap(store: MetadataStore) -> int:
        mine = Lake(store, lake.endpoint)
        together.wait()
        return sum(len(mine.rename(a="b", b="a")) + len(mine.rename(b="c", c="b")) for _ in range(15))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(swap, [open_store() for _ in range(4)])) == [60] * 4
    assert {lake.entity(name).id for name in "abc"} == ids


def test_who_registers_a_name_while_it_is_given_away_gets_one_thing(
    lake: Lake, open_store: Callable[..., MetadataStore]
) -> None:
    for number in range(20):
        lake.assets(f"old{number}")
        entity = lake.entity(f"old{number}")
        together = threading.Barrier(2)

        def rename_it(number: int = number, together: threading.Barrier = together) -> object:
            together.wait()
            try:
                return lake.rename(**{f"old{number}": f"new{number}"})
            except NameTaken:
                return None

        def register(store: MetadataStore, number: int = number, together: threading.Barrier = together) -> None:
            together.wait()
            Lake(store, lake.endpoint).datasets(f"new{number}", f"old{number}")

        with ThreadPoolExecutor(2) as pool:
            renamed, registered = pool.submit(rename_it), pool.submit(register, open_store())
            if renamed.result(timeout=60) is None:
                assert lake.entity(f"new{number}").id != entity.id
                registered.result(timeout=60)
            else:
                assert lake.entity(f"new{number}").id == entity.id
                with pytest.raises(OneThingTwice):
                    registered.result(timeout=60)


def test_an_old_short_name_of_two_things_is_ambiguous(lake: Lake) -> None:
    keys = [dataset_key(lake.endpoint, source=source, schema="s", table="t") for source in ("one", "two")]
    assets = [lake.asset("x")]
    lake.store.register_assets(
        [*(type(assets[0])(key=key, type=assets[0].type) for key in keys)],
    )
    moved = {key: dataset_key(lake.endpoint, source=key.source, schema="s", table="u") for key in keys}
    lake.store.rename(moved)
    with pytest.raises(AmbiguousKey, match="/s/u"):
        lake.store.resolve(f"{lake.endpoint}/s/t")


def test_similar_names_are_only_suggested(lake: Lake, counts: Counts) -> None:
    lake.store.register_endpoints([Endpoint(slug=lake.endpoint, system="files")])
    lake.assets("orders", "orders_v2", "order", "customers")
    before = counts()
    assert lake.store.suggestions(lake.key("orders")) == [lake.key("order"), lake.key("orders_v2")]
    assert lake.store.suggestions(lake.key("nothing like it")) == []
    assert counts() == before
