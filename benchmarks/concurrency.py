"""Many writers at once: sixteen of the store over 64 datasets, against sixteen raw connections writing the same rows.

A writer of the store commits one materialization with two inputs and publishes it: two transactions, each of which may
be asked again. The limit are plain statements for the same rows, in one raw psycopg transaction each, in which the
dataset's row is taken as it has to be. Both write to 64 datasets at random, so some of them wait for each other.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import quantiles

from benchmarks.control_plane import control_plane
from benchmarks.record import INPUTS, TENANT, attempt, raw_connection, staged
from benchmarks.report import Result
from benchmarks.versions import RawWriter
from identity.ids import Entity
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Read
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions

WRITERS, DATASETS, SECONDS, ROUNDS = 16, 64, 2.0, 7
_OUTPUTS = tuple(Entity(TENANT, dataset_key("lake", schema="bench", table=f"hot{n}")) for n in range(DATASETS))
Write = Callable[[Entity], object]


@dataclass(frozen=True, slots=True)
class Crowd:
    """The writers of one side, each with a connection of its own."""

    writers: tuple[Write, ...]

    def seconds_each(self, seconds: float = SECONDS) -> float:
        """How long one write takes, all of them together."""
        end, counts = time.perf_counter() + seconds, [0] * len(self.writers)

        def work(number: int) -> None:
            while time.perf_counter() < end:
                self.writers[number](random.choice(_OUTPUTS))
                counts[number] += 1

        begin = time.perf_counter()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(self.writers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.perf_counter() - begin) / sum(counts)


def run() -> list[Result]:
    """The time of one write among many: its inverse is the throughput, so the ratio is that of the throughputs."""
    with _crowds() as (store, raw):
        for crowd in (store, raw):
            crowd.seconds_each(0.5)
        rounds = []
        for _round in range(ROUNDS):
            order = random.sample([store, raw], 2)
            found = {id(crowd): crowd.seconds_each() for crowd in order}
            rounds.append((found[id(store)], found[id(raw)]))
    ratios = [ours / theirs for ours, theirs in rounds]
    low, middle, high = quantiles(ratios, n=4)
    ours, theirs = (sorted(one)[ROUNDS // 2] for one in zip(*rounds, strict=True))
    return [
        Result(
            benchmark="concurrency",
            case=f"commit and publish, {WRITERS} writers over {DATASETS} datasets: {1 / ours:,.0f}/s",
            limit=f"the same rows by {WRITERS} raw connections: {1 / theirs:,.0f}/s",
            milliseconds=ours * 1e3,
            limit_milliseconds=theirs * 1e3,
            ratio=middle,
            quartiles=(low, high),
        )
    ]


@contextmanager
def _crowds() -> Iterator[tuple[Crowd, Crowd]]:
    with control_plane() as (_server, url), ExitStack() as stack:
        engine = app_engine(url)
        stack.callback(engine.dispose)
        store = MetadataStore(Sessions(engine, TENANT, "bench"))
        store.register_datasets([(Asset(key=one.key, type=AssetType.DATASET), "manually") for one in _OUTPUTS])
        store.register_assets(Asset(key=entity.key, type=AssetType.DATASET) for entity in INPUTS)
        raw = [
            RawWriter(stack.enter_context(raw_connection(url, "metadata_owner"))).write for _writer in range(WRITERS)
        ]
        yield Crowd((_recorded(store),) * WRITERS), Crowd(tuple(raw))


def _recorded(store: MetadataStore) -> Write:
    def write(dataset: Entity) -> None:
        (committed,) = store.commit(
            attempt(), [staged(dataset)], {"p": [Read(asset=entity, partition="p") for entity in INPUTS]}
        )
        store.publish([committed.materialization_id])

    return write
