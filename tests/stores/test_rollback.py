"""rollback and retract: history only grows, the present version is named, what is bad does not come back by itself."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from store_inputs import Counts, Lake, Look, waits

from identity.errors import MetadataError
from resources.metadata_store import MetadataStore
from resources.models import Read
from resources.postgres.errors import IdempotencyConflict
from resources.postgres.refusals import (
    NotAtVersion,
    NothingToRetract,
    RollbackRefused,
    UnknownVersion,
    UnusableMaterialization,
)


@pytest.fixture
def published(lake: Lake) -> dict[str, uuid.UUID]:
    """Version 1 has a and b, version 2 another a, version 3 has c besides."""
    lake.datasets("delays")
    ids = {f"{name}1": lake.committed("delays", name, intent="1") for name in "ab"}
    lake.store.publish(list(ids.values()))
    for name in ("a2", "c3"):
        ids[name] = lake.committed("delays", name[0], intent=name[1])
        lake.store.publish([ids[name]])
    return ids


def held(lake: Lake, at: int | None = None) -> dict[str | None, uuid.UUID]:
    return {one.partition: one.materialization_id for one in lake.store.current(lake.key("delays"), at=at)}


def test_a_rollback_is_a_version_that_equals_an_earlier_one(lake: Lake, published: dict[str, uuid.UUID]) -> None:
    answer = lake.store.rollback(lake.key("delays"), to=1, expected=3, reason="bad rates")
    assert (answer.dataset, answer.version, answer.restored, answer.partitions_changed, answer.replayed) == (
        lake.entity("delays").id,
        4,
        1,
        2,
        False,
    )
    assert held(lake) == held(lake, 4) == held(lake, 1) == {"a": published["a1"], "b": published["b1"]}
    assert held(lake, 3) == {"a": published["a2"], "b": published["b1"], "c": published["c3"]}
    newest = lake.store.versions(lake.key("delays"))[0]
    assert (newest.number, newest.kind, newest.restored, newest.reason) == (4, "rollback", 1, "bad rates")
    assert (newest.partitions_changed, newest.partitions) == (2, 2)
    forward = lake.store.rollback(lake.key("delays"), to=3, expected=4)
    assert forward.version == 5
    assert held(lake) == held(lake, 3)


def test_a_rollback_writes_rows_for_what_differs_only(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    lake.store.publish([lake.committed("delays", f"p{number}", intent="1") for number in range(40)])
    lake.store.publish([lake.committed("delays", f"p{number}", intent="2") for number in range(3)])
    lake.store.publish([lake.committed("delays", "born later", intent="1")])
    before = counts()
    assert lake.store.rollback(lake.key("delays"), to=1, expected=3).partitions_changed == 4
    after = counts()
    written = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert written == {"idempotency": 1, "version": 1, "version_partition": 3, "outbox": 1, "audit": 1}


def test_what_came_back_by_itself_is_left_alone(lake: Lake, counts: Counts) -> None:
    """Equal by its materialization, not by the row that has it."""
    lake.datasets("delays")
    one, two = (lake.committed("delays", "p", intent=intent) for intent in "12")
    for chosen in (one, two):
        lake.store.publish([chosen])
    lake.store.rollback(lake.key("delays"), to=1, expected=2)
    lake.store.publish([lake.committed("delays", "q", intent="1")])
    before = counts()
    assert lake.store.rollback(lake.key("delays"), to=1, expected=4).partitions_changed == 1
    assert counts()["version_partition"] == before["version_partition"]


@pytest.mark.usefixtures("published")
def test_another_present_version_is_named_and_nothing_happens(lake: Lake, counts: Counts) -> None:
    before = counts()
    for to, expected in ((1, 2), (1, 4), (2, 2)):
        with pytest.raises(NotAtVersion, match=f"{lake.endpoint}/nyc/delays is at version 3, not {expected};"):
            lake.store.rollback(lake.key("delays"), to=to, expected=expected)
    for to in (0, -1, 4):
        with pytest.raises(UnknownVersion, match=f"{lake.endpoint}/nyc/delays has no version {to}, .* 1 to 3;"):
            lake.store.rollback(lake.key("delays"), to=to, expected=3)
    with pytest.raises(RollbackRefused, match=f"{lake.endpoint}/nyc/delays is at version 3 already"):
        lake.store.rollback(lake.key("delays"), to=3, expected=3)
    with pytest.raises(UnknownVersion, match="there is no dataset"):
        lake.store.rollback(lake.key("unknown"), to=1, expected=2)
    assert counts() == before


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("key", [None, "go back"])
def test_a_rollback_asked_for_again_is_answered_the_same(lake: Lake, counts: Counts, key: str | None) -> None:
    key = key and f"{key} {lake.endpoint}"
    first = lake.store.rollback(lake.key("delays"), to=1, expected=3, key=key)
    lake.store.publish([lake.committed("delays", "d", intent="4")])
    before = counts()
    assert lake.store.rollback(lake.key("delays"), to=1, expected=3, key=key) == replace(first, replayed=True)
    assert counts() == before
    if key:
        with pytest.raises(IdempotencyConflict):
            lake.store.rollback(lake.key("delays"), to=2, expected=5, key=key)


@pytest.mark.usefixtures("published")
def test_a_publish_and_a_rollback_may_have_the_same_key(lake: Lake) -> None:
    key = f"monday {lake.endpoint}"
    (made,) = lake.store.publish([lake.committed("delays", "a", intent="4")], key=key)
    assert lake.store.rollback(lake.key("delays"), to=1, expected=made.version, key=key).version == 5
    (again,) = lake.store.publish(made.published, key=key)
    assert again == replace(made, replayed=True)


def test_answers_of_publishes_outlive_rollbacks_and_retractions(lake: Lake, published: dict[str, uuid.UUID]) -> None:
    fenced = lake.committed("delays", "a", intent="zombie", token=0)
    first = lake.store.publish([fenced])
    lake.store.rollback(lake.key("delays"), to=1, expected=3)
    lake.store.retract(published["a1"], reason="bad")
    lake.store.publish([fenced], key=f"again {lake.endpoint}")
    lake.store.retract(fenced, reason="bad, too")
    assert lake.store.publish([fenced]) == [replace(one, replayed=True) for one in first]
    assert lake.store.publish([published["c3"]])[0].version == 3


def edges(lake: Lake, look: Look) -> set[str]:
    statement = """SELECT a.name FROM metadata.relationship r
      JOIN metadata.asset a ON a.tenant_id = r.tenant_id AND a.asset_id = r.target_asset_id
      WHERE r.source_asset_id = %s AND r.producer = 'materialization' AND r.valid_to IS NULL"""
    return {row["name"] for row in look(statement, lake.entity("delays").id.value)}


def test_lineage_follows_what_is_current(lake: Lake, look: Look) -> None:
    lake.datasets("delays")
    lake.assets("old", "new", "other")

    def made(partition: str, intent: str, source: str) -> uuid.UUID:
        reads = {partition: [Read(asset=lake.entity(source))]}
        (one,) = lake.commit(lake.staged("delays", partition, intent=intent), reads=reads)
        lake.store.publish([one.materialization_id])
        return one.materialization_id

    made("a", "1", "old")
    assert edges(lake, look) == {"old"}
    made("a", "2", "new")
    other = made("b", "3", "other")
    assert edges(lake, look) == {"new", "other"}
    lake.store.rollback(lake.key("delays"), to=1, expected=3)
    assert edges(lake, look) == {"old"}
    lake.store.rollback(lake.key("delays"), to=3, expected=4)
    assert edges(lake, look) == {"new", "other"}
    lake.store.retract(other, reason="bad")
    assert edges(lake, look) == {"new"}


def test_what_is_retracted_is_absent_and_nothing_takes_its_place(
    lake: Lake, published: dict[str, uuid.UUID], counts: Counts
) -> None:
    told = lake.store.retract(published["a2"], reason="wrong currency")
    assert (told.materialization_id, told.key, told.partition, told.version, told.reason, told.actor) == (
        published["a2"],
        lake.key("delays"),
        "a",
        4,
        "wrong currency",
        lake.store.sessions.actor,
    )
    assert held(lake) == {"b": published["b1"], "c": published["c3"]}
    assert held(lake, 3)["a"] == published["a2"]
    newest = lake.store.versions(lake.key("delays"))[0]
    assert (newest.number, newest.kind, newest.reason) == (4, "retract", "wrong currency")
    assert (newest.partitions_changed, newest.partitions) == (1, 2)
    assert lake.store.retractions(lake.key("delays")) == [told]

    before = counts()
    assert lake.store.retract(published["a2"], reason="said again") == told
    assert counts() == before
    lake.store.publish([lake.committed("delays", "a", intent="the fix")])
    assert set(held(lake)) == {"a", "b", "c"}


def test_what_is_retracted_comes_back_in_no_way(lake: Lake, published: dict[str, uuid.UUID], counts: Counts) -> None:
    fresh = lake.committed("delays", "d", intent="fresh")
    lake.store.retract(published["a2"], reason="bad")
    before = counts()
    doings: list[Callable[[], object]] = [
        lambda: lake.store.publish([published["a2"], fresh], key=f"again {lake.endpoint}"),
        lambda: lake.store.rollback(lake.key("delays"), to=2, expected=4),
        lambda: lake.store.rollback(lake.key("delays"), to=3, expected=4),
    ]
    for doing in doings:
        with pytest.raises(UnusableMaterialization) as refused:
            doing()
        assert f"materialization {published['a2']} of {lake.endpoint}/nyc/delays partition a is retracted" in str(
            refused.value
        )
    assert counts() == before
    assert lake.store.rollback(lake.key("delays"), to=1, expected=4).version == 5


def test_what_is_not_current_is_retracted_without_a_version(lake: Lake, published: dict[str, uuid.UUID]) -> None:
    assert lake.store.retract(published["a1"], reason="bad").version is None
    waiting = lake.committed("delays", "e", intent="waiting")
    assert lake.store.retract(waiting, reason="bad").version is None
    assert lake.store.version_at(lake.key("delays")) == 3
    with pytest.raises(UnusableMaterialization):
        lake.store.publish([waiting])
    with pytest.raises(NothingToRetract, match="there is no materialization"):
        lake.store.retract(uuid.uuid4(), reason="bad")


def test_a_retraction_waits_for_a_publish_that_could_make_it_current(lake: Lake, look: Look, stores_url: str) -> None:
    lake.datasets("delays")
    one = lake.committed("delays", intent="waiting")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(stores_url) as publisher:
        lock = "SELECT 1 FROM metadata.dataset WHERE dataset_id = %s FOR NO KEY UPDATE"
        publisher.execute(lock, (lake.entity("delays").id.value,))
        retracted = pool.submit(lake.store.retract, one, reason="bad")
        assert waits(look, retracted)
        publisher.rollback()
        assert retracted.result(timeout=20).version is None


@pytest.mark.usefixtures("published")
def test_those_that_publish_retract_and_roll_back_at_once_leave_no_gap(
    lake: Lake, open_store: Callable[..., MetadataStore], look: Look
) -> None:
    """Versions are 1 to N, and each rollback equals what it says, whoever got in between."""
    key, store = lake.key("delays"), open_store()
    fresh = [lake.committed("delays", f"p{number % 3}", intent=f"w{number}") for number in range(24)]

    def work(number: int) -> str:
        try:
            if number % 4 == 0:
                present = store.version_at(key)
                store.rollback(key, to=present - 1, expected=present)
            elif number % 8 == 1:
                store.retract(fresh[number - 1], reason="bad")
            else:
                store.publish([fresh[number]])
        except MetadataError as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(work, range(24)))
    assert set(told) <= {"done", "NotAtVersion", "UnusableMaterialization"}
    versions = lake.store.versions(key, limit=100)[::-1]
    assert [one.number for one in versions] == list(range(1, len(versions) + 1))
    for one in versions:
        if one.restored is not None:
            assert held(lake, one.number) == held(lake, one.restored)
    statement = """SELECT count(*) AS n FROM metadata.version_partition c JOIN metadata.retraction r
      ON r.materialization_id = c.materialization_id WHERE c.dataset_id = %s AND c.to_version IS NULL"""
    assert look(statement, lake.entity("delays").id.value) == [{"n": 0}]


@pytest.mark.parametrize("back", ["rollback", "retract", "publish"])
def test_no_version_is_older_than_the_one_before_it(
    lake: Lake, published: dict[str, uuid.UUID], metadata_url: str, back: str
) -> None:
    """The clock was an hour ahead when version 3 was published, and was set back."""
    with psycopg.connect(metadata_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE metadata.version SET published_at = published_at + interval '1 hour'"
            " WHERE dataset_id = %s AND version = 3",
            [lake.entity("delays").id.value],
        )
    match back:
        case "rollback":
            lake.store.rollback(lake.key("delays"), to=1, expected=3)
        case "retract":
            lake.store.retract(published["c3"], reason="bad")
        case _:
            lake.store.publish([lake.committed("delays", "d", intent="1")])
    four, three, *_older = lake.store.versions(lake.key("delays"))
    assert four.published_at >= three.published_at
    assert lake.store.version_at(lake.key("delays"), four.published_at + timedelta(hours=1)) == 4
