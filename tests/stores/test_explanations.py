"""Explanations: of one moment, bounded whatever is stored around them, and of one tenant."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from store_inputs import Lake, Look, attempt, rows_read

from identity.ids import tenant_id
from resources.explanations import Cut, Explanation
from resources.metadata.explanations import NothingToExplain
from resources.metadata.garbage import Garbage, Retention
from resources.metadata.materializations import NoSuchMaterialization
from resources.metadata_store import MetadataStore
from resources.models import Attempt, Read
from resources.postgres.session import Sessions
from resources.runs import AttemptFact, AttemptStatus, RunFact

NOW = datetime.now(UTC)


def test_of_many_readers_the_first_ten_are_told_and_not_all_are_counted(lake: Lake) -> None:
    lake.datasets("source", "made")
    source = lake.committed("source", intent="a")
    lake.store.publish([source])
    read = Read(asset=lake.entity("source"), materialization_id=source, version=1)
    partitions = [f"{number:04}" for number in range(1_002)]
    made = lake.commit(*(lake.staged("made", one) for one in partitions), reads={one: [read] for one in partitions})
    lake.store.publish([one.materialization_id for one in made[:-2]])
    found = lake.store.explain(source).made
    assert found
    assert (found.readers.count, found.readers.more) == (1_000, False)
    assert [one.partition for one in found.readers.first] == partitions[:10]
    lake.store.publish([one.materialization_id for one in made[-2:]])
    found = lake.store.explain(source).made
    assert found
    assert (found.readers.count, found.readers.more, len(found.readers.first)) == (1_000, True, 10)
    with_it = lake.store.explain(made[0].materialization_id).made
    assert with_it
    assert (with_it.outputs.count, with_it.outputs.more) == (1_000, True)


_READERS = """
WITH made AS (
  INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key, idempotency_key,
    intent, attempt_id, run_id, step_key, retry_number, fencing_token, actor)
  SELECT tenant_id, gen_random_uuid(), dataset_id, 'p' || n, idempotency_key || n, intent, attempt_id, run_id, step_key,
    0, fencing_token, actor
  FROM metadata.materialization, generate_series(1, 20000) AS n WHERE materialization_id = %s
  RETURNING tenant_id, dataset_id, partition_key, materialization_id
), current AS (
  INSERT INTO metadata.version_partition (tenant_id, dataset_id, partition_key, from_version, materialization_id)
  SELECT tenant_id, dataset_id, partition_key, 1, materialization_id FROM made
)
INSERT INTO metadata.materialization_input (tenant_id, materialization_id, input_asset_id, input_partition_key,
  input_materialization_id)
