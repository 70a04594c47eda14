"""What callers give: of the right type, of a size that a catalog wants, storable, and without credentials."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from psycopg.types.json import Jsonb

from identity.credentials import scrub, scrubbed
from identity.errors import MetadataError

NAME_LENGTH: Final = 200
TEXT_LENGTH: Final = 4000
METADATA_BYTES: Final = 64 * 1024
LARGEST_NUMBER: Final = 2**31 - 1

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NUL_IN_JSON: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class InvalidInput(MetadataError):
    """{field} cannot be used, {reason}; {fix}"""

    field: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2


def text(field: str, value: str | None, *, longest: int = TEXT_LENGTH) -> str | None:
    """A text, credentials hidden. Raises InvalidInput when it is too long or cannot be stored, TypeError."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{field} is a str")
    if len(value) > longest:
        raise InvalidInput(field=field, reason=f"it has {len(value):,} characters", fix=f"use {longest:,} at most")
    if "\0" in value:
        raise InvalidInput(field=field, reason="it contains the NUL character", fix="remove it")
    if _SURROGATE.search(value):
        raise InvalidInput(
            field=field, reason="it contains a lone surrogate, which is not text", fix="read it as UTF-8"
        )
    return scrub(value)


def document(field: str, value: Mapping[str, Any] | None) -> Jsonb | None:
    """A JSON object for a parameter, credentials hidden. Raises InvalidInput unless it can be stored and is small."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"{field} is a mapping")
    try:
        written = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
        size = len(written.encode())
    except UnicodeEncodeError:
        reason, fix = "it contains a lone surrogate, which is not text", "read it as UTF-8"
    except (TypeError, ValueError, RecursionError):
        reason = "it is not JSON"
        fix = "use texts, finite numbers, true, false, null, and lists and objects of them"
    else:
        if size <= METADATA_BYTES and not _NUL_IN_JSON.search(written):
            return Jsonb(scrubbed(dict(value)))
        reason, fix = "it contains the NUL character", "remove it"
        if size > METADATA_BYTES:
            reason, fix = f"it takes {size:,} bytes", f"use {METADATA_BYTES:,} at most; store the rest elsewhere"
    raise InvalidInput(field=field, reason=reason, fix=fix)


def number(field: str, value: int, *, least: int = 1, most: int = LARGEST_NUMBER) -> int:
    """A whole number within bounds. Raises InvalidInput, TypeError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{field} is an int")
    if not least <= value <= most:
        raise InvalidInput(field=field, reason="it is out of bounds", fix=f"use {least:,} to {most:,}")
    return value


def moment(field: str, value: datetime | None) -> datetime | None:
    """A moment that is the same everywhere. Raises InvalidInput when it has no time zone, TypeError."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{field} is a datetime")
    if value.tzinfo is None:
        raise InvalidInput(field=field, reason="it has no time zone", fix="use datetime(…, tzinfo=UTC)")
    return value


def choice(field: str, value: str, allowed: Sequence[str]) -> str:
    """One of a few words. Raises InvalidInput, TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{field} is a str")
    if value not in allowed:
        raise InvalidInput(field=field, reason="there is no such one", fix=f"use one of {', '.join(allowed)}")
    return value
