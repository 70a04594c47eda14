"""What people decide about versions: publish, go back, take away, keep, release, make anew; and what tells of it."""

import sys
from typing import Any
from uuid import UUID

import pytest
from cli_calls import DAYS, DELAYS, FLIGHTS, WEATHER, Run, Writer, shape

from metadata_assets.cli import documents
from resources.check_models import CheckResult
from resources.metadata_store import MetadataStore

NAME = "lake/nyc/flights"


@pytest.fixture
def waiting(writer: Writer) -> list[UUID]:
    """Flights, published for the first day; newer data wait for both days, the second refused by a check."""
    writer.dataset(FLIGHTS, "manually")
    writer.write(FLIGHTS, DAYS[0])
    ids = [writer.write(FLIGHTS, day, publish=False) for day in DAYS]
    fail(writer.store, ids[1])
    return ids


def fail(store: MetadataStore, one: UUID) -> None:
    found = CheckResult(name="has_rows", run_id="r", evaluation=1, passed=False, blocking=True)
    store.record_checks([one], [found])


def current(store: MetadataStore, key: Any = FLIGHTS) -> dict[str | None, UUID]:
    return {one.partition: one.materialization_id for one in store.current(key)}


def test_what_waits_is_published_and_what_a_check_refused_is_told(
    run: Run, waiting: list[UUID], store: MetadataStore
) -> None:
    rehearsed = run("publish", NAME, "--dry-run", "--json")
    assert store.version_at(FLIGHTS) == 1
    people = run("publish", NAME, "--dry-run")
    answer = run("publish", NAME, "--reason", "looked at it", "--json")
    assert rehearsed.json == {**answer.json, "dry_run": True}
    assert (answer.code, answer.json["refused"]) == (
        5,
        [
            {
                "name": NAME,
                "partition": DAYS[1],
                "materialization": str(waiting[1]),
                "why": "failed_checks",
                "checks": ["has_rows"],
            }
        ],
    )
    (dataset,) = answer.json["datasets"]
    assert (dataset["version"], dataset["published"]) == (
        2,
        [{"partition": DAYS[0], "materialization": str(waiting[0])}],
    )
    assert "has_rows; publish it with --despite-checks" in people.err
    assert current(store) == {DAYS[0]: waiting[0]}
    newest = store.versions(FLIGHTS)[0]
    assert (newest.reason, newest.actor.partition(":")[0]) == ("looked at it", "cli")
    refused = run("publish", NAME)
    assert (refused.code, store.version_at(FLIGHTS)) == (1, 2), "nothing else waits"


def test_despite_checks_needs_a_reason(run: Run, waiting: list[UUID], store: MetadataStore) -> None:
    by_id = run("publish", str(waiting[1]), str(waiting[0]), "--json")
    assert (by_id.code, by_id.error["error"]) == (1, "ChecksRefuse")
    assert f"blocking check has_rows refuses materialization {waiting[1]} of {NAME} partition" in by_id.err
    assert store.version_at(FLIGHTS) == 1
    for arguments in ([NAME], [str(waiting[1])]):
        assert run("publish", *arguments, "--despite-checks").code == 2
    answer = run("publish", NAME, "--partition", DAYS[1], "--despite-checks", "--reason", "no rows is right")
    assert (answer.code, current(store)[DAYS[1]]) == (0, waiting[1])
    assert store.versions(FLIGHTS)[0].reason == "no rows is right"


def test_what_is_overtaken_or_absent_is_told(run: Run, waiting: list[UUID], writer: Writer) -> None:
    late = writer.write(FLIGHTS, DAYS[0])
    overtaken = run("publish", str(waiting[0]), "--json")
    assert (overtaken.code, overtaken.json["refused"][0]["why"]) == (1, "overtaken")
    assert "a later attempt than" in run("publish", str(waiting[0])).err
    assert (run("publish", NAME, "--partition", DAYS[0]).code, current(writer.store)[DAYS[0]]) == (0, late)
    for arguments, code in (
        (["publish", NAME, "--partition", "never"], 3),
        (["publish", str(waiting[0]), "--partition", DAYS[0]], 2),
        (["publish", "lake/nyc/unknown"], 3),
        (["publish", str(UUID(int=7))], 3),
        (["publish"], 2),
    ):
        assert run(*arguments).code == code
    assert "nothing of lake/nyc/weather waits" in (writer.dataset(WEATHER), run("publish", "lake/nyc/weather"))[1].out


