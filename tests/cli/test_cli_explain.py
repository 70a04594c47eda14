"""`explain`: the question at 3 a.m., each fact shown once, on the page and as a document."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any
from uuid import UUID, uuid4

import pytest
from cli_calls import DAYS, DELAYS, FLIGHTS, MONTH, WEATHER, Answer, Run, Writer
from test_cli_surface import shape

from identity.keys import dataset_key
from metadata_assets.cli import documents
from resources.check_models import CheckResult
from resources.metadata.garbage import Garbage, Retention
from resources.runs import AttemptFact, RunFact

NOW = datetime.now(UTC)
JAN14, JAN15 = DAYS


def failed_run(writer: Writer, run: str, step: str, status: Any = "failed", *, start: int = 1, **tags: str) -> None:
    """What Dagster's log says about a run that delivered nothing."""
    begin = datetime.now(UTC) + timedelta(seconds=start)
    end = begin + timedelta(seconds=3)
    ended = {"ended_at": end, "failure_class": "HTTPError", "failure_reason": "503 from [b]the[/b] source"}
    writer.store.record_runs(
        "log",
        [RunFact(run_id=run, status="failed", as_of=end, name="nightly", started_at=begin, ended_at=end, tags=tags)],
        [AttemptFact(run_id=run, step_key=step, number=0, status=status, started_at=begin, **ended)],
    )


def check(run: str, *, passed: bool, name: str = "not_empty", evaluation: int = 1) -> CheckResult:
    said = None if passed else "0 rows"
    return CheckResult(name=name, run_id=run, evaluation=evaluation, passed=passed, blocking=True, description=said)


def commands(answer: Answer) -> list[str]:
    """The commands of the way back, in their order."""
    return [one["command"] for one in answer.json["remedies"] if one["command"]]


def test_what_is_published_is_told_with_its_run_inputs_readers_and_the_way_back(
    run: Run, writer: Writer, filled: dict[str, UUID]
) -> None:
    made = writer.store.materialization(filled["delays"])
    begin = NOW - timedelta(hours=1)
    tried = [
        AttemptFact(run_id=made.run_id, step_key=made.step_key, number=number, started_at=begin, ended_at=NOW, **facts)
        for number, facts in enumerate(
            [
                {"status": "lost", "failure_class": "RunLost", "failure_reason": "no heartbeat"},
                {"status": "succeeded"},
            ]
        )
    ]
    writer.store.activate_dag("flights", b"\x0a" * 32, {})
    ran = RunFact(
        run_id=made.run_id, status="succeeded", name="nightly", code_location="flights", started_at=NOW, ended_at=NOW
    )
    writer.store.record_runs("log", [ran], tried)

    answer = run("explain", "lake/nyc/daily_delays/2013-01-15", "--json")
    assert answer.json["happened"] == "published in version 2"
    found = answer.json["made"]
    assert (found["produced_by"]["run"], found["produced_by"]["job"]) == (made.run_id, "nightly")
    assert found["produced_by"]["dag_sha256"] == "0a" * 32
    assert found["code_version"] == "7"
    assert [(one["attempt"], one["status"], one["failure_class"]) for one in found["attempts"]] == [
        (1, "lost", "RunLost"),
        (2, "succeeded", None),
    ]
    assert [(one["name"], one["partition"], one["version"], one["is_current"]) for one in found["inputs"]["first"]] == [
        ("lake/nyc/flights", JAN15, 2, True),
        ("lake/nyc/weather", JAN15, 2, True),
    ]
    assert found["readers"] == {
        "count": 1,
        "more": False,
        "first": [{"name": "lake/nyc/carrier_month", "partition": "2013-01", "materialization": str(filled["month"])}],
    }
    ((since, until),) = [(one["since"], one["until"]) for one in found["had"]]
    assert (since["version"], since["kind"], until) == (2, "publish", None)
    assert commands(answer) == [
        "metadata-assets rollback lake/nyc/daily_delays --to 1 --expect 2 --reason '…'",
        "metadata-assets invalidate lake/nyc/daily_delays --partition 2013-01-15 --reason '…'",
        f"metadata-assets retract {filled['delays']} --reason '…'",
        "metadata-assets pin NAME lake/nyc/daily_delays@2",
    ]
    page = run("explain", str(filled["delays"])).out
    assert page.startswith("lake/nyc/daily_delays  2013-01-15: published in version 2\n")
    for part in ("RunLost: no heartbeat", "lake/nyc/carrier_month 2013-01", "The way back", "0a0a0a0a0a0a", "nightly"):
        assert part in page


