"""One event of OpenLineage as facts under our identities: a pure function of its JSON.

The names are those that collections and other imports give: a dataset by the rules of its system, a job below the
endpoint of its namespace. What is read are the parts that every version of the spec has; facets are kept as they are.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, ValidationError

from identity.credentials import scrub
from identity.errors import InvalidKey, InvalidUrl
from identity.ids import sha256_of
from identity.keys import CanonicalKey, check_name, check_text
from metadata_assets.exporters.openlineage import KEY_FACET
from metadata_assets.importers.errors import InvalidEvent
from metadata_assets.importers.event_columns import (
    COLUMN_LINEAGE,
    SCHEMA,
    Known,
    column_origins,
    origin_datasets,
    schema_fields,
)
from metadata_assets.importers.event_names import PROVISIONAL, EventNames
from resources.lineage_records import DESCRIPTION_CHARACTERS, FACET_BYTES, About, Facet, LineageEvent
from resources.runs import AttemptFact, AttemptStatus, RunFact, RunStatus

_LONGEST_RUN: Final = 200
_DEEPEST: Final = 100
_BEFORE: Final = datetime(1, 1, 1, tzinfo=UTC)
"""When an event without a state says of its run that there is one: before whatever another one says."""

_STATES: Final[Mapping[str, tuple[RunStatus, AttemptStatus]]] = {
    "START": ("running", "running"),
    "RUNNING": ("running", "running"),
    "COMPLETE": ("succeeded", "succeeded"),
    "FAIL": ("failed", "failed"),
    "ABORT": ("cancelled", "cancelled"),
}
_OTHER: Final = "OTHER"

_Text = Annotated[str, BeforeValidator(lambda given: _text(given))]
_Document = Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given is None else given)]


def _text(given: object) -> object:
    if isinstance(given, str) and not given:
        raise ValueError("it is empty")
    return given


def _moment(given: object) -> object:
    if not isinstance(given, str):
        raise ValueError("it is no text")
    return given


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Run(_Read):
    runId: _Text
    facets: _Document = {}


class _Job(_Read):
    namespace: _Text
    name: _Text
    facets: _Document = {}


class _Dataset(_Job):
    inputFacets: _Document = {}
    outputFacets: _Document = {}


_Datasets = Annotated[tuple[_Dataset, ...], BeforeValidator(lambda given: () if given is None else given)]


class _Event(_Read):
    eventTime: Annotated[AwareDatetime, BeforeValidator(_moment)]
    eventType: str | None = None
    run: _Run | None = None
    job: _Job | None = None
    dataset: _Dataset | None = None
    inputs: _Datasets = ()
    outputs: _Datasets = ()


def read_event(document: object, names: EventNames = PROVISIONAL) -> LineageEvent:
    """What one event says. Raises InvalidEvent, which names the field, the reason and the fix."""
    if not isinstance(document, dict):
        raise _refused("event", "it is no JSON object", "give one object for each event")
    if _is_deep(document):
        raise _refused("event", f"it is nested deeper than {_DEEPEST} levels", "send it flatter")
    try:
        event = _Event.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "event"
        said = "it is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise _refused(field, said[:1].lower() + said[1:], "send it as the spec 2-0-2 has it") from None
    match event:
        case _Event(run=_Run() as run, job=_Job()):
            return _of_run(event, run, names)
        case _Event(run=None, job=_Job()):
            return _of_job(event, names)
        case _Event(run=None, job=None, dataset=_Dataset() as dataset):
            key = _dataset(dataset, "dataset", names)
            origins = origin_datasets(dataset.facets.get(COLUMN_LINEAGE), names)
            facets = tuple(_of_dataset(key, dataset, origins, "dataset"))
            return LineageEvent(at=_moment_of(event), others=(key, *origins.values()), facets=facets)
    if event.run is not None:
        raise _refused("job", "it is missing", "send the job of the run")
    raise _refused("event", "it has neither a run and a job, nor a job, nor a dataset", "send one of them")


def _is_deep(document: object) -> bool:
    level = [document]
    for _ in range(_DEEPEST + 1):
        inside: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inside += one.values()
            elif isinstance(one, list):
                inside += one
        if not inside:
            return False
        level = inside
    return True


def _moment_of(event: _Event) -> datetime:
    try:
        return event.eventTime.astimezone(UTC)
    except OverflowError:
        raise _refused("eventTime", "it is before the year 1 or after 9999", "send the time as it was") from None


def _of_run(event: _Event, run: _Run, names: EventNames) -> LineageEvent:
    assert event.job is not None
    kind = (event.eventType or _OTHER).upper()
    if kind not in {*_STATES, _OTHER}:
        raise _refused("eventType", f"there is no {scrub(kind[:40])}", f"use one of {', '.join([*_STATES, _OTHER])}")
    if len(run.runId) > _LONGEST_RUN:
        raise _refused("run.runId", f"it has {len(run.runId):,} characters", f"use {_LONGEST_RUN} at most")
    _check("run.runId", run.runId)
    static = _of_job(event, names)
    at = _moment_of(event)
    failure = _failure(run.facets) if kind in ("FAIL", "ABORT") else (None, None)
    facets = [*_facets("run", None, run.facets, "run"), *static.facets]
    told: list[tuple[About, tuple[_Dataset, ...]]] = [("input", event.inputs), ("output", event.outputs)]
    for about, datasets in told:
        for one in datasets:
            own = one.inputFacets if about == "input" else one.outputFacets
            facets += _facets(about, _dataset(one, f"{about}s", names), own, f"{about}s")
    if kind == _OTHER:
        said = RunFact(run_id=run.runId, status="queued", as_of=_BEFORE, name=event.job.name)
        attempt = None
    else:
        status, tried = _STATES[kind]
        started = at if kind == "START" else None
        ended = None if status == "running" else at
        said = RunFact(
            run_id=run.runId,
            status=status,
            as_of=at,
            name=event.job.name,
            code_location=event.job.namespace,
            started_at=started,
            ended_at=ended,
            failure_class=failure[0],
            failure_reason=failure[1],
        )
        attempt = AttemptFact(
            run_id=run.runId,
            step_key=event.job.name,
            number=0,
            status=tried,
            started_at=started,
            ended_at=ended,
            failure_class=failure[0],
            failure_reason=failure[1],
        )
    return LineageEvent(
        at=at,
        job=static.job,
        run=said,
        attempt=attempt,
        inputs=static.inputs,
        outputs=static.outputs,
        others=static.others,
        facets=tuple(facets),
    )


def _of_job(event: _Event, names: EventNames) -> LineageEvent:
    assert event.job is not None
    try:
        job = names.job(event.job.namespace, event.job.name)
    except (InvalidKey, InvalidUrl) as error:
        raise _refused("job", error.reason, error.fix) from None
    inputs = tuple(_dataset(one, "inputs", names) for one in event.inputs)
    outputs = tuple(_dataset(one, "outputs", names) for one in event.outputs)
    facets = list(_facets("job", job, event.job.facets, "job"))
    others: list[CanonicalKey] = []
    for key, one in zip((*inputs, *outputs), (*event.inputs, *event.outputs), strict=True):
        origins = origin_datasets(one.facets.get(COLUMN_LINEAGE), names)
        others += origins.values()
        facets += _of_dataset(key, one, origins, "datasets")
    return LineageEvent(
        at=_moment_of(event),
        job=job,
        inputs=inputs,
        outputs=outputs,
        others=tuple(others),
        facets=tuple(facets),
    )


def _dataset(one: _Job, field: str, names: EventNames) -> CanonicalKey:
    beside = one.facets.get(KEY_FACET)
    try:
        return names.dataset(one.namespace, one.name, beside.get("key") if isinstance(beside, dict) else None)
    except (InvalidKey, InvalidUrl) as error:
        raise _refused(field, error.reason, error.fix) from None


def _of_dataset(key: CanonicalKey, one: _Dataset, known: Known, field: str) -> Iterator[Facet]:
    """The facets of a dataset, with what they say of its columns."""
    for facet in _facets("dataset", key, one.facets, field):
        if facet.name == SCHEMA:
            yield replace(facet, fields=schema_fields(one.facets[SCHEMA]))
        elif facet.name == COLUMN_LINEAGE:
            yield replace(facet, origins=column_origins(one.facets[COLUMN_LINEAGE], known))
        else:
            yield facet


def _facets(about: About, key: CanonicalKey | None, given: Mapping[str, Any], field: str) -> Iterator[Facet]:
    for name, document in given.items():
        where = f"{field}.facets"
        _check(where, name)
        if not isinstance(document, dict):
            raise _refused(f"{where}.{name}", "it is no JSON object", "send it as the spec has it")
        written = _written(document, f"{where}.{name}")
        digest = sha256_of(written)
        if len(written) > FACET_BYTES:
            document = _beginning(document) | {"_omitted": {"bytes": len(written), "sha256": digest.hex()}}
        yield Facet(about=about, name=name, document=document, sha256=digest, asset=key)


def _beginning(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a facet that is too large: whether it was taken back, and what it is about."""
    found = {"_deleted": True} if document.get("_deleted") is True else {}
    match document.get("description"):
        case str(said):
            return found | {"description": scrub(said)[:DESCRIPTION_CHARACTERS]}
    return found


def _written(document: Mapping[str, Any], field: str) -> str:
    try:
        written = json.dumps(document, sort_keys=True, allow_nan=False)
    except (ValueError, RecursionError):
        raise _refused(field, "it has numbers or a depth that JSON has not", "send it as JSON") from None
    if r"\u0000" in written or r"\ud8" in written or r"\udf" in written:
        for text in _texts(document):
            _check(field, text, name=False)
    return written


def _texts(said: object) -> Iterator[str]:
    match said:
        case str():
            yield said
        case dict():
            for name, value in said.items():
                yield str(name)
                yield from _texts(value)
        case list():
            for value in said:
                yield from _texts(value)


def _check(field: str, text: str, *, name: bool = True) -> None:
    try:
        (check_name if name else check_text)(text)
    except InvalidKey as error:
        raise _refused(field, error.reason, error.fix) from None


def _failure(facets: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What the errorMessage facet says of the class of the error, which is nothing, and its message."""
    facet = facets.get("errorMessage")
    message = facet.get("message") if isinstance(facet, dict) else None
    return (None, message) if isinstance(message, str) else (None, None)


def _refused(field: str, reason: str, fix: str) -> InvalidEvent:
    return InvalidEvent(field=field, reason=reason, fix=fix)
