"""A process that was paused and overtaken comes back: what it commits stays a fact and replaces nothing.

The same for a step of Dagster is in tests/dagster/test_kill.py (an attempt that was overtaken replaces nothing).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from store_inputs import Lake

from resources.metadata_store import MetadataStore
from resources.postgres.errors import AttemptHeld
from resources.runs import Lease

EXECUTOR = Path(__file__).with_name("paused_executor.py")


@contextmanager
def paused(url: str, dataset: str, run_id: str) -> Iterator[subprocess.Popen[str]]:
    """An executor that holds an attempt and has stopped."""
    process = subprocess.Popen([sys.executable, str(EXECUTOR), url, dataset, run_id], stdout=subprocess.PIPE, text=True)
    try:
        give_up = time.monotonic() + 120
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert process.poll() is None, "it ended before it could stop"
            assert time.monotonic() < give_up
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def take_over(store: MetadataStore, run_id: str, owner: str) -> Lease:
    """The same try, by another owner as soon as its lease is over, or by the same one anew."""
    give_up = time.monotonic() + 60
    while True:
        try:
            return store.start_attempt(run_id, "step", 0, owner, timedelta(hours=1))
        except AttemptHeld:
            assert time.monotonic() < give_up
            time.sleep(0.1)


@pytest.mark.parametrize("owner", ["other", "paused"])
@pytest.mark.parametrize("order", ["it comes back after the publication", "it comes back before it"])
def test_a_paused_executor_that_was_overtaken_replaces_nothing(
    store: MetadataStore, lake: Lake, run_id: str, runs_url: str, order: str, owner: str
) -> None:
    key = lake.key("table")
    with paused(runs_url, str(key), run_id) as process:
        lease = take_over(store, run_id, owner)
        newer = [lake.staged("table", intent="newer")]
        if order == "it comes back after the publication":
            store.complete(lease, newer, {}, publish="immediately")
        os.kill(process.pid, signal.SIGCONT)
        said, _ = process.communicate(timeout=120)
        done = store.complete(lease, newer, {}, publish="immediately")
    assert (process.returncode, said) == (0, "taken over")
    kept = {one.data_version: one for one in store.materializations(key)}
    assert kept["older"].published_in is None, "a fact that nobody reads"
    (current,) = store.current(key)
    assert (current.materialization_id, current.version) == (done.committed[0].materialization_id, 1)
    (fenced,) = store.publish([kept["older"].id])
    assert fenced.fenced == (kept["older"].id,)
    assert store.current(key) == [current]
    statuses = [(one.owner, one.status) for one in store.run(run_id).tasks[0].attempts]
    assert statuses == [("paused", "lost"), (owner, "succeeded")]
