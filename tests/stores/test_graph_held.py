"""The whole graph is read once, and anew when anything of it changed, whoever changed it and whenever that commits."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from graphs import Graph
from store_inputs import Lake, Look, database_time
from test_lost_names import replace
from test_session import driver_of

from benchmarks.wire import traced
from identity.ids import tenant_id
from resources.graph.edges import assert_edges
from resources.graph.whole import WholeGraph
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import AssetType
from resources.postgres.engine import app_engine
from resources.postgres.session import Session, Sessions


@pytest.fixture
def graph(lake: Lake) -> Graph:
    """Of a tenant with nothing else in it that changes meanwhile."""
    graph = Graph(lake)
    graph.told("b<a", "c<b")
    return graph


CHANGES_WHILE = 150


def same(one: WholeGraph, other: WholeGraph) -> bool:
    return (one.nodes, one.edges, one.gone) == (other.nodes, other.edges, other.gone)


def read_anew(graph: Graph) -> WholeGraph:
    return GraphStore(graph.lake.store.sessions).whole()


def test_what_did_not_change_is_not_read_again(graph: Graph, look: Look) -> None:
    then = database_time(look)
    first, past = graph.store.whole(), graph.store.whole(at=then)
    assert past.at == then
    assert same(first, past)
    with traced(driver_of(graph.lake.store.sessions)) as wire:
        assert graph.store.whole() is first
    assert (wire.round_trips, wire.transactions, wire.statements) == (1, 1, 2)
    graph.told("b<a", "c<b")
    assert (graph.store.whole() is first, graph.store.whole(at=then) is past) == (True, True)
    assert graph.store.whole(at=database_time(look)) is not past


CHANGES: dict[str, Callable[[Graph], object]] = {
    "an edge more": lambda graph: graph.told("c<a", complete=False),
    "an edge less": lambda graph: graph.told("b<a"),
    "a thing without an edge": lambda graph: graph.lake.assets("alone"),
    "another name": lambda graph: graph.lake.rename(a="first"),
    "another thing of that name": lambda graph: replace(graph.lake, "a"),
    "another type": lambda graph: graph.store.retype(
        graph.lake.key("a"), graph.lake.key("a"), new_type=AssetType.VIEW, reason="seen"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changed_is_read_anew(graph: Graph, change: Callable[[Graph], object]) -> None:
    before = graph.store.whole()
    change(graph)
    after = graph.store.whole()
    assert after is not before
    assert same(after, read_anew(graph))
    assert graph.store.whole() is after


def open_edge(graph: Graph, session: Session, edge: str) -> None:
    assert_edges(session, graph.links([edge]), producer="slow", scope=edge, complete=False)


def test_what_commits_late_is_seen_though_later_ones_were_seen_before(
    graph: Graph, open_store: Callable[..., MetadataStore]
) -> None:
    """Not what has the highest number counts, but what was not there yet when the graph was read."""
    graph.lake.assets("d", "e")
    other = open_store()
    with other.session() as slow:
        open_edge(graph, slow, "d<c")
        graph.told("e<c", complete=False)
        before = graph.store.whole()
        assert graph.store.whole() is before
    after = graph.store.whole()
    assert len(after.edges) == len(before.edges) + 1
    assert same(after, read_anew(graph))


def test_who_changes_edges_waits_for_nobody_else_who_does(
    graph: Graph, open_store: Callable[..., MetadataStore]
) -> None:
    graph.lake.assets("d", "e")
    with open_store().session() as slow:
        open_edge(graph, slow, "d<c")
        with graph.lake.store.session() as session:
            session.rows("SET LOCAL lock_timeout = '5s'")
            open_edge(graph, session, "e<c")


@contextmanager
def disposed(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    finally:
        engine.dispose()


def test_another_store_in_its_place_is_read_anew(make_database: Callable[..., str]) -> None:
    """A restored backup has no row that tells what is not in it any more."""
    url = make_database(migrated=True)
    server, _slash, name = url.rpartition("/")
    name, question, options = name.partition("?")
    engine = app_engine(url)
    graph = Graph(Lake(MetadataStore(Sessions(engine, tenant_id("default"), "test")), "lake"))
    with (
        psycopg.connect(f"{server}/postgres{question}{options}", autocommit=True) as owner,
        disposed(engine),
    ):

        def alone(*statements: str) -> None:
            engine.dispose()
            for statement in statements:
                owner.execute(statement.format(name=name, backup=f"{name}_backup").encode())

        graph.told("b<a")
        alone("CREATE DATABASE {backup} TEMPLATE {name}")
        graph.told("c<b", complete=False)
        before = graph.store.whole()
        assert graph.store.whole() is before
        alone("DROP DATABASE {name}", "ALTER DATABASE {backup} RENAME TO {name}")
        after = graph.store.whole()
        assert len(after.edges) == len(before.edges) - 1
        assert same(after, read_anew(graph))
        alone("DROP DATABASE {name}")


def test_numbers_from_another_server_are_no_news(graph: Graph, look: Look) -> None:
    """A restored backup has rows of the server where it was made, which may have got further than this one."""
    tenant = graph.lake.store.tenant.value
    look("INSERT INTO metadata.graph_change VALUES (%s, '1000000000000'::xid8)", tenant)
    first = graph.store.whole()
    assert graph.store.whole() is first
    graph.told("c<a", complete=False)
    assert graph.store.whole() is not first
    look("DELETE FROM metadata.graph_change WHERE tenant_id = %s AND xid = '1000000000000'::xid8", tenant)


def test_changes_that_are_over_leave_no_rows(graph: Graph, look: Look) -> None:
    def rows() -> int:
        (row,) = look("SELECT count(*) FROM metadata.graph_change WHERE tenant_id = %s", graph.lake.store.tenant.value)
        return int(row["count"])

    for number in itertools.count():
        graph.told(f"b<x{number}", complete=False)
        if number > 10 and rows() <= 2:  # a transaction of anybody on this server keeps some until it is over
            break
        assert number < 200


_READ = "SELECT idx_tup_read FROM pg_stat_all_indexes WHERE indexrelname = 'graph_change_pkey'"


def test_what_is_dropped_is_not_gone_through_by_each_change(make_database: Callable[..., str]) -> None:
    """While somebody's snapshot is open, what is dropped stays where it was."""
    url = make_database(migrated=True)
    engine = app_engine(url)
    with disposed(engine), psycopg.connect(url) as backup, psycopg.connect(url, autocommit=True) as owner:
        lake = Lake(MetadataStore(Sessions(engine, tenant_id("default"), "test")), "lake")
        backup.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        backup.execute("SELECT 1")
        for number in range(CHANGES_WHILE):
            lake.assets(f"t{number}")
        engine.dispose()  # a server process that ends tells what it read
        owner.execute("SELECT pg_sleep(0.3)")
        (read,) = owner.execute(_READ).fetchone() or (None,)
    assert read < 30 * CHANGES_WHILE  # half their square, if each did
