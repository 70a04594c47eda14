"""What the adoption in one line adds to a run of 200 assets that compute nothing, in one process; and to a few of them
in a process for each step, as Dagster executes them unless it is told otherwise.

The gate is our share of an adopted run: the time that Dagster waits for our code, and the CPU time of what we do beside
it in the same process, against the rest of the same run, which is Dagster's. The same project without us is run in
turn; the ratio of the two runs also has what our metadata cost Dagster, what the server does for us, and all of the
machine's noise. In a process for each step our share is all that its process waits for us: until we are loaded, until
the store is opened, and for its record.
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

from benchmarks import adopted_project, trivial_project
from benchmarks.report import Exact, Result
from benchmarks.trivial_project import ASSETS, FEW, FILES, project
from metadata_assets import with_metadata
from metadata_assets.datasets import key_of
from metadata_assets.deliveries import StepRecord
from metadata_assets.needs import Needs
from metadata_assets.recording import Recorder, Recording
from resources.configurable import MetadataResource, close_all
from resources.postgres.embedded import attach, stop
from resources.postgres.engine import plain_engine

ROUNDS = 5
ROUNDS_IN_PROCESSES = 4
AT_MOST = 0.05
_OURS: dict[type, tuple[str, ...]] = {
    Recording: ("__init__", "told", "stored"),
    Recorder: ("_before",),
    StepRecord: ("_record",),
    Needs: ("begun",),
}
"""Where Dagster calls us, and what may be done beside it."""
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_spent: list[float] = []
_inside = threading.local()


def run() -> list[Result]:
    """The project with and without, in turn, on an embedded server of its own."""
    home = Path(tempfile.mkdtemp(prefix="metadata-bench-"))
    shutil.copy(Path(__file__).parents[1] / "dagster.yaml", home)
    before = dict(os.environ)
    os.environ |= {"METADATA_HOME": str(home / "home"), "DAGSTER_HOME": str(home), FILES: str(home / "pickled")}
    os.environ[adopted_project.WAITED] = str(home / "waited")
    logging.disable(logging.CRITICAL)
    real = {(owner, name): getattr(owner, name) for owner, names in _OURS.items() for name in names}
    for (owner, name), one in real.items():
        setattr(owner, name, _timed(one))
    try:
        with dg.DagsterInstance.get() as instance, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [*_measured(instance), *_in_processes(instance)]
    finally:
        for (owner, name), one in real.items():
            setattr(owner, name, one)
        close_all()
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)
        stop(home / "home" / "postgres", remove=True)
        shutil.rmtree(home)


def _measured(instance: dg.DagsterInstance) -> list[Result]:
    plain = project()
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


def _in_processes(instance: dg.DagsterInstance) -> list[Result]:
    jobs = {"plain": dg.reconstructable(trivial_project.job), "adopted": dg.reconstructable(adopted_project.job)}
    found: dict[str, list[float]] = {name: [] for name in jobs}
    ours: list[float] = []
    for number in range(1 + ROUNDS_IN_PROCESSES):
        for name in sorted(jobs, reverse=bool(number % 2)):
            adopted_project.waited()
            begin = time.perf_counter()
            with dg.execute_job(jobs[name], instance=instance, run_config=_QUIET) as done:
                assert done.success
            found[name].append(time.perf_counter() - begin)
            if name == "adopted":
                ours.append(adopted_project.waited())
    plain, adopted, ours = found["plain"][1:], found["adopted"][1:], ours[1:]
    rest = [whole - part for whole, part in zip(adopted, ours, strict=True)]
    what = f"{FEW} of {ASSETS} trivial assets, a process for each"
    return [
        _result("what the adoption adds", f"the rest of {what}", ours, rest, at_most=AT_MOST),
        _result(f"{what}, adopted", "the same without", adopted, plain),
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


def _analyze() -> None:
    """What the server does by itself within a minute: until then it plans for tables that it takes to be empty."""
    engine = plain_engine(attach(Path(os.environ["METADATA_HOME"]) / "postgres").url("metadata"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
