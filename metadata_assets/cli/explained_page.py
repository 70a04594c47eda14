"""An explanation as the page that somebody reads at 3 a.m."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from rich.console import RenderableType

from identity.keys import short_name
from metadata_assets.cli.explained import command
from metadata_assets.cli.happened import happened
from metadata_assets.cli.output import facts, printable, table
from metadata_assets.cli.running import took, why, why_not
from resources.explanations import (
    Counted,
    Cut,
    Delivered,
    ExplainedInput,
    ExplainedRun,
    Explanation,
    Had,
    Inputs,
    Made,
    PinFacts,
    Remedy,
    Tried,
    VersionFacts,
    VersionMade,
)
from resources.runs import TaskAttempt
from resources.version_records import Stale

_TRIED = ("when", "run", "step", "attempt", "status", "partition", "why")
_DELIVERED = ("committed", "materialization", "run", "version", "state", "failed checks")
_ATTEMPT = ("attempt", "status", "owner", "started", "took", "why")
_CUT = {"tried": "tries", "versions": "stretches of versions", "stale": "steps of what is stale"}
_STALE = ("what", "partition", "because", "by", "when")


def drawn(found: Explanation) -> Iterator[RenderableType]:
    """What happened in one sentence, then why, from what, for whom, and the way back."""
    partition = "" if found.partition is None else f"  {printable(found.partition)}"
    yield f"{printable(short_name(found.key))}{partition}: {printable(happened(found))}"
    for part in _sections(found):
        yield ""
        yield part


def _sections(found: Explanation) -> Iterator[RenderableType]:
    if found.version is not None:
        yield from _of_version(found.version)
    if found.tried:
        yield table("Tried since, and nothing delivered", _TRIED, map(_tried, found.tried))
    if found.made is not None:
        yield from _of_made(found.made)
    if len(found.deliveries) > 1:
        yield table("Deliveries of this partition", _DELIVERED, map(_delivered, found.deliveries))
    yield table("The way back", ("to", "do"), ((one.effect, _way(found, one)) for one in found.remedies))
    for one in found.refused:
        verb = "go back to" if one.action == "rollback" else "pin"
        yield f"nobody can {verb} version {one.version}: {printable(one.why)}"
    if found.cut:
        yield f"not all is shown: {'; '.join(map(_cut, found.cut))}"


def _cut(one: Cut) -> str:
    match one.what:
        case "tried" | "deliveries" | "attempts" | "versions":
            return f"the newest {one.shown} {_CUT.get(one.what, one.what)}"
        case "tries looked through":
            return f"of each step the newest {one.shown} attempts that delivered nothing were looked through"
        case "checks" | "pins" | "stale":
            return f"the first {one.shown} {_CUT.get(one.what, one.what)}"
    assert_never(one.what)


def _made_from(inputs: Inputs) -> str:
    if len(inputs.first) == inputs.count:
        return "Made from"
    count = f"more than {inputs.count:,}" if inputs.more else f"{inputs.count:,}"
    changed = f", {inputs.changed:,} of them not current any more" if inputs.changed else ""
    return f"Made from {count} inputs{changed}; the first {len(inputs.first)}"


def _tried(one: Tried) -> Sequence[object]:
    attempt = one.attempt
    when, reason = attempt.ended_at or attempt.started_at, why_not(attempt) or one.run_failure
    return when, attempt.run_id, attempt.step_key, attempt.number + 1, attempt.status, one.partition, reason


def _delivered(one: Delivered) -> Sequence[object]:
    return one.committed_at, one.materialization_id, one.run_id, one.published_in, _state(one), ", ".join(one.failed)


def _state(one: Delivered) -> str | None:
    if one.current or one.retracted:
        return "published" if one.current else "retracted"
    if one.published_in is not None:
        return "replaced"
    return "collected" if one.collected else "overtaken" if one.fenced else "waits" if one.waiting else None


def _way(found: Explanation, one: Remedy) -> str:
    typed = command(found, one)
    if typed is not None:
        return typed
    run = one.arguments["run"]
    of = "" if found.partition is None else f", partition {found.partition}"
    asset = "/".join(part for part in (found.key.endpoint, found.key.schema, found.key.table) if part)
    executor = found.made is not None and found.made.run is not None and found.made.run.source == "executor"
    if executor:
        return f"run it again where run {run} was run"
    again = "" if run is None else f", or re-execute run {run} (/runs/{run})"
    return f"Dagster: materialize {asset}{of}{again}"


def _of_version(one: VersionMade) -> Iterator[RenderableType]:
    known = one.facts
    about = {
        "made by": f"{known.actor}, {printable(known.published_at)}",
        "kind": known.kind,
        "of version": known.restored,
        "reason": known.reason,
        "release": known.release,
        "pins": _pins(one.pins),
    }
    yield facts(f"Version {known.number}", about)
    if one.changed:
        title = f"Changed: {printable(one.partitions_changed)} partitions"
        cells = ((each.partition, each.now or "absent", each.before or "absent") for each in one.changed)
        yield table(title, ("partition", "now", "before"), cells)


def _of_made(made: Made) -> Iterator[RenderableType]:
    one, run = made.materialization, made.run
    about: dict[str, object] = {
        "committed": one.committed_at,
        "run": one.run_id,
        "job": run.name if run else None,
        "run ended": _ended(run) if run else "not recorded",
        "step": f"{one.step_key}, attempt {one.retry_number + 1}",
        "by": one.actor,
        "code version": one.code_version,
        "code location": run.code_location if run else None,
        "definitions": run.dag_sha256.hex()[:12] if run and run.dag_sha256 else None,
        "rows": one.row_count,
        "location": one.location,
        "delivered again": f"{one.redeliveries} times; the first one stands" if one.redeliveries else None,
        "retracted": made.retraction and f"by {made.retraction.actor}: {made.retraction.reason}",
        "files": made.collected and f"{made.collected} {printable(made.collected_at)}",
        "pins": _pins(made.pins),
        "with it": _some(made.outputs),
        "read by": _some(made.readers) or ("nothing that is published" if one.published_in else None),
    }
    yield facts(f"Materialization {one.id}", about)
    if made.attempts:
        yield table(f"Attempts of {printable(one.step_key)}", _ATTEMPT, map(_attempt, made.attempts))
    if made.inputs.first:
        yield table(_made_from(made.inputs), ("input", "partition", "version", "now"), map(_read, made.inputs.first))
    if made.checks.results or made.checks.awaited:
        yield table("Checks", ("check", "result", "what it found", "when"), _checked(made))
    if made.had:
        yield table("Published", ("from", "by", "why", "until", "by", "why"), map(_stretch, made.had))
    if made.stale:
        yield table("Stale: from here up to what somebody named", _STALE, map(_stale, made.stale))


def _attempt(one: TaskAttempt) -> Sequence[object]:
    lasted = took(one.started_at, one.ended_at)
    return one.number + 1, one.status, one.owner, one.started_at, lasted, why_not(one)


def _stale(one: Stale) -> Sequence[object]:
    return short_name(one.key), one.partition, one.reason, one.actor, one.at


def _ended(run: ExplainedRun) -> str:
    failed = why(run.failure_class, run.failure_reason)
    at = f", {printable(run.ended_at)}" if run.ended_at else ""
    return f"{run.status}{at}{f', {failed}' if failed else ''}"


def _pins(pins: tuple[PinFacts, ...]) -> str:
    return ", ".join(
        f"{one.name} (version {one.version}{'' if one.state == 'open' else f', {one.state}'})" for one in pins
    )


def _some(some: Counted) -> str | None:
    if not some.first:
        return None
    names = ", ".join(" ".join(filter(None, (short_name(one.key), one.partition))) for one in some.first)
    count = f"more than {some.count:,}" if some.more else f"{some.count:,}"
    return names if len(some.first) == some.count else f"{count}: {names} …"


def _read(one: ExplainedInput) -> Sequence[object]:
    now = "source" if one.is_current is None else "the same" if one.is_current else f"version {one.current_version}"
    if one.is_current is False and one.current_id is None:
        now = "absent"
    return short_name(one.key), one.partition, one.version, f"{now}, read one retracted" if one.retracted else now


def _checked(made: Made) -> Iterator[Sequence[object]]:
    latest = made.checks.latest
    for one in made.checks.results:
        result = one.result
        if result is latest[result.name]:
            verdict = "passed" if result.passed else "failed" if result.refuses else "failed, does not block"
            yield result.name, verdict, result.description, one.at
    for name in made.checks.waiting:
        yield name, "waited for", None, None


def _stretch(one: Had) -> Sequence[object]:
    since, until = one.since, one.until
    ended = (until.number, until.actor, _cause(until)) if until else (None, None, None)
    return since.number, since.actor, _cause(since), *ended


def _cause(one: VersionFacts) -> str:
    kind = f"rollback to {one.restored}" if one.kind == "rollback" else one.kind
    release = f" {one.release}" if one.release else ""
    words = f"release{release}" if one.release else kind
    return f"{words}: {one.reason}" if one.reason else words
