"""Connection URLs mean the same to every driver."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from resources.locations import EndpointLocation
from resources.postgres.databases import Databases
from resources.postgres.engine import libpq, with_driver
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
