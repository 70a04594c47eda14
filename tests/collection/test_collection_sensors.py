"""The sensor and the job, on a real Dagster instance, a real source and a real store."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from metadata_assets import DatasetProps, MetadataTranslator, code_location
from metadata_assets.collection.observing import observations
from metadata_assets.collection.sensors import collection_definitions, observable_sources
from metadata_assets.collection.watching import Memory
from metadata_assets.spec import load_project
from resources.configurable import MetadataResource, close_all
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server
from tests.collection.conftest import Source

PROJECT = """
name: shops
endpoints:
  shop: {{system: postgres, database: {database}, collect: {{schemas: [public], every: 10m, profile: true}}}}
  shop-2: {{system: postgres, url: env:SHOP_2, database: {database}, collect: {{}}}}
  shop_2: {{system: postgres, database: {database}, collect: {{}}}}
  uncollected: {{system: postgres, database: {database}}}
  lake: {{system: files}}
"""


class NoOutputs(dg.IOManager):
    """The default I/O manager of a project: a collection has no business with it."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError(f"{context.step_key} stored {obj!r}")

    def load_input(self, context: dg.InputContext) -> None:
        raise AssertionError(context)


class Clock:
    """One that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def definitions(
    source: Source, metadata_url: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> Iterator[dg.Definitions]:
    source.run("CREATE TABLE customer (id int PRIMARY KEY)")
    (tmp_path / "metadata.yml").write_text(PROJECT.format(database=source.database))
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    for name in ("DAGSTER_POSTGRES_URL", "DATA_DATABASE_URL"):
        monkeypatch.setenv(name, server.url("postgres"))
    resources = dg.Definitions(resources={"metadata": MetadataResource(), "io_manager": NoOutputs()})
    endpoints = load_project(tmp_path).endpoints.values()
    yield dg.Definitions.merge(resources, collection_definitions(endpoints, clock=clock))
    close_all()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


class Daemon:
    """What Dagster's daemon does with one sensor: keep its cursor, launch what it asks for, once for each run key."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, job: str = "collect_shop") -> None:
        self.definitions, self.instance, self.job = definitions, instance, job
        self.cursor: str | None = None
        self.launched: set[str] = set()

    def look(self) -> dg.RunRequest | str:
        """One evaluation: the run that it asks for, or why it asks for none."""
        repository = self.definitions.get_repository_def()
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=repository,
            resources={"metadata": MetadataResource()},
        )
        with context:
            tick = repository.get_sensor_def(f"{self.job}_on_change").evaluate_tick(context)
        self.cursor = tick.cursor
        return tick.run_requests[0] if tick.run_requests else str(tick.skip_message)

    def run(self, request: dg.RunRequest | str) -> dg.ExecuteInProcessResult:
        assert isinstance(request, dg.RunRequest)
        assert request.run_key is not None
        assert request.run_key not in self.launched, "the daemon launches a run key once"
        self.launched.add(request.run_key)
        return self.definitions.resolve_job_def(self.job).execute_in_process(
            instance=self.instance, tags={**request.tags, "dagster/run_key": request.run_key}, raise_on_error=False
        )


