"""Recording what a step materializes, whatever stores it: exactly once for each intent, and never in its way.

What Dagster gives to an I/O manager is recorded when it was stored; what the function stored itself (it returns a
MaterializeResult without a value, or nothing) when it says so. A process that goes on with the run makes the record
beside it; one that executes this step alone, or must not go on without it, waits for it. Each event says which delivery
it is: where the process dies before the record, or the store cannot be reached, it is made from the event log.
"""

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import dagster as dg

from identity.errors import MetadataError
from metadata_assets._dagster import Step, running_step
from metadata_assets.beside import Beside, may_go_beside
from metadata_assets.deliveries import Delivered, StepRecord
from metadata_assets.planned import Planned, before_others
from resources.configurable import MetadataResource
from resources.postgres.errors import UNREACHABLE

RECORDER: Final = "__metadata_assets_recorder__"
"""On a function whose results are recorded: by whom."""
_REST_SECONDS: Final = 60.0
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Answer = TypeVar("_Answer")


class StoreRests(MetadataError):
    """the metadata store could not be reached a moment ago; it is asked again after a minute"""


@dataclass(slots=True)
class Recorder:
    """Records steps of this process. With `required` a step fails where it cannot be recorded.

    Else the run says so and goes on. A store that could not be reached is left alone for a minute then.
    """

    metadata: MetadataResource = field(default_factory=MetadataResource)
    required: bool = False
    _rests_until: float = 0.0
    _by_run: "WeakKeyDictionary[dg.DagsterInstance, dict[str, Beside]]" = field(default_factory=WeakKeyDictionary)

    def beside(self, step: Step) -> Beside:
        """What this process does beside a run: one for all of its steps, also where other runs go on at once."""
        of_instance = self._by_run.setdefault(step.instance, {})
        run_id = step.run.run_id
        if run_id not in of_instance:
            beside = of_instance[run_id] = Beside(self.metadata.anew())
            self._rests_until = 0.0
            before_others(step, lambda planned: self._before(beside, planned), lambda: of_instance.pop(run_id, None))
        return of_instance[run_id]

    def is_beside(self, step: Step) -> bool:
        """Whether records of this step may be made beside it: the run neither needs them nor goes on elsewhere."""
        return not self.required and not step.is_alone and may_go_beside()

    def attempt(self, work: Callable[[], _Answer], step: Step) -> _Answer | None:
        """What `work` answers, None where the store does not; raises with `required`."""
        if self._rests:
            return None
        try:
            return work()
        except UNREACHABLE as error:
            if self.required:
                raise
            self._went_on(step, error)
            return None

    def record(self, record: StepRecord, delivered: Delivered, beside: Beside, step: Step) -> None:
        """Record an output: beside the run where it may be, else now."""
        if not self.is_beside(step):
            self.attempt(lambda: record.record(delivered), step)
            return
        work = self.attempt(lambda: record.prepared(delivered), step)
        if work is not None:
            beside.record(self._unless_it_rests(work), functools.partial(self._went_on, step))

    def _unless_it_rests(self, work: Callable[[], _Answer]) -> Callable[[], _Answer]:
        """The same work in turn with other work: what cannot reach the store speaks for all that is behind it."""

        def done() -> _Answer:
            if self._rests:
                raise StoreRests
            try:
                return work()
            except UNREACHABLE as error:
                self._rest_after(error)
                raise

        return done

    def _rest_after(self, error: BaseException) -> None:
        if not isinstance(error, MetadataError) or error.exit_code == _NOT_THERE:
            self._rests_until = time.monotonic() + _REST_SECONDS

    @property
    def _rests(self) -> bool:
        return not self.required and time.monotonic() < self._rests_until

    def _before(self, beside: Beside, step: Planned | None) -> None:
        """A step has begun: one of ours asks for what it begins with, and any other one finds everything recorded."""
        is_ours = step is not None and getattr(step.function, RECORDER, None) is self
        if step is None or self._rests or not is_ours or not step.partitions or not may_go_beside():
            beside.settled()
            return
        try:
            beside.begin(step, self._unless_it_rests)
        except MetadataError:
            return  # it has a name that is none, for example: the step says so, when it asks itself

    def _went_on(self, step: Step, error: BaseException) -> None:
        if not isinstance(error, UNREACHABLE):
            raise error
        if isinstance(error, StoreRests):
            return  # said already
        self._rest_after(error)
        step.context.log.warning(_GOES_ON, error)


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
        self._recorder, self._step, self._beside = recorder, step, recorder.beside(step)
        self._record = recorder.attempt(lambda: StepRecord.begun(self._beside, step), step)
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
            is_stored and getattr(self._step.io_manager_of(output, mapping_key), "records_itself", False)
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
        if record is None:
            self._beside.unrecorded.add(asset_key)
        elif is_stored:
            self._pending = delivered
        else:
            self._recorder.record(record, delivered, self._beside, self._step)
        noted = delivered.event_metadata(record, self._shown(delivered, recorded=not is_stored))
        if isinstance(result, dg.DynamicOutput):
            return dg.DynamicOutput(
                result.value, result.mapping_key, result.output_name, {**delivered.metadata, **noted}
            )
        self._step.add_asset_metadata(noted, asset_key)
        return result

    def _shown(self, delivered: Delivered, *, recorded: bool) -> Mapping[str, Any]:
        record, recorded = self._record, recorded and not self._recorder.is_beside(self._step)
        if record is None:
            return {}
        return self._recorder.attempt(lambda: record.shown(delivered, recorded=recorded), self._step) or {}

    def stored(self) -> None:
        """Record what Dagster has stored."""
        delivered, record = self._pending, self._record
        self._pending = None
        if delivered is not None and record is not None:
            self._recorder.record(record, delivered, self._beside, self._step)
