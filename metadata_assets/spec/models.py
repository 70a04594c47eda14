"""The fields of `metadata.yml` and `datasets/*.yml`, each with what it accepts."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from metadata_assets.spec.contract_fields import (
    Accepted,
    ContractFields,
    RelationshipFields,
    Severity,
    Single,
    Switched,
)
from metadata_assets.spec.declared import Declared
from metadata_assets.spec.partitions import (
    GRAINS,
    Dimension,
    DynamicPartitions,
    Grain,
    MultiPartitions,
    Partitions,
    StaticPartitions,
    TimePartitions,
)
from metadata_assets.spec.texts import (
    DatabaseFile,
    DatasetName,
    Duration,
    Filled,
    FunctionReference,
    Identifier,
    Moment,
    Name,
    Owner,
    PartitionMapping,
    Root,
    Slug,
    SqlReference,
    Tag,
    Timezone,
    UrlReference,
    Word,
    refuse,
)
from metadata_assets.spec.timing_fields import Automated, RetentionFields
from resources.locations import System
from resources.models import PublishPolicy


class CollectFields(Declared):
    """What to collect of an endpoint's catalog: these schemas and tables, or all; how often to look,
    and whether to look at the rows of tables, too.
    """

    schemas: tuple[Name, ...] = ()
    tables: tuple[Name, ...] = ()
    every: Duration = timedelta(minutes=5)
    profile: bool = False


_OF_SYSTEM: Mapping[System, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "postgres": (("database",), ("url", "collect")),
    "mysql": (("url",), ("collect",)),
    "mariadb": (("url",), ("collect",)),
    "duckdb": (("file", "database"), ("collect",)),
    "sqlite": (("file",), ("database", "collect")),
    "files": ((), ("root",)),
}
"""What an endpoint of a system has to say, and what else it may say."""

_FIXES = {
    "database": "add the name of the database, it is part of its keys",
    "url": "add url: env:NAME, the environment variable that holds the connection URL",
    "file": "add the path of the file, relative to the project, or env:NAME",
}


class EndpointFields(Declared):
    """One entry of `endpoints`."""

    system: System
    url: UrlReference | None = None
    database: Name | None = None
    root: Root | None = None
    file: DatabaseFile | None = None
    collect: CollectFields | None = None

    @model_validator(mode="after")
    def _fits_its_system(self) -> "EndpointFields":
        needed, possible = _OF_SYSTEM[self.system]
        for field in needed:
            if getattr(self, field) is None:
                refuse(f"a {self.system} endpoint needs its `{field}`", _FIXES[field])
        for field in ("url", "database", "root", "file", "collect"):
            if getattr(self, field) is not None and field not in {*needed, *possible}:
                refuse(f"an endpoint of system {self.system} has no `{field}`", "remove it")
        return self


class EnvironmentEndpointFields(Declared):
    """What is else about an endpoint in one environment; where nothing is said it is as everywhere."""

    url: UrlReference | None = None
    database: Name | None = None
    root: Root | None = None
    file: DatabaseFile | None = None
    collect: CollectFields | None = None


class ProjectFields(Declared):
    """`metadata.yml`. Endpoints and schedules are validated one by one, so that one mistake does not hide another."""

    name: Name
    endpoints: dict[Slug, object] = Field(default_factory=dict)
    environments: dict[Slug, dict[str, EnvironmentEndpointFields]] = Field(default_factory=dict)
    schedules: dict[Word, object] = Field(default_factory=dict)


class TimeFields(Declared):
    """The calendar of partitions by time."""

    start: Moment
    end: Moment | None = None
    timezone: Timezone = "UTC"

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "TimeFields":
        if self.end is not None and self.end <= self.start:
            refuse("its end is not after its start", "the end is the first moment that is not covered any more")
        return self


class DimensionFields(Declared):
    """How something is divided: exactly one of these."""

    hourly: TimeFields | None = None
    daily: TimeFields | None = None
    weekly: TimeFields | None = None
    monthly: TimeFields | None = None
    static: tuple[Name, ...] | None = None
    dynamic: Word | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if len(self.model_fields_set) != 1:
            refuse("a dataset is divided in exactly one way", f"keep one of {', '.join(type(self).model_fields)}")
        _ = self.value
        return self

    @property
    def value(self) -> Partitions:
        return self.dimension

    @property
    def dimension(self) -> Dimension:
        if self.static is not None:
            return _static(self.static)
        if self.dynamic is not None:
            return DynamicPartitions(self.dynamic)
        calendars = {"hourly": self.hourly, "daily": self.daily, "weekly": self.weekly, "monthly": self.monthly}
        found = [_time(grain, calendar) for grain in GRAINS if (calendar := calendars[grain]) is not None]
        if not found:
            refuse("it is empty", f"write one of {', '.join(type(self).model_fields)}")
        return found[0]


class PartitionsFields(DimensionFields):
    """How a dataset is divided: exactly one of these, or two of them `by` their names."""

    by: dict[Word, DimensionFields] | None = None

    @property
    def value(self) -> Partitions:
        if self.by is None:
            return self.dimension
        if len(self.by) != 2:
            refuse("it does not have two dimensions", "name two: {day: {daily: …}, place: {static: …}}")
        dimensions = tuple(sorted((name, fields.dimension) for name, fields in self.by.items()))
        for name, one in dimensions:
            if isinstance(one, StaticPartitions) and any("|" in key for key in one.keys):
                refuse(f"a partition of {name} has a | in its name", "rename it: | stands between the dimensions")
        return MultiPartitions(dimensions)


def _static(keys: tuple[str, ...]) -> StaticPartitions:
    if not keys or len(set(keys)) < len(keys) or any("..." in key for key in keys):
        refuse("it is not a list of different partitions", "name each partition once, without ... in it")
    return StaticPartitions(keys)


def _time(grain: Grain, calendar: TimeFields) -> TimePartitions:
    whole = {"hourly": "%M", "daily": "%H%M", "weekly": "%H%M", "monthly": "%d%H%M"}[grain]
    for moment in filter(None, (calendar.start, calendar.end)):
        if moment.strftime(whole) not in ("00", "0000", "010000"):
            refuse(f"{moment:%Y-%m-%d %H:%M} is not the beginning of a partition", _BEGINNINGS[grain])
    if grain == "weekly" and calendar.end and (calendar.end - calendar.start).days % 7:
        refuse("its end is not the end of a week", f"weeks begin on the weekday of its start, a {calendar.start:%A}")
    return TimePartitions(grain=grain, start=calendar.start, end=calendar.end, timezone=calendar.timezone)


_BEGINNINGS: dict[Grain, str] = {
    "hourly": "begin and end on the full hour",
    "daily": "begin and end at midnight: write the date alone",
    "weekly": "begin and end at midnight: write the date alone",
    "monthly": "begin and end on the first of a month",
}


class ColumnFields(Declared):
    """One column, as the dataset promises it."""

    name: Filled
    type: str | None = None
    description: str | None = None
    not_null: Switched = None
    unique: Single = None
    accepted_values: Accepted = None
    relationships: RelationshipFields | None = None


def _dependency(value: object) -> object:
    return {"dataset": value} if isinstance(value, str) else value


class DependencyFields(Declared):
    """One input. `as` is the parameter of the function that gets it, by default the name of the table."""

    dataset: str
    alias: Identifier | None = Field(None, alias="as")
    partitions: PartitionMapping | None = None
    missing: Literal["fail", "skip"] = "fail"


class CheckFields(Declared):
    """One check of the data. A blocking one keeps data that fails it from being published."""

    name: Word
    python: FunctionReference
    blocking: bool = True
    severity: Severity | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _warnings_block_nothing(self) -> "CheckFields":
        if self.severity == "warn" and self.blocking and "blocking" in self.model_fields_set:
            refuse("a warning does not keep data from being published", "write severity: error, or blocking: false")
        return self


Named = TypeVar("Named", ColumnFields, CheckFields)


def _different(items: tuple[Named, ...]) -> tuple[Named, ...]:
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        refuse(f"{', '.join(twice)} is there twice", "name each once")
    return items


class DatasetFields(Declared):
    """One entry of `datasets`."""

    name: DatasetName
    endpoint: str
    schema_: DatasetName | None = Field(None, alias="schema")
    description: str | None = None
    owners: tuple[Owner, ...] = ()
    tags: tuple[Tag, ...] = ()
    group: Word | None = None
    columns: Annotated[tuple[ColumnFields, ...], AfterValidator(_different)] = ()
    partitions: PartitionsFields | None = None
    depends_on: tuple[
        Annotated[DependencyFields, BeforeValidator(_dependency, json_schema_input_type=str | DependencyFields)], ...
    ] = ()
    python: FunctionReference | None = None
    sql: SqlReference | None = None
    code_version: Filled | None = None
    checks: Annotated[tuple[CheckFields, ...], AfterValidator(_different)] = ()
    contract: ContractFields | None = None
    publish: PublishPolicy | None = None
    automation: Automated = None
    retention: RetentionFields | None = None

    @model_validator(mode="after")
    def _is_computed_in_one_way(self) -> "DatasetFields":
        if self.python is None and self.sql is None:
            refuse("nothing says how it is computed", "add `python: module:function`, or `sql: file.sql`")
        if self.python is not None and self.sql is not None:
            refuse("it has both `python` and `sql`", "keep one of them")
        return self


class DatasetsFields(Declared):
    """A file in `datasets/`. The datasets are validated one by one."""

    datasets: tuple[object, ...]
