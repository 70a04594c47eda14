"""What a single value in a file may be: names, references, moments, each refused in its own words."""

import re
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Final, Literal, NoReturn
from zoneinfo import available_timezones

from pydantic import AfterValidator, PlainValidator
from pydantic_core import PydanticCustomError

from identity.keys import SLUG
from metadata_assets.spec.partitions import Mapping
from resources.locations import filesystem_problem
from resources.models import LEGACY

REFUSED: Final = "refused"
"""The type of the errors that are raised here."""

REFUSED_UNSEEN: Final = "refused_unseen"
"""The same, where the value must not be repeated."""


def refuse(reason: str, fix: str) -> NoReturn:
    """The value is wrong for this reason; the message repeats it."""
    raise PydanticCustomError(REFUSED, "{reason}", {"reason": reason, "fix": fix})


def refuse_unseen(reason: str, fix: str) -> NoReturn:
    """The value is wrong for this reason, and may be a secret."""
    raise PydanticCustomError(REFUSED_UNSEEN, "{reason}", {"reason": reason, "fix": fix})


def _like(expression: str, reason: str, fix: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(expression, text):
            refuse(reason, fix)
        return text

    return AfterValidator(check)


def _name(text: str) -> str:
    if not text.strip() or text != text.strip() or "/" in text or text in (".", "..") or not text.isprintable():
        refuse("it is not a name", "write a text without / and line breaks, and without blanks around it")
    return text


def _filled(text: str) -> str:
    if not text.strip():
        refuse("it is empty", "write something, or leave the field out")
    return text


def _free(slug: str) -> str:
    if slug == LEGACY:
        refuse("it is where ids of an earlier catalog are", "choose another name for the endpoint")
    return slug


_SLUG_FIX = "use 1 to 63 of a-z, 0-9, _ and -, such as warehouse-eu"
_FUNCTION_FIX = "write module:function, such as delays:daily_delays for the function daily_delays in delays.py"

Name = Annotated[str, AfterValidator(_name)]
Filled = Annotated[str, AfterValidator(_filled)]
Slug = Annotated[str, _like(SLUG.pattern, "it is not the name of an endpoint", _SLUG_FIX), AfterValidator(_free)]
DatasetName = Annotated[
    str,
    _like(r"(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,200}", "it is not the name of a dataset", "use letters, digits, _, - and ."),
]
Word = Annotated[str, _like("[A-Za-z0-9_]+", "it is not a plain word", "use letters, digits and _")]
Identifier = Annotated[
    str, _like("[A-Za-z_][A-Za-z0-9_]*", "it is not the name of a parameter", "use letters, digits and _")
]
FunctionReference = Annotated[
    str, _like(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", "it does not name a function", _FUNCTION_FIX)
]
SqlReference = Annotated[
    str,
    _like(r"[^/\\\0][^\\\0]*\.sql", "it names no file of SQL", "write its path from here, such as orders.sql"),
]
Owner = Annotated[
    str,
    _like(
        r"team:[A-Za-z0-9_-]+|[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}",
        "it is not an owner",
        "write an e-mail address or team:<name>",
    ),
]
Tag = Annotated[str, _like("[A-Za-z0-9_.-]{1,63}", "it is not a tag", "use 1 to 63 letters, digits, _, . and -")]


_VARIABLE = "env:[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE_FIX = "write env:NAME and put the value into that environment variable"


def _url(text: str) -> str:
    if not re.fullmatch(_VARIABLE, text):
        refuse_unseen("a connection URL does not belong into the project", _VARIABLE_FIX)
    return text


def _root(text: str) -> str:
    if "://" in text and re.search("[@?#=;]", text.partition("://")[2]):
        refuse_unseen("it holds more than the place of the files", _VARIABLE_FIX)
    if text.startswith("env:") and not re.fullmatch(_VARIABLE, text):
        refuse_unseen("it does not name an environment variable", _VARIABLE_FIX)
    if problem := filesystem_problem(text):
        refuse_unseen(*problem)
    return text


def _file(text: str) -> str:
    if "://" in text or not text:
        refuse_unseen("it is not the path of a file", "write a path of this machine, or env:NAME")
    if text.startswith("env:") and not re.fullmatch(_VARIABLE, text):
        refuse_unseen("it does not name an environment variable", _VARIABLE_FIX)
    return text


UrlReference = Annotated[str, AfterValidator(_url)]
Root = Annotated[str, AfterValidator(_root)]
DatabaseFile = Annotated[str, AfterValidator(_file)]


_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _duration(value: object) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", value) if isinstance(value, str) else None
    if not match:
        refuse("it is not a duration", "write a number and s, m, h or d, such as 5m")
    return int(match[1]) * _UNITS[match[2]]


def _moment(value: object) -> datetime:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d)?", value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    refuse("it is not a date", "write it as 2013-01-31, or 2013-01-31 14:00")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _timezone(name: str) -> str:
    if name not in _timezones():
        refuse("it is not a timezone", "write a name of the IANA database, such as UTC or America/New_York")
    return name


def _mapping(value: object) -> Mapping:
    match value:
        case "same" | "all" | "last" | "window" | "dimension":
            return Mapping(value)
        case {"offset": str(steps), **others} if not others and re.fullmatch("[+-]?[1-9][0-9]{0,3}", steps):
            return Mapping("offset", int(steps))
    refuse("it is not a mapping of partitions", "write same, window, dimension, all, last or {offset: -1}")


Duration = Annotated[timedelta, PlainValidator(_duration, json_schema_input_type=str)]
Moment = Annotated[datetime, PlainValidator(_moment, json_schema_input_type=str)]
Timezone = Annotated[str, AfterValidator(_timezone)]
_MappingWritten = Literal["same", "window", "dimension", "all", "last"] | dict[Literal["offset"], int]
PartitionMapping = Annotated[Mapping, PlainValidator(_mapping, json_schema_input_type=_MappingWritten)]
