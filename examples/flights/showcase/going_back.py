"""Act f: back to the version before in one command, while a reader at a pin sees no change, and forward again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from identity.keys import short_name
from metadata_assets.cli.output import table
from resources.version_records import At
from showcase.promises import Promise, few
from showcase.stage import DAILY_DELAYS, Stage

WHY: Final = "the demo shows the way back"
Contents = Mapping[str | None, UUID]
"""The materialization of each partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was published at one moment, and what a reader at the pin got then."""

    version: int
    published: Contents
    pinned: Contents
    rows_pinned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """Before, after the rollback, and after the rollback of that."""

    before: Moment
    earlier: Contents
    """What the version before had."""
    back: Moment
    forward: Moment

    @property
    def document(self) -> dict[str, object]:
        moments = (self.before, self.back, self.forward)
        return {
            "dataset": short_name(DAILY_DELAYS),
            "versions": [one.version for one in moments],
            "partitions_changed": len(differing(self.before.published, self.back.published)),
            "rows_pinned": [one.rows_pinned for one in moments],
        }


def go_back_and_forward(stage: Stage) -> WayBack | None:
    """Pin the present version of daily_delays, roll back by one, and forward again; None when it has no two."""
    stage.title(f"f) {short_name(DAILY_DELAYS)} is rolled back and forward again, while somebody reads at a pin")
    present = stage.store.version_at(DAILY_DELAYS)
    if present < 2:
        stage.say("it has no version to go back to")
        return None
    pin = f"demo-{uuid4()}"
    stage.store.pin(pin, {DAILY_DELAYS: present}, reason=WHY)
    try:
        before, earlier = _moment(stage, pin), _contents(stage, present - 1)
        stage.store.rollback(DAILY_DELAYS, to=present - 1, expected=present, reason=WHY)
        back = _moment(stage, pin)
        stage.store.rollback(DAILY_DELAYS, to=present, expected=present + 1, reason=WHY)
        forward = _moment(stage, pin)
    finally:
        stage.store.unpin(pin)
    found = WayBack(before=before, earlier=earlier, back=back, forward=forward)
    _tell(stage, found, pin)
    return found


def promises(found: WayBack | None) -> list[Promise]:
    """Both ways are one step, and who reads at a pin does not notice."""
    wrong = problems(found) if found else ["there is no version to go back to"]
    evidence = few(wrong)
    if found and not wrong:
        evidence = f"version {found.before.version}, then what {found.before.version - 1} had as {found.back.version}, "
        evidence += (
            f"then as before as {found.forward.version}; {found.before.rows_pinned:,} rows at the pin throughout"
        )
    return [
        Promise(
            name="rollback_is_one_step",
            promise="a version is rolled back in one step, and a reader at a pin sees no change",
            evidence=evidence,
            held=not wrong,
        )
    ]


def problems(found: WayBack) -> list[str]:
    """What was otherwise than it must be; pure."""
    before, back, forward = found.before, found.back, found.forward
    wrong = []
    if (back.version, forward.version) != (before.version + 1, before.version + 2):
        wrong.append(f"versions {before.version}, {back.version}, {forward.version}: not one more each")
    if back.published != found.earlier:
        wrong.append("the rollback did not bring back what the version before had")
    if forward.published != before.published:
        wrong.append("the way forward did not bring back what was there")
    if any(one.pinned != before.published or one.rows_pinned != before.rows_pinned for one in (before, back, forward)):
        wrong.append("a reader at the pin saw a change")
    if not differing(before.published, back.published):
        wrong.append("the two versions are the same: there was nothing to go back to")
    return wrong


def differing(one: Contents, other: Contents) -> list[str | None]:
    """The partitions in which two contents differ."""
    return [partition for partition in {**one, **other} if one.get(partition) != other.get(partition)]


def _moment(stage: Stage, pin: str) -> Moment:
    return Moment(
        version=stage.store.version_at(DAILY_DELAYS),
        published=_contents(stage, None),
        pinned=_contents(stage, pin),
        rows_pinned=stage.metadata.read(DAILY_DELAYS, at=pin).height,
    )


def _contents(stage: Stage, at: At) -> Contents:
    return {one.partition: one.materialization_id for one in stage.store.current(DAILY_DELAYS, at=at)}


def _tell(stage: Stage, found: WayBack, pin: str) -> None:
    moments = {"before": found.before, "rolled back": found.back, "and forward again": found.forward}
    rows = [
        (
            when,
            one.version,
            len(differing(found.before.published, one.published)),
            len(differing(found.before.published, one.pinned)),
            one.rows_pinned,
        )
        for when, one in moments.items()
    ]
    columns = ("when", "version", "partitions that differ", "at the pin", "rows at the pin")
    stage.show(table(f"{short_name(DAILY_DELAYS)}, pinned as {pin}", columns, rows))
    was = found.before.version
    stage.say(f"the same: metadata-assets rollback {short_name(DAILY_DELAYS)} --to {was - 1} --expected {was}")
