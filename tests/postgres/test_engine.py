"""Connection URLs mean the same to every driver, and what is wrong with one is told in fixed words."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from identity.errors import InvalidUrl, MetadataError
from resources.locations import EndpointLocation
from resources.postgres.databases import Databases
from resources.postgres.engine import APP_ROLE, app_engine, check_server, libpq, with_driver
from resources.postgres.errors import DatabaseUnreachable
from resources.settings import Settings

DIRECTORY = "/a home/run+1?x&y"
PASSWORD = "a b+c?d&e%20f"
URL = "postgresql://me:a%20b%2Bc%3Fd%26e%2520f@/jfk?host=%2Fa%20home%2Frun%2B1%3Fx%26y&port=5432"


@pytest.mark.parametrize("times", [1, 2])
def test_a_url_keeps_its_awkward_characters(times: int) -> None:
    url = URL
    for _time in range(times):
        url = libpq(with_driver(url, "psycopg"))
    expected = {"user": "me", "password": PASSWORD, "dbname": "jfk", "host": DIRECTORY, "port": "5432"}
    assert conninfo_to_dict(url) == expected
    assert make_url(with_driver(url, "psycopg2")).query == {"host": DIRECTORY, "port": "5432"}


def test_a_source_is_reached_below_a_folder_with_a_space(tmp_path: Path) -> None:
    location = EndpointLocation(slug="ewr", system="postgres", url="env:CRM_URL", database="ewr")
    url = location.database_url(Databases(Settings.from_env({"CRM_URL": URL}, cwd=tmp_path)))
    assert conninfo_to_dict(url)["host"] == DIRECTORY
    assert conninfo_to_dict(url)["dbname"] == "ewr"


@pytest.mark.parametrize(
    ("options", "timeout"),
    [
        ("-c statement_timeout=1234", "1234ms"),
        ("-c role=none -c statement_timeout=1234 -c default_transaction_isolation=serializable", "1234ms"),
        ("-c lock_timeout=7s", "0"),
        ("", "0"),
    ],
)
def test_options_of_the_url_hold_and_never_loosen_what_keeps_tenants_apart(
    metadata_url: str, options: str, timeout: str
) -> None:
    url = make_url(metadata_url).update_query_dict({"options": options} if options else {})
    engine = app_engine(url.render_as_string(hide_password=False))
    with engine.connect() as connection:
        settings = ("statement_timeout", "role", "default_transaction_isolation", "lock_timeout")
        found = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in settings]
    engine.dispose()
    assert found == [timeout, APP_ROLE, "read committed", "7s" if "lock_timeout" in options else "30s"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@h:port/x",
        "postgresql://u:s3cret@h1:1,h2:2/x",
        "postgresql://u:s3cret@127.0.0.1:1/x?bogus=s3cret",
        "postgresql://u:s3cret@127.0.0.1:1/x?connect_timeout=s3cret",
        "postgresql://u:s3cret@127.0.0.1:99999/x",
    ],
)
def test_a_url_that_no_driver_takes_is_told(url: str) -> None:
    with pytest.raises((InvalidUrl, DatabaseUnreachable)) as refused:
        check_server(url, "metadata")
    assert refused.value.exit_code in (2, 4)
    assert "s3cret" not in str(refused.value)
    assert "no answer that we know" not in str(refused.value)


def test_a_server_that_is_down_is_told_in_our_words(make_database: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert told(f"postgresql://u:s3cret@127.0.0.1:{port}/x").startswith(
        f"cannot reach the metadata database at 127.0.0.1:{port}: nothing listens there; check"
    )
    missing = make_url(make_database()).set(database="nothing_here").render_as_string(hide_password=False)
    assert ": it has no such database or user; check" in told(missing)


def told(url: str) -> str:
    with pytest.raises(MetadataError) as refused:
        check_server(url, "metadata")
    return str(refused.value)
