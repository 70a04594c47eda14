"""invalidate and metadata: what was made from something bad is stale, whoever made it; what is noted is found."""

import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from store_inputs import Counts, Lake, Look, attempt

from resources.metadata.invalidations import SourceNotVersioned
from resources.models import METADATA_DEPTH, MetadataTooDeep, Read
from resources.postgres.errors import IdempotencyConflict
from resources.postgres.refusals import InvalidationTooLarge, MetadataTooLarge, UnknownVersion
from resources.version_records import Stale


def made(
    lake: Lake, name: str, partition: str | None = None, *, of: Mapping[str, uuid.UUID] | None = None
) -> uuid.UUID:
    """A published materialization that read others."""
    reads = [
        Read(asset=lake.entity(source), partition=str(number), materialization_id=one)
        for number, (source, one) in enumerate((of or {}).items())
    ]
    staged = lake.staged(name, partition, intent=str(uuid.uuid4()))
    (one,) = lake.commit(staged, reads={partition: reads})
    lake.store.publish([one.materialization_id])
    return one.materialization_id


def places(stale: list[Stale] | tuple[Stale, ...]) -> list[tuple[str | None, str | None]]:
    return [(one.key.table, one.partition) for one in stale]


def test_what_was_made_from_it_is_stale_too(lake: Lake) -> None:
    lake.datasets("raw", "daily", "report", "apart")
    raw = {partition: made(lake, "raw", partition) for partition in "ab"}
    daily = {partition: made(lake, "daily", partition, of={"raw": raw[partition]}) for partition in "ab"}
    report = made(lake, "report", of={"daily": daily["a"], "raw": raw["a"]})
    made(lake, "apart")

    told = lake.store.invalidate(lake.key("raw"), ["a", "never"], reason="late rows")
    assert places(told.stale) == [("raw", "a"), ("daily", "a"), ("report", None)]
    assert (told.stale[0].cause, told.stale[1].cause, told.stale[0].reason) == (None, raw["a"], "late rows")
    assert told.stale[2].cause in {daily["a"], raw["a"]}
    assert places(lake.store.stale(lake.key("daily"))) == [("daily", "a")]
    assert lake.store.stale(lake.key("apart")) == []
    assert {one.materialization_id for one in lake.store.stale()} >= {raw["a"], daily["a"], report}
    assert len(lake.store.current(lake.key("daily"))) == 2, "what is stale stays readable"

    way = lake.store.why_stale(lake.key("report"))
    assert way[0].materialization_id == report
    assert (way[-1].key, way[-1].cause) == (lake.key("raw"), None)
    assert lake.store.why_stale(lake.key("raw"), "b") == []


def test_without_downstream_only_what_was_named(lake: Lake) -> None:
    lake.datasets("raw", "daily")
    raw = [made(lake, "raw", partition) for partition in "ab"]
    made(lake, "daily", of={"raw": raw[0]})
    told = lake.store.invalidate(lake.key("raw"), reason="late rows", downstream=False)
    assert places(told.stale) == [("raw", "a"), ("raw", "b")]
    assert lake.store.stale(lake.key("daily")) == []


def test_a_run_that_was_on_its_way_is_stale_from_its_commit_on(lake: Lake) -> None:
    lake.datasets("raw", "daily", "report", "apart")
    raw = made(lake, "raw")
    told = lake.store.invalidate(lake.key("raw"), reason="late rows")
    daily = made(lake, "daily", of={"raw": raw})
    report = made(lake, "report", of={"daily": daily})
    (one,) = lake.store.stale(lake.key("report"))
    assert (one.materialization_id, one.cause, one.invalidation_id) == (report, daily, told.id)
    assert one.reason == "late rows"
    assert [one.key.table for one in lake.store.why_stale(lake.key("report"))] == ["report", "daily", "raw"]
    good = made(lake, "raw")
    made(lake, "report", of={"daily": made(lake, "daily", of={"raw": good})})
    assert lake.store.stale(lake.key("daily")) == lake.store.stale(lake.key("report")) == []


def test_what_was_not_to_go_downstream_is_not_inherited(lake: Lake) -> None:
    lake.datasets("raw", "daily")
    raw = made(lake, "raw")
    lake.store.invalidate(lake.key("raw"), reason="late rows", downstream=False)
    made(lake, "daily", of={"raw": raw})
    assert lake.store.stale(lake.key("daily")) == []


