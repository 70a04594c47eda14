"""The sensors of this package: with the resource of their code location, or with one of their own.

A tick loads what looks. Definitions are loaded in the process of each step, which would wait for all of that.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from resources.configurable import MetadataResource

_OURS: Final = "metadata_assets/sensor"

_Look = Callable[[dg.SensorEvaluationContext, MetadataResource], dg.SkipReason]


def lineage_sensor(
    *, name: str = "mirror_lineage", code_location: str | None = None, metadata: MetadataResource | None = None
) -> dg.SensorDefinition:
    """A sensor that mirrors the asset graph of its code location once for each change of it, and of the store.

    Names are a part of that: what is declared about a name is meant for whatever has it, so when another thing got it
    (the old one was renamed and the name taken again, two were swapped) the edges are asserted anew. A tick that finds
    nothing new asks one question and writes nothing.

    Its cursor is in Dagster's storage, which several tenants and stores may share: it says what was mirrored where.

    Definitions are loaded again in every step process, so loading them writes nothing; the daemon's sensor does.
    Without a `code_location` it is what Dagster calls it; `metadata` as in `_sensor_of`.
    """

    def look(context: dg.SensorEvaluationContext, metadata: MetadataResource) -> dg.SkipReason:
        from metadata_assets.mirror.lineage import look_at_definitions

        return look_at_definitions(context, metadata, code_location=code_location)

    return _sensor_of(
        look,
        name=name,
        description="Mirrors the asset graph into the canonical graph when the code location changed.",
        metadata=metadata,
    )


def runs_sensor(
    *,
    name: str = "mirror_runs",
    every: timedelta = timedelta(seconds=30),
    code_location: str | None = None,
    metadata: MetadataResource | None = None,
) -> dg.SensorDefinition:
    """A sensor that mirrors the runs of its own code location, and what that location is by now.

    How far it has read is kept in the store, in the transaction that records what was read: a restored store goes on
    from where it was, and two sensors that read the same write it once. Without a `code_location` the location is what
    Dagster calls it; `metadata` as in `_sensor_of`.
    """

    def look(context: dg.SensorEvaluationContext, metadata: MetadataResource) -> dg.SkipReason:
        from metadata_assets.mirror.runs import look_at_runs

        return look_at_runs(context, metadata, code_location=code_location)

    return _sensor_of(
        look,
        name=name,
        description="Records runs, steps and attempts, from Dagster's event log.",
        seconds=int(every.total_seconds()),
        metadata=metadata,
    )


def checks_sensor(
    *,
    name: str = "settle_checks",
    clock: Callable[[], float] = time.time,
    metadata: MetadataResource | None = None,
) -> dg.SensorDefinition:
    """A sensor that records what asset checks found, and publishes what waited for them, exactly once.

    For what no process noticed: runs without a step downstream, runs of checks alone, runs that died. It reads the
    event log from where it was, and again what is younger than five minutes: a number may be drawn long before it is
    seen. What was recorded is not recorded again. `metadata` as in `_sensor_of`.
    """

    def look(context: dg.SensorEvaluationContext, metadata: MetadataResource) -> dg.SkipReason:
        from metadata_assets.settling import look_at_checks

        return look_at_checks(context, metadata, clock=clock)

    return _sensor_of(
        look,
        name=name,
        description="Publishes what has passed its asset checks, and records what they found.",
        metadata=metadata,
    )


def materializations_sensor(*, metadata: MetadataResource | None = None) -> dg.SensorDefinition:
    """A sensor that records what Dagster's event log says was materialized or observed, and no process has recorded.

    How far it has read is kept in the store. `metadata` as in `_sensor_of`.
    """

    def look(context: dg.SensorEvaluationContext, metadata: MetadataResource) -> dg.SkipReason:
        from metadata_assets.mirror.materialized import look_at_materializations

        return look_at_materializations(context, metadata)

    return _sensor_of(
        look,
        name="record_materializations",
        description="Records what was materialized or observed and no process has recorded, from Dagster's event log.",
        metadata=metadata,
    )


def is_ours(sensor: Any) -> bool:
    """Whether a sensor is made here."""
    return isinstance(sensor, dg.SensorDefinition) and _OURS in sensor.metadata


def _sensor_of(
    look: _Look, *, name: str, description: str, seconds: int = 30, metadata: MetadataResource | None = None
) -> dg.SensorDefinition:
    """A sensor that looks every so often, running from the start.

    It is given the resource `metadata` of its code location, or the one that stands here: a project that is adopted
    needs no resource of that name, and may have another one.
    """
    evaluate: Callable[..., Any]
    if metadata is None:

        def evaluate(context: dg.SensorEvaluationContext, metadata: MetadataResource) -> dg.SkipReason:
            return look(context, metadata)
    else:
        bound = metadata

        def evaluate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
            return look(context, bound.anew())

    return dg.sensor(
        name=name,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
        metadata={_OURS: name},
    )(evaluate)
