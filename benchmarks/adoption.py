"""What the adoption in one line adds to a run of 200 assets that compute nothing, in one process.

The gate is our share of an adopted run: the time that Dagster waits for our code, and the CPU time of what we do beside
it in the same process, against the rest of the same run, which is Dagster's. The same project without us is run in
turn; the ratio of the two runs also has what our metadata cost Dagster, what the server does for us, and all of the
machine's noise. Half of the assets are stored by an I/O manager of the project's own, the others by themselves; each is
made from the two before.
"""

import functools
import logging
import os
import shutil
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from benchmarks.report import Exact, Result
from metadata_assets import with_metadata
from metadata_assets.datasets import key_of
from metadata_assets.deliveries import StepRecord
from metadata_assets.needs import Needs
from metadata_assets.recording import Recorder, Recording
from resources.configurable import MetadataResource, close_all
from resources.postgres.embedded import attach, stop
from resources.postgres.engine import plain_engine

ASSETS = 200
ROUNDS = 4
AT_MOST = 0.05
_OURS: dict[type, tuple[str, ...]] = {
    Recording: ("__init__", "told", "stored"),
    Recorder: ("_before",),
    StepRecord: ("_record",),
    Needs: ("begun",),
}
"""Where Dagster calls us, and what may be done beside it."""
_spent: list[float] = []
_inside = threading.local()


def run() -> list[Result]:
    """The project with and without, in turn, on an embedded server of its own."""
    home = Path(tempfile.mkdtemp(prefix="metadata-bench-"))
    shutil.copy(Path(__file__).parents[1] / "dagster.yaml", home)
    before = dict(os.environ)
    os.environ |= {"METADATA_HOME": str(home / "home"), "DAGSTER_HOME": str(home)}
    logging.disable(logging.CRITICAL)
    real = {(owner, name): getattr(owner, name) for owner, names in _OURS.items() for name in names}
    for (owner, name), one in real.items():
        setattr(owner, name, _timed(one))
    try:
        with dg.DagsterInstance.get() as instance, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _measured(instance, home)
    finally:
        for (owner, name), one in real.items():
            setattr(owner, name, one)
        close_all()
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)
        stop(home / "home" / "postgres", remove=True)
        shutil.rmtree(home)


def _measured(instance: dg.DagsterInstance, home: Path) -> list[Result]:
    plain = _project(home)
    jobs = {name: one.resolve_implicit_global_asset_job_def() for name, one in _both(plain).items()}
    for job in jobs.values():  # servers, caches, registered datasets
        assert job.execute_in_process(instance=instance).success
    _analyze()
    found: dict[str, list[float]] = {name: [] for name in jobs}
    inside: list[float] = []
    for number in range(ROUNDS):
        for name in sorted(jobs, reverse=bool(number % 2)):
            _spent.clear()
            begin = time.perf_counter()
            assert jobs[name].execute_in_process(instance=instance).success
            found[name].append(time.perf_counter() - begin)
            if name == "adopted":
                inside.append(sum(_spent))
    rest = [whole - part for whole, part in zip(found["adopted"], inside, strict=True)]
    store = MetadataResource().store()
    records = [
        len(store.materializations(key_of(key, None))) for key in plain.resolve_asset_graph().get_all_asset_keys()
    ]
    missed = sum(abs(one - ROUNDS - 1) for one in records)
    exact = (Exact(what="records too many or too few", found=missed, at_most=0),)
    what = f"a run of {ASSETS} trivial assets"
    return [
        _result("what the adoption adds", f"the rest of {what}", inside, rest, at_most=AT_MOST, exact=exact),
        _result(f"{what}, adopted", "the same without", found["adopted"], found["plain"]),
    ]


def _both(plain: dg.Definitions) -> dict[str, dg.Definitions]:
    return {"plain": plain, "adopted": with_metadata(plain)}


def _result(case: str, limit: str, ours: list[float], theirs: list[float], **more: Any) -> Result:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Result(
        benchmark="adoption",
        case=case,
        limit=limit,
        milliseconds=statistics.median(ours) * 1e3,
        limit_milliseconds=statistics.median(theirs) * 1e3,
        ratio=middle,
        quartiles=(low, high),
        **more,
    )


def _timed(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def timed(*args: Any, **kwargs: Any) -> Any:
        beside = threading.current_thread() is not threading.main_thread()
        clock = time.thread_time if beside else time.perf_counter
        nested, _inside.depth = getattr(_inside, "depth", 0), getattr(_inside, "depth", 0) + 1
        begin = clock()
        try:
            return method(*args, **kwargs)
        finally:
            _inside.depth = nested
            if not nested:
                _spent.append(clock() - begin)

    return timed


def _project(home: Path) -> dg.Definitions:
    """Assets as a project has them that has never heard of us."""
    files = dg.FilesystemIOManager(base_dir=str(home / "pickled"))
    return dg.Definitions(assets=[_asset(number) for number in range(ASSETS)], resources={"io_manager": files})


def _asset(number: int) -> dg.AssetsDefinition:
    before = [f"asset_{one}" for one in (number - 1, number - 2) if one >= 0]
    if number % 2:

        @dg.asset(name=f"asset_{number}", deps=before)
        def stores_itself() -> dg.MaterializeResult:
            return dg.MaterializeResult(metadata={"dagster/row_count": number})

        return stores_itself

    @dg.asset(name=f"asset_{number}", deps=before)
    def stored() -> int:
        return number

    return stored


def _analyze() -> None:
    """What the server does by itself within a minute: until then it plans for tables that it takes to be empty."""
    engine = plain_engine(attach(Path(os.environ["METADATA_HOME"]) / "postgres").url("metadata"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
