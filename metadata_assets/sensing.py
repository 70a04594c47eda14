"""The sensors of this package: with the resource of their code location, or with one of their own."""

from collections.abc import Callable
from typing import Any, Final

import dagster as dg

from resources.configurable import MetadataResource

_OURS: Final = "metadata_assets/sensor"

Look = Callable[[dg.SensorEvaluationContext, MetadataResource], dg.SkipReason]


def sensor_of(
    look: Look, *, name: str, description: str, seconds: int = 30, metadata: MetadataResource | None = None
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


def is_ours(sensor: Any) -> bool:
    """Whether a sensor is made here."""
    return isinstance(sensor, dg.SensorDefinition) and _OURS in sensor.metadata
