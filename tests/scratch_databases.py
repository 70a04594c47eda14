"""Databases for one test each, like their template: emptied and used again, as making one costs ten times as much."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import make_url

from resources.postgres.embedded import Server

# A database that was copied has the rows of its template's catalogue, and xmin tells where one is another row.
_CATALOGUE = {
    "pg_attrdef": "oid",
    "pg_attribute": "attrelid",
    "pg_class": "oid",
    "pg_constraint": "oid",
    "pg_default_acl": "oid",
    "pg_description": "objoid",
    "pg_extension": "oid",
    "pg_index": "indexrelid",
    "pg_namespace": "oid",
    "pg_policy": "oid",
    "pg_proc": "oid",
    "pg_rewrite": "oid",
    "pg_trigger": "oid",
    "pg_type": "oid",
}
_SETTINGS = """
SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE d.datname = current_database()
"""
_RIGHTS = "SELECT sum(hashtextextended(concat_ws(' ', oid, nspacl), 0)) FROM pg_namespace"  # public is the system's own
_SHAPE = " UNION ALL ".join(
    [
        *(
            f"SELECT sum(hashtextextended(concat_ws(' ', {key}, xmin), 0)) FROM {name} WHERE {key} >= 16384"
            for name, key in _CATALOGUE.items()
        ),
        _SETTINGS,
        _RIGHTS,
    ]
).encode()
_TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY 1"
_SEQUENCES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND oid >= 16384 ORDER BY 1"
_ALONE = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class ScratchDatabases:
    """Copies of one template. Each has a name that no other one ever had: nobody takes it for an earlier one."""

    def __init__(self, server: Server, template: str) -> None:
        self._server, self._template = server, template
        self._numbers = itertools.count()
        self._spare: list[str] = []
        with psycopg.connect(server.url(template)) as connection:
            self._shape = connection.execute(_SHAPE).fetchall()
            tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
            rows = {name: connection.execute(_rows(name)).fetchall() for name in tables}
            sequences = [name for (name,) in connection.execute(_SEQUENCES).fetchall()]
            positions = [
                (name, *(connection.execute(f"SELECT last_value, is_called FROM {name}".encode()).fetchone() or ()))
                for name in sequences
            ]
        self._filled = {name: found for name, found in rows.items() if found}
        self._emptying = "; ".join(
            [
                "SET session_replication_role = replica",  # what is append-only has triggers that say so
                *(f"DELETE FROM {name}" for name in tables if name not in self._filled),
                *(f"SELECT setval('{name}', {value}, {called})" for name, value, called in positions),
            ]
        ).encode()

    def make(self) -> str:
        """The URL of a new one, for whoever wants to keep it."""
        name = self._name()
        with self._connected("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}" STRATEGY wal_log'.encode())
        return self._server.url(name)

    def drop(self, url: str) -> None:
        """Remove one, so that the disk never has to write most of what tests write."""
        with self._connected("postgres") as connection:
            connection.execute(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)'.encode())

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of one that is like the template, until the end."""
        url = self._spare.pop() if self._spare else self.make()
        yield url
        if not self._emptied(url):
            self.drop(url)
            return
        name = self._name()
        with self._connected("postgres") as connection:
            connection.execute(f'ALTER DATABASE "{make_url(url).database}" RENAME TO "{name}"'.encode())
        self._spare.append(self._server.url(name))

    def _emptied(self, url: str) -> bool:
        """Take out what was written; whether it is like the template now. Only the rows of tables can be mended."""
        with self._connected(str(make_url(url).database)) as connection:
            connection.execute(_ALONE)
            if connection.execute(_SHAPE).fetchall() != self._shape:
                return False
            connection.execute(self._emptying)
            for name, rows in self._filled.items():
                connection.execute(
                    f"DELETE FROM {name} t WHERE to_jsonb(t)::text <> ALL (%s)".encode(), [[row for (row,) in rows]]
                )
                if connection.execute(_rows(name)).fetchall() != rows:
                    return False
        return True

    def _name(self) -> str:
        return f"scratch_{os.getpid()}_{self._template}_{next(self._numbers)}"

    def _connected(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._server.url(database), autocommit=True)


def _rows(table: str) -> bytes:
    return f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1".encode()
