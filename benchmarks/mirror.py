"""Mirroring 100,000 assets and 275,700 edges for the first time, once.

Limit, in the same run: the same rows as one bare statement for each table, with the same indexes, without triggers,
audit and checks.
"""

import time
from collections.abc import Sequence

import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.lineage_graph import ASSETS, TENANT, filled, key
from benchmarks.report import Result
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions


def run() -> list[Result]:
    """What a new code location of this size costs."""
    with filled() as bench:
        edges = bench.graph.whole().edges
    return [_mirrored(edges)]


def _mirrored(edges: Sequence[tuple[str, str]]) -> Result:
    """Once: what a mirror of a new code location of this size writes, against the same rows by hand."""
    with control_plane() as (_server, url):
        engine = app_engine(url)
        store = MetadataStore(Sessions(engine, TENANT, "bench"))
        graph = GraphStore(store.sessions)
        keys = [key(number) for number in range(ASSETS)]
        begin = time.perf_counter()
        store.register_assets(Asset(key=one, type=AssetType.DATASET) for one in keys)
        things = {str(one): entity for one, entity in store.entities(keys).items()}
        links = [Link(things[made], things[source]) for source, made in edges]
        opened = graph.assert_edges(links, producer="mirror", scope="bench", complete=True).opened
        ours = time.perf_counter() - begin
        assert opened == len(edges)
        engine.dispose()
        with psycopg.connect(url, autocommit=True) as owner:
            bare = _by_hand(owner)
    case = f"mirror {ASSETS:,} assets and {opened:,} edges"
    return Result.share("mirror", case, "the same rows, bare", part=ours, whole=bare, at_most=20)


def _by_hand(owner: psycopg.Connection) -> float:
    """Seconds that the same rows take into tables with the same indexes and nothing else."""
    owner.execute("CREATE TABLE bare_asset (LIKE metadata.asset INCLUDING ALL)")
    owner.execute("CREATE TABLE bare_edge (LIKE metadata.relationship INCLUDING ALL)")
    begin = time.perf_counter()
    owner.execute("INSERT INTO bare_asset SELECT * FROM metadata.asset")
    owner.execute("INSERT INTO bare_edge SELECT * FROM metadata.relationship")
    return time.perf_counter() - begin
