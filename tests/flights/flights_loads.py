"""Loading the sources as it goes in life: refused, killed half-way, finished by two at once."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from examples.flights.sources import AIRPORTS, Loaded, MayNotCreateDatabase, load_sources
from resources.postgres.embedded import Server

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[..., list[tuple[Any, ...]]]
"""Asks one airport's database: its name, a statement, the parameters."""

_KILLED_LOAD = """
import os, signal, sys
from examples.flights.sources import load_sources

def die(done):
    if (done.airport, done.table) == ("jfk", "weather"):
        os.kill(os.getpid(), signal.SIGKILL)

load_sources(sys.argv[1], progress=die)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """How the sources came to be: what each load said, and what the killed one left behind."""

    refused: MayNotCreateDatabase
    killed: int
    relations_after_kill: dict[str, int]
    finished: tuple[Loaded, Loaded]


def load_with_accidents(server: Server) -> Loads:
    """Fill the three source databases."""
    refused = _as_a_visitor(server)
    killed = subprocess.run([sys.executable, "-c", _KILLED_LOAD, server.url("postgres")], cwd=ROOT, check=False)
    relations = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    after_kill = {airport: rows_of(server, airport, relations)[0][0] for airport in AIRPORTS}
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: load_sources(server.url("postgres"), progress=lambda _: None), range(2))
    return Loads(refused=refused, killed=killed.returncode, relations_after_kill=after_kill, finished=(one, other))


def rows_of(server: Server, airport: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.url(airport), autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters or None).fetchall()


def _as_a_visitor(server: Server) -> MayNotCreateDatabase:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE flights_visitor LOGIN")
    with pytest.raises(MayNotCreateDatabase) as refused:
        load_sources(server.url("postgres", user="flights_visitor"), progress=lambda _: None)
    return refused.value
