"""Tenants: none reads, writes or detects another one, over every table, whatever role it acts as."""

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb
from rls_lint import ONLY_BY_FUNCTIONS
from two_tenants import DELAYS, FLIGHTS, TABLES, acting, attempt, delivery, disconnect, fill, rows_of, written_columns

from identity.ids import Entity, tenant_id
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.metadata.assets import UnknownKey
from resources.metadata_store import MetadataStore
from resources.models import Read
from resources.postgres.engine import app_engine, plain_engine
from resources.postgres.errors import NotRegistered, UnknownMaterialization
from resources.postgres.migrate import migrate
from resources.postgres.session import Sessions

A, B, NEWCOMER = (tenant_id(slug) for slug in ("default", "other", "newcomer"))
ROLES = ("metadata_app", "metadata_readonly", "metadata_owner")
WRITTEN_BY_TRIGGERS = ("audit", "alias", "facet_word")


@pytest.fixture(scope="module")
def url(make_database: Callable[..., str]) -> Iterator[str]:
    """Tenant A and tenant B with the same names in every table, and one without any row."""
    made = make_database(migrated=True)
    migrate(plain_engine(made), tenants=("default", "other", "newcomer"))
    for tenant in (A, B):
        engine = app_engine(made)
        fill(MetadataStore(Sessions(engine, tenant, "test")))
        engine.dispose()
    yield made
    disconnect(made)


@pytest.fixture
def stores(url: str) -> Iterator[tuple[MetadataStore, MetadataStore]]:
    """What tenant A and tenant B see."""
    engines = [app_engine(url), app_engine(url)]
    yield tuple(MetadataStore(Sessions(engine, tenant, "test")) for engine, tenant in zip(engines, (A, B), strict=True))
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="module", params=TABLES)
def table(request: pytest.FixtureRequest, url: str) -> str:
    """Every table; none is tested empty."""
    name: str = request.param
    assert rows_of(url, name, A)
    assert rows_of(url, name, B)
    return name


@pytest.mark.parametrize("role", ROLES)
def test_a_tenant_reads_its_own_rows_only(url: str, table: str, role: str) -> None:
    with acting(url, role, A) as connection:
        rows = connection.execute(f"SELECT tenant_id FROM metadata.{table}".encode()).fetchall()
        theirs = connection.execute(f"SELECT 1 FROM metadata.{table} WHERE tenant_id = %s".encode(), (B.value,))
        assert (len(rows), theirs.fetchall()) == (len(rows_of(url, table, A)), [])
        assert {row["tenant_id"] for row in rows} == {A.value}


@pytest.mark.parametrize("role", ROLES)
def test_without_a_tenant_there_is_an_error_and_not_an_empty_answer(url: str, table: str, role: str) -> None:
    with (
        acting(url, role, None) as connection,
        pytest.raises(psycopg.errors.UndefinedObject, match=r"metadata\.tenant"),
    ):
        connection.execute(f"SELECT * FROM metadata.{table}".encode())


def test_a_tenant_writes_no_row_of_another_one(url: str, table: str) -> None:
    """As the owner, who may do everything but this."""
    before = rows_of(url, table, B)
    columns = written_columns(table)
    copy = f"""INSERT INTO metadata.{table} ({columns}) OVERRIDING SYSTEM VALUE
      SELECT {columns} FROM jsonb_populate_record(NULL::metadata.{table}, %s)"""
    with acting(url, "metadata_owner", A) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(copy.encode(), (Jsonb(before[0]),))
    for change in (
        f"UPDATE metadata.{table} SET tenant_id = tenant_id WHERE tenant_id = '{B}'",
        f"UPDATE metadata.{table} SET tenant_id = '{B}' WHERE tenant_id = '{A}'",
        f"DELETE FROM metadata.{table} WHERE tenant_id = '{B}'",
    ):
        with acting(url, "metadata_owner", A) as connection:
            assert refused_or_nothing(connection, change)
    assert rows_of(url, table, B) == before


def refused_or_nothing(connection: psycopg.Connection, change: str) -> bool:
    try:
        return connection.execute(change.encode()).rowcount == 0
    except psycopg.DatabaseError as error:
        return error.sqlstate in {"42501", "MA423", "23503"}  # by a policy, append-only, or still referred to