@pytest.mark.parametrize("first", ["commit", "invalidate"])
def test_a_commit_and_an_invalidation_at_once_do_not_miss_each_other(lake: Lake, metadata_url: str, first: str) -> None:
    """Whichever holds the lock when the other one comes: one of them sees what the other one did."""
    lake.datasets("raw", "daily")
    raw = made(lake, "raw")

    def invalidate() -> object:
        return lake.store.invalidate(lake.key("raw"), reason="late rows")

    def commit() -> object:
        return made(lake, "daily", of={"raw": raw})

    slow, other = (commit, invalidate) if first == "commit" else (invalidate, commit)
    with psycopg.connect(metadata_url) as gate, ThreadPoolExecutor(2) as threads:
        gate.execute("LOCK metadata.outbox IN SHARE MODE")  # the last thing that both write: the first one stops there
        begun = threads.submit(slow)
        _waiting(metadata_url, 1)
        followed = threads.submit(other)
        _waiting(metadata_url, 2)
        gate.rollback()
        begun.result()
        followed.result()
    assert [one.key.table for one in lake.store.stale(lake.key("daily"))] == ["daily"]


def _waiting(url: str, count: int) -> None:
    """Wait until so many wait for a lock."""
    with psycopg.connect(url, autocommit=True) as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while connection.execute(asked.encode()).fetchone() != (count,):
            time.sleep(0.01)


def test_it_is_stale_until_something_else_is_published_there(lake: Lake) -> None:
    """Also what was made from something that is no longer current, and what comes back."""
    lake.datasets("raw", "daily", "report")
    raw = made(lake, "raw")
    old = made(lake, "daily", of={"raw": raw})
    made(lake, "report", of={"daily": old})
    made(lake, "daily")
    told = lake.store.invalidate(lake.key("raw"), reason="late rows")
    assert places(told.stale) == [("raw", None), ("report", None)]
    assert lake.store.stale(lake.key("daily")) == []
    lake.store.rollback(lake.key("daily"), to=1, expected=2)
    assert places(lake.store.stale(lake.key("daily"))) == [("daily", None)]
    assert [one.key.table for one in lake.store.why_stale(lake.key("report"))] == ["report", "daily", "raw"]
    made(lake, "daily")
    made(lake, "report")
    assert lake.store.stale(lake.key("daily")) == lake.store.stale(lake.key("report")) == []


def test_an_invalidation_asked_for_again_is_answered_the_same(lake: Lake, counts: Counts) -> None:
    lake.datasets("raw")
    for partition in "ab":
        made(lake, "raw", partition)
    key = f"late {lake.endpoint}"
    first = lake.store.invalidate(lake.key("raw"), ["a"], reason="late rows", key=key)
    made(lake, "raw", "a")
    before = counts()
    again = lake.store.invalidate(lake.key("raw"), ["a"], reason="late rows", key=key)
    assert (again.id, again.stale, again.replayed) == (first.id, first.stale, True)
    for other in (["b"], None, []):
        with pytest.raises(IdempotencyConflict):
            lake.store.invalidate(lake.key("raw"), other, reason="late rows", key=key)
    assert counts() == before
    assert lake.store.invalidate(lake.key("raw"), ["b"], reason="late rows").id != first.id
    assert lake.store.invalidate(lake.key("raw"), ["b"], reason="later rows").replayed is False
    assert [one.reason for one in lake.store.stale(lake.key("raw"))] == ["later rows"]


def test_what_is_too_much_marks_nothing(lake: Lake, counts: Counts) -> None:
    lake.datasets("raw", "daily")
    raw = [made(lake, "raw", partition) for partition in "ab"]
    made(lake, "daily", of={"raw": raw[0]})
    before = counts()
    with pytest.raises(InvalidationTooLarge, match="more than 2 materializations"):
        lake.store.invalidate(lake.key("raw"), reason="late rows", limit=2)
    with pytest.raises(UnknownVersion, match="there is no dataset"):
        lake.store.invalidate(lake.key("unknown"), reason="late rows")
    assert counts() == before
    assert len(lake.store.invalidate(lake.key("raw"), reason="late rows", limit=3).stale) == 3


def test_each_is_marked_once_however_many_ways_lead_to_it(lake: Lake, look: Look, counts: Counts) -> None:
    """Twenty layers of two that read both of the layer before: a million ways, one row each, one event per dataset."""
    names = [f"{side}{layer}" for layer in range(20) for side in "lr"]
    lake.datasets(*names)
    below: dict[str, uuid.UUID] = {}
    for layer in range(20):
        below = {name: made(lake, name, of=below) for name in (f"l{layer}", f"r{layer}")}
    before = counts()
    assert len(lake.store.invalidate(lake.key("l0"), reason="late rows").stale) == 39
    written = {name: value - before[name] for name, value in counts().items() if value != before[name]}
    assert written == {"idempotency": 1, "invalidation": 39, "outbox": 39}
    statement = (
        "SELECT payload FROM metadata.outbox WHERE topic = 'partition.invalidated' AND payload ->> 'dataset_id' = %s"
    )
    (event,) = look(statement, str(lake.entity("r19").id))
    assert (event["payload"]["partitions"], event["payload"]["reason"]) == ([""], "late rows")