@pytest.mark.usefixtures("filled")
def test_a_stale_input_and_whom_it_concerns(run: Run, writer: Writer) -> None:
    again = writer.write(FLIGHTS, JAN15)
    answer = run("explain", "lake/nyc/daily_delays", "--partition", JAN15, "--json")
    assert answer.json["happened"] == "published in version 2, made from inputs that are not current any more"
    flights = answer.json["made"]["inputs"]["first"][0]
    assert (flights["version"], flights["is_current"], flights["current_version"]) == (2, False, 3)
    assert flights["current_materialization"] == str(again)
    assert answer.json["remedies"][0]["action"] == "rerun"

    writer.store.invalidate(WEATHER, [JAN15], reason="half of it")
    answer = run("explain", f"lake/nyc/carrier_month/{DAYS[1][:7]}", "--json")
    assert answer.json["happened"] == "published in version 1, stale: half of it"
    assert [(one["name"], one["partition"]) for one in answer.json["made"]["stale"]] == [
        ("lake/nyc/carrier_month", "2013-01"),
        ("lake/nyc/daily_delays", JAN15),
        ("lake/nyc/weather", JAN15),
    ]
    assert "half of it" in run("explain", "lake/nyc/weather/2013-01-15").out


@pytest.mark.usefixtures("filled")
def test_a_failed_check_is_the_reason(run: Run, writer: Writer) -> None:
    held = writer.write(FLIGHTS, JAN15, publish=False)
    made = writer.store.materialization(held)
    writer.store.await_checks(made.run_id, [held], ["not_empty", "fresh"])
    assert run("explain", str(held), "--json").json["happened"] == (
        "not published: it waits for its checks: fresh, not_empty"
    )
    earlier = check(made.run_id, passed=True)
    writer.store.record_checks([held], [earlier, check(made.run_id, passed=False, evaluation=2)])
    answer = run("explain", str(held), "--json")
    assert answer.json["happened"] == "not published: check not_empty failed: 0 rows"
    checks = answer.json["made"]["checks"]
    assert (checks["awaited"], checks["waiting"], checks["failed"]) == (
        ["fresh", "not_empty"],
        ["fresh"],
        ["not_empty"],
    )
    assert [(one["name"], one["passed"]) for one in checks["latest"]] == [("not_empty", False)], "the latest of each"
    assert commands(answer)[0] == f"metadata-assets publish {held} --despite-checks --reason '…'"
    answer = run("explain", f"lake/nyc/flights/{JAN15}", "--json")
    assert f"a newer delivery, {held}, is not published: check not_empty failed" in answer.json["happened"]
    first, second, *_others = answer.json["remedies"]
    assert first["command"] == f"metadata-assets publish {held} --despite-checks --reason '…'"
    assert (second["action"], second["effect"]) == ("rerun", "after a fix, deliver the newer one anew")
    assert f"/runs/{made.run_id}" in run("explain", f"lake/nyc/flights/{JAN15}").out, "of the run that was refused"


@pytest.mark.usefixtures("filled")
def test_a_manual_and_a_fenced_delivery(run: Run, writer: Writer) -> None:
    by_hand = dataset_key("lake", schema="nyc", table="by_hand")
    writer.dataset(by_hand, "manually")
    late = writer.write(by_hand, None, publish=False)
    assert run("explain", str(late), "--json").json["happened"] == "not published: somebody has to publish it"
    writer.write(by_hand, None)
    answer = run("explain", str(late), "--json")
    assert answer.json["happened"] == "not published: a later attempt is published"
    assert not [one for one in commands(answer) if "publish" in one], "it would do nothing"


