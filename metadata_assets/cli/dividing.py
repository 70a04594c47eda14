"""`partitions`: the dynamic partitions of a project, which Dagster keeps."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import ClassVar, Final

import dagster as dg

from identity.errors import MetadataError, shown
from identity.keys import short_name
from metadata_assets.cli import surroundings
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import table
from metadata_assets.spec import Dataset, DynamicPartitions, MultiPartitions, load_project
from metadata_assets.spec.problems import did_you_mean
from resources.postgres.databases import Databases

_TO: Final = "..."


class NoDynamicPartitions(MetadataError):
    """no dataset of the project is divided by dynamic: {name}; {fix}"""

    name: str
    fix: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


class NoPartitionKey(MetadataError):
    """{key} cannot be a partition: it is empty, or it has ..., a control character, or the | that stands between two \
dimensions; name it otherwise"""

    key: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def add_partitions(cli: Cli, name: str, keys: Sequence[str]) -> ExitCode:
    """All or none. Raises NoDynamicPartitions, NoPartitionKey."""
    divided = _divided(cli, name)
    in_pairs = any(isinstance(one.partitions, MultiPartitions) for one in divided[name])
    for key in keys:
        if not key or _TO in key or not key.isprintable() or (in_pairs and "|" in key):
            raise NoPartitionKey(key=repr(shown(key)))
    with _instance(cli) as instance:
        known = set(instance.get_dynamic_partitions(name))
        added = [key for key in dict.fromkeys(keys) if key not in known]
        instance.add_dynamic_partitions(name, added)
    datasets = [short_name(one.key) for one in divided[name]]
    told = f"added to {name}: {', '.join(added)}" if added else f"{name} has them already"
    cli.show({"name": name, "added": added, "datasets": datasets}, f"{told}; divided by it: {', '.join(datasets)}")
    return ExitCode.OK


def list_partitions(cli: Cli, name: str | None) -> ExitCode:
    """Raises NoDynamicPartitions for a name that is none."""
    divided = _divided(cli, name)
    chosen = sorted(divided) if name is None else [name]
    with _instance(cli) as instance:
        known = {one: list(instance.get_dynamic_partitions(one)) for one in chosen}
    found = [
        {"name": one, "partitions": known[one], "datasets": [short_name(each.key) for each in divided[one]]}
        for one in chosen
    ]
    cells = ([one, ", ".join(known[one]), ", ".join(short_name(each.key) for each in divided[one])] for one in chosen)
    cli.show(found, table("Dynamic partitions", ("name", "partitions", "datasets"), cells))
    return ExitCode.OK


def _divided(cli: Cli, name: str | None) -> Mapping[str, Sequence[Dataset]]:
    """The datasets of the project by the names of the dynamic partitions that divide them."""
    project = load_project(cli.settings.project, environment=cli.settings.environment)
    found: dict[str, list[Dataset]] = {}
    for dataset in project.datasets:
        for one in _names(dataset):
            found.setdefault(one, []).append(dataset)
    if name is not None and name not in found:
        fix = did_you_mean(name, list(found)) if found else "write partitions: {dynamic: …} in a dataset"
        raise NoDynamicPartitions(name=shown(name), fix=fix)
    return found


def _names(dataset: Dataset) -> list[str]:
    given = dataset.partitions
    dimensions = [one for _name, one in given.dimensions] if isinstance(given, MultiPartitions) else [given]
    return list(dict.fromkeys(one.name for one in dimensions if isinstance(one, DynamicPartitions)))


@contextmanager
def _instance(cli: Cli) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of this home, which keeps the partitions."""
    Databases(cli.settings).reach()
    surroundings.prepare(cli.settings)
    os.environ.update(surroundings.variables(cli.settings))  # Dagster reads them here
    with redirect_stdout(sys.stderr), dg.DagsterInstance.get() as instance:
        yield instance
