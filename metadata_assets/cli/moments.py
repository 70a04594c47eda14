"""Which version, until when: numbers, names of pins, times and durations as people type them."""

import re
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from identity.errors import MetadataError, shown
from metadata_assets.cli.exit_codes import ExitCode
from resources.version_records import At

_UNITS: Final = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class NotAVersion(MetadataError):
    """--at {text}: write a version's number, a pin's name, or a time like 2026-03-01 or 2026-03-01T12:00:00+00:00"""

    text: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NotAnEnd(MetadataError):
    """--expires {text}: write how long, such as 12h or 30d, or a time like 2026-03-01 or 2026-03-01T12:00:00+00:00"""

    text: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NotAMoment(MetadataError):
    """{text} is not a time; write it like 2026-03-01 or 2026-03-01T12:00:00+00:00"""

    text: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def moment(text: str) -> datetime:
    """A time as people write it; without a zone it is in UTC. Raises NotAMoment."""
    at = _moment(text)
    if at is None:
        raise NotAMoment(text=shown(text))
    return at


def version_meant(text: str | None) -> At:
    """A number, a pin's name (it begins with a letter) or a moment; UTC where none is said. Raises NotAVersion."""
    if text is None or text[:1].isalpha():
        return text
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    at = _moment(text)
    if at is None:
        raise NotAVersion(text=shown(text))
    return at


def end_meant(text: str | None) -> datetime | None:
    """When it ends: a moment, or so long from now; days last to the end of the last one, UTC. Raises NotAnEnd.

    So the same words mean the same end all day, and asking again for a pin finds it.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})([smhd])", text)
    if found is None:
        at = _moment(text)
        if at is None:
            raise NotAnEnd(text=shown(text))
        return at
    now = datetime.now(UTC)
    if found[2] == "d":
        now = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return now + int(found[1]) * _UNITS[found[2]]


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
