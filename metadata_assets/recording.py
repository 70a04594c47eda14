"""Recording what a step materializes, whatever stores it: exactly once for each intent, and never in its way.

What Dagster gives to an I/O manager is recorded when it was stored. What the function stored itself (it returns a
MaterializeResult without a value, or nothing) is recorded before Dagster tells of it. Each event says which delivery it
is: where this process dies between the two, or the store cannot be reached, the record is made from the event log.
"""

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import dagster as dg
import psycopg
import sqlalchemy as sa

from identity.errors import MetadataError
from metadata_assets._dagster import Step, running_step
from metadata_assets.deliveries import Delivered, StepRecord
from metadata_assets.io_manager import MetadataIOManager
from resources.configurable import MetadataResource

RECORDER: Final = "__metadata_assets_recorder__"
"""On a function whose results are recorded: by whom."""
UNREACHABLE: Final = (MetadataError, psycopg.Error, sa.exc.SQLAlchemyError)
"""What may keep a record from being made."""
_REST_SECONDS: Final = 60.0
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Recorder:
    """Records steps of this process. With `required` a step fails where it cannot be recorded.

    Else the run says so and goes on. A store that could not be reached is left alone for a minute then.
    """

    metadata: MetadataResource = field(default_factory=MetadataResource)
    required: bool = False
    _rests_until: float = 0.0
    _of_run: tuple[str, MetadataResource] | None = None

    def metadata_of(self, run_id: str) -> MetadataResource:
        """The resource for a run: one for all of its steps in this process."""
        if self._of_run is None or self._of_run[0] != run_id:
            self._of_run = run_id, self.metadata.anew()
            self._rests_until = 0.0
        return self._of_run[1]

    def attempt(self, work: Callable[[MetadataResource], Any], step: Step) -> Any:
        """What `work` answers, None where the store does not; raises with `required`."""
        metadata = self.metadata_of(step.run.run_id)
        if not self.required and time.monotonic() < self._rests_until:
            return None
        try:
            return work(metadata)
        except UNREACHABLE as error:
            if self.required:
                raise
            if not isinstance(error, MetadataError) or error.exit_code == _NOT_THERE:
                self._rests_until = time.monotonic() + _REST_SECONDS
            step.context.log.warning(_GOES_ON, error)
            return None


_NOT_THERE: Final = 4
_GOES_ON: Final = "this materialization is not recorded yet, %s; it is recorded from the event log when that is mended"


def recorded(
    function: _Function | None = None, *, metadata: MetadataResource | None = None, required: bool = False
) -> Any:
    """A decorator below `@dg.asset` or `@dg.multi_asset`: what the function materializes is recorded exactly once.

        @dg.asset
        @recorded
        def orders() -> dg.MaterializeResult: ...

    Nothing else changes: keys, partitions, checks, where the data are, and what a test gets that calls the function.
    With `required` the step fails when the store cannot be reached; else the run goes on and says so, and the record is
    made from the event log by the sensor of `with_metadata`.
    """
    recorder = Recorder(metadata or MetadataResource(), required)
    return recorder_of(recorder) if function is None else recorder_of(recorder)(function)


def recorder_of(recorder: Recorder) -> Callable[[_Function], _Function]:
    """The decorator of one recorder. A function that is recorded already stays as it is."""

    def through(function: _Function) -> _Function:
        if hasattr(function, RECORDER):
            return function
        made: Any = _through(recorder, function)
        functools.update_wrapper(made, function)
        setattr(made, RECORDER, recorder)
        return made  # type: ignore[no-any-return]

    return through


def _through(recorder: Recorder, function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function):

        def generating(*args: Any, **kwargs: Any) -> Iterator[Any]:
            step = _own_step(generating)
            results = function(*args, **kwargs)
            yield from results if step is None else _results(recorder, step, lambda: results)

        return generating
    if inspect.isasyncgenfunction(function):

        async def generating_later(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            step = _own_step(generating_later)
            recording = None if step is None else Recording(recorder, step)
            async for result in function(*args, **kwargs):
                yield result if recording is None else recording.told(result)
                if recording is not None:
                    recording.stored()

        return generating_later
    if inspect.iscoroutinefunction(function):

        async def computing_later(*args: Any, **kwargs: Any) -> Any:
            step = _own_step(computing_later)
            if step is None:
                return await function(*args, **kwargs)
            recording = Recording(recorder, step)
            returned = await function(*args, **kwargs)
            return recording.of(step.results_in(returned))

        return computing_later

    def computing(*args: Any, **kwargs: Any) -> Any:
        step = _own_step(computing)
        if step is None:
            return function(*args, **kwargs)
        return _results(recorder, step, lambda: step.results_in(function(*args, **kwargs)))

    return computing


def _own_step(function: Callable[..., Any]) -> Step | None:
    """The step that makes assets by this function; None for other steps, or where somebody calls it, as a test does."""
    step = running_step()
    return step if step is not None and step.computes(function) and step.materializes else None


def _results(recorder: Recorder, step: Step, computed: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    recording = Recording(recorder, step)  # before any work: its fencing token says how old the data are
    yield from recording.of(computed())


class Recording:
    """One step's results on their way to Dagster: each told of in its event, and recorded when its data are there."""

    def __init__(self, recorder: Recorder, step: Step) -> None:
        self._recorder, self._step = recorder, step
        self._record: StepRecord | None = recorder.attempt(lambda metadata: StepRecord.begun(metadata, step), step)
        self._pending: Delivered | None = None

    def of(self, results: Iterator[Any]) -> Iterator[Any]:
        """The results for Dagster. It asks for the next one when it has stored the one before."""
        for result in results:
            yield self.told(result)
            self.stored()

    def told(self, result: Any) -> Any:
        """The result with what its event says about its delivery."""
        self._pending = None
        if isinstance(result, dg.MaterializeResult):
            output, mapping_key, value = self._step.output_of(result.asset_key), None, result.value
        elif isinstance(result, dg.Output):
            output, mapping_key, value = result.output_name, None, result.value
        elif isinstance(result, dg.DynamicOutput):
            output, mapping_key, value = result.output_name, result.mapping_key, result.value
        else:
            return result
        asset_key = self._step.materializes.get(output)
        is_stored = self._step.is_stored(output, value)
        if asset_key is None or (
            is_stored and isinstance(self._step.io_manager_of(output, mapping_key), MetadataIOManager)
        ):
            return result
        delivered = Delivered(
            step=self._step,
            asset_key=asset_key,
            output=output if mapping_key is None else f"{output}[{mapping_key}]",
            partitions=self._step.partitions_of(output),
            metadata=dict(result.metadata or {}),
            data_version=getattr(getattr(result, "data_version", None), "value", None),
        )
        record = self._record
        if record is not None and not is_stored:
            self._recorder.attempt(lambda _metadata: record.record(delivered), self._step)
        elif record is not None:
            self._pending = delivered
        shown = (
            None if record is None else self._recorder.attempt(lambda _metadata: record.shown(delivered), self._step)
        )
        noted = delivered.event_metadata(record, shown or {})
        if isinstance(result, dg.DynamicOutput):
            return dg.DynamicOutput(
                result.value, result.mapping_key, result.output_name, {**delivered.metadata, **noted}
            )
        self._step.add_asset_metadata(noted, asset_key)
        return result

    def stored(self) -> None:
        """Record what Dagster has stored."""
        delivered, record = self._pending, self._record
        self._pending = None
        if delivered is not None and record is not None:
            self._recorder.attempt(lambda _metadata: record.record(delivered), self._step)
