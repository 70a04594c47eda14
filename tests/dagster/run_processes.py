"""Runs in processes of their own, each of which may be told to die or to stop at a moment of its step.

Nothing in the product knows of these moments: a process that is told to strike wraps what it imported, for itself.
"""

import functools
import multiprocessing
import os
import runpy
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGCONT, SIGKILL, Signals
from typing import Any, Literal, Self, assert_never

import dagster as dg
import psutil
from dagster._core.execution.api import execute_run
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster._utils.hosted_user_process import recon_job_from_origin

from resources.files import places, staging
from resources.metadata.materializations import Materializations
from resources.metadata_store import MetadataStore

Moment = Literal[
    "leased",
    "half written",
    "without manifest",
    "written",
    "committed",
    "published",
    "published at once",
    "told",
    "never",
]
"""After the lease; in the middle of the data; between data and manifest; before the commit; after it, before the
publication; after that, before Dagster's event, and the same where both were one; after the event, before the step's
success."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["dagster_postgres", "metadata_assets.io_manager", "metadata_assets.storage"])


@dataclass(frozen=True)
class Strike:
    """What a process does to itself, once, and when."""

    moment: Moment = "never"
    signal: Signals = SIGKILL


@dataclass(frozen=True)
class Worker:
    """The process of a run."""

    process: BaseProcess

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def stopped(self) -> bool:
        assert self.process.is_alive(), "it ended before it could stop"
        return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED

    def go_on(self) -> None:
        os.kill(self.pid, SIGCONT)

    def ended(self) -> int:
        """Its exit code, once it has one; minus the signal that killed it."""
        self.process.join(60)
        assert self.process.exitcode is not None, "the run hangs"
        return self.process.exitcode


@dataclass
class Workers:
    """The processes that this one has started, by run, and what the next one is told to do to itself."""

    by_run: dict[str, Worker] = field(default_factory=dict)
    strike: Strike = field(default_factory=Strike)

    def start(self, run_id: str) -> None:
        strike, self.strike = self.strike, Strike()
        process = _FORKS.Process(target=_execute, args=(dict(os.environ), run_id, strike))
        process.start()
        self.by_run[run_id] = Worker(process)

    def end(self) -> None:
        """Leave nothing behind."""
        for worker in self.by_run.values():
            worker.process.kill()
            worker.process.join()
        self.by_run.clear()


WORKERS = Workers()


class ProcessRunLauncher(RunLauncher[Any], ConfigurableClass):
    """Launches each run as one of the WORKERS. A worker that does not answer counts as lost, as in a cluster."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:  # noqa: ARG003
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        WORKERS.start(context.dagster_run.run_id)

    def terminate(self, run_id: str) -> bool:
        raise NotImplementedError

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        worker = WORKERS.by_run[run.run_id]
        lost = not worker.process.is_alive() or worker.stopped
        return CheckRunHealthResult(WorkerStatus.FAILED if lost else WorkerStatus.RUNNING)


def _execute(variables: dict[str, str], run_id: str, strike: Strike) -> None:
    """What `dagster api execute_run` does, in an environment, by a process that is about to strike."""
    os.environ.clear()
    os.environ.update(variables)
    _arm(strike)
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.job_code_origin is not None
        execute_run(recon_job_from_origin(run.job_code_origin), run, instance)


def _arm(strike: Strike) -> None:
    left = [strike.signal]

    def hit() -> None:
        while left:
            os.kill(os.getpid(), left.pop())

    match strike.moment:
        case "leased":
            _wrap(Materializations, "lease", after=hit)
        case "half written":
            _wrap(places, "put", instead=functools.partial(_half, hit))
        case "without manifest":
            _wrap(places, "put", after=hit)
        case "written":
            _wrap(staging, "write", after=hit)
        case "committed":
            _wrap(Materializations, "commit", after=hit)
        case "published":
            _wrap(MetadataStore, "publish", after=hit)
        case "published at once":
            os.environ["WITHOUT_AUDIT"] = "1"
            _wrap(Materializations, "commit_and_publish", after=hit)
        case "told":
            _wrap(dg.DagsterInstance, "handle_new_event", instead=functools.partial(_tell, hit))
        case "never":
            pass
        case _:
            assert_never(strike.moment)


def _half(hit: Callable[[], None], put: Callable[..., None], path: Any, content: bytes, what: str) -> None:
    put(path, content[: len(content) // 2], what)
    hit()


def _tell(hit: Callable[[], None], handle: Callable[..., None], instance: Any, event: Any, **options: Any) -> None:
    handle(instance, event, **options)
    if event.is_dagster_event and event.dagster_event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
        hit()


def _wrap(
    owner: Any, name: str, *, after: Callable[[], None] | None = None, instead: Callable[..., Any] | None = None
) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if instead is not None:
            return instead(real, *args, **kwargs)
        answer = real(*args, **kwargs)
        if after is not None:
            after()
        return answer

    setattr(owner, name, wrapped)


def die_when_told(project: str, tags: Mapping[str, str], made: Mapping[str, Collection[str]]) -> list[int]:
    """Execute jobs of a file in `projects`, each in a process that dies when Dagster was told of all that it makes.

    `made` has the names of assets by job. Answers their exit codes.
    """
    settings = dict(os.environ), project, dict(tags)
    processes = [_FORKS.Process(target=_die_when_told, args=(*settings, job, made[job])) for job in made]
    for process in processes:
        process.start()
    try:
        return [Worker(process).ended() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _die_when_told(
    variables: dict[str, str], project: str, tags: dict[str, str], job: str, names: Collection[str]
) -> None:
    os.environ.clear()
    os.environ.update(variables)
    left = {dg.AssetKey(name) for name in names}

    def tell(handle: Callable[..., None], instance: Any, event: Any, **options: Any) -> None:
        handle(instance, event, **options)
        if event.is_dagster_event and event.dagster_event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            left.discard(event.dagster_event.asset_key)
            if not left:
                os.kill(os.getpid(), SIGKILL)

    _wrap(dg.DagsterInstance, "handle_new_event", instead=tell)
    repository = runpy.run_path(str(Path(__file__).parent / "projects" / project))["defs"].get_repository_def()
    with dg.DagsterInstance.get() as instance:
        repository.get_job(job).execute_in_process(instance=instance, tags=tags)


def end_before_a_run(project: str, job: str) -> int:
    """Execute a job of a file in `projects` in a thread that outlives the main one of its process; its exit code."""
    process = _FORKS.Process(target=_end_before_a_run, args=(dict(os.environ), project, job))
    process.start()
    try:
        return Worker(process).ended()
    finally:
        process.kill()
        process.join()


def _end_before_a_run(variables: dict[str, str], project: str, job: str) -> None:
    os.environ.clear()
    os.environ.update(variables)
    repository = runpy.run_path(str(Path(__file__).parent / "projects" / project))["defs"].get_repository_def()
    main = threading.current_thread()

    def run() -> None:
        main.join()
        with dg.DagsterInstance.ephemeral() as instance:
            repository.get_job(job).execute_in_process(instance=instance)

    threading.Thread(target=run).start()