def test_rows_of_one_tenant_do_not_stand_in_the_way_of_another_one(url: str) -> None:
    """Whoever writes the ids and names of somebody else learns nothing: it works as if they were new."""
    with acting(url, "metadata_owner", NEWCOMER) as connection:
        for table in TABLES:
            if table == "tenant" or table in WRITTEN_BY_TRIGGERS:  # the one exists
                continue
            copy = f"""INSERT INTO metadata.{table} OVERRIDING SYSTEM VALUE
              SELECT (jsonb_populate_record(NULL::metadata.{table}, %s)).*"""
            for row in rows_of(url, table, B):
                if row.get("producer") == "reference":  # so is the edge that follows references
                    continue
                connection.execute(copy.encode(), (Jsonb({**row, "tenant_id": str(NEWCOMER)}),))
            assert len(connection.execute(f"SELECT 1 FROM metadata.{table}".encode()).fetchall()) > 0
        for table in WRITTEN_BY_TRIGGERS:
            assert len(connection.execute(f"SELECT 1 FROM metadata.{table}".encode()).fetchall()) > 0


@pytest.mark.parametrize("whose", ["of another tenant", "of nobody"])
def test_ids_of_another_tenant_are_as_unknown_as_made_up_ones(
    stores: tuple[MetadataStore, MetadataStore], whose: str
) -> None:
    mine, theirs = stores
    known = theirs.materializations(DELAYS)[-1]
    stranger = Entity(B if whose == "of another tenant" else tenant_id("nobody"), FLIGHTS)
    materialization = known.id if whose == "of another tenant" else uuid.uuid4()
    with pytest.raises(UnknownMaterialization, match="1 of 1 materializations are unknown"):
        mine.publish([materialization])
    with pytest.raises(NotRegistered, match="materialization_input_asset_fkey"):
        mine.commit(attempt(), [delivery(mine, whose)], {"p": [Read(asset=stranger)]})
    read = Read(asset=mine.entity(FLIGHTS), materialization_id=materialization)
    with pytest.raises(NotRegistered, match="materialization_input_read_fkey"):
        mine.commit(attempt(), [delivery(mine, whose)], {"p": [read]})
    graph, links = GraphStore(mine.sessions), [Link(mine.entity(DELAYS), stranger)]
    with pytest.raises(NotRegistered, match="relationship_target_fkey"):
        graph.assert_edges(links, producer="test", scope="test", complete=True)
    assert graph.lineage(stranger, "down").nodes == {}


def test_a_newcomer_finds_nothing(url: str) -> None:
    engine = app_engine(url)
    store = MetadataStore(Sessions(engine, NEWCOMER, "test"))
    assert (store.datasets(collected=True), store.endpoints(), store.materializations(DELAYS)) == ([], [], [])
    assert (store.current(DELAYS), store.versions(DELAYS)) == ([], [])
    with pytest.raises(UnknownKey) as refused:
        store.resolve("lake/nyc/delays")
    assert "delays" not in refused.value.hint
    engine.dispose()


def test_a_pooled_connection_keeps_no_tenant(url: str) -> None:
    engine = app_engine(url)
    store = MetadataStore(Sessions(engine, A, "test"))
    assert store.current(DELAYS)
    assert store.datasets()
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        assert driver.execute("SELECT current_user, current_setting('metadata.tenant')").fetchone() == (
            "metadata_app",
            "",
        )
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            driver.execute("SELECT * FROM metadata.asset")
    engine.dispose()


def test_one_pool_serves_tenants_in_turn(url: str) -> None:
    engine = app_engine(url)
    for tenant in (A, B, NEWCOMER, A):
        store = MetadataStore(Sessions(engine, tenant, "test"))
        ids = {one.materialization_id for one in store.current(DELAYS)}
        stored = [row for row in rows_of(url, "version_partition", tenant) if row["to_version"] is None]
        assert ids == {uuid.UUID(row["materialization_id"]) for row in stored}
        assert len(ids) == (tenant != NEWCOMER)
    engine.dispose()


@pytest.mark.parametrize("role", ["metadata_app", "metadata_readonly"])
@pytest.mark.parametrize("written_by_functions", ONLY_BY_FUNCTIONS)
def test_the_app_writes_the_exactly_once_tables_through_functions_only(
    url: str, written_by_functions: str, role: str
) -> None:
    for change in (
        "INSERT INTO metadata.{} DEFAULT VALUES",
        "UPDATE metadata.{} SET tenant_id = tenant_id",
        "DELETE FROM metadata.{}",
        "TRUNCATE metadata.{}",
    ):
        statement = change.format(written_by_functions).encode()
        with acting(url, role, A) as connection, pytest.raises(psycopg.Error, match="permission denied for table"):
            connection.execute(statement)


def test_the_published_version_is_moved_by_publishing_only(url: str) -> None:
    with acting(url, "metadata_app", A) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE metadata.dataset SET published_version = 7")
