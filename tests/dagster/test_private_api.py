"""What we use of Dagster below its public API: after an upgrade, what is gone is named here with what it breaks."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.job.asset_layer import AssetLayer
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.execution.context.system import ExecutionData, StepExecutionContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("identity", "resources", "metadata_assets")
ONLY_DOOR = Path("metadata_assets/_dagster.py")

_TAG = "the intent of runs: {}"
_OBSERVED = "collections: which version of each table Dagster was told last"
IMPORTS = {
    ("dagster._core.definitions.decorators.op_decorator", "DecoratedOpFunction"): (
        "adopted projects: what an asset's function is wrapped in"
    ),
    ("dagster._core.execution.plan.compute_generator", "validate_and_coerce_op_result_to_iterator"): (
        "adopted projects: what a function returned, as outputs"
    ),
    ("dagster._core.execution.plan.outputs", "StepOutputHandle"): "adopted projects: which I/O manager has an output",
    ("dagster._core.definitions.events", "AssetKeyPartitionKey"): (
        "backfills that continue another: whether that one materialized a partition"
    ),
    ("dagster._core.definitions.data_version", "DATA_VERSION_TAG"): _OBSERVED,
    ("dagster._core.storage.event_log", "AssetKeyTable"): _OBSERVED,
    ("dagster._core.storage.event_log", "SqlEventLogStorage"): _OBSERVED,
    ("dagster._core.storage.event_log", "SqlEventLogStorageTable"): _OBSERVED,
    ("dagster._core.storage.event_log.schema", "AssetEventTagsTable"): _OBSERVED,
    ("dagster._core.storage.tags", "ASSET_RESUME_RETRY_TAG"): _TAG.format("re-execution from asset failure"),
    ("dagster._core.storage.tags", "AUTO_RETRY_RUN_ID_TAG"): _TAG.format("runs that the daemon retries"),
    ("dagster._core.storage.tags", "BACKFILL_ID_TAG"): _TAG.format("backfills"),
    ("dagster._core.storage.tags", "PARENT_BACKFILL_ID_TAG"): _TAG.format("backfills that continue another"),
    ("dagster._core.storage.tags", "PARENT_RUN_ID_TAG"): _TAG.format("every re-execution"),
    ("dagster._core.storage.tags", "RESUME_RETRY_TAG"): _TAG.format("re-execution from failure"),
    ("dagster._core.storage.tags", "RETRY_NUMBER_TAG"): _TAG.format("a retry whose parent was deleted"),
    (
        "dagster._utils.schedules",
        "is_valid_cron_schedule",
    ): "the cron expressions of a project, which are told at their line",
    ("dagster._record", "as_dict"): "records: the columns and the column lineage that a materialization notes",
    ("dagster._record", "is_record"): "records: the columns and the column lineage that a materialization notes",
    ("dagster._serdes", "ConfigurableClassData"): "Dagster's own storage: dagster.yaml names a class that is given it",
}
TAGS = {
    "ASSET_RESUME_RETRY_TAG": "dagster/is_asset_resume_retry",
    "AUTO_RETRY_RUN_ID_TAG": "dagster/auto_retry_run_id",
    "BACKFILL_ID_TAG": "dagster/backfill",
    "PARENT_BACKFILL_ID_TAG": "dagster/parent_backfill_id",
    "PARENT_RUN_ID_TAG": "dagster/parent_run_id",
    "RESUME_RETRY_TAG": "dagster/is_resume_retry",
    "RETRY_NUMBER_TAG": "dagster/retry_number",
}
ATTRIBUTES: list[tuple[Any, str, str]] = [
    (dg.OpExecutionContext, "get_step_execution_context", "the step's key, which tells attempts apart"),
    (dg.OpExecutionContext, "retry_number", "the number of the try, which tells attempts apart"),
    (dg.OpExecutionContext, "job_def", "the job's asset graph: inputs of each partition of a run over several"),
    (dg.AssetExecutionContext, "op_execution_context", "all of a step's context"),
    (dg.JobDefinition, "asset_layer", "the job's asset graph: inputs of each partition of a run over several"),
    (dg.DagsterInstance, "get_backfill", "backfills that continue another"),
    (dg.DagsterInstance, "event_log_storage", "the mirror of runs: which runs something happened in"),
    (EventLogStorage, "get_logs_for_all_runs_by_log_id", "the mirror of runs: which runs something happened in"),
    (SqlEventLogStorage, "index_connection", _OBSERVED),
    (SqlRunStorage, "get_run_storage_id", "the mirror of runs: which log its position belongs to"),
    (dg.DagsterRun, "remote_job_origin", "the mirror of runs: which code location a run is of"),
    (dg.DagsterInstance, "get_records_for_run", "whether a parent run materialized a partition or refused it"),
    (dg.OpExecutionContext, "has_partition_key", "which partition the run asks a check about"),
    (dg.OpExecutionContext, "has_partition_key_range", "which partitions the run asks a check about"),
    (dg.OpExecutionContext, "partition_key_range", "which partitions the run asks a check about"),
    (AssetLayer, "executable_asset_keys", "the mirror of the asset graph: which jobs materialize an asset"),
    (StepExecutionContext, "get_io_manager", "adopted projects: which I/O manager has an output"),
    (StepExecutionContext, "get_output_context", "adopted projects: the partitions of an output"),
    (StepExecutionContext, "add_asset_metadata", "adopted projects: what an event says about its delivery"),
    (StepExecutionContext, "has_data_version", "adopted projects: the data version of an asset"),
    (StepExecutionContext, "get_data_version", "adopted projects: the data version of an asset"),
    (dg.AssetsDefinition, "get_attributes_dict", "adopted projects: the same assets with another function"),
    (dg.AssetsDefinition, "dagster_internal_init", "adopted projects: the same assets with another function"),
    (dg.OpDefinition, "resolve_output_to_origin_op_def", "adopted projects: which op of a graph yields an asset"),
    (AssetLayer, "get_assets_def_for_node", "whether a step checks an asset that another one materializes"),
    (AssetGraph, "asset_check_keys", "the blocking checks that data wait for"),
    (AssetGraph, "get_check_spec", "the blocking checks that data wait for"),
    (StepExecutionContext, "node_handle", "whether a step checks an asset that another one materializes"),
    (StepExecutionContext, "execution_plan", "adopted projects: whether a process executes more of a run than a step"),
    (ExecutionPlan, "step_keys_to_execute", "adopted projects: whether a process executes more of a run than a step"),
    (dg.DagsterInstance, "add_event_listener", "adopted projects: each step sees what those before it delivered"),
    (dg.JobDefinition, "get_node", "adopted projects: whose function a step that begins computes"),
    (StepExecutionContext, "get_asset_metadata", "what a function notes about an asset or one of its partitions"),
    (EventLogStorage, "get_logs_for_all_runs_by_log_id", "the sensor that publishes what has passed its checks"),
    (AssetGraph, "get_parents_partitions", "inputs of each partition of a run over several"),
    (AssetGraph, "get_all_asset_keys", "the mirror of the asset graph"),
    (PartitionBackfill, "get_asset_backfill_data", "backfills that continue another"),
    (PartitionBackfill, "is_asset_backfill", "backfills that continue another"),
    (AssetBackfillData, "materialized_subset", "backfills that continue another"),
    (dg.DagsterEvent, "asset_check_evaluation_data", "whether a blocking check refused what a run delivered"),
]
NODE = ["metadata", "description", "group_name", "kinds", "owners", "tags", "code_version", "partitions_def"]
NODE += ["parent_keys", "is_materializable", "partition_mappings"]


def private_imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that a file imports of Dagster's private modules, however it is written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found = [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("dagster."):
            found = [(node.value, "")]  # import_module("dagster._core…")
        else:
            continue
        for module, name in found:
            package, *rest = f"{module}.{name}".split(".")
            if package.partition("_")[0] == "dagster" and any(part.startswith("_") for part in rest):
                yield module, name


@pytest.mark.parametrize(("module", "name"), IMPORTS, ids=[name for _module, name in IMPORTS])
def test_a_private_import_is_there(module: str, name: str) -> None:
    breaks = IMPORTS[module, name]
    found = getattr(importlib.import_module(module), name, None)
    assert found is not None, f"{module}.{name} is gone, which breaks {breaks}"
    if name in TAGS:
        assert found == TAGS[name], f"{name} is written otherwise now: runs of before the upgrade are misread"


@pytest.mark.parametrize(("owner", "name", "breaks"), ATTRIBUTES, ids=[name for _owner, name, _breaks in ATTRIBUTES])
def test_what_we_ask_dagsters_objects_is_there(owner: Any, name: str, breaks: str) -> None:
    assert hasattr(owner, name), f"{owner.__name__}.{name} is gone, which breaks {breaks}"


def test_the_facts_of_an_asset_are_there() -> None:
    graph = dg.Definitions(assets=[dg.AssetSpec("a")]).resolve_asset_graph()
    gone = [name for name in NODE if not hasattr(graph.get(dg.AssetKey("a")), name)]
    assert not gone, f"nodes of the asset graph have no {', '.join(gone)} now, which breaks the mirror"


def test_a_plan_knows_its_steps() -> None:
    assert "step_dict_by_key" in ExecutionPlan._fields, "breaks that a step begins without waiting for the store"


def test_what_an_output_reports_can_be_cut() -> None:
    facts = vars(dg.build_output_context())
    assert {"_asset_key", "_asset_partitions_subset"} <= set(facts), "breaks that partitions without data stay missing"


def test_the_facts_of_a_check_are_there() -> None:
    facts = set(inspect.signature(dg.AssetCheckEvaluation).parameters)
    assert {"asset_key", "blocking", "passed"} <= facts, "breaks whether a blocking check refused what a run delivered"
    told = {"partition", "severity", "target_materialization_data"}
    assert told <= facts, "breaks what the sensor records of checks, and about which data"


def test_a_step_asks_for_its_resources_when_it_starts() -> None:
    asked = []

    class Asked(dg.IAttachDifferentObjectToOpContext):
        def get_object_to_set_on_execution_context(self) -> None:
            asked.append("resource")

    @dg.op(required_resource_keys={"one"})
    def first() -> None:
        asked.append("first")

    @dg.op(required_resource_keys={"one"}, ins={"after": dg.In(dg.Nothing)})
    def second() -> None:
        asked.append("second")

    @dg.job(resource_defs={"one": dg.ResourceDefinition.hardcoded_resource(Asked())})
    def both() -> None:
        second(first())

    both.execute_in_process()
    wanted = ["resource", "first", "resource", "second"]
    assert asked == wanted, "breaks how old an attempt of a step is that loads nothing"


def test_a_step_knows_its_repository() -> None:
    assert "repository_def" in ExecutionData.__annotations__, "breaks which checks data wait for that a run leaves out"


def test_this_file_knows_every_private_import() -> None:
    assert set(private_imports(ROOT / ONLY_DOOR)) == set(IMPORTS)


def test_nothing_else_goes_below_the_public_api() -> None:
    files = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert ONLY_DOOR in files
    found = {str(path): list(private_imports(ROOT / path)) for path in files if path != ONLY_DOOR}
    assert {path: imports for path, imports in found.items() if imports} == {}


@pytest.mark.parametrize(
    "code",
    [
        "from dagster._core.storage.tags import BACKFILL_ID_TAG",
        "from dagster import _check",
        "import dagster._core.errors as errors",
        "def f():\n    from dagster_postgres._x import y",
        "import_module('dagster._core.instance')",
    ],
)
def test_an_import_below_the_public_api_is_found(code: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(code)
    assert len(list(private_imports(tmp_path / "module.py"))) == 1


@pytest.mark.parametrize("code", ["import dagster as dg", "from dagster import asset", "from ._x import dagster"])
def test_a_public_import_is_not(code: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(code)
    assert list(private_imports(tmp_path / "module.py")) == []
