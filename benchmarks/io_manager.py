"""What our I/O manager adds to a Dagster run: its share of the run's time, by size of the data and by executor.

Our part is everything inside `handle_output`, `load_input`, and the beginning and end of its resource: connecting,
leasing, writing and syncing files, the commit, the publish, reading back. The whole is the run as Dagster does it on
the same PostgreSQL: assets that each read the one before and change one column.

- Assets of one row that compute nothing, in one process: the largest share that there is. Nobody has such a run.
- Assets of 10,000 and of 1,000,000 rows, in one process.
- Assets of 10,000 rows, each step in a process of its own: what Dagster does by default.

Dagster's own default, which pickles into files that it neither syncs nor records, is measured in turn as a peer.
"""

import logging
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import sqlalchemy as sa

from benchmarks.report import Result
from metadata_assets.datasets import key_of
from metadata_assets.io_manager import MetadataIOManager
from resources.configurable import MetadataResource, close_all
from resources.postgres.embedded import attach, stop
from resources.postgres.engine import plain_engine

ROUNDS = 4
IN_ONE_PROCESS = {1: 50, 10_000: 25, 1_000_000: 4}
"""Rows of each asset, and how many assets."""
BY_PROCESSES = (10_000, 3)
_PROCESS_ROUNDS = 1
_SPENT, _MANAGER, _ROWS, _ASSETS = (f"METADATA_BENCH_{name}" for name in ("SPENT", "MANAGER", "ROWS", "ASSETS"))


class TimedIOManager(MetadataIOManager):
    """Ours, with a stop watch at its doors."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        with _timed():
            super().setup_for_execution(context)

    def get_object_to_set_on_execution_context(self) -> MetadataIOManager:
        with _timed():
            return super().get_object_to_set_on_execution_context()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        with _timed():
            super().teardown_after_execution(context)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        with _timed():
            super().handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        with _timed():
            return super().load_input(context)


@dataclass(frozen=True, slots=True)
class TimedPeer(dg.IOManager):
    """Another one, with the same."""

    inner: dg.IOManager

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        with _timed():
            self.inner.handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        with _timed():
            return self.inner.load_input(context)


@contextmanager
def _timed() -> Iterator[None]:
    start = time.perf_counter()
    yield
    with Path(os.environ[_SPENT]).open("a") as file:  # by every process of the run
        print(time.perf_counter() - start, file=file)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: the seconds inside the I/O manager, and all of them."""

    part: float
    whole: float


def run() -> list[Result]:
    """All runs on an embedded server of their own, ours and the peer in turn."""
    home = Path(tempfile.mkdtemp(prefix="metadata-bench-"))
    shutil.copy(Path(__file__).parents[1] / "dagster.yaml", home)
    before = dict(os.environ)
    os.environ |= {"METADATA_HOME": str(home / "home"), "DAGSTER_HOME": str(home), _SPENT: str(home / "spent")}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), before.get("PYTHONPATH", "")])
    logging.disable(logging.CRITICAL)
    try:
        with dg.DagsterInstance.get() as instance, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results: list[Result] = []
            for rows, assets in IN_ONE_PROCESS.items():
                results += _compared(partial(_in_one_process, instance, rows, assets), rows, assets, ROUNDS)
            rows, assets = BY_PROCESSES
            work = partial(_by_processes, instance, rows, assets)
            return results + _compared(work, rows, assets, _PROCESS_ROUNDS, "each in a process")
    finally:
        close_all()
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)
        stop(home / "home" / "postgres", remove=True)
        shutil.rmtree(home)


def _compared(
    work: Callable[[str], None], rows: int, assets: int, rounds: int, how: str = "in one process"
) -> list[Result]:
    found: dict[str, list[Measured]] = {"ours": [], "dagster": []}
    for name in found:  # servers, caches, registered datasets
        _measured(work, name)
    _analyze()
    for number in range(rounds):
        for name in sorted(found, reverse=bool(number % 2)):
            found[name].append(_measured(work, name))
    size = f"{assets} assets of {rows:,} rows, {how}" if rows > 1 else f"{assets} trivial assets, {how}"
    gate = 0.25 if rows == 1 else None
    ours, theirs = found["ours"], found["dagster"]
    return [
        _result("ours", f"a run of {size}", [(one.part, one.whole) for one in ours], gate),
        _result("Dagster's default", f"a run of {size}", [(one.part, one.whole) for one in theirs]),
        _result(
            "the run with ours",
            f"the same with Dagster's default: {size}",
            [(one.whole, other.whole) for one, other in zip(ours, theirs, strict=True)],
        ),
    ]


