"""A dataset of 100,000 partitions with 1,000 versions: what a call writes and reads follows from what it changes.

Counted in rows, which have no noise: whoever looks at all versions or all partitions reads thousands of them.
"""

import uuid
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from store_inputs import Counts, Lake, Look, rows_read

from resources.metadata.health import Health

PARTITIONS, VERSIONS, CHANGED = 100_000, 1_000, 10
TABLES = ("dataset", "version", "version_partition", "materialization", "materialization_input", "retraction")

# Version 1 has all partitions, and each later one replaces the next ten: p0 to p9 in version 2, and so on.
_ALL = f"generate_series(0, {PARTITIONS} + ({VERSIONS} - 1) * {CHANGED} - 1) AS n"
_ID = "md5('{0}' || {1})::uuid"
_FILL = (
    f"""INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor, partitions,
      partitions_changed, row_count, partitions_counted)
    SELECT tenant_id, dataset_id, n, 'v' || n, 'test', {PARTITIONS}, {CHANGED}, {PARTITIONS}, {PARTITIONS}
    FROM metadata.dataset, generate_series(1, {VERSIONS}) AS n WHERE dataset_id = '{{0}}'""",
    f"""INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key, idempotency_key,
      intent, attempt_id, run_id, step_key, retry_number, fencing_token, actor, row_count, location)
    SELECT tenant_id, {_ID.format("{0}", "n")}, dataset_id, 'p' || n %% {PARTITIONS}, '{{0}}' || n, 'fill',
      {_ID.format("{0}attempt", "n")}, 'fill', 'fill', 0, 0, 'test', 1,
      'lake:{{0}}/' || n
    FROM metadata.dataset, {_ALL} WHERE dataset_id = '{{0}}'""",
    f"""INSERT INTO metadata.version_partition (tenant_id, dataset_id, partition_key, from_version, to_version,
      materialization_id)
    SELECT tenant_id, dataset_id, 'p' || n %% {PARTITIONS},
      CASE WHEN n < {PARTITIONS} THEN 1 ELSE 2 + (n - {PARTITIONS}) / {CHANGED} END,
      CASE WHEN n < ({VERSIONS} - 1) * {CHANGED} THEN 2 + n / {CHANGED} END, {_ID.format("{0}", "n")}
    FROM metadata.dataset, {_ALL} WHERE dataset_id = '{{0}}'""",
    f"UPDATE metadata.dataset SET published_version = {VERSIONS} WHERE dataset_id = '{{0}}'",
)

Cost = Callable[[Callable[[], object]], tuple[dict[str, int], int]]


@pytest.fixture(scope="module")
def stores_url(make_database: Callable[..., str], drop_database: Callable[[str], None]) -> Iterator[str]:
    """A database of its own: a table that others have filled a little is read whole where an index is no faster."""
    url = make_database(migrated=True)
    yield url
    drop_database(url)


@pytest.fixture
def cost(lake: Lake, look: Look, counts: Counts) -> Cost:
    """A function that says what a call wrote, and how many rows it read; of a dataset `delays` like that."""
    lake.datasets("delays")
    look("SET session_replication_role = replica")  # without a look at each foreign key
    for statement in _FILL:
        look(statement.replace("{0}", str(lake.entity("delays").id)))
    look(f"ANALYZE {', '.join(f'metadata.{name}' for name in TABLES)}")

    def of(doing: Callable[[], object]) -> tuple[dict[str, int], int]:
        before, read = counts(), rows_read(lake.store, look, *TABLES)
        doing()
        read = rows_read(lake.store, look, *TABLES) - read
        return {name: value - before[name] for name, value in counts().items() if value != before[name]}, read

    return of


def held(lake: Lake, partition: str, at: int) -> uuid.UUID:
    (one,) = lake.store.current(lake.key("delays"), [partition], at=at)
    return one.materialization_id


def test_a_call_costs_what_it_changes(lake: Lake, cost: Cost, look: Look) -> None:
    key, store = lake.key("delays"), lake.store
    changed = [one.materialization_id for one in lake.commit(*(lake.staged("delays", f"p{n}") for n in range(3)))]
    store.publish([lake.committed("delays", "p99999", intent="plans are made")])
    store.rollback(key, to=VERSIONS, expected=VERSIONS + 1)
    around = {"idempotency": 1, "version": 1, "outbox": 1, "audit": 1}
    last = VERSIONS + 2

    written, read = cost(lambda: store.publish(changed))
    assert written == {**around, "version_partition": 3}
    assert read < 100
    written, read = cost(lambda: store.rollback(key, to=last, expected=last + 1))
    assert written == {**around, "version_partition": 3}
    assert read < 100
    before = held(lake, "p0", last)
    written, read = cost(lambda: store.retract(before, reason="bad"))
    assert written == {"version": 1, "audit": 1, "retraction": 1, "outbox": 2}
    assert read < 100
    assert [held(lake, "p0", at) for at in (last, last + 1, last + 2)] == [before, changed[0], before]

    written, read = cost(lambda: store.versions(key))
    assert (written, read) == ({}, 50), "counted when they were made"
    newest, *_others, first = store.versions(key, limit=4)
    assert (newest.number, newest.partitions, newest.partitions_changed, newest.row_count) == (
        last + 3,
        PARTITIONS - 1,
        1,
        PARTITIONS - 1,
    )
    assert (first.partitions, first.partitions_changed) == (PARTITIONS, 1)
    for at in (1, VERSIONS // 2, last):
        assert cost(lambda at=at: held(lake, "p5000", at)) == ({}, pytest.approx(4, abs=4))  # type: ignore[misc]

    # Of many, each is looked up by an index a few times; the second time it is a replay.
    ids = [
        one.materialization_id
        for one in lake.commit(*(lake.staged("delays", f"p{n}", intent="2") for n in range(2_000)))
    ]
    written, read = cost(lambda: store.publish(ids))
    assert written == {"idempotency": 1, "version": 1, "version_partition": 2_000, "outbox": 1, "audit": 1}
    assert read < 20 * len(ids)
    written, read = cost(lambda: store.publish(ids))
    assert (written, read < 10 * len(ids)) == ({}, True)

    # What readers rely on is told in batches, each of which reads its own: not each time all that there is.
    relied, read = Health(store.sessions).relied(batch=1_000), rows_read(store, look, *TABLES)
    assert len(list(islice(relied, 5_000))) == 5_000
    assert rows_read(store, look, *TABLES) - read < 5 * 5_000