def noted(lake: Lake, **metadata: object) -> uuid.UUID:
    staged = lake.staged("delays", intent=str(uuid.uuid4()))
    given = type(staged)(**{name: getattr(staged, name) for name in staged.__slots__} | {"metadata": metadata})
    (one,) = lake.commit(given)
    return one.materialization_id


def test_materializations_are_found_by_what_was_noted(lake: Lake) -> None:
    lake.datasets("delays")
    name = f"model {lake.endpoint}"
    first = noted(lake, **{name: "b7", "rows": 1})
    second = noted(lake, **{name: {"name": "b7", "layers": [1, 2]}})
    third = noted(lake, **{name: None})
    noted(lake, rows=1)

    def found(*value: object) -> list[uuid.UUID]:
        return [one.id for one in lake.store.materializations_with(name, *value)]

    assert found() == [third, second, first]
    assert found("b7") == [first]
    assert found({"layers": [1, 2], "name": "b7"}) == [second]
    assert found(None) == [third]
    assert found("B7") == found({"name": "b7"}) == []
    assert [one.id for one in lake.store.materializations_with(name, limit=2)] == [third, second]
    assert lake.store.materializations_with("x" * 600) == []
    (one,) = lake.store.materializations_with(name, "b7")
    assert one.metadata == {name: "b7", "rows": 1}


@pytest.mark.parametrize("value", [False, True])
def test_finding_reads_an_index_and_not_all_that_was_noted(lake: Lake, *, value: bool) -> None:
    lake.datasets("delays")
    items = [lake.staged("delays", str(number), intent="many") for number in range(400)]
    lake.commit(*items)
    wanted = noted(lake, **{f"rare {lake.endpoint}": "b7"})
    with lake.store.session() as session:
        # Above a handful of pages the index is what the planner takes; here all fits into a few.
        session.rows("SET LOCAL enable_seqscan = off")
        asked = "AND k.value_sha256 = (SELECT metadata.name_digest('\"b7\"'))" if value else ""
        plan = session.rows(
            f"""EXPLAIN (FORMAT TEXT, ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
            SELECT k.materialization_id FROM metadata.metadata_key k
            WHERE k.tenant_id = %(tenant)s AND k.key = %(name)s {asked}
            ORDER BY k.committed_at DESC, k.materialization_id DESC LIMIT 100""",
            {"tenant": session.tenant_value, "name": f"rare {lake.endpoint}"},
        )
    lines = "\n".join(row["QUERY PLAN"] for row in plan)
    index = "metadata_key_value_idx" if value else "metadata_key_pkey"
    assert f"using {index}" in lines
    assert "Rows Removed" not in lines
    assert "Sort" not in lines
    assert [one.id for one in lake.store.materializations_with(f"rare {lake.endpoint}")] == [wanted]


def test_too_much_metadata_is_refused_with_its_size(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    noted(lake, text="x" * (65536 - len('{"text": ""}')))
    before = counts()
    with pytest.raises(MetadataTooLarge, match=f"metadata of {lake.endpoint}/nyc/delays has 65537 bytes") as refused:
        noted(lake, text="x" * (65537 - len('{"text": ""}')))
    assert (refused.value.size, refused.value.limit) == (65537, 65536)
    with pytest.raises(MetadataTooLarge):
        noted(lake, numbers=[1e300] * 1000)
    assert counts() == before


def test_metadata_that_is_too_deep_is_refused(lake: Lake) -> None:
    lake.datasets("delays")
    deep: object = 1
    for _ in range(METADATA_DEPTH - 1):
        deep = [deep]
    noted(lake, deep=deep)
    for levels in (1, 100_000):
        for _ in range(levels):
            deep = {"x": deep}
        with pytest.raises(
            MetadataTooDeep, match=f"dataset {lake.entity('delays').id}, .* deeper than {METADATA_DEPTH}"
        ):
            noted(lake, deep=deep)
    assert attempt().fencing_token > 0
    while isinstance(deep, dict):  # taken apart by steps: Python itself gives up a deep value by recursion
        deep = deep["x"]


def test_a_source_is_refused_with_what_was_made_from_it(lake: Lake) -> None:
    lake.assets("flights", "idle")
    lake.datasets("daily", "monthly")
    for name in ("daily", "monthly"):
        source = Read(asset=lake.entity("flights"))
        (one,) = lake.commit(lake.staged(name, None), reads={None: [source]})
        lake.store.publish([one.materialization_id])
    with pytest.raises(SourceNotVersioned, match=r"nyc/flights is a source: .*/nyc/daily, .*/nyc/monthly$"):
        lake.store.invalidate(lake.key("flights"), reason="half of it")
    with pytest.raises(UnknownVersion, match="there is no dataset"):
        lake.store.invalidate(lake.key("idle"), reason="half of it")
