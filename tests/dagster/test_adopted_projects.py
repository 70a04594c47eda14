"""Projects of the shapes that Dagster's own examples have, adopted in one line."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from metadata_assets import with_metadata
from metadata_assets.datasets import key_of
from metadata_assets.mirror.materialized import record_materializations
from resources.metadata_store import MetadataStore

ADOPTED = Path(__file__).parent / "adopted"
SHAPES = ["quickstart", "etl_tutorial", "fully_featured"]
OURS = {"mirror_lineage", "mirror_runs", "settle_checks", "record_materializations"}
pytestmark = pytest.mark.filterwarnings(
    "ignore:Property `OpDefinition.version`:DeprecationWarning"
)  # Dagster asks itself


def loaded(name: str) -> ModuleType:
    """A project as Dagster loads a file."""
    spec = importlib.util.spec_from_file_location(f"adopted_{name}", ADOPTED / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def facts(defs: dg.Definitions) -> dict[str, Any]:
    """All that people see of a project but sensors."""
    graph = defs.resolve_asset_graph()
    names = ["parent_keys", "partitions_def", "partition_mappings", "group_name", "kinds", "owners", "tags", "metadata"]
    names += [
        "description",
        "code_version",
        "automation_condition",
        "is_materializable",
        "is_observable",
        "is_external",
    ]
    nodes = {key: [getattr(graph.get(key), name) for name in names] for key in graph.get_all_asset_keys()}
    jobs = {job.name: sorted(node.name for node in job.graph.nodes) for job in defs.resolve_all_job_defs()}
    ours = {one.name for one in defs.sensors or ()} & OURS
    others = [one for one in defs.sensors or () if one.name not in ours]
    checks = sorted(map(str, graph.asset_check_keys))
    return {"nodes": nodes, "jobs": jobs, "checks": checks, "sensors": others, "schedules": defs.schedules}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_project_of_this_shape_is_recorded_and_otherwise_the_same(
    shape: str, environment: dict[str, str], stored: MetadataStore
) -> None:
    assert environment
    project = loaded(shape)
    adopted = with_metadata(project.defs)
    assert facts(adopted) == facts(project.defs)
    assert {one.name for one in adopted.sensors or ()} - {one.name for one in project.defs.sensors or ()} == OURS

    partition = getattr(project, "PARTITION", None)
    graph = adopted.resolve_asset_graph()
    divided = [key for key in graph.executable_asset_keys if graph.get(key).partitions_def]
    whole = [key for key in graph.executable_asset_keys if not graph.get(key).partitions_def]
    waiting = {key for key in whole if divided and graph.get_ancestor_asset_keys(key) & set(divided)}
    with dg.DagsterInstance.ephemeral() as instance:
        for keys, at in ((set(whole) - waiting, None), (divided, partition), (waiting, None)):
            if keys:
                job = adopted.resolve_implicit_job_def_def_for_assets(list(keys))
                assert job is not None
                assert job.execute_in_process(instance=instance, partition_key=at, asset_selection=list(keys)).success
        before = {
            key: len(stored.materializations(key_of(dg.AssetKey.from_user_string(key), None)))
            for key in project.EXPECTED
        }
        assert record_materializations(stored, instance, graph).recorded == (1 if "ids" in project.EXPECTED else 0)
    assert before == {**project.EXPECTED, **({"ids": 0} if "ids" in project.EXPECTED else {})}, "recorded by its steps"
    found = {one.key: one for one in stored.datasets()}
    for name, records in project.EXPECTED.items():
        key = key_of(dg.AssetKey.from_user_string(name), None)
        assert found[key].materializations == records
        assert found[key].published_version == records
        (record, *_older) = stored.materializations(key)
        parents = {key_of(one, None) for one in graph.get(dg.AssetKey.from_user_string(name)).parent_keys}
        assert {one.key for one in stored.inputs(record.id)} == parents
