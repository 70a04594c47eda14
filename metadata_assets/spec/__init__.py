"""The project that a team declares in YAML: read, checked as a whole, frozen."""

from metadata_assets.spec.loading import DATASETS_FOLDER, METADATA_FILE, load_project
from metadata_assets.spec.partitions import (
    DynamicPartitions,
    Mapping,
    MultiPartitions,
    Partitions,
    StaticPartitions,
    TimePartitions,
    feeds_several,
)
from metadata_assets.spec.problems import At, Problem, ProjectInvalid
from metadata_assets.spec.project import (
    Automation,
    Check,
    Collect,
    Column,
    Dataset,
    Dependency,
    Function,
    Project,
    ProjectEndpoint,
    Schedule,
    asset_key,
)
from metadata_assets.spec.queries import Query, Relation

__all__ = [
    "DATASETS_FOLDER",
    "METADATA_FILE",
    "At",
    "Automation",
    "Check",
    "Collect",
    "Column",
    "Dataset",
    "Dependency",
    "DynamicPartitions",
    "Function",
    "Mapping",
    "MultiPartitions",
    "Partitions",
    "Problem",
    "Project",
    "ProjectEndpoint",
    "ProjectInvalid",
    "Query",
    "Relation",
    "Schedule",
    "StaticPartitions",
    "TimePartitions",
    "asset_key",
    "feeds_several",
    "load_project",
]
