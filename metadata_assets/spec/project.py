"""A project as the rest of the plugin sees it: resolved, checked, frozen."""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import dagster as dg

from identity.keys import CanonicalKey
from metadata_assets.spec.partitions import Mapping, Partitions
from metadata_assets.spec.problems import At, Problem, ProjectInvalid
from metadata_assets.spec.queries import Query
from metadata_assets.spec.rules import Rule
from resources.locations import EndpointLocation
from resources.models import PublishPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """What to collect of an endpoint's catalog, and how often to look. Nothing named means all there is."""

    schemas: tuple[str, ...]
    tables: tuple[str, ...]
    every: timedelta
    profile: bool = False
    """Whether a run that collects looks at the rows of tables, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectEndpoint:
    """An endpoint of the project. `collect` is None where nothing is collected."""

    location: EndpointLocation
    collect: Collect | None
    at: At = field(compare=False)
    variables: tuple[tuple[str, At], ...] = field(compare=False, default=())
    """The environment variables that say where it is, and where each is named."""

    @property
    def slug(self) -> str:
        return self.location.slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Python function of the project: `module` is relative to its folder."""

    module: str
    name: str
    at: At = field(compare=False)

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column, as the dataset promises it."""

    name: str
    type: str | None
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """An input: `name` is the parameter that gets it. `mapping` is None when the input has no partitions.

    `missing`: what happens where the input has no data. "fail": the run fails. "skip": the input is left out.
    """

    key: CanonicalKey
    name: str
    mapping: Mapping | None
    missing: Literal["fail", "skip"]
    at: At = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check of the data: a function, or a rule of the contract; one of the two.

    A blocking one keeps data that fails it from being published. `warns`: failing it is a warning and no error.
    """

    name: str
    python: Function | None
    rule: Rule | None
    blocking: bool
    warns: bool
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """When a dataset is made by itself. `cron` is given with on_cron."""

    when: Literal["eager", "on_missing", "on_cron"]
    cron: str | None
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What stays of replaced data: that of the last `versions` versions, and what was replaced less than `time` ago."""

    versions: int
    time: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A declared dataset: what it is, what it is made of, and by which function or SELECT: one of the two."""

    key: CanonicalKey
    description: str | None
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    group: str | None
    columns: tuple[Column, ...]
    partitions: Partitions | None
    depends_on: tuple[Dependency, ...]
    python: Function | None
    sql: Query | None
    code_version: str | None
    checks: tuple[Check, ...]
    publish: PublishPolicy
    automation: Automation | None
    retention: Keeping | None
    at: At = field(compare=False)

    @property
    def asset_key(self) -> dg.AssetKey:
        return asset_key(self.key)

    @property
    def name(self) -> str:
        return self.key.table


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When to run which datasets, all divided alike or not at all. `environments`: where it is on; None: everywhere."""

    name: str
    cron: str
    timezone: str
    datasets: tuple[CanonicalKey, ...]
    environments: tuple[str, ...] | None
    description: str | None

    def datasets_in(self, project: "Project") -> "list[Dataset]":
        return [project.datasets_by_key[key] for key in self.datasets]

    def is_on_in(self, environment: str | None) -> bool:
        return self.environments is None or environment in self.environments


@dataclass(frozen=True, kw_only=True)
class Project:
    """A valid project. `datasets` are in the order of their keys, `sources` are the collected tables they depend on."""

    folder: Path = field(compare=False)
    name: str
    endpoints: MappingOf[str, ProjectEndpoint]
    datasets: tuple[Dataset, ...]
    schedules: tuple[Schedule, ...] = ()
    environment: str | None = None

    @property
    def sources(self) -> tuple[CanonicalKey, ...]:
        own = {dataset.key for dataset in self.datasets}
        return tuple(sorted({dep.key for dataset in self.datasets for dep in dataset.depends_on} - own))

    @cached_property
    def datasets_by_key(self) -> MappingOf[CanonicalKey, Dataset]:
        return {dataset.key: dataset for dataset in self.datasets}

    def unset_variables(self, variables: MappingOf[str, str]) -> list[Problem]:
        """The environment variables that its endpoints name and that are not set, each at its place."""
        return [
            Problem(at, f"endpoints.{one.slug}", f"the environment variable {name} is not set", "set it")
            for one in self.endpoints.values()
            for name, at in one.variables
            if not variables.get(name)
        ]

    def check_variables(self, variables: MappingOf[str, str]) -> None:
        """Raises ProjectInvalid with every environment variable that its endpoints name and that is not set."""
        unset = self.unset_variables(variables)
        if unset:
            raise ProjectInvalid(project=str(self.folder), problems=unset)

    def dataset(self, key: CanonicalKey) -> Dataset | None:
        return self.datasets_by_key.get(key)


def asset_key(key: CanonicalKey) -> dg.AssetKey:
    """What Dagster calls a dataset: endpoint, schema if it has one, table."""
    return dg.AssetKey([part for part in (key.endpoint, key.schema, key.table) if part is not None])
