"""What happened, in one sentence."""

from metadata_assets.cli.running import why_not
from resources.explanations import Delivered, Explanation, Made, Tried, VersionMade


def happened(found: Explanation) -> str:
    """The sentence that stands first."""
    first = _first(found)
    if not found.tried:
        return first
    return f"{first}; {'then ' if found.made else ''}{_trouble(found.tried[0])}"


def _first(found: Explanation) -> str:
    if found.version is not None and (found.made is None or not found.version.is_present):
        return _of_version(found, found.version)
    if found.made is None:
        return "nothing was ever delivered" if found.tried else "nothing was ever delivered, and nothing has tried to"
    made = found.made
    one = made.materialization
    if made.retraction is not None:
        return f"retracted by {made.retraction.actor}: {made.retraction.reason}"
    if one.published_in is None:
        return f"not published: {_why_not(found, made)}"
    return f"{_published(made)}{_since(found, made)}"


def _published(made: Made) -> str:
    last = made.had[0]
    since = last.since
    words = f"published in version {made.materialization.published_in}"
    if since.kind == "rollback":
        words += f", back by the rollback in version {since.number}"
    if last.until is not None:
        how = {"rollback": "rolled back", "retract": "taken away"}.get(last.until.kind, "replaced")
        words += f", {how} in {last.until.number}"
    elif made.stale:
        words += f", stale: {made.stale[-1].reason}"
    elif made.inputs.changed:
        words += ", made from inputs that are not current any more"
    return words


def _since(found: Explanation, made: Made) -> str:
    """What was delivered later and readers do not get."""
    newest = found.publishable or next(iter(found.deliveries), None)
    if newest is None or newest.published_in is not None or newest.materialization_id == made.materialization.id:
        return ""
    return f"; a newer delivery, {newest.materialization_id}, {_state(newest)}"


def _state(newest: Delivered) -> str:
    if newest.retracted:
        return "is retracted"
    if newest.fenced:
        return "is overtaken"
    if newest.collected:
        return "is collected"
    if newest.failed:
        return f"is not published: check {', '.join(newest.failed)} failed"
    return f"waits for its checks: {', '.join(newest.waiting)}" if newest.waiting else "is not published"


def _why_not(found: Explanation, made: Made) -> str:
    checks = made.checks
    if checks.failed:
        said = checks.latest[checks.failed[0]].description
        return f"check {', '.join(checks.failed)} failed{f': {said}' if said else ''}"
    if made.fenced:
        return "a later attempt is published"
    if checks.waiting:
        return f"it waits for its checks: {', '.join(checks.waiting)}"
    if found.publish_policy == "manually":
        return "somebody has to publish it"
    return "nobody has published it yet"


def _of_version(found: Explanation, version: VersionMade) -> str:
    known = version.facts
    words = {"rollback": f"back at version {known.restored}", "retract": "something was taken away"}
    kind = words.get(known.kind, f"release {known.release}" if known.release else "published")
    state = "the present version" if version.is_present else f"version {known.number} of {found.present_version}"
    plural = "" if version.partitions_changed == 1 else "s"
    return f"{state}: {kind} by {known.actor}, {version.partitions_changed:,} partition{plural} changed"


def _trouble(one: Tried) -> str:
    attempt = one.attempt
    said = why_not(attempt) or one.run_failure
    verb = {"running": "is running", "failed": "failed", "lost": "was lost", "cancelled": "was cancelled"}
    return f"run {attempt.run_id} {verb[attempt.status]}{f': {said}' if said else ''}"
