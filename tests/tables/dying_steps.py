"""A project with tables, run by Dagster in this process or in one of its own, which may be told to die at a moment.

Nothing in the product knows of these moments: a process that is told to die wraps what it imported, for itself.
"""

import functools
import multiprocessing
import os
import signal
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import dagster as dg

from metadata_assets.factory import definitions_for
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG
from metadata_assets.location import code_location
from metadata_assets.spec import load_project
from resources.metadata_store import MetadataStore
from resources.tables import store, switching

Moment = Literal["copied", "written", "committed", "published", "switching", "switched"]
"""Before the transaction of the table ends; after it; after the commit; after the publication, before the switch; in
the transaction of the switch; after it, before Dagster hears of it."""
MOMENTS: tuple[Moment, ...] = get_args(Moment)

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["metadata_assets.location", "metadata_assets.factory"])

DATASETS = """
datasets:
  - name: flights
    endpoint: warehouse
    schema: SCHEMA
    partitions: {daily: {start: 2013-01-01, end: 2013-01-03}}
    python: code:flights
    checks: [{name: some, python: code:some}]
  - name: carriers
    endpoint: warehouse
    schema: SCHEMA
    depends_on: [warehouse/SCHEMA/flights]
    python: code:carriers
  - name: report
    endpoint: lake
    depends_on: [warehouse/SCHEMA/carriers]
    python: code:report
"""
CODE = """
import os
import polars as pl

def flights(partition: str) -> pl.DataFrame:
    return pl.DataFrame({"day": [partition] * 2, "carrier": ["AA", os.environ.get("CARRIER", "UA")]})

def some(data: pl.DataFrame) -> bool:
    return data["carrier"].n_unique() == 2

def carriers(flights: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(list(flights.values())).group_by("carrier").len().sort("carrier")

def report(carriers: pl.DataFrame) -> pl.DataFrame:
    return carriers
"""


@dataclass(frozen=True)
class TableProject:
    """A project on disk whose endpoint `warehouse` is a database."""

    folder: Path
    schema: str

    @classmethod
    def written(cls, folder: Path, schema: str, database: str) -> "TableProject":
        (folder / "datasets").mkdir(parents=True)
        warehouse = f"{{system: postgres, database: {database}}}"
        (folder / "metadata.yml").write_text(
            f"name: test\nendpoints:\n  warehouse: {warehouse}\n  lake: {{system: files}}\n"
        )
        (folder / "datasets" / "all.yml").write_text(textwrap.dedent(DATASETS).replace("SCHEMA", schema))
        (folder / "code.py").write_text(textwrap.dedent(CODE))
        return cls(folder, schema)

    def run(self, *names: str, key: str | None = None, **options: Any) -> dg.ExecuteInProcessResult:
        """Materialize these datasets, in this process."""
        project = load_project(self.folder)
        wanted = [one.asset_key for one in project.datasets if one.name in names]
        resources = code_location(project).resources or {}
        tags = {IDEMPOTENCY_KEY_TAG: key} if key else {}
        tags |= options.pop("tags", {})
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize(
                definitions_for(project),
                selection=wanted,
                instance=instance,
                resources=dict(resources),
                tags=tags,
                **options,
            )

    def run_and_die(self, moment: Moment, name: str, *, key: str, partition: str) -> int | None:
        """The same in a process of its own, which dies at this moment; its exit code."""
        process = _FORKS.Process(target=_run, args=(self, dict(os.environ), moment, name, key, partition))
        process.start()
        process.join(60)
        return process.exitcode


def _run(
    project: TableProject, variables: Mapping[str, str], moment: Moment, name: str, key: str, partition: str
) -> None:
    os.environ.clear()
    os.environ.update(variables)
    arm(moment)
    project.run(name, key=key, partition_key=partition)


def arm(moment: Moment) -> None:
    match moment:
        case "copied":
            _wrap(store, "_record", before=True)
        case "written":
            _wrap(store.TableStorage, "write")
        case "committed":
            _wrap(MetadataStore, "commit")
        case "published":
            _wrap(MetadataStore, "publish")
        case "switching":
            _wrap(switching, "show")
        case "switched":
            _wrap(switching, "_switched")


def _wrap(owner: Any, name: str, *, before: bool = False) -> None:
    real: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, wrapped)
