"""`runs`: what ran and what went wrong, without reading a log."""

from datetime import UTC, datetime, timedelta

import pytest
from cli_calls import Run, Writer

from resources.runs import AttemptFact, RunFact

START = datetime(2026, 1, 1, tzinfo=UTC)
BAD, GOOD = "abcdef01-0000-4000-8000-000000000000", "12345678-0000-4000-8000-000000000000"


@pytest.fixture
def ran(writer: Writer) -> None:
    """Two runs: one succeeded; in the other a step failed, was tried again, and was never heard of again."""

    def at(second: int) -> datetime:
        return START + timedelta(seconds=second)

    def tried(run: str, step: str, number: int, start: int, end: int | None = None, **facts: str) -> AttemptFact:
        status = "running" if end is None else "failed" if facts else "succeeded"
        ended = None if end is None else at(end)
        return AttemptFact(
            run_id=run, step_key=step, number=number, status=status, started_at=at(start), ended_at=ended, **facts
        )

    writer.store.record_runs(
        "log",
        [
            RunFact(run_id=GOOD, status="succeeded", as_of=at(9), name="daily", started_at=at(0), ended_at=at(9)),
            RunFact(
                run_id=BAD,
                status="failed",
                as_of=at(50),
                name="nightly",
                started_at=at(10),
                ended_at=at(50),
                failure_class="UNEXPECTED_TERMINATION",
                failure_reason="the worker is gone",
                tags={"team": "sales"},
            ),
        ],
        [
            tried(GOOD, "load", 0, 1, 8),
            tried(BAD, "load", 0, 11, 12, failure_class="ValueError", failure_reason="no column [bold]carrier[/bold]"),
            tried(BAD, "load", 1, 13),
        ],
    )


@pytest.mark.usefixtures("ran")
def test_runs_are_listed_the_newest_first(run: Run) -> None:
    found = run("runs", "--json").json
    assert [(one["run"], one["status"], one["steps"], one["failures"], one["lost"]) for one in found] == [
        (BAD, "failed", 1, 1, 1),
        (GOOD, "succeeded", 1, 0, 0),
    ]
    out = run("runs").out
    assert "UNEXPECTED_TERMINATION: the worker is gone" in out
    assert "40.0 s" in out
    for option in ("--failed", "--lost"):
        assert [one["run"] for one in run("runs", option, "--json").json] == [BAD]
    assert len(run("runs", "--limit", "1", "--json").json) == 1


@pytest.mark.usefixtures("ran")
def test_a_run_is_shown_with_its_attempts_and_why_they_failed(run: Run) -> None:
    answer = run("runs", "abcdef", "--json")
    (task,) = answer.json["tasks"]
    assert [(one["attempt"], one["status"], one["failure_class"]) for one in task["attempts"]] == [
        (1, "failed", "ValueError"),
        (2, "lost", "RunLost"),
    ]
    assert answer.json["tags"] == {"team": "sales"}
    out = run("runs", BAD).out
    assert "ValueError: no column [bold]carrier[/bold]" in out, "no markup"
    assert "team=sales" in out


def test_a_lease_that_is_over_is_shown_as_lost(run: Run, writer: Writer) -> None:
    writer.store.start_attempt("external-1", "step", 0, "worker-7", timedelta(milliseconds=1), job="load")
    assert [one["run"] for one in run("runs", "--lost", "--json").json] == ["external-1"]
    out = run("runs", "external-1").out
    assert "worker-7" in out
    assert "its lease is over, and its last heartbeat was" in out


def test_a_run_that_is_not_there_says_so(run: Run) -> None:
    assert "no such runs" in run("runs").out
    missing = run("runs", "abcdef", "--json")
    assert (missing.code, missing.error["error"]) == (3, "NoSuchRun")
    assert run("runs", "abcdef", "--lost").code == 2
