"""When datasets are made anew and how long their past is kept, as it is written in YAML."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from metadata_assets._dagster import is_valid_cron_schedule
from metadata_assets.spec.declared import Declared
from metadata_assets.spec.texts import Duration, Filled, Slug, Timezone, refuse


def _cron(text: str) -> str:
    if not is_valid_cron_schedule(text):
        refuse("it is not a cron expression", 'write minute, hour, day, month and weekday, such as "0 6 * * *"')
    return text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Cron = Annotated[str, AfterValidator(_cron)]
Selections = Annotated[tuple[Filled, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class ScheduleFields(Declared):
    """One entry of `schedules`: when to run what. `environments`: where it is on; everywhere without."""

    cron: Cron
    timezone: Timezone = "UTC"
    select: Selections
    exclude: Selections = ()
    environments: tuple[Slug, ...] | None = None
    description: str | None = None


def _automated(value: object) -> object:
    return {"when": value} if isinstance(value, str) else value


class AutomationFields(Declared):
    """When a dataset is made by itself: when inputs are newer, when it is missing, or after each tick of a cron."""

    when: Literal["eager", "on_missing", "on_cron"] = "on_cron"
    cron: Cron | None = None
    timezone: Timezone = "UTC"

    @model_validator(mode="after")
    def _has_its_cron(self) -> "AutomationFields":
        if (self.when == "on_cron") != (self.cron is not None):
            refuse("a cron belongs to on_cron, and only there", 'write eager, on_missing or {cron: "0 6 * * *"}')
        return self


class RetentionFields(Declared):
    """What stays of replaced data: that of so many last versions, and what was replaced less long ago than this."""

    versions: Annotated[int, Field(ge=1)] = 10
    time: Annotated[Duration, Field(alias="for")] = timedelta(days=7)


_AutomationWritten = Literal["eager", "on_missing"] | AutomationFields
Automated = Annotated[AutomationFields | None, BeforeValidator(_automated, json_schema_input_type=_AutomationWritten)]
