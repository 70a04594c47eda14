"""The mirror of large asset graphs: loaded, loaded again unchanged, and after one asset more; each once.

Two of them. What the store does with 100,000 assets and 275,700 edges, against the same rows by COPY into tables with
the same indexes, without triggers, audit and checks: those of the two tables that everybody reads, and all rows that
were written, names and audit trail included. And a code location of asset specs, as its sensor mirrors it, from
Dagster's definitions to the stored graph, against the time that Dagster takes to make an asset graph of them.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import dagster as dg
import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.lineage_graph import ASSETS, TENANT, filled, key
from benchmarks.report import Exact, Result
from metadata_assets.mirror.lineage import jobs_in, mirror, snapshot
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions

SPECS = int(os.environ.get("BENCHMARK_SPECS", "100000"))
"""How many assets the code location has."""

_WRITTEN = ("asset", "relationship", "alias", "dataset", "audit")
_READ = _WRITTEN[:2]


def run() -> list[Result]:
    """What a new code location of this size costs, and what it costs from then on."""
    with filled() as bench:
        edges = bench.graph.whole().edges
    return [*_stored(edges), *_located()]


@contextmanager
def _stores() -> Iterator[tuple[str, MetadataStore, GraphStore]]:
    with control_plane() as (_server, url):
        engine = app_engine(url)
        sessions = Sessions(engine, TENANT, "bench")
        yield url, MetadataStore(sessions), GraphStore(sessions)
        engine.dispose()


def _stored(edges: Sequence[tuple[str, str]]) -> list[Result]:
    """What the store does, against the same rows by hand."""
    with _stores() as (url, store, graph):
        keys = [key(number) for number in range(ASSETS)]
        assets = [Asset(key=one, type=AssetType.DATASET) for one in keys]

        def load() -> int:
            written = store.register_assets(assets)
            things = {str(one): entity for one, entity in store.entities(keys).items()}
            links = [Link(things[made], things[source]) for source, made in edges]
            return written + graph.assert_edges(links, producer="mirror", scope="bench", complete=True).opened

        first, rows = _seconds(load)
        again, rows_again = _seconds(load)
        with psycopg.connect(url, autocommit=True) as owner:
            bare = {name: _by_hand(owner, name) for name in _WRITTEN}
    case = f"{ASSETS:,} assets and {len(edges):,} edges"
    missing = Exact(what="rows missing", found=ASSETS + len(edges) - rows, at_most=0)
    return [
        _once(f"{case}, first", "COPY of the two tables", first, sum(bare[name] for name in _READ), exact=(missing,)),
        _once(f"{case}, first", "COPY of all rows that it writes", first, sum(bare.values()), at_most=3.5),
        _once(
            f"{case}, unchanged",
            "COPY of the two tables",
            again,
            sum(bare[name] for name in _READ),
            exact=(Exact(what="rows written", found=rows_again, at_most=0),),
        ),
    ]


def _located() -> list[Result]:
    """What a code location costs, against Dagster's own work for it."""
    specs = [_spec(number) for number in range(SPECS)]
    dagster, repository = _seconds(lambda: _loaded(specs))
    with _stores() as (url, store, graph):

        def tell(assets: Sequence[dg.AssetSpec], known: dg.RepositoryDefinition | None = None) -> tuple[float, int]:
            one = known or _loaded(assets)

            def mirrored() -> int:
                found = mirror(store, graph, snapshot(one.asset_graph, jobs_in(one)), code_location="bench")
                return found.assets_written + found.edges.opened + found.edges.closed + found.assets_closed

            return _seconds(mirrored)

        first, rows = tell(specs, repository)
        again, rows_again = tell(specs, repository)
        one_more, rows_more = tell([*specs, _spec(SPECS)])
        with psycopg.connect(url, autocommit=True) as owner:
            bare = {name: _by_hand(owner, name) for name in _WRITTEN}
    edges = sum(len(list(one.deps)) for one in specs)
    case = f"a code location of {SPECS:,} assets and {edges:,} edges"
    limit = "Dagster's asset graph of it"
    # An asset is a row of two tables: a thing, and a dataset where it is materialized; a spec is not.
    return [
        _once(
            f"{case}, first",
            limit,
            first,
            dagster,
            exact=(Exact(what="rows missing", found=SPECS + edges - rows, at_most=0),),
        ),
        _once(f"{case}, first", "COPY of all rows that it writes", first, sum(bare.values())),
        _once(
            f"{case}, unchanged",
            limit,
            again,
            dagster,
            exact=(Exact(what="rows written", found=rows_again, at_most=0),),
        ),
        _once(
            f"{case}, one asset more",
            limit,
            one_more,
            dagster,
            exact=(Exact(what="rows written", found=rows_more, at_most=1 + len(list(_spec(SPECS).deps))),),
        ),
    ]


def _spec(number: int) -> dg.AssetSpec:
    """An asset that is made from three of those before it, as far as there are three."""
    parents = {number // 2, number // 3, number - 1} - {number, -1}
    return dg.AssetSpec(_name(number), deps=[_name(one) for one in sorted(parents)], group_name=f"group_{number % 100}")


def _name(number: int) -> dg.AssetKey:
    return dg.AssetKey(["lake", "bench", f"t{number:06}"])


def _loaded(specs: Sequence[dg.AssetSpec]) -> dg.RepositoryDefinition:
    definitions = dg.Definitions(assets=specs)
    definitions.resolve_asset_graph()
    return definitions.get_repository_def()


_Answer = TypeVar("_Answer")
_once = partial(Result.once, "mirror")


def _seconds(call: Callable[[], _Answer]) -> tuple[float, _Answer]:
    begin = time.perf_counter()
    answer = call()
    return time.perf_counter() - begin, answer


def _by_hand(owner: psycopg.Connection, table: str) -> float:
    """Seconds that the rows of a table take by COPY into one with the same indexes and nothing else."""
    owner.execute(f"CREATE TABLE bare_{table} (LIKE metadata.{table} INCLUDING ALL)".encode())
    with owner.cursor() as cursor:
        with cursor.copy(f"COPY metadata.{table} TO STDOUT (FORMAT binary)".encode()) as copy:
            rows = b"".join(copy)
        begin = time.perf_counter()
        with cursor.copy(f"COPY bare_{table} FROM STDIN (FORMAT binary)".encode()) as copy:
            copy.write(rows)
        return time.perf_counter() - begin
