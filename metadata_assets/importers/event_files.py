"""Files of events: one on each line, a list, or one alone. What is no event is told as well, and reading goes on."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

from identity.errors import MetadataError
from identity.ids import sha256_of
from identity.naming import Authority
from metadata_assets.importers.errors import InvalidEvent, UnreadableFile
from metadata_assets.importers.event_names import EventNames
from metadata_assets.importers.openlineage import read_event
from resources.lineage_records import LineageEvent, RecordedLineage, RefusedEvent
from resources.metadata.endpoint_aliases import NO_SERVERS
from resources.metadata_store import MetadataStore

BATCH: Final = 500
"""How many events are recorded at once."""
_BLANK: Final = " \t\r\n\v\f\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One event as it came: where it was, its text, and what that is as JSON or why it is none."""

    place: str
    text: str
    document: Any = None
    problem: InvalidEvent | None = None
    digest: bytes | None = None
    """Of its text as it first came, when that was refused then."""

    @property
    def sha256(self) -> bytes:
        return self.digest or sha256_of(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEvents:
    """What became of events: how many there were, what they wrote, how many were kept aside, and the first of these."""

    events: int
    recorded: RecordedLineage
    aside: int
    refused: tuple[RefusedEvent, ...]


def read_files(paths: Iterable[Path]) -> Iterator[Given]:
    """The events of some files in turn; in memory is one line, or one file that is no list of lines.

    Raises UnreadableFile for a file that is not there or no text.
    """
    for path in paths:
        try:
            yield from _read_file(path)
        except OSError as error:
            raise UnreadableFile(file=path.name, reason=(error.strerror or "of unknown cause").lower()) from None


def _read_file(path: Path) -> Iterator[Given]:
    with path.open("rb") as file:
        first = next((one for line in file if (one := _stripped(line))), "")
        if first[:1] != "[" and _is_json(first):
            file.seek(0)
            for number, line in enumerate(file, 1):
                if text := _stripped(line):
                    yield _given(f"{path.name}:{number}", text)
            return
        file.seek(0)
        yield from _documents(path.name, file.read().decode("utf-8", "replace"))


def _documents(name: str, text: str) -> Iterator[Given]:
    """One document after the other. Behind what is no JSON the rest is lines where one of these is, else one text."""
    decoder = json.JSONDecoder(parse_constant=_no_number)
    at = _behind_space(text, 0)
    if at == len(text):
        return
    while at < len(text):
        try:
            document, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield from _rest(name, text[at:], 0 if at == 0 else text.count("\n", 0, at) + 1)
            return
        if isinstance(document, list):
            for number, one in enumerate(document, 1):
                yield Given(place=f"{name}[{number}]", text=json.dumps(one), document=one)
        else:
            yield Given(place=name, text=text[at:end], document=document)
        at = _behind_space(text, end)


def _rest(name: str, text: str, line: int) -> Iterator[Given]:
    """What begins with something that is no JSON, at this line of its file (0: all of it)."""
    lines = text.split("\n")
    if not any(one.startswith("{") and len(one) > len("{}\r") and _is_json(one) for one in lines):
        yield _given(f"{name}:{line}" if line else name, text)
        return
    for number, one in enumerate(lines, line or 1):
        if stripped := one.strip(_BLANK):
            yield _given(f"{name}:{number}", stripped)


def refused_before(waiting: Iterable[RefusedEvent]) -> Iterator[Given]:
    """Events that were kept aside, to be tried again: those that were kept whole."""
    for one in waiting:
        if one.is_whole:
            yield replace(_given(one.place, one.text), digest=one.sha256)


def _behind_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _stripped(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip(_BLANK)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _given(place: str, text: str) -> Given:
    try:
        return Given(place=place, text=text, document=json.loads(text, parse_constant=_no_number))
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        problem = InvalidEvent(field="event", reason=f"it is no JSON{where}", fix="send it whole and as UTF-8")
        return Given(place=place, text=text, problem=problem)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def import_events(
    store: MetadataStore,
    given: Iterable[Given],
    *,
    servers: Mapping[str, Authority] = NO_SERVERS,
    batch: int = BATCH,
) -> Iterator[ImportedEvents]:
    """Record events batch by batch, each in one transaction; what became of each batch, as it is done.

    `servers` are those of endpoints, where their attributes do not say it.

    An event that cannot be read is kept aside with the reason and holds up no other. Events that were kept aside once
    and are read now are told as accepted.
    """
    names = EventNames.of(store.endpoints(), servers)
    ahead = iter(given)
    while some := list(islice(ahead, batch)):
        read: list[tuple[Given, LineageEvent]] = []
        refused: list[RefusedEvent] = []
        for one in some:
            try:
                if one.problem is not None:
                    raise one.problem
                read.append((one, read_event(one.document, names)))
            except MetadataError as error:
                refused.append(_refused(one, error))
        recorded = record(store, read, refused)
        if refused:
            store.refuse_events(refused)
        aside = {one.sha256 for one in refused}
        if accepted := {one.sha256 for one, _event in read} - aside:
            store.accept_events(accepted)
        yield ImportedEvents(events=len(some), recorded=recorded, aside=len(refused), refused=tuple(refused))


def record(
    store: MetadataStore, events: Sequence[tuple[Given, LineageEvent]], refused: list[RefusedEvent]
) -> RecordedLineage:
    """Record all of them, or else each half for itself: what the store refuses of one holds up no other."""
    if not events:
        return RecordedLineage()
    try:
        return store.record_events([event for _given, event in events])
    except MetadataError as error:
        if len(events) == 1:
            refused.append(_refused(events[0][0], error))
            return RecordedLineage()
    middle = len(events) // 2
    return record(store, events[:middle], refused) + record(store, events[middle:], refused)


def _refused(one: Given, error: MetadataError) -> RefusedEvent:
    return RefusedEvent(
        place=one.place,
        text=one.text,
        characters=len(one.text),
        sha256=one.sha256,
        error=type(error).__name__,
        reason=str(error),
    )
