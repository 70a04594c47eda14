"""The way back: what could be done about what was explained, and what each would come to."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from resources.explanations import Action, Explanation, Made, Remedy, VersionMade


def remedies(found: Explanation) -> Explanation:
    """The explanation with what can be done, as far as is known here: the store decides."""
    return replace(found, remedies=tuple(_all(found)))


def _all(found: Explanation) -> Iterator[Remedy]:
    made, version = found.made, found.version
    if version is not None and (made is None or not version.is_present):
        yield from _of_version(found, version)
        return
    if made is None:
        yield _remedy("rerun", _again(found), "deliver it" if found.tried else "deliver it for the first time")
        return
    if made.materialization.current:
        yield from _of_current(found, made)
    elif made.retraction is not None or made.collected is not None:
        yield _remedy("rerun", _again(found), "deliver it anew: this can never be published again")
    elif made.materialization.published_in is None:
        yield from _of_unpublished(found, made)
    else:
        yield from _of_replaced(found, made)
    if made.retraction is None and not made.materialization.current:
        arguments = {"materialization": made.materialization.id}
        yield _remedy("retract", arguments, "forbid for ever that it is published")


def _of_current(found: Explanation, made: Made) -> Iterator[Remedy]:
    one, since = made.materialization, made.had[0].since.number
    if found.tried or made.stale or any(each.is_current is False for each in made.inputs):
        yield _remedy("rerun", _again(found), "deliver it anew, from what its inputs are now")
    before = [each for each in found.deliveries if each.published_in is not None and each.published_in < since]
    if since > 1 and not any(each.retracted for each in before):
        what = "what was published before it" if before else "the dataset without it"
        also = "" if since == found.present_version else f", and undo what versions {since + 1} on changed elsewhere"
        yield _back(found, since - 1, f"{what}{also}")
    reach = f" and {made.readers.count} made from it" if made.readers.count else ""
    where = {"dataset": found.key, "partition": found.partition}
    yield _remedy("invalidate", where, f"say that it has to be made anew{reach}; readers keep it until then")
    yield _remedy("retract", {"materialization": one.id}, "take it away at once: the partition is absent then")
    if not any(pin.state == "open" for pin in made.pins):
        yield _remedy("pin", {"dataset": found.key, "version": found.present_version}, "keep it under a name")


def _of_unpublished(found: Explanation, made: Made) -> Iterator[Remedy]:
    if made.fenced:
        yield _remedy("rerun", _again(found), "deliver it anew: a later attempt is published, so this one never is")
        return
    overruled = made.checks.failed or made.checks.waiting
    effect = f"publish it whatever {', '.join(overruled)} says" if overruled else "publish it"
    yield _remedy("publish", {"materialization": made.materialization.id}, effect)
    if made.checks.failed:
        yield _remedy("rerun", _again(found), "after a fix, deliver it anew")


def _of_replaced(found: Explanation, made: Made) -> Iterator[Remedy]:
    last = made.had[0].until
    if last is not None and last.number - 1 != found.present_version:
        also = "" if last.number == found.present_version else f", and undo what versions {last.number + 1} on changed"
        yield _back(found, last.number - 1, f"the last version that had it{also}")


def _of_version(found: Explanation, version: VersionMade) -> Iterator[Remedy]:
    number = version.facts.number
    if not version.is_present:
        yield _back(found, number, "the dataset as it was then")
    elif number > 1:
        yield _back(found, number - 1, "the dataset as it was before")
    if found.tried:
        yield _remedy("rerun", _again(found), "deliver what failed since")
    if not any(pin.state == "open" for pin in version.pins):
        yield _remedy("pin", {"dataset": found.key, "version": number}, "keep it under a name")


def _back(found: Explanation, to: int, effect: str) -> Remedy:
    return _remedy("rollback", {"dataset": found.key, "to": to, "expected": found.present_version}, effect)


def _again(found: Explanation) -> Mapping[str, Any]:
    """The run to be repeated: the newest that delivered nothing, else the one that delivered."""
    run = found.tried[0].attempt.run_id if found.tried else None
    if run is None and found.made is not None:
        run = found.made.materialization.run_id
    return {"dataset": found.key, "partition": found.partition, "run": run}


def _remedy(action: Action, arguments: Mapping[str, Any], effect: str) -> Remedy:
    return Remedy(action=action, arguments=arguments, effect=effect)