def _result(case: str, limit: str, pairs: Sequence[tuple[float, float]], at_most: float | None = None) -> Result:
    ratios = [part / whole for part, whole in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 2 else (min(ratios), ratios[0], max(ratios))
    return Result(
        benchmark="io_manager",
        case=case,
        limit=limit,
        milliseconds=statistics.median(part for part, _whole in pairs) * 1e3,
        limit_milliseconds=statistics.median(whole for _part, whole in pairs) * 1e3,
        ratio=middle,
        quartiles=(low, high),
        at_most=at_most,
    )


def _measured(work: Callable[[str], None], name: str) -> Measured:
    spent = Path(os.environ[_SPENT])
    spent.write_text("")
    start = time.perf_counter()
    work(name)
    whole = time.perf_counter() - start
    return Measured(part=sum(map(float, spent.read_text().split())), whole=whole)


def _analyze() -> None:
    """What the server does by itself within a minute: until then it plans for tables that it takes to be empty."""
    engine = plain_engine(attach(Path(os.environ["METADATA_HOME"]) / "postgres").url("metadata"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


def _in_one_process(instance: dg.DagsterInstance, rows: int, assets: int, manager: str) -> None:
    defined = _assets(rows, assets)
    result = dg.materialize(defined, instance=instance, resources={"io_manager": _io_manager(manager)})
    assert result.success
    if manager == "ours":
        store = MetadataResource().store()
        counts = {len(store.versions(key_of(asset.key, None), limit=99)) for asset in defined}
        assert len(counts) == 1, f"as many versions of each asset, found {counts}"


def _by_processes(instance: dg.DagsterInstance, rows: int, assets: int, manager: str) -> None:
    os.environ |= {_MANAGER: manager, _ROWS: str(rows), _ASSETS: str(assets)}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.execute_job(dg.reconstructable(chain), instance=instance, run_config=quiet) as result:
        problems = [str(one.event_specific_data) for one in result.all_events if one.is_failure]
        assert result.success, problems


def chain() -> dg.JobDefinition:
    """The assets as a job that the processes of its steps can make anew."""
    assets = _assets(int(os.environ[_ROWS]), int(os.environ[_ASSETS]))
    resources = {"io_manager": _io_manager(os.environ[_MANAGER])}
    job = dg.define_asset_job("chain")
    return dg.Definitions(assets=assets, jobs=[job], resources=resources).resolve_job_def("chain")


def _io_manager(name: str) -> Any:
    if name == "ours":
        return TimedIOManager(metadata=MetadataResource())
    files = dg.FilesystemIOManager(base_dir=str(Path(os.environ["DAGSTER_HOME"]) / "pickled"))
    return dg.IOManagerDefinition(lambda context: TimedPeer(files.create_io_manager(context)))


def _assets(rows: int, assets: int) -> list[dg.AssetsDefinition]:
    return [_asset(rows, number) for number in range(assets)]


def _asset(rows: int, number: int) -> dg.AssetsDefinition:
    before = {"before": dg.AssetIn(f"rows_{rows}_{number - 1}")} if number else {}

    @dg.asset(name=f"rows_{rows}_{number}", ins=before)
    def one(**inputs: pl.DataFrame) -> pl.DataFrame:
        table = inputs.get("before", _first(rows))
        return table if rows == 1 else table.with_columns((pl.col("amount") * 1.01).round(2))

    return one


def _first(rows: int) -> pl.DataFrame:
    number = pl.int_range(rows, eager=True)
    return pl.DataFrame(
        {
            "number": number,
            "amount": (number * 7919 % 100_003).cast(pl.Float64) / 100,
            "category": (number % 1000).cast(pl.String),
            "at": (number * 60_000_000).cast(pl.Datetime("us")),
        }
    )
