"""The way back: what could be done about what was explained, and what each would come to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from resources.explanations import Action, Back, Explanation, Made, Refused, Remedy, VersionMade

Backs = Mapping[int, Back]


def targets(found: Explanation) -> list[int]:
    """The versions to which it could go back, or that could be pinned: whether the store would has to be known."""
    made, version = found.made, found.version
    wanted = set()
    if _is_about_version(found) and version is not None:
        wanted = {version.facts.number - version.is_present, version.facts.number}
    elif made is not None and made.had:
        last = made.had[0]
        wanted = {(last.since if last.until is None else last.until).number - 1}
    return sorted(wanted - {0})


def remedies(found: Explanation, backs: Backs) -> Explanation:
    """The explanation with what can be done, and with the ways back that the store would refuse at this moment.

    `backs` has what the store has in each of the `targets`.
    """
    ways = list(_all(found, backs))
    return replace(
        found,
        remedies=tuple(one for one in ways if isinstance(one, Remedy)),
        refused=tuple(one for one in ways if isinstance(one, Refused)),
    )


def _is_about_version(found: Explanation) -> bool:
    return found.version is not None and (found.made is None or not found.version.is_present)


def _all(found: Explanation, backs: Backs) -> Iterator[Remedy | Refused]:
    made, version = found.made, found.version
    if _is_about_version(found) and version is not None:
        yield from _of_version(found, version, backs)
        return
    if made is None:
        first = "deliver it for the first time" + (", if there is such a partition" if found.partition else "")
        yield _remedy("rerun", _again(found), "deliver it" if found.tried else first)
        return
    if made.materialization.current:
        yield from _of_current(found, made, backs)
    elif made.retraction is not None or made.collected is not None:
        yield from _of_another(found, made)
        yield _remedy("rerun", _again(found), "deliver it anew: this can never be published again")
    elif made.materialization.published_in is None:
        yield from _of_unpublished(found, made)
    else:
        yield from _of_replaced(found, made, backs)
    if made.retraction is None and not made.materialization.current:
        arguments = {"materialization": made.materialization.id}
        yield _remedy("retract", arguments, "forbid for ever that it is published")


def _of_current(found: Explanation, made: Made, backs: Backs) -> Iterator[Remedy | Refused]:
    one, since = made.materialization, made.had[0].since.number
    if found.tried or made.stale or made.inputs.changed:
        yield _remedy("rerun", _again(found), "deliver it anew, from what its inputs are now")
    yield from _of_another(found, made)
    if since > 1:
        what = "what was published before it" if backs[since - 1].has_partition else "the dataset without it"
        also = "" if since == found.present_version else f", and undo what versions {since + 1} on changed elsewhere"
        yield _back(found, since - 1, f"{what}{also}", backs)
    more = "more than " if made.readers.more else ""
    reach = f" and {more}{made.readers.count:,} made from it" if made.readers.count else ""
    where = {"dataset": found.key, "partition": found.partition}
    yield _remedy("invalidate", where, f"say that it has to be made anew{reach}; readers keep it until then")
    yield _remedy("retract", {"materialization": one.id}, "take it away at once: the partition is absent then")
    if not any(pin.state == "open" for pin in made.pins):
        yield _remedy("pin", {"dataset": found.key, "version": found.present_version}, "keep it under a name")


def _of_another(found: Explanation, made: Made) -> Iterator[Remedy]:
    """Another delivery of the partition, that readers never got and that may still be published."""
    other = found.publishable
    if other is None or other.materialization_id == made.materialization.id:
        return
    which = "newer" if other.committed_at > made.materialization.committed_at else "earlier"
    effect = f"publish the {which} delivery{_whatever(other.failed or other.waiting)}"
    arguments = {"materialization": other.materialization_id, "despite_checks": bool(other.failed)}
    yield _remedy("publish", arguments, effect)
    if other.failed:
        again = {"dataset": found.key, "partition": found.partition, "run": other.run_id}
        yield _remedy("rerun", again, f"after a fix, deliver the {which} one anew")


def _of_unpublished(found: Explanation, made: Made) -> Iterator[Remedy]:
    if made.fenced:
        yield _remedy("rerun", _again(found), "deliver it anew: a later attempt is published, so this one never is")
        return
    effect = f"publish it{_whatever(made.checks.failed or made.checks.waiting)}"
    arguments = {"materialization": made.materialization.id, "despite_checks": bool(made.checks.failed)}
    yield _remedy("publish", arguments, effect)
    if made.checks.failed:
        yield _remedy("rerun", _again(found), "after a fix, deliver it anew")


def _whatever(overruled: Sequence[str]) -> str:
    return f" whatever {', '.join(overruled)} says" if overruled else ""


def _of_replaced(found: Explanation, made: Made, backs: Backs) -> Iterator[Remedy | Refused]:
    last = made.had[0].until
    if last is not None and last.number - 1 != found.present_version:
        also = "" if last.number == found.present_version else f", and undo what versions {last.number + 1} on changed"
        yield _back(found, last.number - 1, f"the last version that had it{also}", backs)


def _of_version(found: Explanation, version: VersionMade, backs: Backs) -> Iterator[Remedy | Refused]:
    number = version.facts.number
    if not version.is_present:
        yield _back(found, number, "the dataset as it was then", backs)
    elif number > 1:
        yield _back(found, number - 1, "the dataset as it was before", backs)
    if found.tried:
        yield _remedy("rerun", _again(found), "deliver what failed since")
    if any(pin.state == "open" for pin in version.pins):
        return
    gone = backs[number].collected
    if gone is None:
        yield _remedy("pin", {"dataset": found.key, "version": number}, "keep it under a name")
    else:
        yield Refused(action="pin", version=number, why=f"materialization {gone} is collected")


def _back(found: Explanation, to: int, effect: str, backs: Backs) -> Remedy | Refused:
    back = backs[to]
    if back.retracted is not None:
        return Refused(action="rollback", version=to, why=f"materialization {back.retracted} is retracted")
    if back.collected is not None:
        return Refused(action="rollback", version=to, why=f"materialization {back.collected} is collected")
    return _remedy("rollback", {"dataset": found.key, "to": to, "expected": found.present_version}, effect)


def _again(found: Explanation) -> Mapping[str, Any]:
    """The run to be repeated: the newest that delivered nothing, else the one that delivered."""
    run = found.tried[0].attempt.run_id if found.tried else None
    if run is None and found.made is not None:
        run = found.made.materialization.run_id
    return {"dataset": found.key, "partition": found.partition, "run": run}


def _remedy(action: Action, arguments: Mapping[str, Any], effect: str) -> Remedy:
    return Remedy(action=action, arguments=arguments, effect=effect)
