"""`doctor`: look at every part, say what is not well and what to do about it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from rich.console import RenderableType
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from identity.errors import MetadataError
from metadata_assets.cli import parts
from metadata_assets.cli.answers import Answer, Wrong
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import table, text
from metadata_assets.cli.parts import Look


class Status(StrEnum):
    """How a part is. A warning does not change the exit code."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One part, how it is and what to do. `exit_code` is what a problem makes of the whole."""

    part: str
    status: Status
    detail: str
    fix: str | None = None
    exit_code: ExitCode = ExitCode.OK


def examine(cli: Cli, *, fix: bool = False) -> ExitCode:
    with parts.deployment_of(cli.settings, fix=fix) as deployment:
        findings = [each for name, look in deployment.looks() for each in _findings(name, look)]
    code = worst(findings)
    cli.show({"healthy": code == ExitCode.OK, "findings": [_document(one) for one in findings]}, *_shown(findings))
    return code


def worst(findings: Iterable[Finding]) -> ExitCode:
    """UNUSABLE when a database or server cannot be used, FAILED for other problems, OK for none."""
    codes = {one.exit_code for one in findings if one.status is Status.PROBLEM}
    if ExitCode.UNUSABLE in codes:
        return ExitCode.UNUSABLE
    return ExitCode.FAILED if codes else ExitCode.OK


def _findings(part: str, look: Look) -> Iterator[Finding]:
    """What a look found. It may fail in our words or the driver's; the others go on."""
    try:
        answers = list(look())
    except MetadataError as error:
        code = ExitCode.UNUSABLE if error.exit_code == ExitCode.UNUSABLE else ExitCode.FAILED
        yield Finding(part=part, status=Status.PROBLEM, detail=str(error), exit_code=code)
        return
    except (psycopg.Error, DBAPIError) as error:
        original = error.orig if isinstance(error, DBAPIError) else error
        detail = f"the database answered with {type(original).__name__}"
        yield Finding(part=part, status=Status.PROBLEM, detail=detail, exit_code=ExitCode.UNUSABLE)
        return
    for answer in answers:
        yield _finding(part, answer)


def _finding(part: str, answer: Answer) -> Finding:
    match answer.wrong:
        case Wrong.NO:
            return Finding(part=part, status=Status.OK, detail=answer.detail)
        case Wrong.UNKNOWN:
            return Finding(part=part, status=Status.SKIPPED, detail=answer.detail)
        case Wrong.A_LITTLE:
            return Finding(part=part, status=Status.WARNING, detail=answer.detail, fix=answer.fix)
        case Wrong.YES:
            return Finding(
                part=part, status=Status.PROBLEM, detail=answer.detail, fix=answer.fix, exit_code=ExitCode.FAILED
            )


def _document(one: Finding) -> dict[str, object]:
    return {"part": one.part, "status": one.status, "detail": one.detail, "fix": one.fix}


_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "bold red", Status.SKIPPED: "dim"}


def _shown(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    rows = ((text(one.status, _STYLES[one.status]), one.part, _told(one)) for one in findings)
    yield table("", ("", "part", ""), rows)
    count = Counter(one.status for one in findings)
    counted = ", ".join(f"{count[status]} {status}" for status in Status if count[status] and status is not Status.OK)
    yield counted or "all is well"


def _told(one: Finding) -> Text:
    """The lines of a detail stay lines: a project tells all that is wrong with it at once."""
    told = one.detail if one.fix is None else f"{one.detail}; {one.fix}"
    return Text("\n").join(text(line) for line in told.split("\n"))
