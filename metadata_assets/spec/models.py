"""The fields of `metadata.yml` and `datasets/*.yml`, each with what it accepts."""

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Final, Literal, NoReturn, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from identity.errors import MetadataError
from identity.keys import check_slug
from metadata_assets.spec.partitions import (
    DynamicPartitions,
    Grain,
    Mapping,
    Partitions,
    StaticPartitions,
    TimePartitions,
)
from resources.locations import System
from resources.models import PublishPolicy

REFUSED: Final = "refused"
"""The type of the errors that these models raise themselves."""

REFUSED_UNSEEN: Final = "refused_unseen"
"""The same, where the value must not be repeated."""


def refuse(reason: str, fix: str) -> NoReturn:
    raise PydanticCustomError(REFUSED, "{reason}", {"reason": reason, "fix": fix})


def refuse_unseen(reason: str, fix: str) -> NoReturn:
    raise PydanticCustomError(REFUSED_UNSEEN, "{reason}", {"reason": reason, "fix": fix})


def _name(text: str) -> str:
    """A name that short forms like jfk/public/flights can hold."""
    if not text.strip() or text != text.strip() or "/" in text or text in (".", "..") or not text.isprintable():
        refuse("it is not a name", "write a text without / and line breaks, and without blanks around it")
    return text


def _slug(text: str) -> str:
    try:
        check_slug(text)
    except MetadataError:
        refuse("it is not the name of an endpoint", "use 1 to 63 of a-z, 0-9, _ and -, such as warehouse-eu")
    return text


def _pattern(expression: str, reason: str, fix: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(expression, text):
            refuse(reason, fix)
        return text

    return AfterValidator(check)


def _filled(text: str) -> str:
    if not text.strip():
        refuse("it is empty", "write something, or leave the field out")
    return text


WORD = re.compile(r"[A-Za-z0-9_]+")
Name = Annotated[str, AfterValidator(_name)]
Filled = Annotated[str, AfterValidator(_filled)]
DatasetName = Annotated[
    str,
    _pattern(
        r"(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,200}", "it is not the name of a dataset", "use letters, digits, _, - and ."
    ),
]
Slug = Annotated[str, AfterValidator(_slug)]
Word = Annotated[str, _pattern(WORD.pattern, "it is not a plain word", "use letters, digits and _")]
Identifier = Annotated[
    str, _pattern(r"[A-Za-z_][A-Za-z0-9_]*", "it is not the name of a parameter", "use letters, digits and _")
]
FunctionReference = Annotated[
    str,
    _pattern(
        r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*",
        "it does not name a function",
        "write module:function, such as delays:daily_delays for the function daily_delays in delays.py",
    ),
]
Owner = Annotated[
    str,
    _pattern(
        r"team:[A-Za-z0-9_-]+|[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}",
        "it is not an owner",
        "write an e-mail address or team:<name>",
    ),
]
Tag = Annotated[
    str,
    _pattern(r"[A-Za-z0-9_.-]{1,63}", "it is not a tag", "use 1 to 63 letters, digits, _, . and -"),
]


def _reference(text: str) -> str:
    if not re.fullmatch(_REFERENCE, text):
        refuse_unseen("a connection URL does not belong into the project", _BY_REFERENCE)
    return text


def _root(text: str) -> str:
    if "://" in text and re.search("[@?#=;]", text.partition("://")[2]):
        refuse_unseen("it holds more than the place of the files", _BY_REFERENCE)
    if text.startswith("env:") and not re.fullmatch(_REFERENCE, text):
        refuse_unseen("it does not name an environment variable", _BY_REFERENCE)
    return text


_REFERENCE = "env:[A-Za-z_][A-Za-z0-9_]*"
_BY_REFERENCE = "write env:NAME and put the value into that environment variable"


def _duration(text: object) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text) if isinstance(text, str) else None
    if not match:
        refuse("it is not a duration", "write a number and s, m, h or d, such as 5m")
    return int(match[1]) * _UNITS[match[2]]


_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _moment(text: object) -> datetime:
    if isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d)?", text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    refuse("it is not a date", "write it as 2013-01-31, or 2013-01-31 14:00")


def _timezone(name: str) -> str:
    if name not in _timezones():
        refuse("it is not a timezone", "write a name of the IANA database, such as UTC or America/New_York")
    return name


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _mapping(value: object) -> Mapping:
    match value:
        case "same" | "all" | "last" | "window":
            return Mapping(value)
        case {"offset": str(steps), **others} if not others and re.fullmatch("[+-]?[1-9][0-9]{0,3}", steps):
            return Mapping("offset", int(steps))
    refuse("it is not a mapping of partitions", "write same, window, all, last or {offset: -1}")


def _dependency(value: object) -> object:
    return {"dataset": value} if isinstance(value, str) else value


Moment = Annotated[datetime, PlainValidator(_moment)]


class _Declared(BaseModel):
    """A mapping in a YAML file: no field but these, and no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


class CollectFields(_Declared):
    """What to collect of an endpoint's catalog: these schemas or, if none is named, all; and how often to look."""

    schemas: tuple[Name, ...] = ()
    every: Annotated[timedelta, PlainValidator(_duration)] = timedelta(minutes=5)