@pytest.fixture
def three(writer: Writer) -> list[UUID]:
    """Three versions of flights: of the first day, of the second, of the first anew."""
    writer.dataset(FLIGHTS)
    return [writer.write(FLIGHTS, day, rows=rows) for day, rows in ((DAYS[0], 1), (DAYS[1], 2), (DAYS[0], 3))]


def test_rollback_names_the_version_that_it_leaves(run: Run, three: list[UUID], store: MetadataStore) -> None:
    back = ("rollback", NAME, "--to", "2")
    unsaid = run(*back, "--json")
    assert (unsaid.code, unsaid.error["error"], unsaid.error["present"]) == (2, "ExpectNeeded", 3)
    assert "say --expect 3" in run(*back).err
    assert (run(*back, "--expect", "1").code, store.version_at(FLIGHTS)) == (1, 3)
    rehearsed = run(*back, "--dry-run", "--json").json
    assert store.version_at(FLIGHTS) == 3
    done = run(*back, "--expect", "3", "--reason", "wrong rates", "--json")
    assert {**done.json, "dry_run": True} == rehearsed
    assert (done.json["was"], done.json["version"], done.json["restored"], done.json["partitions_changed"]) == (
        *(3, 4, 2),
        1,
    )
    assert current(store) == dict(zip(DAYS, three[:2], strict=True))
    assert "which equals 2; was 3; 1 partition changed, by an earlier call" in run(*back, "--expect", "3").out
    newest = run("versions", NAME, "--json").json[0]
    assert (newest["kind"], newest["restored"], newest["reason"], newest["release"]) == (
        *("rollback", 2),
        *("wrong rates", None),
    )
    assert "4, by rollback, which equals 2" in run("dataset", "show", NAME).out


class Terminal:
    """Somebody at a terminal who types one line."""

    def __init__(self, line: str) -> None:
        self.line = line

    def isatty(self) -> bool:
        return True

    def readline(self, *_size: int) -> str:
        return self.line


