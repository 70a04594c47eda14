"""One small database of each system that can be collected, and the ways to change it and to collect it."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

import duckdb
import psycopg
import pymysql

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.collection.collectors import looking_at
from metadata_assets.collection.mysql import listens
from metadata_assets.collection.scope import EVERYTHING, Scope
from resources.locations import EndpointLocation
from resources.metadata.plans import Collected
from resources.metadata_store import MetadataStore
from resources.models import Asset, Catalog
from resources.postgres.databases import Databases
from resources.settings import Settings

SLUG = "shop"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database with a schema for tables. `has_ids`: the system tells what was renamed."""

    location: EndpointLocation
    schema: str
    variables: Mapping[str, str]
    execute: Callable[[str], None]
    source: str | None = None
    quotes: str = '"'
    has_ids: bool = False
    retype: str | None = None
    """How a column's type is changed: with {table}, {column} and {type}; None where a table has to be made anew."""

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.execute(statement)

    def quoted(self, name: str) -> str:
        return self.quotes + name.replace(self.quotes, self.quotes * 2) + self.quotes

    @property
    def databases(self) -> Databases:
        return Databases(Settings(home=Path("/nonexistent"), project=Path("/"), variables=self.variables))

    def collect(self, store: MetadataStore, scope: Scope = EVERYTHING) -> Collected:
        return collect_endpoint(store, self.location, self.databases, scope=scope)

    def look(self, scope: Scope = EVERYTHING) -> Catalog:
        with looking_at(self.location, self.databases, scope) as look:
            return look.catalog(look.fingerprint())

    def tables(self, scope: Scope = EVERYTHING) -> dict[str, Asset]:
        return {asset.key.table: asset for asset in self.look(scope).assets}

    def key(self, table: str) -> CanonicalKey:
        return dataset_key(SLUG, source=self.source, schema=self.schema, table=table)

    def elsewhere(self, **changes: str) -> "Place":
        """The same somewhere else, or with other variables."""
        return replace(self, variables={**self.variables, **changes})


def postgres_place(url: str) -> Place:
    def execute(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    with psycopg.connect(url) as connection:
        database = connection.info.dbname
    return Place(
        location=EndpointLocation(slug=SLUG, system="postgres", url="env:SOURCE", database=database),
        schema="public",
        source=database,
        variables={"SOURCE": url},
        execute=execute,
        has_ids=True,
        retype="ALTER TABLE {table} ALTER COLUMN {column} TYPE {type}",
    )


def duckdb_place(folder: Path) -> Place:
    file = folder / "shop.duckdb"

    def execute(statement: str) -> None:
        with closing(duckdb.connect(str(file))) as connection:
            connection.execute(statement)

    execute("SELECT 1")
    return Place(
        location=EndpointLocation(slug=SLUG, system="duckdb", file="env:SOURCE", database="warehouse"),
        schema="main",
        source="warehouse",
        variables={"SOURCE": str(file)},
        execute=execute,
        retype="ALTER TABLE {table} ALTER COLUMN {column} TYPE {type}",
    )


def sqlite_place(folder: Path) -> Place:
    file = folder / "shop.sqlite"

    def execute(statement: str) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(statement)

    execute("PRAGMA user_version = 1")
    return Place(
        location=EndpointLocation(slug=SLUG, system="sqlite", file="env:SOURCE"),
        schema="main",
        variables={"SOURCE": str(file)},
        execute=execute,
    )


@dataclass(frozen=True)
class MariaDB:
    """A server that only its socket leads to."""

    socket: Path
    databases: list[str] = field(default_factory=list)

    def connect(self, user: str = "root") -> pymysql.Connection:
        return pymysql.connect(unix_socket=str(self.socket), user=user, autocommit=True, charset="utf8mb4")

    def execute(self, statement: str, database: str | None = None) -> None:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            if database:
                cursor.execute(f"USE `{database}`")
            cursor.execute(statement)

    def url(self, user: str = "root", **parameters: str) -> str:
        return f"mysql://{user}@localhost/?{urlencode({'unix_socket': str(self.socket), **parameters})}"

    @property
    def certificate(self) -> Path:
        """Of the server, which signed it itself."""
        return self.socket.with_name("certificate.pem")

    def place(self, name: str) -> Place:
        for other in self.databases:  # of other tests: a server is collected whole
            self.execute(f"DROP DATABASE IF EXISTS `{other}`")
        self.databases.append(name)
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return Place(
            location=EndpointLocation(slug=SLUG, system="mariadb", url="env:SOURCE"),
            schema=name,
            variables={"SOURCE": self.url()},
            execute=lambda statement: self.execute(statement, name),
            quotes="`",
            retype="ALTER TABLE {table} MODIFY {column} {type}",
        )


def mariadb_binaries() -> tuple[str, str] | None:
    """Where the server and what makes its data directory are; None when they are not installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    server, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    return (server, install) if server and install else None


@contextmanager
def running_mariadb(server: str, install: str) -> Iterator[MariaDB]:
    """A server of its own, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="mariadb-") as folder:
        data, socket = Path(folder, "data"), Path(folder, "socket")
        user = ["--user=root"] if os.geteuid() == 0 else []
        alone = {**os.environ, "TMPDIR": folder}  # a server that starts removes other servers' temporary tables
        made = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
        small = ["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--skip-test-db", *user]
        subprocess.run([*made, *small], check=True, capture_output=True, env=alone)
        options = [f"--datadir={data}", f"--socket={socket}", f"--pid-file={folder}/pid", "--skip-networking"]
        key, certificate = socket.with_name("key.pem"), socket.with_name("certificate.pem")
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key)]
        subprocess.run([*made, *named, "-out", str(certificate)], check=True, capture_output=True)
        options += [f"--ssl-cert={certificate}", f"--ssl-key={key}"]
        quick = ["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0"]
        process = subprocess.Popen(
            [server, "--no-defaults", *options, *quick, "--performance-schema=off", *user],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=alone,
        )
        try:
            yield _answering(MariaDB(socket), process)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _answering(server: MariaDB, process: subprocess.Popen[bytes]) -> MariaDB:
    ends = time.monotonic() + 60
    while time.monotonic() < ends and process.poll() is None:
        if listens(str(server.socket)):
            server.connect().close()
            return server
        time.sleep(0.05)
    raise RuntimeError("MariaDB did not start")
