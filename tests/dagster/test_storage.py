"""Dagster's storage on a database that nobody has used: processes come at once, and each finds it ready."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import pytest
from dagster_postgres.run_storage.run_storage import PostgresRunStorage


@dg.job
def nothing() -> None: ...


def test_who_comes_while_the_tables_are_made_waits(
    environment: dict[str, str], data_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that makes them still migrates what is in them, which must be nothing."""
    assert environment
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", data_url)
    migrate, made, other_has_run = PostgresRunStorage.optimize, threading.Event(), threading.Event()

    def first_slow(storage: PostgresRunStorage, *args: Any, **options: Any) -> None:
        made.set()
        assert not other_has_run.wait(1), "it did not wait"
        migrate(storage, *args, **options)

    monkeypatch.setattr(PostgresRunStorage, "optimize", first_slow)

    def come() -> int:
        with dg.DagsterInstance.get() as instance:
            instance.create_run_for_job(nothing)
            other_has_run.set()
            return instance.get_runs_count()

    with ThreadPoolExecutor(2) as both:
        first = both.submit(come)
        assert made.wait(60)
        second = both.submit(come)
        assert sorted([first.result(), second.result()]) in ([1, 2], [2, 2])
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs_count() == 2