def test_at_a_terminal_rollback_shows_what_would_change_and_asks(
    run: Run, three: list[UUID], store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert three
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    no = run("rollback", NAME, "--to", "1")
    assert (no.code, store.version_at(FLIGHTS)) == (1, 3)
    assert [line.split()[:3] for line in no.err.splitlines()[2:4]] == [[DAYS[0], "3", "1"], [DAYS[1], "2", "absent"]]
    assert "is at version 3. Make it what it was in version 1?" in no.err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert (run("rollback", NAME, "--to", "1").code, store.version_at(FLIGHTS)) == (0, 4)


def test_what_is_retracted_is_absent(run: Run, three: list[UUID], store: MetadataStore) -> None:
    assert run("retract", str(three[1])).code == 2, "without a reason"
    arguments = ("retract", str(three[1]), "--reason", "wrong currency")
    assert (run(*arguments, "--dry-run").code, store.version_at(FLIGHTS)) == (0, 3)
    answer = run(*arguments, "--json").json
    assert (answer["version"], answer["partition"], answer["reason"]) == (4, DAYS[1], "wrong currency")
    assert current(store) == {DAYS[0]: three[2]}
    assert "absent from version 4 on" in run(*arguments).out
    assert run("publish", str(three[1])).code == 1
    assert [run("retract", one, "--reason", "r").code for one in (NAME, str(UUID(int=7)))] == [2, 3]


def test_pins_are_made_listed_read_and_removed(run: Run, three: list[UUID], store: MetadataStore) -> None:
    made = ("pin", "audit", f"{NAME}@1", "--expires", "30d", "--reason", "the auditors", "--json")
    rehearsed = run(*made, "--dry-run").json
    assert store.pins() == []
    done = run(*made).json
    assert {**done, "dry_run": True, "created_at": 0} == {**rehearsed, "created_at": 0}
    assert [(one["name"], one["version"]) for one in done["versions"]] == [(NAME, 1)]
    assert done["expires_at"].endswith("T00:00:00+00:00")
    assert run(*made).json["replayed"]
    assert "by an earlier call" in run(*made[:-1]).out, "not what is present by now"
    assert run("pin", "audit", NAME).code == 1, "it is another one's name"
    shown = run("dataset", "show", NAME, "--at", "audit", "--json").json
    assert (shown["version"], [one["materialization"] for one in shown["partitions"]]) == (1, [str(three[0])])
    assert [one["version"] for one in run("versions", NAME, "--at", "2", "--json").json] == [2, 1]
    then = store.versions(FLIGHTS)[1].published_at.isoformat()
    assert run("versions", NAME, "--at", then, "--limit", "1", "--json").json[0]["version"] == 2
    assert f"{NAME}@1" in run("pins").out
    assert (run("unpin", "audit", "--dry-run").code, len(store.pins())) == (0, 1)
    assert [run("unpin", "audit", "--json").json["removed"] for _twice in range(2)] == [True, False]
    assert (run("pins", "--json").json, run("pins", "--all", "--json").json[0]["state"]) == ([], "removed")
    for arguments, code in (
        (["dataset", "show", NAME, "--at", "audit"], 3),
        (["dataset", "show", NAME, "--at", "9"], 3),
        (["versions", NAME, "--at", "2013-13-01"], 2),
        (["pin", "p", NAME, "--expires", "soon"], 2),
        (["pin", "p", NAME, "--expires", "2001-01-01"], 1),
        (["pin", "p", f"{NAME}@4"], 3),
        (["pin", "p", NAME, f"{NAME}@1"], 2),
        (["unpin", "nothing"], 3),
    ):
        assert run(*arguments).code == code, arguments


def test_a_release_is_all_or_nothing(run: Run, waiting: list[UUID], writer: Writer) -> None:
    writer.dataset(DELAYS, "manually")
    delays = writer.write(DELAYS, DAYS[0], publish=False)
    refused = run("release", "spring", NAME, str(delays), "--json")
    assert (refused.code, refused.error["error"]) == (1, "ReleaseRefused")
    assert "check has_rows refuses" in refused.err
    writer.store.record_checks(
        waiting, [CheckResult(name="has_rows", run_id="r", evaluation=2, passed=True, blocking=True)]
    )
    arguments = ("release", "spring", NAME, str(delays), "--reason", "together", "--json")
    rehearsed = run(*arguments, "--dry-run").json
    assert (rehearsed["dry_run"], writer.store.releases()) == (True, [])
    done = run(*arguments).json
    assert {one["name"]: (one["version"], len(one["published"])) for one in done["datasets"]} == {
        "lake/nyc/daily_delays": (1, 1),
        NAME: (2, 2),
    }
    assert done["datasets"] == rehearsed["datasets"]
    for same in ((NAME, "lake/nyc/daily_delays"), (NAME, str(delays)), map(str, (*waiting, delays))):
        assert run("release", "spring", *same, "--json").json == {**done, "replayed": True}, "asked again for the same"
    other = run("release", "spring", NAME, "--json")
    assert (other.code, other.error["error"]) == (1, "IdempotencyConflict"), "the name is given"
    assert run("release", "summer", NAME).code == 3, "nothing waits"
    assert [one["release"] for one in run("releases", "--json").json] == ["spring"]
    assert f"{NAME}@2" in run("releases").out
    assert run("versions", NAME, "--json").json[0]["release"] == "spring"


def test_what_is_invalid_is_stale_with_all_that_was_made_from_it(
    run: Run, filled: dict[str, UUID], store: MetadataStore
) -> None:
    assert filled
    arguments = ("invalidate", NAME, "--partition", DAYS[0], "--reason", "half of it")
    told = run(*arguments, "--dry-run", "--json").json
    assert (store.stale(), told["invalidation"]) == ([], None)
    done = run(*arguments, "--no-downstream", "--json").json
    assert [(one["name"], one["partition"], one["cause"]) for one in done["stale"]] == [(NAME, DAYS[0], None)]
    done = run(*arguments, "--json").json
    assert {(one["name"], one["partition"]) for one in done["stale"]} == {
        (NAME, DAYS[0]),
        ("lake/nyc/daily_delays", DAYS[0]),
        ("lake/nyc/carrier_month", "2013-01"),
    }
    assert [one["name"] for one in told["stale"]] == [one["name"] for one in done["stale"]]
    assert len(run("stale", "--json").json) == 3
    assert [one["reason"] for one in run("stale", NAME, "--json").json] == ["half of it"]
    assert "half of it" in run("stale").out
    assert "nothing is stale" in run("stale", "lake/nyc/weather").out


def test_materializations_are_found_by_what_they_noted(run: Run, writer: Writer) -> None:
    writer.dataset(FLIGHTS)
    writer.dataset(WEATHER)
    flights = [
        writer.write(FLIGHTS, DAYS[0], metadata={"model": "b7", "n": 7}),
        writer.write(FLIGHTS, DAYS[1], metadata={"model": "7"}),
    ]
    weather = writer.write(WEATHER, DAYS[0], metadata={"model": "b7"})

    def found(*arguments: str) -> list[str]:
        return [one["id"] for one in run("materializations", *arguments, "--json").json]

    assert found("--with", "model") == [str(one) for one in (weather, *flights[::-1])]
    assert found("--with", "model=b7") == [str(weather), str(flights[0])]
    assert found(NAME, "--with", "model=b7") == [str(flights[0])]
    assert found(NAME, "--with", "model", "--partition", DAYS[1]) == [str(flights[1])]
    assert (found("--with", "n=7"), found("--with", 'model="7"')) == ([str(flights[0])], [str(flights[1])])
    assert found("--with", "model=7") == []
    assert "lake/nyc/weather" in run("materializations", "--with", "model").out
    assert "no such" in run("materializations", "--with", "nothing").out
    assert run("materializations").code == run("materializations", "--with", "n", "--partition", "p").code == 2


def test_documents_have_the_documented_shape(run: Run, waiting: list[UUID], writer: Writer) -> None:
    later = writer.write(FLIGHTS, DAYS[0], publish=False)
    fail(writer.store, writer.write(FLIGHTS, DAYS[1], publish=False))
    behind = "behind: [{name, endpoint, message}]"
    calls: list[tuple[list[str], str]] = [
        (["release", "spring", str(later)], documents.RELEASED),
        (["dataset", "show", NAME, "--at", "1"], documents.DATASET),
        (["versions", NAME], documents.VERSIONS),
        (["releases"], documents.RELEASES),
        (["rollback", NAME, "--to", "1", "--expect", "2"], documents.ROLLED_BACK),
        (["pin", "board", f"{NAME}@1"], documents.PINNED),
        (["pins"], documents.PINS),
        (["unpin", "board"], documents.UNPINNED),
        (["invalidate", NAME, "--reason", "half"], documents.INVALIDATED),
        (["stale"], documents.STALE),
        (["retract", str(waiting[0]), "--reason", "bad"], documents.RETRACTED),
        (["publish", NAME, str(later)], documents.PUBLISHED),
    ]
    found = [shape(run(*arguments, "--json").json) for arguments, _documented in calls]
    # Lists that are empty here say nothing: views are looked at beside databases, and this dataset has no columns.
    columns = ": [{name, type, nullable, position, metadata}]"
    assert found == [documented.replace(behind, "behind").replace(columns, "") for _arguments, documented in calls]
