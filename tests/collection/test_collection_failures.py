"""Collections that cannot be: sources that are away, too old, locked, moving, or not text."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import psycopg
import pytest
from sqlalchemy.engine import make_url

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection import postgres
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.collection.errors import (
    EndpointBusy,
    EndpointMoving,
    EndpointRefused,
    EndpointTooOld,
    EndpointUnreachable,
    NotCollectable,
)
from resources.locations import EndpointLocation
from resources.metadata.catalogs import EndpointNotRegistered
from resources.metadata_store import MetadataStore
from resources.postgres.databases import Databases
from tests.cli.old_server import postgres_of_version
from tests.collection.conftest import Source, contents, settings_with


def key(source: Source, table: str, endpoint: str = "shop") -> CanonicalKey:
    return dataset_key(endpoint, source=source.database, schema="public", table=table)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_an_unknown_endpoint_is_an_error(store: MetadataStore) -> None:
    with pytest.raises(EndpointNotRegistered):
        store.known_catalog("nowhere")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"database": "no_such_database"}, "it has no such database or user"),
        ({"username": "no_such_user"}, "it has no such database or user"),
        ({"query": {"host": "/nonexistent"}}, "there is no such socket"),
        ({"query": {}, "host": "127.0.0.1", "port": 1}, "nothing listens there"),
        ({"query": {}, "host": "no-such-host.invalid"}, "its host name is unknown"),
        ({"query": {"sslmode": "nonsense"}}, "libpq cannot read its URL"),
    ],
)
def test_an_unreachable_endpoint_is_one_clear_error_and_changes_nothing(
    shop: Source, store: MetadataStore, metadata_url: str, change: dict[str, object], reason: str
) -> None:
    shop.collect_into(store)
    before = contents(metadata_url)
    broken = make_url(shop.url).set(password="planted-canary").set(**change)  # type: ignore[arg-type]
    with pytest.raises(EndpointUnreachable) as caught:
        replace(shop, url=broken.render_as_string(hide_password=False)).collect_into(store)
    assert caught.value.reason == reason
    assert str(caught.value).startswith("cannot reach endpoint shop at ")
    assert "planted-canary" not in f"{caught.value!r} {caught.value.__cause__} {caught.value.__context__!r}" or (
        caught.value.__suppress_context__
    )
    assert contents(metadata_url) == before


def test_a_server_that_is_too_old_is_one_clear_error(store: MetadataStore) -> None:
    with postgres_of_version("12.9") as port, pytest.raises(EndpointTooOld, match="is PostgreSQL 12; version 15"):
        Source(f"postgresql://ann@127.0.0.1:{port}/shop").collect_into(store)


def test_a_locked_table_is_one_clear_error_and_changes_nothing(
    shop: Source, store: MetadataStore, metadata_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.collect_into(store)
    before = contents(metadata_url)
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT", "50ms")
    with psycopg.connect(shop.url) as somebody:
        somebody.execute("LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(EndpointBusy, match="somebody holds a lock"):
            shop.collect_into(store)
    assert contents(metadata_url) == before


def test_a_schema_that_moves_all_the_time_is_collected_or_refused_and_never_torn(
    shop: Source, store: MetadataStore
) -> None:
    """Relations are dropped between our snapshot and the look at them; see `Look` for what that can do."""
    over = Event()

    def churn() -> None:
        with psycopg.connect(shop.url, autocommit=True) as connection:
            while not over.is_set():
                connection.execute("CREATE TABLE t (x int DEFAULT 1 PRIMARY KEY); CREATE VIEW w AS SELECT * FROM t")
                connection.execute("ALTER TABLE t RENAME x TO y; DROP VIEW w; DROP TABLE t")

    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        try:
            for _ in range(40):
                with contextlib.suppress(EndpointMoving):
                    shop.collect_into(store)
        finally:
            over.set()
        churning.result()
    assert shop.collect_into(store).complete
    names = [asset.key.table for asset in shop.look().assets]
    assert [
        known.name.rpartition("/")[2] for known in store.known_catalog("shop").assets.values() if known.open
    ] == names
    assert shop.collect_into(store).rows_written == 0


def test_names_that_are_not_text_are_one_clear_error(make_database: Callable[..., str], store: MetadataStore) -> None:
    url = make_database()
    name = f"{make_url(url).database}_ascii"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0".encode())
    source = Source(make_url(url).set(database=name).render_as_string())
    with psycopg.connect(source.url, autocommit=True, client_encoding="sql_ascii") as connection:
        connection.execute(b'CREATE TABLE "caf\xe9" (x int)')
    with pytest.raises(EndpointRefused, match="not UTF-8"):
        source.collect_into(store)


def test_files_have_no_catalog(store: MetadataStore) -> None:
    location = EndpointLocation(slug="lake", system="files")
    with pytest.raises(NotCollectable):
        collect_endpoint(store, location, Databases(settings_with({})))
