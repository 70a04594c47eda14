"""The sensor and the job, on a real Dagster instance, a real source and a real store."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from sqlalchemy.engine import make_url

from metadata_assets.collection.sensors import collection_definitions
from metadata_assets.collection.watching import Memory
from metadata_assets.spec import load_project
from resources.configurable import MetadataResource, close_all
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server
from tests.collection.conftest import Source
from tests.collection.daemons import PROJECT, Clock, Daemon


def test_there_is_a_job_and_a_running_sensor_for_each_collected_endpoint(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {"collect_shop", "collect_shop_2_8a8b2b14", "collect_shop_2_5451d1ed"}
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert sensors.keys() == {f"{job}_on_change" for job in jobs}
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in sensors.values())
    assert sensors["collect_shop_on_change"].minimum_interval_seconds == 600


def test_a_run_is_asked_for_once_for_each_change(daemon: Daemon, source: Source, store: MetadataStore) -> None:
    first = daemon.look()
    assert isinstance(first, dg.RunRequest)
    assert first.run_key == f"1:{source.look().fingerprint}"
    result = daemon.run(first)
    assert result.success
    assert store.endpoint("shop").schema_fingerprint == source.fingerprint()  # type: ignore[union-attr]
    assert daemon.look() == "the schema has not changed"

    source.run("INSERT INTO customer VALUES (1)", "ANALYZE")
    assert daemon.look() == "the schema has not changed"

    original = source.fingerprint()
    source.run("ALTER TABLE customer ADD COLUMN name text")
    assert daemon.run(daemon.look()).success
    assert daemon.look() == "the schema has not changed"

    source.run("ALTER TABLE customer DROP COLUMN name")
    back = daemon.look()
    assert isinstance(back, dg.RunRequest)
    assert back.run_key == f"3:{original}", "the same fingerprint again is another run"
    assert daemon.run(back).success


def test_a_run_that_is_under_way_is_not_asked_for_again(
    daemon: Daemon, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    request = daemon.look()
    assert isinstance(request, dg.RunRequest)
    instance.create_run_for_job(
        definitions.resolve_job_def("collect_shop"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/run_key": str(request.run_key)},
    )
    assert daemon.look() == "its collection is under way"


def test_a_collection_that_failed_is_asked_for_again(
    daemon: Daemon, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    request = daemon.look()
    assert isinstance(request, dg.RunRequest)
    instance.create_run_for_job(
        definitions.resolve_job_def("collect_shop"),
        status=dg.DagsterRunStatus.FAILURE,
        tags={"dagster/run_key": str(request.run_key)},
    )
    assert daemon.run(daemon.look()).success
    assert daemon.look() == "the schema has not changed"


def test_what_somebody_collected_by_hand_is_not_collected_again(
    daemon: Daemon, source: Source, store: MetadataStore
) -> None:
    source.collect_into(store, "shop")
    assert daemon.look() == "the schema has not changed"


def test_an_unreachable_endpoint_is_skipped_and_what_was_learnt_stays(
    daemon: Daemon, clock: Clock, source: Source, server: Server, store: MetadataStore
) -> None:
    daemon.run(daemon.look())
    kept = Memory.parse(daemon.cursor)
    collected = store.endpoint("shop")
    database = source.database
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} RENAME TO {database}_away".encode())
        skipped = str(daemon.look())
        assert skipped.startswith("cannot reach endpoint shop at ")
        assert "no such database" in skipped
        down = "it is down since 2026-01-01 00:00:00Z; no look before 2026-01-01 00:00:"
        assert f"; 1 look failed, {down}" in skipped
        assert str(daemon.look()).startswith(f"1 look failed, {down}"), "it rests"
        clock.now += timedelta(seconds=30)
        again = str(daemon.look())
        assert again.startswith("cannot reach endpoint shop at ")
        assert "; 2 looks in a row failed, it is down since 2026-01-01 00:00:00Z" in again
        connection.execute(f"ALTER DATABASE {database}_away RENAME TO {database}".encode())
    clock.now += timedelta(seconds=30)
    assert str(daemon.look()).startswith("2 looks in a row failed"), "a minute less a quarter is not over"
    assert store.endpoint("shop") == collected, "nothing was closed"
    clock.now += timedelta(seconds=30)
    assert daemon.look() == "the schema has not changed"
    assert Memory.parse(daemon.cursor) == kept


@pytest.mark.parametrize("known", [True, False], ids=["opened before", "never opened"])
def test_an_endpoint_is_not_down_because_our_own_store_is(
    daemon: Daemon, metadata_url: str, server: Server, known: bool
) -> None:
    """What is known of the endpoint stays, and the next look is not put off."""
    database = make_url(metadata_url).database
    assert isinstance(daemon.look(), dg.RunRequest)
    kept = daemon.cursor
    if not known:
        close_all()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false".encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
        try:
            skipped = str(daemon.look())
        finally:
            connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true".encode())
    assert "; this was about the metadata store, endpoint shop is looked at again the next time" in skipped
    assert known or skipped.startswith("cannot reach the metadata database")
    assert "down since" not in skipped
    assert daemon.cursor == kept
    assert daemon.look() != skipped, "it looks again at once"


@pytest.mark.parametrize(
    ("variable", "url", "reason"),
    [
        ("SHOP_2", "", "the environment variable SHOP_2 is not set, and endpoint shop-2 needs it"),
        ("SHOP_2", "mysql://u:planted-canary@nowhere/", "this connection URL cannot be used, it is not for PostgreSQL"),
        ("METADATA_DATABASE_URL", "postgresql://u:planted-canary@127.0.0.1:1/x", "cannot reach the metadata database"),
    ],
)
def test_what_keeps_a_sensor_from_looking_is_why_it_skips(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    url: str,
    reason: str,
) -> None:
    monkeypatch.setenv(variable, url)
    skipped = str(Daemon(definitions, instance, "collect_shop_2_8a8b2b14").look())
    assert skipped.startswith(reason)
    assert "planted-canary" not in skipped


def test_the_run_shows_what_it_did(
    daemon: Daemon, source: Source, reader: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.run("CREATE TABLE denied (x int)", f"GRANT SELECT ON customer TO {reader}")
    url = make_url(server.url("postgres")).set(username=reader).render_as_string()
    monkeypatch.setenv("DATA_DATABASE_URL", url)
    result = daemon.run(daemon.look())
    assert result.success
    (event,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    metadata = {name: value.value for name, value in event.step_output_data.metadata.items()}
    assert metadata["tables_new"] == 1
    assert metadata["columns_new"] == 1
    assert metadata["rows_written"] == 3
    assert metadata["complete"] is False
    assert metadata["gaps"] == [
        {
            "name": "shop/public/denied",
            "reason": f"it may not be selected from: GRANT SELECT ON public.denied TO {reader}",
        }
    ]


def test_a_failing_collection_says_why_without_a_password(
    monkeypatch: pytest.MonkeyPatch, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    second = Daemon(definitions, instance, "collect_shop_2_8a8b2b14")
    monkeypatch.setenv("SHOP_2", "mysql://u:planted-canary@nowhere/")
    result = second.run(dg.RunRequest(run_key="1:x"))
    assert not result.success
    (event,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    failure = event.step_failure_data
    assert failure.user_failure_data.description.startswith("this connection URL cannot be used")
    assert "planted-canary" not in repr(list(instance.all_logs(result.run_id)))


def test_loading_the_definitions_connects_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(psycopg, "connect", refuse)
    (tmp_path / "metadata.yml").write_text(PROJECT.format(database="shop"))
    definitions = collection_definitions(load_project(tmp_path).endpoints.values())
    dg.Definitions.merge(definitions, dg.Definitions(resources={"metadata": MetadataResource()})).get_repository_def()


def test_a_cursor_survives_the_round_trip() -> None:
    memory = Memory(sequence=3, fingerprint="f", failures=2, ask_at=1.5, away=1, down_since=1.0, look_at=2.0)
    assert Memory.parse(memory.cursor) == memory
    assert Memory.parse(None) == Memory()
