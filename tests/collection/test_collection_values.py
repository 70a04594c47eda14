"""The small pure parts: patterns of schemas, text that may hold a password, when to collect."""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.keys import dataset_key
from metadata_assets.collection.scope import Patterns
from metadata_assets.collection.types import type_change
from metadata_assets.collection.watching import FIRST_WAIT, LONGEST_WAIT, Memory, Run, away, resting, waits
from metadata_assets.collection.watching import decide as decided
from resources.models import Asset, AssetType, Field


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("read it with postgresql://user:hunter2@host/db", "read it with postgresql://***@host/db"),
        (
            "dblink('host=h user=u password=hunter2'::text, 'SELECT 1'::text)",
            "dblink('host=h user=u password=***'::text, 'SELECT 1'::text)",
        ),
        ("dblink('PASSWORD=hunter2')", "dblink('PASSWORD=***')"),
        ("connect(password => 'hunter2')", "connect(password => '***')"),
        ("WHERE (api_key = 'hunter2'::text)", "WHERE (api_key = '***'::text)"),
        ("'aws_secret=hunter2'", "'aws_secret=***'"),
        ("SELECT u.password, u.token FROM users u", "SELECT u.password, u.token FROM users u"),
        *[(text, text) for text in ("SELECT a.token = b.token AS same FROM a JOIN b USING (id)", "a secret ballot")],
    ],
)
def test_what_a_source_says_is_kept_without_its_passwords(text: str, kept: str) -> None:
    key = dataset_key("shop", table="t")
    field = Field(name="c", type="text", nullable=True, position=1, metadata={"default": text})
    asset = Asset(key=key, type=AssetType.VIEW, description=text, fields=(field,), metadata={"definition": text})
    assert (asset.description, asset.metadata, field.metadata) == (kept, {"definition": kept}, {"default": kept})


def test_patterns_become_anchored_expressions() -> None:
    schemas = Patterns.of(["sales_*", "a.b", "x?", "!old", 'we"ird'])
    assert schemas.wanted == ["^(?:sales_.*)$", r"^(?:a\.b)$", "^(?:x.)$", r"^(?:we\"ird)$"]
    assert schemas.unwanted == ["^(?:old)$"]
    assert schemas.named == ["a.b", 'we"ird']
    assert Patterns().wanted == ["^(?:.*)$"]


START = datetime(2026, 1, 1, tzinfo=UTC)
decide = partial(decided, name="shop", now=START)


def test_a_change_is_asked_for_once() -> None:
    first = decide(Memory(), seen="A", collected=None, last_run=Run.NONE)
    assert (first.skip, first.memory.run_key) == (None, "1:A")
    assert decide(first.memory, seen="A", collected=None, last_run=Run.ACTIVE).skip == "its collection is under way"
    done = decide(first.memory, seen="A", collected="A", last_run=Run.SUCCEEDED)
    assert done.skip == "the schema has not changed"
    second = decide(done.memory, seen="B", collected="A", last_run=Run.SUCCEEDED)
    assert (second.skip, second.memory.run_key) == (None, "2:B")
    back = decide(second.memory, seen="A", collected="B", last_run=Run.SUCCEEDED)
    assert (back.skip, back.memory.run_key) == (None, "3:A")


def test_a_schema_that_somebody_collected_already_is_not_asked_for() -> None:
    assert decide(Memory(), seen="A", collected="A", last_run=Run.NONE).skip is not None


def test_a_change_during_the_collection_that_is_taken_back_is_collected() -> None:
    """Asked for A, collected B, and now it is A again."""
    asked = Memory(sequence=1, fingerprint="A")
    again = decide(asked, seen="A", collected="B", last_run=Run.SUCCEEDED)
    assert (again.skip, again.memory.run_key) == (None, "2:A")


@pytest.mark.parametrize("every", [timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=20)])
def test_failed_collections_are_asked_for_again_at_growing_distances(every: timedelta) -> None:
    memory, asked, now = Memory(sequence=1, fingerprint="A"), [], START
    while now < START + 12 * LONGEST_WAIT:
        decision = decide(Memory.parse(memory.cursor), seen="A", collected=None, last_run=Run.FAILED, now=now)
        memory = decision.memory
        if decision.skip is None:
            asked.append(now)
        now += every
    check_distances(asked, every)
    recovered = decide(memory, seen="A", collected="A", last_run=Run.SUCCEEDED).memory
    assert (recovered.failures, recovered.ask_at) == (0, 0.0)


@pytest.mark.parametrize("every", [timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=20)])
def test_an_endpoint_that_is_down_is_asked_by_the_clock_however_often_there_are_ticks(every: timedelta) -> None:
    memory, looked, now = Memory(), [], START
    while now < START + 12 * LONGEST_WAIT:
        kept = Memory.parse(memory.cursor)
        rest = resting(kept, now)
        if rest is None:
            looked.append(now)
            memory = away(kept, "no answer", name="shop", now=now).memory
        else:
            assert rest.memory == kept
            next_look = f"{datetime.fromtimestamp(kept.look_at, UTC):%Y-%m-%d %H:%M:%SZ}"
            said = f"failed, it is down since 2026-01-01 00:00:00Z; no look before {next_look}"
            assert str(rest.skip).endswith(said)
        now += every
    check_distances(looked, every)
    back = decide(memory, seen="A", collected="A", last_run=Run.NONE, now=now).memory
    assert (back.away, back.down_since, back.look_at) == (0, 0.0, 0.0)
    assert resting(back, now) is None


