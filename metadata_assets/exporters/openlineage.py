"""Our own runs as events of OpenLineage 2-0-2: pure functions of what the store tells.

A run of Dagster is a run of its job, and each try of a step is one of `job.step` below it. A try that wrote several
datasets is a run for each of them, so that nothing looks as if it were made from what only its neighbour read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final
from uuid import UUID

from identity.errors import InvalidKey
from identity.external import LineageName, OpenLineage
from identity.ids import Entity, TenantId, child_id
from identity.keys import CanonicalKey, ColumnKey, job_key
from identity.naming import Authority
from resources.told_runs import ToldDataset, ToldInput, ToldOutput, ToldRun, ToldStep

Event = dict[str, Any]
Described = Mapping[tuple[UUID, datetime], ToldDataset]
"""What is known of assets, as it was at a moment."""

PRODUCER: Final = f"urn:metadata-assets:{version('metadata-assets')}"
SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NAMESPACE: Final = "dagster"
"""The namespace of our jobs where nobody says another one."""
KEY_FACET: Final = "canonicalKey"

_FACETS: Final = {
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "datasetVersion": "1-0-1/DatasetVersionDatasetFacet",
    "documentation": "1-1-0/DocumentationDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-3/JobTypeJobFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "parent": "1-1-0/ParentRunFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
}
_ENDS: Final = {"succeeded": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT", "lost": "ABORT"}


def dataset_name(key: CanonicalKey) -> str:
    """What a dataset is called where OpenLineage has no rule: its own names in a row, in the namespace of its slug."""
    return "/".join(one for one in (key.source, key.schema, key.table) if one is not None)


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes events for one tenant. `servers` are those of our endpoints, `namespace` is that of our jobs."""

    tenant: TenantId
    servers: Mapping[str, Authority]
    namespace: str = NAMESPACE

    def events(self, runs: Iterable[ToldRun], datasets: Described) -> Iterator[Event]:
        """The events of some runs, each run's own in their order. Again the same, they are the same events."""
        for run in runs:
            yield from self._of_run(run)
            for step in run.steps:
                yield from self._of_step(run, step, datasets)

    def _of_run(self, run: ToldRun) -> Iterator[Event]:
        job = self._job_of(run)
        facets = {**_failure(run)}
        kind = {"jobType": _facet("jobType", processingType="BATCH", integration="DAGSTER", jobType="JOB")}
        about = {"job": {"namespace": self.namespace, "name": job, "facets": kind}, "inputs": [], "outputs": []}
        identifier = self._id(run.run_id, job)
        began = run.started_at or min((one.started_at for one in run.steps if one.started_at), default=None)
        yield from _events(identifier, run.status, began, run.ended_at, facets, about)

    def _of_step(self, run: ToldRun, step: ToldStep, datasets: Described) -> Iterator[Event]:
        job = self._job_of(run)
        parent = {"run": {"runId": self._id(run.run_id, job)}, "job": {"namespace": self.namespace, "name": job}}
        facets = {"parent": _facet("parent", **parent), **_failure(step)}
        kind = {"jobType": _facet("jobType", processingType="BATCH", integration="DAGSTER", jobType="STEP")}
        several = len(step.outputs) > 1
        for one in step.outputs or (None,):
            name = f"{job}.{step.step_key}" + (f".{dataset_name(one.key)}" if one and several else "")
            about = {
                "job": {"namespace": self.namespace, "name": name, "facets": kind},
                "inputs": [self._input(read, one.at, datasets) for read in one.inputs] if one else [],
                "outputs": [self._output(one, datasets)] if one else [],
            }
            identifier = self._id(run.run_id, name, str(step.number))
            yield from _events(identifier, step.status, step.started_at, step.ended_at, facets, about)

    def _job_of(self, run: ToldRun) -> str:
        return ".".join(one for one in (run.code_location, run.name or "run") if one)

    def _id(self, run_id: str, job: str, *more: str) -> str:
        """The run's own id where it is one and nothing else is asked for; else one that follows from it."""
        if not more and _is_uuid(run_id):
            return run_id
        parent = Entity(self.tenant, job_key(NAMESPACE, job)).id
        return str(child_id(parent, "run", "/".join([run_id, *more])))

    def _dataset(self, key: CanonicalKey, facets: Mapping[str, Any]) -> Event:
        namespace, name, own = self.name_of(key)
        return {"namespace": namespace, "name": name, "facets": {**(_key_facet(own) if own else {}), **facets}}

    def name_of(self, key: CanonicalKey) -> tuple[str, str, CanonicalKey | None]:
        """The namespace and name of a dataset, and its key where these do not lead back to it."""
        servers = {key.endpoint: self.servers[key.endpoint]} if key.endpoint in self.servers else {}
        try:
            named: LineageName = OpenLineage(servers).name_of(key)
        except InvalidKey:
            return key.endpoint, dataset_name(key), key
        return named.namespace, named.name, None

    def _input(self, read: ToldInput, at: datetime, datasets: Described) -> Event:
        return self._dataset(read.key, {**_version(read.version), **self._described(datasets[read.asset, at])})

    def _output(self, one: ToldOutput, datasets: Described) -> Event:
        facets = {**_version(one.version), **self._described(datasets[one.asset, one.at])}
        sizes = {"rowCount": one.row_count, "size": one.byte_count}
        known = {name: size for name, size in sizes.items() if size is not None}
        made = _own(
            "Materialization",
            partitions=list(one.partitions),
            materializations=[str(each) for each in one.materializations],
        )
        output = {"materialization": made} | (
            {"outputStatistics": _facet("outputStatistics", **known)} if known else {}
        )
        return {**self._dataset(one.key, facets), "outputFacets": output}

    def _described(self, known: ToldDataset) -> Event:
        facets: Event = {}
        if known.description:
            facets["documentation"] = _facet("documentation", description=known.description)
        if known.fields:
            fields = [
                {"name": one.name, "type": one.type, "ordinal_position": one.position}
                | ({"description": str(one.metadata["comment"])} if one.metadata.get("comment") else {})
                for one in known.fields
            ]
            facets["schema"] = _facet("schema", fields=fields)
        if known.origins:
            told = {
                column: {"inputFields": [self._column(one) for one in origins]}
                for column, origins in known.origins.items()
            }
            facets["columnLineage"] = _facet("columnLineage", fields=told)
        return facets

    def _column(self, column: ColumnKey) -> Event:
        namespace, name, own = self.name_of(column.dataset)
        return {"namespace": namespace, "name": name, "field": column.name} | ({KEY_FACET: str(own)} if own else {})


