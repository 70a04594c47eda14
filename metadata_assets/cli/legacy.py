"""`identity import`: ids of an earlier catalog become names of what they meant."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TextIO

from rich.console import RenderableType
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from identity.errors import MetadataError, shown
from identity.external import Atlas, AtlasName, DagsterAssets, DataHub, OpenMetadata, OpenMetadataName
from identity.keys import CanonicalKey, short_name
from identity.naming import openlineage_key
from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import table
from resources.metadata.legacy import Imported, TakenId
from resources.metadata.legacy_names import LegacyRow, RefusedRow, Unclear

IDS = ("legacy_id", "id")
MEANINGS = ("reference", "name", "key")
SHOWN = 20


class UnreadableImport(MetadataError):
    """line {line} of {path} is no line of an import: {problem}; nothing was written"""

    path: str
    line: int
    problem: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class UnknownWords(MetadataError):
    """{form} is no catalog whose names an import reads; use one of {forms}"""

    form: str
    forms: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


WORDS = ("datahub", "openmetadata", "atlas", "openlineage", "dagster")


def import_ids(
    cli: Cli, path: Path, *, words: str | None, reason: str | None, dry_run: bool, batch_size: int
) -> ExitCode:
    if words not in (None, *WORDS):
        raise UnknownWords(form=shown(words or ""), forms=", ".join(WORDS))
    rows = list(read_rows(path))
    with cli.opened(actor=person(), rehearsed=dry_run) as opened, _progress(cli) as progress:
        systems = {one.slug: one.system for one in opened.store.endpoints()} if words else {}
        rows, unread = translated(rows, words, systems) if words else (rows, ())
        task = progress.add_task("ids")
        done = opened.store.import_legacy(
            rows,
            reason=reason,
            batch_size=batch_size,
            progress=lambda done, of: progress.update(task, completed=done, total=of),
        )
    done = replace(done, refused=(*unread, *done.refused))
    cli.show(described(done, dry_run=dry_run), *_shown(done, dry_run=dry_run))
    return ExitCode.OK if done.complete else ExitCode.PARTIAL


def translated(
    rows: Sequence[LegacyRow], words: str, systems: Mapping[str, str]
) -> tuple[list[LegacyRow], tuple[RefusedRow, ...]]:
    """The same lines with keys for another catalog's names, and those whose name is none there."""
    read: list[LegacyRow] = []
    unread: list[RefusedRow] = []
    for row in rows:
        try:
            read.append(replace(row, reference=str(_key_of(row.reference, words, systems))))
        except MetadataError as error:
            unread.append(RefusedRow(row.line, error))
    return read, tuple(unread)


def _key_of(name: str, words: str, systems: Mapping[str, str]) -> CanonicalKey:
    first, tab, rest = name.partition("\t")
    entity: Any = first
    match words:
        case "datahub":
            return DataHub(systems=systems).key_of(name)
        case "openmetadata":
            return OpenMetadata(systems=systems).key_of(OpenMetadataName(*((entity, rest) if tab else ("table", name))))
        case "atlas":
            return Atlas(systems=systems).key_of(AtlasName(*((first, rest) if tab else ("rdbms_table", name))))
        case "openlineage":
            return openlineage_key(first, rest)
    endpoint = next((slug for slug, system in systems.items() if system == "dagster"), "dagster")
    return DagsterAssets(endpoint).key_of_text(name)


def _progress(cli: Cli) -> Progress:
    """On stderr, where people look at it."""
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=cli.err, transient=True, disable=cli.json_output or not cli.err.is_terminal)


def read_rows(path: Path) -> Iterator[LegacyRow]:
    """The lines of a CSV file with a header, or of JSON Lines where the name does not end in .csv. UnreadableImport."""
    number = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _of_csv(path, file) if path.suffix.lower() == ".csv" else _of_json(path, file)
        try:
            for number, fields in lines:
                yield LegacyRow(number, _field(path, number, fields, IDS), _field(path, number, fields, MEANINGS))
        except UnicodeDecodeError:
            raise UnreadableImport(path=str(path), line=number + 1, problem="it is not UTF-8") from None


def _of_csv(path: Path, file: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(file, strict=True)
    try:
        for fields in reader:
            yield reader.line_num, fields
    except csv.Error as error:
        raise UnreadableImport(path=str(path), line=reader.line_num, problem=str(error)) from None


def _of_json(path: Path, file: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise UnreadableImport(path=str(path), line=number, problem="it is not a JSON object")
        yield number, fields


def _field(path: Path, line: int, fields: Mapping[str, Any], names: Sequence[str]) -> str:
    value = next((fields[name] for name in names if fields.get(name) is not None), None)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # ids of an earlier catalog may be numbers
    if not isinstance(value, str):
        raise UnreadableImport(path=str(path), line=line, problem=f"it has no {names[0]}")
    return value


def described(done: Imported, *, dry_run: bool) -> dict[str, object]:
    """The report as JSON."""
    return {
        "dry_run": dry_run,
        "linked": done.linked,
        "already": done.already,
        "ambiguous": [{**_unclear(one), "candidates": list(one.candidates)} for one in done.ambiguous],
        "unknown": [_unclear(one) for one in done.unknown],
        "taken": [{"line": one.line, "legacy_id": shown(one.id), "meant": one.meant} for one in done.taken],
        "refused": [{"line": one.line, "problem": str(one.error)} for one in done.refused],
    }


def _unclear(one: Unclear) -> dict[str, object]:
    return {"line": one.line, "legacy_id": shown(one.id), "reference": shown(one.reference)}


def _shown(done: Imported, *, dry_run: bool) -> list[RenderableType]:
    what = "would lead to what they meant" if dry_run else "lead to what they meant now"
    parts: list[RenderableType] = [f"{done.linked:,} ids {what}; {done.already:,} did before"]
    listed: list[tuple[str, Sequence[object], list[str]]] = [
        ("Ambiguous, left alone", done.ambiguous, ["line", "id", "reference", "could be"]),
        ("Unknown, left alone", done.unknown, ["line", "id", "reference", "could be"]),
        ("Taken by something else, left alone", done.taken, ["line", "id", "reference", "could be"]),
        ("Refused", done.refused, ["line", "id", "reference", "problem"]),
    ]
    for title, some, columns in listed:
        if some:
            parts += ["", table(f"{title}: {len(some):,}", columns, map(_cells, some[:SHOWN]))]
        if len(some) > SHOWN:
            parts.append(f"and {len(some) - SHOWN:,} more; --json lists all")
    return parts


def _cells(one: object) -> tuple[object, ...]:
    match one:
        case Unclear():
            could_be = ", ".join(map(str, one.candidates))
            return str(one.line), shown(one.id), shown(one.reference), could_be
        case TakenId():
            return str(one.line), shown(one.id), None, short_name(one.meant)
        case RefusedRow():
            return str(one.line), None, None, str(one.error)
    raise TypeError(type(one).__name__)