def test_a_clock_that_was_ahead_once_is_not_waited_for() -> None:
    later = START + timedelta(days=4000)
    down = away(Memory(sequence=1, fingerprint="A"), "no answer", name="shop", now=later).memory
    assert resting(down, later) is not None
    assert resting(down, START) is None
    failed = decide(
        Memory(sequence=1, fingerprint="A"), seen="A", collected=None, last_run=Run.FAILED, now=later
    ).memory
    assert decide(failed, seen="A", collected=None, last_run=Run.FAILED, now=later).skip is not None
    assert decide(failed, seen="A", collected=None, last_run=Run.FAILED, now=START).skip is None


def check_distances(moments: list[datetime], every: timedelta) -> None:
    """Each wait as long as it is to be by the clock, and no longer than until the next tick behind it."""
    distances = [later - earlier for earlier, later in pairwise(moments)]
    wanted = [max(every, waits(number, "shop")) for number, _ in enumerate(distances, 1)]
    assert all(least <= found < least + every for least, found in zip(wanted, distances, strict=True))
    assert max(distances) <= max(LONGEST_WAIT + every, every)
    assert len(distances) > 10


def test_waits_double_up_to_an_hour_and_differ_by_name() -> None:
    for name in ("shop", "lake", "x"):
        all_waits = [waits(failed, name) for failed in range(1, 40)]
        assert FIRST_WAIT * 0.75 <= all_waits[0] <= FIRST_WAIT
        doubled = [2 * earlier - later for earlier, later in pairwise(all_waits[:7])]
        assert all(abs(one) < timedelta(milliseconds=1) for one in doubled)
        assert LONGEST_WAIT * 0.75 <= all_waits[-1] <= LONGEST_WAIT
    assert len({waits(1, f"e{number}") for number in range(40)}) > 20


def test_what_an_older_release_remembered_is_understood() -> None:
    old = '{"sequence": 3, "fingerprint": "A", "failures": 2, "pause": 4, "away": 1, "rest": 7}'
    assert Memory.parse(old) == Memory(sequence=3, fingerprint="A", failures=2, away=1)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from([None, "A", "B"]), st.sampled_from(Run)), max_size=40))
def test_no_run_key_is_used_twice(looks: list[tuple[str, str | None, Run]]) -> None:
    memory, used = Memory(), []
    for seen, collected, last_run in looks:
        decision = decide(Memory.parse(memory.cursor), seen=seen, collected=collected, last_run=last_run)
        memory = decision.memory
        if decision.skip is None:
            used.append(memory.run_key)
            assert seen != collected
    assert len(used) == len(set(used))


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [
        ("integer", "bigint", "widened"),
        ("bigint", "integer", "narrowed"),
        ("INTEGER", "DOUBLE", "widened"),
        ("bigint", "double precision", "changed"),
        ("integer", "numeric(10,0)", "widened"),
        ("integer", "numeric(10,2)", "changed"),
        ("bigint", "numeric", "widened"),
        ("numeric(10,2)", "numeric(12,2)", "widened"),
        ("numeric(10,2)", "numeric(12,4)", "widened"),
        ("numeric(10,2)", "numeric(11,4)", "changed"),
        ("DECIMAL(10,2)", "DECIMAL(8,2)", "narrowed"),
        ("numeric", "numeric(10,2)", "narrowed"),
        ("real", "double precision", "widened"),
        ("character varying(20)", "character varying(40)", "widened"),
        ("character varying(20)", "text", "widened"),
        ("text", "character varying(20)", "narrowed"),
        ("character varying", "text", "widened"),
        ("mediumtext", "text", "narrowed"),
        ("char(3)", "varchar(2)", "narrowed"),
        ("varbinary(10)", "blob", "widened"),
        ("date", "timestamp without time zone", "widened"),
        ("timestamp without time zone", "timestamp with time zone", "changed"),
        ("timestamp(3) without time zone", "timestamp without time zone", "widened"),
        ("timestamp(3) without time zone", "timestamp(1) without time zone", "narrowed"),
        ("timestamp", "timestamp(3)", "widened"),  # MySQL's: it has no digits behind the second unless it says so
        ("datetime", "timestamp", "changed"),  # which ends in 2038
        ("datetime(6)", "timestamp", "changed"),
        ("date", "timestamp", "changed"),
        ("date", "datetime", "widened"),
        ("datetime", "datetime(6)", "widened"),
        ("text", "character varying", "widened"),
        ("int(10) unsigned", "bigint(20)", "widened"),
        ("int(11)", "int(10) unsigned", "changed"),
        ("int(11)", "int(5)", "widened"),
        ("enum('a','b')", "enum('b','a','c')", "widened"),
        ("enum('a','b')", "enum('a')", "narrowed"),
        ("text", "integer", "changed"),
        ("integer[]", "bigint[]", "changed"),
        ("mood", "text", "changed"),
        ("", "text", "changed"),
    ],
)
def test_a_type_that_holds_all_that_the_other_one_held_is_wider(before: str, after: str, how: str) -> None:
    assert type_change(before, after) == how
    opposite = {"widened": {"narrowed", "widened"}, "narrowed": {"widened"}, "changed": {"changed", "narrowed"}}
    assert type_change(after, before) in opposite[how]