def _events(
    identifier: str,
    status: str,
    started_at: datetime | None,
    ended_at: datetime | None,
    facets: Mapping[str, Any],
    about: Event,
) -> Iterator[Event]:
    """A START, and the end where there is one; an end alone where nobody knows when it began."""
    if started_at is not None:
        began = {name: facet for name, facet in facets.items() if name != "errorMessage"}
        yield _event("START", started_at, identifier, began, {**about, "inputs": [], "outputs": []})
    if status in _ENDS and ended_at is not None:
        yield _event(_ENDS[status], ended_at, identifier, facets, about)


def _event(kind: str, at: datetime, identifier: str, facets: Mapping[str, Any], about: Event) -> Event:
    return {
        "eventType": kind,
        "eventTime": at.astimezone(UTC).isoformat(),
        "run": {"runId": identifier, "facets": dict(facets)},
        **about,
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def _facet(name: str, **said: Any) -> Event:
    path = _FACETS[name]
    url = f"https://openlineage.io/spec/facets/{path}.json#/$defs/{path.partition('/')[2]}"
    return {"_producer": PRODUCER, "_schemaURL": url, **said}


def _own(name: str, **said: Any) -> Event:
    """A facet of ours, which no schema is published of."""
    return {"_producer": PRODUCER, "_schemaURL": f"urn:metadata-assets:facets:{name}", **said}


def _key_facet(key: CanonicalKey) -> Event:
    return {KEY_FACET: _own("CanonicalKey", key=str(key))}


def _version(number: int | None) -> Event:
    return {} if number is None else {"version": _facet("datasetVersion", datasetVersion=str(number))}


def _failure(one: ToldRun | ToldStep) -> Event:
    if one.failure_class is None and one.failure_reason is None:
        return {}
    message = ": ".join(part for part in (one.failure_class, one.failure_reason) if part)
    return {"errorMessage": _facet("errorMessage", message=message, programmingLanguage="Python")}


def _is_uuid(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None