def test_rollback_retraction_and_pin(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    store, first = writer.store, filled["flights"]
    second = writer.write(FLIGHTS, JAN15)
    answer = run("explain", str(first), "--json")
    assert answer.json["happened"] == "published in version 2, replaced in 3"
    assert answer.json["made"]["had"][0]["replaced_by"] == str(second)
    assert commands(answer)[0] == "metadata-assets rollback lake/nyc/flights --to 2 --expect 3 --reason '…'"

    store.pin("audit", {FLIGHTS: 3}, reason="the auditors")
    store.rollback(FLIGHTS, to=2, expected=3, reason="wrong rates")
    answer = run("explain", f"lake/nyc/flights/{JAN15}", "--json")
    assert answer.json["happened"] == "published in version 2, back by the rollback in version 4"
    assert [one["since"]["version"] for one in answer.json["made"]["had"]] == [4, 2]
    answer = run("explain", str(second), "--json")
    assert answer.json["happened"] == "published in version 3, rolled back in 4"
    assert answer.json["made"]["had"][0]["until"]["reason"] == "wrong rates"
    assert [(one["name"], one["version"]) for one in answer.json["made"]["pins"]] == [("audit", 3)]
    assert "audit (version 3)" in run("explain", str(second)).out

    of_pin = run("explain", "lake/nyc/flights@audit", "--json")
    assert of_pin.json["version"]["version"] == 3
    assert of_pin.json["happened"].startswith("version 3 of 4: published by")
    assert commands(of_pin) == ["metadata-assets rollback lake/nyc/flights --to 3 --expect 4 --reason '…'"]
    newest = run("explain", "lake/nyc/flights", "--json")
    assert newest.json["happened"].startswith("the present version: back at version 2 by")
    assert newest.json["version"]["changed"] == [{"partition": JAN15, "now": str(first), "before": str(second)}]
    assert newest.json == run("explain", "lake/nyc/flights@4", "--json").json

    store.retract(first, reason="wrong currency")
    answer = run("explain", str(first), "--json")
    assert answer.json["happened"].endswith(": wrong currency")
    assert answer.json["made"]["retraction"]["version"] == 5
    assert commands(answer) == [], "nothing brings it back"
    assert "deliver it anew: this can never be published again" in run("explain", str(first)).out


def test_what_was_condemned_says_so(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    writer.write(FLIGHTS, JAN15)
    writer.write(FLIGHTS, JAN15)
    garbage = Garbage(writer.store.sessions)
    retention = Retention(versions=1, time=timedelta(0))
    seen = [one.materialization_id for one in garbage.look(writer.store.entity(FLIGHTS), retention).garbage]
    assert garbage.condemn(writer.store.entity(FLIGHTS), retention, seen)
    assert run("explain", str(filled["flights"]), "--json").json["made"]["collected"] == "condemned"
    garbage.collected([filled["flights"]])
    answer = run("explain", str(filled["flights"]), "--json")
    assert answer.json["made"]["collected"] == "collected"
    assert not [one for one in commands(answer) if "rollback" in one]


def test_no_way_back_is_offered_that_the_store_refuses(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    (jan14,) = writer.store.current(FLIGHTS, [JAN14])
    writer.store.retract(jan14.materialization_id, reason="wrong currency")
    answer = run("explain", f"lake/nyc/flights/{JAN15}", "--json")
    assert not [one for one in commands(answer) if "rollback" in one]
    why = f"materialization {jan14.materialization_id} of partition {JAN14} is retracted"
    assert answer.json["refused"] == [{"action": "rollback", "version": 1, "why": why}]
    assert f"nobody can go back to version 1: {why}" in run("explain", str(filled["flights"])).out
    for version in (1, 2):
        assert run("explain", f"lake/nyc/flights@{version}", "--json").json["refused"][0]["version"] == version
        refused = run("rollback", "lake/nyc/flights", "--to", str(version), "--expect", "3", "--json")
        assert (refused.code, refused.error["error"]) == (1, "UnusableMaterialization")


def test_a_failed_run_without_a_materialization(run: Run, writer: Writer) -> None:
    new = dataset_key("lake", schema="nyc", table="new")
    writer.dataset(new)
    answer = run("explain", "lake/nyc/new/2013-01-20", "--json")
    assert answer.json["happened"] == "nothing was ever delivered, and nothing has tried to"
    failed_run(writer, "bad", "lake__nyc__new", **{"dagster/partition": "2013-01-20"})
    failed_run(writer, "other", "lake__nyc__new", start=-5, **{"dagster/partition": "2013-01-21"})
    failed_run(writer, "range", "lake__nyc__new", start=9, **{
        "dagster/asset_partition_range_start": "2013-01-01", "dagster/asset_partition_range_end": "2013-01-31"
    })  # fmt: skip
    answer = run("explain", "lake/nyc/new/2013-01-20", "--json")
    assert answer.json["steps"] == ["lake__nyc__new"]
    assert [one["run"] for one in answer.json["tried"]] == ["range", "bad"]
    assert answer.json["tried"][1]["failure_reason"] == "503 from [b]the[/b] source"
    assert answer.json["happened"] == (
        "nothing was ever delivered; run range failed: HTTPError: 503 from [b]the[/b] source"
    )
    page = run("explain", "lake/nyc/new", "--partition", "2013-01-20").out
    assert "re-execute run range (/runs/range)" in page
    assert [one["run"] for one in run("explain", "lake/nyc/new", "--json").json["tried"]] == ["range", "bad", "other"]


@pytest.mark.usefixtures("filled")
def test_what_failed_after_the_last_delivery(run: Run, writer: Writer) -> None:
    failed_run(writer, "bad", "flights", **{"dagster/partition": JAN15})
    failed_run(writer, "long ago", "flights", start=-100_000, **{"dagster/partition": JAN15})
    writer.store.start_attempt("external-7", "flights", 0, "worker-7", timedelta(milliseconds=1))
    answer = run("explain", f"lake/nyc/flights/{JAN15}", "--json")
    assert {(one["run"], one["status"]) for one in answer.json["tried"]} == {("bad", "failed"), ("external-7", "lost")}
    assert answer.json["happened"] == (
        "published in version 2; then run bad failed: HTTPError: 503 from [b]the[/b] source"
    )
    assert {one["run"] for one in run("explain", f"lake/nyc/flights/{JAN14}", "--json").json["tried"]} == {"external-7"}
    assert {one["run"] for one in run("explain", "lake/nyc/flights", "--json").json["tried"]} == {"bad", "external-7"}
    assert "worker" not in run("explain", f"lake/nyc/weather/{JAN15}").out


def test_names_with_slashes_and_at_signs(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    odd = dataset_key("lake", schema="a@b", table="x/y")
    writer.dataset(odd)
    writer.write(odd, "2013/01@")
    for what in ("lake/a@b/x/y/2013/01@", f"{odd}/2013/01@"):
        found = run("explain", what, "--json").json
        assert (found["key"], found["partition"]) == (str(odd), "2013/01@")
    assert run("explain", "lake/a@b/x/y@1", "--json").json["version"]["version"] == 1
    unknown = run("explain", "lake/nyc/flight/2013-01-15", "--json")
    assert (unknown.code, unknown.error["error"]) == (3, "UnknownKey")
    assert "lake/nyc/flights" in unknown.error["message"]
    for what, error in (
        ("lake/nyc/flights@99", "UnknownVersion"),
        ("lake/nyc/flights@nobody", "UnknownPin"),
        ("3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10", "NoSuchMaterialization"),
        ("jfk/public/flights", "NothingToExplain"),
    ):
        refused = run("explain", what, "--json")
        assert (refused.code, refused.error["error"]) == (3, error)
    assert run("explain", str(filled["flights"]), "--partition", JAN15).code == 2
    assert run("explain", "lake/nyc/flights@1", "--partition", JAN15).code == 2


def merged(one: Any, other: Any) -> Any:
    """Two documents as one that has whatever either has."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: merged(one.get(name), other.get(name)) for name in {**one, **other}}
    if isinstance(one, list) and isinstance(other, list):
        return [reduce(merged, every)] if (every := [*one, *other]) else []
    return one or other


def test_the_document_has_the_documented_shape(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    again = writer.write(FLIGHTS, JAN15)
    made = writer.store.materialization(again)
    writer.store.record_checks([again], [check(made.run_id, passed=True)])
    writer.store.pin("shape", {FLIGHTS: None})
    writer.store.invalidate(FLIGHTS, reason="because")
    by = writer.stage(FLIGHTS, None)
    lease = writer.store.start_attempt(by.run_id, by.step_key, 0, "me", timedelta(hours=1))
    writer.store.fail(lease, "E", "why")
    writer.store.record_runs(
        "log", [RunFact(run_id=made.run_id, status="succeeded", ended_at=NOW)],
        [AttemptFact(run_id=made.run_id, step_key="flights", number=0, status="succeeded", ended_at=NOW)],
    )  # fmt: skip
    documented: Any = {}
    first = str(filled["flights"])
    for what in (str(again), first, str(filled["month"]), str(filled["delays"]), "lake/nyc/flights"):
        documented = merged(documented, run("explain", what, "--json").json)
    writer.store.retract(again, reason="bad")
    for _delivery in range(11):
        writer.write(FLIGHTS, JAN14)
    for what in (str(again), "lake/nyc/flights@3", f"lake/nyc/flights/{JAN14}"):
        documented = merged(documented, run("explain", what, "--json").json)
    documented["made"]["outputs"] = documented["made"]["readers"]
    assert shape(documented) == documents.EXPLAINED
    assert MONTH.table
    assert DELAYS.table


@pytest.mark.usefixtures("filled")
def test_what_was_meant_otherwise_is_told(run: Run, writer: Writer) -> None:
    run_id = str(uuid4())
    writer.store.record_runs("test", [RunFact(run_id=run_id, status="succeeded")])
    answer = run("explain", run_id)
    assert (answer.code, f"metadata-assets runs {run_id}" in answer.err) == (3, True)
    answer = run("explain", "lake/nyc/flights", "--partition", DAYS[0], "--partition", DAYS[1])
    assert answer.code == 2
    assert f"not of {DAYS[0]}, {DAYS[1]}" in answer.err
    (remedy,) = run("explain", f"lake/nyc/flights/{DAYS[0]}@3", "--json").json["remedies"]
    assert remedy["effect"] == "deliver it for the first time, if there is such a partition"
    assert "metadata-assets pins --all" in run("unpin", "nope").err