SELECT tenant_id, materialization_id, %s, '', %s FROM made
"""


def test_of_very_many_readers_a_thousand_are_looked_at(lake: Lake, look: Look) -> None:
    lake.datasets("source", "made")
    source, first = lake.committed("source", intent="a"), lake.committed("made", "first", intent="a")
    lake.store.publish([source, first])
    look("SET session_replication_role = replica")  # without a look at each foreign key
    look(_READERS, first, lake.entity("source").id.value, source)
    look("ANALYZE metadata.version_partition, metadata.materialization, metadata.materialization_input")
    tables = ("version_partition", "materialization_input", "materialization")
    lake.store.explain(source)
    before = rows_read(lake.store, look, *tables)
    found = lake.store.explain(source).made
    assert found
    assert (found.readers.count, found.readers.more, len(found.readers.first)) == (1_000, True, 10)
    assert rows_read(lake.store, look, *tables) - before < 4 * 1_001
    before = rows_read(lake.store, look, *tables)
    with_it = lake.store.explain(first).made
    assert with_it
    assert (with_it.outputs.count, with_it.outputs.more) == (1_000, True)
    assert rows_read(lake.store, look, *tables) - before < 4 * 1_001


def test_of_many_inputs_those_that_changed_are_told_first(lake: Lake) -> None:
    lake.datasets("source", "made")
    partitions = [f"{number:04}" for number in range(1_200)]
    sources = lake.commit(*(lake.staged("source", one) for one in partitions))
    lake.store.publish([one.materialization_id for one in sources])
    reads = [
        Read(asset=lake.entity("source"), partition=one, materialization_id=each.materialization_id, version=1)
        for one, each in zip(partitions, sources, strict=True)
    ]
    (made,) = lake.commit(lake.staged("made"), reads={None: reads})
    lake.store.publish(
        [made.materialization_id, *(lake.committed("source", one, intent="b") for one in ("0777", "1100"))]
    )
    found = lake.store.explain(made.materialization_id).made
    assert found
    inputs = found.inputs
    assert (inputs.count, inputs.changed, inputs.more, len(inputs.first)) == (1_200, 2, False, 10)
    assert [(one.partition, one.is_current, one.current_version) for one in inputs.first[:3]] == [
        ("0777", False, 2),
        ("1100", False, 2),
        ("0000", True, 1),
    ]


def test_what_was_delivered_again_and_released(lake: Lake) -> None:
    lake.datasets("days")
    (first,) = lake.commit(lake.staged("days", "1"))
    lake.commit(lake.staged("days", "1"))
    lake.store.release(f"{lake.endpoint} release", [first.materialization_id], reason="together")
    found = lake.store.explain(first.materialization_id).made
    assert found
    assert found.materialization.redeliveries == 1
    assert (found.had[0].since.release, found.had[0].since.reason) == (f"{lake.endpoint} release", "together")


def test_the_step_of_a_partition_is_known_from_others(lake: Lake) -> None:
    lake.datasets("days")
    step = f"{lake.endpoint} days"
    by = Attempt(id=uuid.uuid4(), run_id=f"{step} good", step_key=step, retry_number=0, fencing_token=10)
    lake.commit(lake.staged("days", "1"), by=by)
    tags = {"dagster/partition": "2"}
    ended = {"started_at": NOW, "ended_at": NOW}
    lake.store.record_runs(
        "log",
        [RunFact(run_id=f"{step} bad", status="failed", tags=tags, **ended)],
        [AttemptFact(run_id=f"{step} bad", step_key=step, number=0, status="failed", **ended)],
    )
    found = lake.store.explain_partition(lake.key("days"), "2")
    assert (found.made, found.steps) == (None, (step,))
    assert [one.attempt.run_id for one in found.tried] == [f"{step} bad"]
    assert lake.store.explain_partition(lake.key("days"), "1").tried == (), "of another partition"


def step_of(lake: Lake) -> str:
    return f"{lake.endpoint} days"


def ran(lake: Lake, run: str, *, partition: str | None = None) -> Attempt:
    """A step that failed, and the attempt by which it may have delivered all the same."""
    (moment,) = lake.store.sessions.call("SELECT clock_timestamp() AS now", {})
    step, ended = step_of(lake), {"started_at": moment["now"], "ended_at": moment["now"]}
    tags = {"dagster/partition": partition} if partition else {}
    fact = AttemptFact(run_id=f"{step} {run}", step_key=step, number=0, status="failed", failure_class="Died", **ended)
    lake.store.record_runs("log", [RunFact(run_id=fact.run_id, status="failed", tags=tags, **ended)], [fact])
    token = lake.store.next_fencing_token()
    return Attempt(id=uuid.uuid4(), run_id=fact.run_id, step_key=step, retry_number=0, fencing_token=token)


def tried_in(found: Explanation) -> list[str]:
    return [one.attempt.run_id.split()[-1] for one in found.tried]


@pytest.mark.parametrize("partition", ["1", None])
def test_a_step_that_delivered_before_it_failed_did_not_deliver_nothing(lake: Lake, partition: str | None) -> None:
    lake.datasets("days")
    for run in ("first", "again"):
        (one,) = lake.commit(lake.staged("days", partition, intent=run), by=ran(lake, run, partition=partition))
        lake.store.publish([one.materialization_id])
    lake.commit(lake.staged("days", partition, intent="again"), by=ran(lake, "same", partition=partition))
    assert lake.store.explain(one.materialization_id).made
    assert lake.store.materialization(one.materialization_id).redeliveries == 1
    assert tried_in(lake.store.explain_partition(lake.key("days"), partition)) == []
    assert tried_in(lake.store.explain_version(lake.key("days"))) == []
    ran(lake, "nothing", partition=partition)
    ran(lake, "other", partition="2" if partition else None)
    other = ["other"] if partition is None else []
    found = lake.store.explain_partition(lake.key("days"), partition)
    assert tried_in(found) == [*other, "nothing"]
    assert tried_in(lake.store.explain_version(lake.key("days"))) == ["other", "nothing"]
    again = next(one for one in found.remedies if one.action == "rerun")
    assert again.arguments["run"] == found.tried[0].attempt.run_id


def test_what_was_tried_for_a_version_ends_with_the_next_one(lake: Lake) -> None:
    lake.datasets("days")
    key, ids = lake.key("days"), []
    for number in (1, 2, 3):
        (one,) = lake.commit(lake.staged("days", intent=str(number)), by=ran(lake, f"good-{number}"))
        lake.store.publish([one.materialization_id])
        ids.append(one.materialization_id)
        ran(lake, f"bad-{number}")
    for at, id_ in zip((1, 2, 3), ids, strict=True):
        assert tried_in(lake.store.explain_version(key, at)) == [f"bad-{at}"]
        assert tried_in(lake.store.explain(id_)) == [f"bad-{at}"]
    lake.store.rollback(key, to=1, expected=3)
    assert tried_in(lake.store.explain_partition(key)) == [], "they are from before it was brought back"
    assert tried_in(lake.store.explain_version(key)) == []
    ran(lake, "late")
    assert tried_in(lake.store.explain_partition(key)) == tried_in(lake.store.explain_version(key)) == ["late"]
    assert tried_in(lake.store.explain_version(key, 1)) == ["bad-1"]
    assert tried_in(lake.store.explain(ids[2])) == ["bad-3"]


def test_what_was_tried_after_a_retraction_is_told(lake: Lake) -> None:
    lake.datasets("days")
    (one,) = lake.commit(lake.staged("days"), by=ran(lake, "good"))
    lake.store.publish([one.materialization_id])
    lake.store.retract(one.materialization_id, reason="bad")
    ran(lake, "late")
    assert tried_in(lake.store.explain(one.materialization_id)) == ["late"]


@pytest.mark.parametrize("same", [True, False])
def test_tries_of_one_step_are_found_among_many_runs(lake: Lake, look: Look, *, same: bool) -> None:
    """By the index on what delivered nothing: what else ran since then, of this step or others, is not looked at."""
    lake.datasets("days")
    step = f"{lake.endpoint} days"
    status: AttemptStatus = "succeeded" if same else "failed"
    runs = [RunFact(run_id=f"{step} {number}", status="failed", ended_at=NOW) for number in range(1_500)]
    tried = [
        AttemptFact(
            run_id=one.run_id,
            step_key=step if same or not number else f"other of {one.run_id}",
            number=0,
            status=status if number else "failed",
            ended_at=NOW,
        )
        for number, one in enumerate(runs)
    ]
    lake.store.record_runs("log", runs, tried)
    look("ANALYZE metadata.task, metadata.job, metadata.task_attempt")
    read = {name: rows_read(lake.store, look, name) for name in ("task", "task_attempt", "job")}
    found = lake.store.explain_partition(lake.key("days"), steps=[step])
    assert [one.attempt.run_id for one in found.tried] == [runs[0].run_id]
    assert {name: rows_read(lake.store, look, name) - rows for name, rows in read.items()} == dict.fromkeys(read, 1)
    assert found.cut == ()


def test_it_is_told_where_not_all_tries_are_looked_through(lake: Lake) -> None:
    lake.datasets("days")
    step = f"{lake.endpoint} days"
    runs = [RunFact(run_id=f"{step} {number}", status="failed", ended_at=NOW) for number in range(501)]
    tried = [AttemptFact(run_id=one.run_id, step_key=step, number=0, status="failed", ended_at=NOW) for one in runs]
    lake.store.record_runs("log", runs[1:], tried[1:])
    found = lake.store.explain_partition(lake.key("days"), steps=[step])
    assert (len(found.tried), found.cut) == (20, (Cut(what="tried", shown=20),))
    lake.store.record_runs("log", runs[:1], tried[:1])
    found = lake.store.explain_partition(lake.key("days"), steps=[step])
    assert found.cut == (Cut(what="tried", shown=20), Cut(what="tries looked through", shown=500))


def test_an_explanation_is_of_one_moment(lake: Lake) -> None:
    """While others publish and roll back: what is current is what the present version has."""
    lake.datasets("days")
    ids = [lake.committed("days", "1", intent=intent) for intent in "ab"]
    for one in ids:
        lake.store.publish([one])

    def publish() -> None:
        for number in range(2, 30):
            lake.store.rollback(lake.key("days"), to=number - 1, expected=number)

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(publish)
        while not work.done():
            found = lake.store.explain_partition(lake.key("days"), "1")
            assert found.made
            newest = found.made.had[0]
            assert (newest.until, newest.since.number) == (None, found.present_version)
            assert found.made.materialization.current
        work.result()


def test_what_another_tenant_has_is_not_explained(lake: Lake, store: MetadataStore) -> None:
    lake.datasets("days")
    one = lake.committed("days", "1", intent="a")
    other = MetadataStore(Sessions(store.sessions.engine, tenant_id("nobody"), "test"))
    with pytest.raises(NoSuchMaterialization):
        other.explain(one)
    with pytest.raises(NothingToExplain):
        other.explain_partition(lake.key("days"), "1")


def test_looking_changes_nothing_and_leaves_the_connection_as_it_was(lake: Lake) -> None:
    lake.datasets("days")
    lake.store.explain_partition(lake.key("days"), "1")
    with lake.store.session() as session:
        (row,) = session.rows("SHOW transaction_isolation")
        assert row["transaction_isolation"] == "read committed"
    with pytest.raises(Exception, match="25006"), lake.store.sessions.begin(snapshot=True) as session:
        session.rows("CREATE TABLE metadata.nothing ()")


def test_a_newer_delivery_that_readers_do_not_get_may_be_published_unless_it_was_overtaken(lake: Lake) -> None:
    lake.datasets("delays")
    lake.store.publish([lake.committed("delays", intent="present", token=5)])
    for intent, token, ways in (("late", 4, []), ("newer", 6, ["publish"])):
        newest = lake.committed("delays", intent=intent, token=token)
        found = lake.store.explain_partition(lake.key("delays"))
        assert (found.deliveries[0].materialization_id, found.deliveries[0].fenced) == (newest, not ways)
        assert [one.action for one in found.remedies if one.action in ("publish", "rerun")] == ways


def offered(lake: Lake) -> list[tuple[uuid.UUID, str]]:
    """What explain offers to publish, and how."""
    remedies = lake.store.explain_partition(lake.key("delays")).remedies
    return [(one.arguments["materialization"], one.effect) for one in remedies if one.action == "publish"]


def test_what_may_be_published_is_offered_though_something_else_was_delivered_last(lake: Lake) -> None:
    store = lake.store
    lake.datasets("delays")
    store.publish([lake.committed("delays", intent="present", token=5)])
    good = lake.committed("delays", intent="good", token=7)
    lake.committed("delays", intent="a zombie's", token=4)
    wrong = lake.committed("delays", intent="wrong", token=8)
    store.retract(wrong, reason="wrong currency")
    assert offered(lake) == [(good, "publish the newer delivery")]
    assert [one.materialization_id for one in store.unpublished(lake.key("delays"))] == [good]
    store.await_checks(store.materialization(good).run_id, [good], ["rows"])
    assert offered(lake) == [(good, "publish the newer delivery whatever rows says")]
    store.retract(store.current(lake.key("delays"))[0].materialization_id, reason="wrong as well")
    assert offered(lake) == [(good, "publish the earlier delivery whatever rows says")]


def test_what_was_collected_is_not_offered(lake: Lake) -> None:
    lake.datasets("delays")
    lake.store.publish([lake.committed("delays", intent="present", token=5)])
    staged, by = lake.staged("delays", intent="old", location="lake:delays/old"), attempt(token=7)
    lake.lease(by, [("delays", staged)])
    (old,) = lake.commit(staged, by=by)
    newest = lake.committed("delays", intent="newest", token=8)
    garbage, retention = Garbage(lake.store.sessions), Retention(versions=1, time=timedelta(0))
    assert garbage.condemn(lake.entity("delays"), retention, [old.materialization_id])
    assert offered(lake) == [(newest, "publish the newer delivery")]
    lake.store.retract(newest, reason="wrong currency")
    assert offered(lake) == []
    deliveries = lake.store.explain_partition(lake.key("delays")).deliveries
    assert [(one.retracted, one.collected) for one in deliveries] == [(True, False), (False, True), (False, False)]
