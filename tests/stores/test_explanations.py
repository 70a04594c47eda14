"""Explanations: of one moment, bounded whatever is stored around them, and of one tenant."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from store_inputs import Lake, Look, rows_read

from identity.ids import tenant_id
from resources.metadata.explanations import NothingToExplain
from resources.metadata.materializations import NoSuchMaterialization
from resources.metadata_store import MetadataStore
from resources.models import Attempt, Read
from resources.postgres.session import Sessions
from resources.runs import AttemptFact, RunFact

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


def test_tries_of_one_step_are_found_among_many_runs(lake: Lake, look: Look) -> None:
    """By the index on steps: what else ran since then is not looked at."""
    lake.datasets("days")
    step = f"{lake.endpoint} days"
    runs = [RunFact(run_id=f"{step} {number}", status="failed", ended_at=NOW) for number in range(1_500)]
    steps = [step, *(f"other of {one.run_id}" for one in runs[1:])]
    tried = [
        AttemptFact(run_id=one.run_id, step_key=its, number=0, status="failed", ended_at=NOW)
        for one, its in zip(runs, steps, strict=True)
    ]
    lake.store.record_runs("log", runs, tried)
    look("ANALYZE metadata.task, metadata.job, metadata.task_attempt")
    before = rows_read(lake.store, look, "task")
    found = lake.store.explain_partition(lake.key("days"), steps=[step])
    assert [one.attempt.run_id for one in found.tried] == [runs[0].run_id]
    assert rows_read(lake.store, look, "task") == before + 1


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
