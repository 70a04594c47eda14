"""What the functions of versions, pins and releases refuse, by the constraint that they name."""

import re
from collections.abc import Callable
from typing import ClassVar, Final

import psycopg

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name

_KEY: Final = re.compile(r"mid1:dataset:[^\s,;]+")


class UnknownVersion(MetadataError):
    """{detail}; see what there is: metadata-assets versions DATASET"""

    detail: str
    exit_code: ClassVar[int] = 3


class UnknownPin(MetadataError):
    """{detail}; see which there are: metadata-assets pins --all"""

    detail: str
    exit_code: ClassVar[int] = 3


class NotAtVersion(MetadataError):
    """{detail}; nothing was changed: look at what was published meanwhile, then name the present version"""

    detail: str


class RollbackRefused(MetadataError):
    """{detail}; nothing was changed"""

    detail: str


class UnusableMaterialization(MetadataError):
    """{detail}; nothing was changed: leave it out, make it anew, or go to another version"""

    detail: str


class ReleaseRefused(MetadataError):
    """{detail}; nothing was released: release without it, or make it anew"""

    detail: str


class ChecksRefuse(MetadataError):
    """{detail}; nothing was published: materialize it again, or publish it despite its checks and say why"""

    detail: str


class PinTaken(MetadataError):
    """{detail}; nothing was pinned: choose another name, or unpin it first"""

    detail: str


class PinRefused(MetadataError):
    """{detail}; nothing was pinned: give it a later end, or none"""

    detail: str


class InvalidationTooLarge(MetadataError):
    """{detail}; nothing was marked: invalidate fewer partitions at a time, or without what is downstream"""

    detail: str


class NothingToRetract(MetadataError):
    """{detail}; nothing was retracted"""

    detail: str
    exit_code: ClassVar[int] = 3


class MetadataTooLarge(MetadataError):
    """metadata of {asset} has {size} bytes of JSON per materialization, {limit} is the limit; nothing was written: \
keep what is large in a file, and its location here"""

    asset: str
    size: int
    limit: int


def _with_detail(error: type[MetadataError]) -> Callable[[psycopg.Error], MetadataError]:
    return lambda refused: error(detail=_by_short_names(refused.diag.message_primary or ""))


def _too_large(refused: psycopg.Error) -> MetadataError:
    size, limit, asset = (refused.diag.message_detail or "0 0 ?").split(" ", 2)
    return MetadataTooLarge(asset=_by_short_names(asset), size=int(size), limit=int(limit))


def _by_short_names(text: str) -> str:
    return _KEY.sub(lambda found: short_name(CanonicalKey.parse(found[0])), text)


REFUSALS: Final[dict[str, Callable[[psycopg.Error], MetadataError]]] = {
    "version": _with_detail(UnknownVersion),
    "pin": _with_detail(UnknownPin),
    "expected_version": _with_detail(NotAtVersion),
    "rollback": _with_detail(RollbackRefused),
    "unusable": _with_detail(UnusableMaterialization),
    "release": _with_detail(ReleaseRefused),
    "failed_checks": _with_detail(ChecksRefuse),
    "pin_name": _with_detail(PinTaken),
    "pin_expiry": _with_detail(PinRefused),
    "invalidation": _with_detail(InvalidationTooLarge),
    "retraction": _with_detail(NothingToRetract),
    "metadata_size": _too_large,
}
