"""Worker processes that execute one Dagster run after the other, and are killed at random moments."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.execution.api import execute_run
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster._utils.hosted_user_process import recon_job_from_origin

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["dagster_postgres", "metadata_assets.location", "metadata_assets.storage", "pandas"])


@dataclass
class Worker:
    """A process, and the run that it is executing."""

    process: BaseProcess
    tasks: Connection
    run_id: str | None = None


@dataclass
class Pool:
    """So many workers. Every few seconds one that is busy is killed, until that was often enough."""

    size: int
    log: Path
    random: random.Random
    every: tuple[float, float]
    """The shortest and the longest time between two kills, in seconds."""
    kills: int = 0
    most: int = 1_000_000
    workers: list[Worker] = field(default_factory=list)
    _next: float = 0.0

    def has_room(self) -> bool:
        return len(self.workers) < self.size or any(one.run_id is None for one in self.workers)

    def give(self, run_id: str) -> None:
        """Let a worker that is free execute a run."""
        worker = next((one for one in self.workers if one.run_id is None), None) or self._new()
        worker.run_id = run_id
        worker.tasks.send(run_id)

    def has(self, run_id: str) -> bool:
        return any(one.run_id == run_id and one.process.is_alive() for one in self.workers)

    @property
    def busy(self) -> bool:
        return any(one.run_id is not None for one in self.workers)

    def ended(self) -> Iterator[str]:
        """The runs whose worker is done or dead, as soon as there is one; kills in between when it is time."""
        until = time.monotonic() + 60
        while not (ready := wait([one.tasks for one in self.workers if one.run_id], timeout=self._wait())):
            assert time.monotonic() < until, "a run hangs"
            self._strike()
        for worker in [one for one in self.workers if one.tasks in ready]:
            run_id = worker.run_id
            assert run_id is not None
            try:
                assert worker.tasks.recv() == run_id
                worker.run_id = None
            except (EOFError, ConnectionResetError):
                worker.process.join(30)
                assert worker.process.exitcode == -signal.SIGKILL, f"a worker ended by itself, see {self.log}"
                self.workers.remove(worker)
            yield run_id

    def end(self) -> None:
        """Leave nothing behind."""
        for worker in self.workers:
            worker.process.kill()
            worker.process.join()
        self.workers.clear()

    def _wait(self) -> float:
        if self._next == 0.0:
            self._next = time.monotonic() + self.random.uniform(*self.every)
        return max(0.0, min(self._next - time.monotonic(), 1.0))

    def _strike(self) -> None:
        if self.kills >= self.most or time.monotonic() < self._next:
            return
        victim = self.random.choice([one for one in self.workers if one.run_id is not None])
        victim.process.kill()
        self.kills += 1
        self._next = 0.0

    def _new(self) -> Worker:
        ours, its = FORKS.Pipe()
        process = FORKS.Process(target=_work, args=(dict(os.environ), its, str(self.log)))
        process.start()
        its.close()
        self.workers.append(Worker(process, ours))
        return self.workers[-1]


POOLS: list[Pool] = []
"""The last one executes the runs that are launched from here."""


class PoolRunLauncher(RunLauncher[Any], ConfigurableClass):
    """Launches each run in the last of POOLS. A run whose worker is dead counts as lost, as in a cluster."""

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
        POOLS[-1].give(context.dagster_run.run_id)

    def terminate(self, run_id: str) -> bool:
        raise NotImplementedError

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        alive = POOLS[-1].has(run.run_id)
        return CheckRunHealthResult(WorkerStatus.RUNNING if alive else WorkerStatus.FAILED)


def _work(variables: dict[str, str], tasks: Connection, log: str) -> None:
    """What `dagster api execute_run` does, for one run after the other."""
    os.environ.clear()
    os.environ.update(variables)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    with dg.DagsterInstance.get() as instance:
        while True:
            try:
                run_id = tasks.recv()
            except EOFError:  # nobody has any more work
                return
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.job_code_origin is not None
            execute_run(recon_job_from_origin(run.job_code_origin), run, instance)
            tasks.send(run_id)