class EndpointFields(_Declared):
    """One entry of `endpoints`."""

    system: System
    url: Annotated[str, AfterValidator(_reference)] | None = None
    database: Name | None = None
    root: Annotated[str, AfterValidator(_root)] | None = None
    collect: CollectFields | None = None

    @model_validator(mode="after")
    def _fits_its_system(self) -> "EndpointFields":
        if self.system == "postgres" and self.database is None:
            refuse("a postgres endpoint needs its `database`", "add the name of the database, it is part of its keys")
        wrong = ("root",) if self.system == "postgres" else ("url", "database", "collect")
        for field in wrong:
            if getattr(self, field) is not None:
                refuse(f"an endpoint of system {self.system} has no `{field}`", "remove it")
        return self


class ProjectFields(_Declared):
    """`metadata.yml`. The endpoints are validated one by one, so that one mistake does not hide another."""

    name: Name
    endpoints: dict[Slug, object] = Field(default_factory=dict)


class TimeFields(_Declared):
    """The calendar of partitions by time."""

    start: Moment
    end: Moment | None = None
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "TimeFields":
        if self.end is not None and self.end <= self.start:
            refuse("its end is not after its start", "the end is the first moment that is not covered any more")
        return self


class PartitionsFields(_Declared):
    """How a dataset is divided: exactly one of these."""

    hourly: TimeFields | None = None
    daily: TimeFields | None = None
    weekly: TimeFields | None = None
    monthly: TimeFields | None = None
    static: tuple[Name, ...] | None = None
    dynamic: Word | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "PartitionsFields":
        if len(self.model_fields_set) != 1:
            refuse("a dataset is divided in exactly one way", f"keep one of {', '.join(type(self).model_fields)}")
        _ = self.value
        return self

    @property
    def value(self) -> Partitions:
        if self.static is not None:
            return _static(self.static)
        if self.dynamic is not None:
            return DynamicPartitions(self.dynamic)
        grains: dict[Grain, TimeFields | None] = {
            "hourly": self.hourly,
            "daily": self.daily,
            "weekly": self.weekly,
            "monthly": self.monthly,
        }
        for grain, calendar in grains.items():
            if calendar is not None:
                return _time(grain, calendar)
        refuse("it is empty", f"write one of {', '.join(type(self).model_fields)}")


def _static(keys: tuple[str, ...]) -> StaticPartitions:
    if not keys or len(set(keys)) < len(keys) or any("..." in key for key in keys):
        refuse("it is not a list of different partitions", "name each partition once, without ... in it")
    return StaticPartitions(keys)


def _time(grain: Grain, calendar: TimeFields) -> TimePartitions:
    whole = {"hourly": "%M", "daily": "%H%M", "weekly": "%H%M", "monthly": "%d%H%M"}[grain]
    for moment in filter(None, (calendar.start, calendar.end)):
        if moment.strftime(whole) not in ("00", "0000", "010000"):
            refuse(f"{moment:%Y-%m-%d %H:%M} is not the beginning of a partition", _BEGINNINGS[grain])
    if grain == "weekly" and calendar.end and (calendar.end - calendar.start).days % 7:
        refuse("its end is not the end of a week", f"weeks begin on the weekday of its start, a {calendar.start:%A}")
    return TimePartitions(grain=grain, start=calendar.start, end=calendar.end, timezone=calendar.timezone)


_BEGINNINGS: dict[Grain, str] = {
    "hourly": "begin and end on the full hour",
    "daily": "begin and end at midnight: write the date alone",
    "weekly": "begin and end at midnight: write the date alone",
    "monthly": "begin and end on the first of a month",
}


class ColumnFields(_Declared):
    """One column, as the dataset promises it."""

    name: Filled
    type: str | None = None
    description: str | None = None


class DependencyFields(_Declared):
    """One input. `as` is the parameter of the function that gets it, by default the name of the table."""

    dataset: str
    alias: Identifier | None = Field(None, alias="as")
    partitions: Annotated[Mapping, PlainValidator(_mapping)] | None = None
    missing: Literal["fail", "skip"] = "fail"


class CheckFields(_Declared):
    """One check of the data. A blocking one keeps data that fails it from being published."""

    name: Word
    python: FunctionReference
    blocking: bool = True
    description: str | None = None


Named = TypeVar("Named", ColumnFields, CheckFields)


def _different(items: tuple[Named, ...]) -> tuple[Named, ...]:
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        refuse(f"{', '.join(twice)} is there twice", "name each once")
    return items


class DatasetFields(_Declared):
    """One entry of `datasets`."""

    name: DatasetName
    endpoint: str
    schema_: DatasetName | None = Field(None, alias="schema")
    description: str | None = None
    owners: tuple[Owner, ...] = ()
    tags: tuple[Tag, ...] = ()
    group: Word | None = None
    columns: Annotated[tuple[ColumnFields, ...], AfterValidator(_different)] = ()
    partitions: PartitionsFields | None = None
    depends_on: tuple[Annotated[DependencyFields, BeforeValidator(_dependency)], ...] = ()
    python: FunctionReference
    code_version: Filled | None = None
    checks: Annotated[tuple[CheckFields, ...], AfterValidator(_different)] = ()
    publish: PublishPolicy | None = None


class DatasetsFields(_Declared):
    """A file in `datasets/`. The datasets are validated one by one."""

    datasets: tuple[object, ...]
