"""An explanation as a document, and the commands that are its way back."""

from shlex import quote

from identity.keys import short_name
from metadata_assets.cli import records
from metadata_assets.cli.happened import happened
from metadata_assets.cli.output import plain
from metadata_assets.cli.records import Document
from metadata_assets.cli.running import attempt
from resources.explanations import (
    Counted,
    ExplainedInput,
    ExplainedRun,
    Explanation,
    Had,
    Made,
    PinFacts,
    Remedy,
    Tried,
    VersionFacts,
    VersionMade,
)
from resources.version_records import Stale


def described(found: Explanation) -> Document:
    """The same as JSON: what there is not is null or empty."""
    return {
        "happened": happened(found),
        "name": short_name(found.key),
        "key": plain(found.key),
        "partition": found.partition,
        "publish": found.publish_policy,
        "present_version": found.present_version,
        "made": None if found.made is None else _made(found.made),
        "version": None if found.version is None else _version(found.version),
        "deliveries": [
            {
                "materialization": plain(one.materialization_id),
                "run": one.run_id,
                "committed_at": plain(one.committed_at),
                "published_in": one.published_in,
                "current": one.current,
                "retracted": one.retracted,
                "collected": one.collected,
                "failed": list(one.failed),
                "waiting": list(one.waiting),
                "fenced": one.fenced,
            }
            for one in found.deliveries
        ],
        "tried": [_tried(one) for one in found.tried],
        "steps": list(found.steps),
        "remedies": [
            {"action": one.action, "command": command(found, one), "effect": one.effect} for one in found.remedies
        ],
        "refused": [{"action": one.action, "version": one.version, "why": one.why} for one in found.refused],
        "cut": [{"what": one.what, "shown": one.shown} for one in found.cut],
    }


def _made(made: Made) -> Document:
    return {
        **records.materialization(made.materialization),
        "fenced": made.fenced,
        "produced_by": None if made.run is None else _run(made.run),
        "attempts": [attempt(one) for one in made.attempts],
        "inputs": {
            "count": made.inputs.count,
            "changed": made.inputs.changed,
            "more": made.inputs.more,
            "first": [_input(one) for one in made.inputs.first],
        },
        "outputs": _counted(made.outputs),
        "checks": {
            "awaited": list(made.checks.awaited),
            "waiting": list(made.checks.waiting),
            "failed": list(made.checks.failed),
            "latest": [
                {
                    "name": one.result.name,
                    "passed": one.result.passed,
                    "blocking": one.result.blocking,
                    "severity": one.result.severity,
                    "description": one.result.description,
                    "run": one.result.run_id,
                    "by": one.actor,
                    "at": plain(one.at),
                    "metadata": plain(one.result.metadata),
                }
                for one in made.checks.results
                if one.result is made.checks.latest[one.result.name]
            ],
        },
        "had": [_had(one) for one in made.had],
        "retraction": None
        if made.retraction is None
        else {
            "version": made.retraction.version,
            "reason": made.retraction.reason,
            "by": made.retraction.actor,
            "at": plain(made.retraction.at),
        },
        "stale": [_stale(one) for one in made.stale],
        "collected": made.collected,
        "collected_at": plain(made.collected_at),
        "pins": [_pin(one) for one in made.pins],
        "readers": _counted(made.readers),
    }


def _run(one: ExplainedRun) -> Document:
    return {
        "run": one.run_id,
        "source": one.source,
        "job": one.name,
        "status": one.status,
        "code_location": one.code_location,
        "dag_version": plain(one.dag_version),
        "dag_sha256": plain(one.dag_sha256),
        "started_at": plain(one.started_at),
        "ended_at": plain(one.ended_at),
        "failure_class": one.failure_class,
        "failure_reason": one.failure_reason,
        "tags": plain(one.tags),
    }


def _input(one: ExplainedInput) -> Document:
    return {
        "name": short_name(one.key),
        "key": plain(one.key),
        "partition": one.partition,
        "materialization": plain(one.materialization_id),
        "version": one.version,
        "metadata": plain(one.metadata),
        "is_current": one.is_current,
        "current_materialization": plain(one.current_id),
        "current_version": one.current_version,
        "retracted": one.retracted,
    }


def _counted(some: Counted) -> Document:
    first = [
        {"name": short_name(one.key), "partition": one.partition, "materialization": plain(one.materialization_id)}
        for one in some.first
    ]
    return {"count": some.count, "more": some.more, "first": first}


def _facts(one: VersionFacts) -> Document:
    return {
        "version": one.number,
        "kind": one.kind,
        "by": one.actor,
        "at": plain(one.published_at),
        "reason": one.reason,
        "restored": one.restored,
        "release": one.release,
    }


def _had(one: Had) -> Document:
    until = None if one.until is None else _facts(one.until)
    return {"since": _facts(one.since), "until": until, "replaced_by": plain(one.by)}


def _stale(one: Stale) -> Document:
    return {
        "name": short_name(one.key),
        "partition": one.partition,
        "materialization": plain(one.materialization_id),
        "invalidation": plain(one.invalidation_id),
        "cause": plain(one.cause),
        "reason": one.reason,
        "by": one.actor,
        "at": plain(one.at),
    }


def _pin(one: PinFacts) -> Document:
    return {
        "name": one.name,
        "version": one.version,
        "state": one.state,
        "created_by": one.created_by,
        "expires_at": plain(one.expires_at),
        "reason": one.reason,
    }


def _version(one: VersionMade) -> Document:
    return {
        **_facts(one.facts),
        "is_present": one.is_present,
        "partitions_changed": one.partitions_changed,
        "changed": [
            {"partition": each.partition, "now": plain(each.now), "before": plain(each.before)} for each in one.changed
        ],
        "pins": [_pin(each) for each in one.pins],
    }


def _tried(one: Tried) -> Document:
    return {
        "run": one.attempt.run_id,
        "step": one.attempt.step_key,
        "job": one.job,
        "run_status": one.run_status,
        "run_failure": one.run_failure,
        "partition": one.partition,
        **attempt(one.attempt),
    }


def command(found: Explanation, one: Remedy) -> str | None:
    """What to type; None where that is not done by this program."""
    given = one.arguments
    name = quote(short_name(found.key))
    match one.action:
        case "publish":
            despite = " --despite-checks --reason '…'" if given["despite_checks"] else ""
            words = f"publish {given['materialization']}{despite}"
        case "retract":
            words = f"retract {given['materialization']} --reason '…'"
        case "rollback":
            words = f"rollback {name} --to {given['to']} --expect {given['expected']} --reason '…'"
        case "invalidate":
            partition = "" if given["partition"] is None else f" --partition {quote(given['partition'])}"
            words = f"invalidate {name}{partition} --reason '…'"
        case "pin":
            words = f"pin NAME {name}@{given['version']}"
        case _:
            return None
    return f"metadata-assets {words}"