@pytest.fixture
def daemon(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(definitions, instance)


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


def test_a_changed_table_is_observed_so_that_what_depends_on_it_is_asked_for(
    daemon: Daemon, instance: dg.DagsterInstance, source: Source, tmp_path: Path
) -> None:
    source.run("CREATE TABLE other (id int)")
    table = dg.AssetKey(["shop", "public", "customer"])

    @dg.asset(deps=[table], automation_condition=dg.AutomationCondition.any_deps_updated())
    def downstream() -> None: ...

    endpoints = load_project(tmp_path).endpoints.values()
    watching = dg.Definitions(
        assets=observable_sources([dg.AssetSpec(table), downstream], endpoints),
        resources={"metadata": MetadataResource()},
    )

    def look(cursor: object = None) -> dg.EvaluateAutomationConditionsResult:
        return dg.evaluate_automation_conditions(watching, instance, cursor=cursor)  # type: ignore[arg-type]

    def latest(name: str) -> dg.AssetObservation:
        (record,) = instance.fetch_observations(dg.AssetKey(["shop", "public", name]), limit=1).records
        assert record.asset_observation
        return record.asset_observation

    first = look()
    daemon.run(daemon.look())
    assert latest("customer").metadata["dagster/row_count"].value == 0
    (profile,) = latest("customer").metadata["metadata_assets/profile"].value
    assert (profile["name"], profile["nulls"], profile["distinct"]) == ("id", None, 0)
    columns = latest("customer").metadata["dagster/column_schema"].value
    assert [(column.name, column.type, column.constraints.nullable) for column in columns.columns] == [
        ("id", "integer", False)
    ]
    second = look(first.cursor)
    assert second.total_requested == 1
    assert look(second.cursor).total_requested == 0

    before = latest("customer").data_version, latest("other").data_version
    source.run("ALTER TABLE customer ALTER id TYPE bigint", "ALTER TABLE customer ADD note text")
    daemon.run(daemon.look())
    changed = latest("customer")
    assert changed.data_version != before[0]
    assert latest("other").data_version == before[1]
    assert changed.metadata["metadata_assets/breaking"].value is False
    assert [one["kind"] for one in changed.metadata["metadata_assets/changes"].value] == [
        "type widened",
        "column added",
    ]
    third = look(second.cursor)
    assert third.total_requested == 1

    job = watching.resolve_implicit_global_asset_job_def()
    observed = job.execute_in_process(instance=instance, asset_selection=[table])
    assert observed.success
    assert latest("customer").data_version == changed.data_version, "what did not change has the same version"

    source.run("DROP TABLE customer")
    daemon.run(daemon.look())
    assert latest("customer").data_version == "gone"
    assert look(third.cursor).total_requested == 1


def test_what_an_earlier_collection_found_and_nobody_told_is_told_by_the_next(
    daemon: Daemon,
    instance: dg.DagsterInstance,
    source: Source,
    store: MetadataStore,
    tmp_path: Path,
) -> None:
    table = dg.AssetKey(["shop", "public", "customer"])
    endpoints = load_project(tmp_path).endpoints.values()
    sources = observable_sources([dg.AssetSpec(table)], endpoints)
    watching = dg.Definitions(assets=sources, resources={"metadata": MetadataResource()})
    job = watching.resolve_implicit_global_asset_job_def()

    def told(name: str) -> list[str | None]:
        records = instance.fetch_observations(dg.AssetKey(["shop", "public", name]), limit=10).records
        return [one.asset_observation.data_version for one in records if one.asset_observation]

    source.run("CREATE TABLE other (id int)", "CREATE TABLE dropped (id int)")
    request = daemon.look()
    daemon.run(request)
    first = told("other")
    source.run("ALTER TABLE other ADD note text", "ALTER TABLE customer ADD note text")
    assert job.execute_in_process(instance=instance, asset_selection=[table]).success
    second = told("other")
    assert len(second) == 1 + len(first), "what was found beside the one that was asked for is told, too"

    source.run("ALTER TABLE other ADD more text", "DROP TABLE dropped")
    source.collect_into(store, "shop")
    daemon.launched.clear()
    assert daemon.run(request).success
    third = told("other")
    assert (len(third), len({*third})) == (len(second) + 1, 3)
    late = instance.fetch_observations(dg.AssetKey(["shop", "public", "other"]), limit=1).records[0].asset_observation
    assert late
    assert (late.description, "metadata_assets/breaking" in late.metadata) == ("found by an earlier collection", False)
    assert told("dropped")[0] == "gone"
    assert told("customer")[0] == told("customer")[1], "the profile is told, of the same schema"
    daemon.launched.clear()
    assert daemon.run(request).success
    assert (len({*told("other")}), len(told("dropped"))) == (3, 2)


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


def test_what_dagster_was_told_of_all_tables_is_asked_at_once(
    daemon: Daemon, instance: dg.DagsterInstance, source: Source, store: MetadataStore
) -> None:
    source.run(*(f"CREATE TABLE t{number} (id int)" for number in range(20)))
    assert daemon.run(daemon.look()).success
    collected = source.collect_into(store, "shop")
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        assert not list(observations(store, instance, collected))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert len([one for one in asked if "event_logs" in one]) == 1
    instance.wipe_assets([dg.AssetKey(["shop", "public", "t3"])])
    assert [one.asset_key.path[-1] for one in observations(store, instance, collected)] == ["t3"]


def test_what_a_translator_calls_a_table_is_what_is_observed(
    daemon: Daemon, instance: dg.DagsterInstance, source: Source, tmp_path: Path
) -> None:
    """By the job and by the observable asset alike, and nothing is told of the name that the table has without one."""
    assert daemon, "the environment of its definitions"

    class Ours(MetadataTranslator):
        def get_asset_spec(self, props: DatasetProps) -> dg.AssetSpec:
            return props.spec.replace_attributes(key=["ours", props.key.table])

    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "all.yml").write_text(
        "datasets: [{name: copy, endpoint: lake, sql: copy.sql, automation: eager}]"
    )
    (tmp_path / "datasets" / "copy.sql").write_text("SELECT id FROM {{ source('shop', 'public', 'customer') }}")
    defs = code_location(load_project(tmp_path), Ours())
    table = dg.AssetKey(["ours", "customer"])
    assert defs.resolve_asset_graph().get(dg.AssetKey(["ours", "copy"])).parent_keys == {table}

    def told(key: dg.AssetKey) -> list[str | None]:
        records = instance.fetch_observations(key, limit=10).records
        return [one.asset_observation.data_version for one in records if one.asset_observation]

    assert defs.resolve_job_def("collect_shop").execute_in_process(instance=instance).success
    assert len(told(table)) == 1
    source.run("ALTER TABLE customer ADD note text")
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[table]).success
    assert len({*told(table)}) == 2
    assert told(dg.AssetKey(["shop", "public", "customer"])) == []
