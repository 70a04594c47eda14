"""What Dagster is told of the tables that a collection found changed: a real instance, source and store."""

from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from metadata_assets import DatasetProps, MetadataTranslator, code_location
from metadata_assets.collection.observing import observations
from metadata_assets.collection.sensors import observable_sources
from metadata_assets.spec import load_project
from resources.configurable import MetadataResource
from resources.metadata_store import MetadataStore
from tests.collection.conftest import Source
from tests.collection.daemons import Daemon


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
