"""What the tables and the answers say about versions, pins, releases, retractions and garbage. Pure."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

from fire_evidence import Evidence, Row


def grouped(rows: Iterable[Row], by: Callable[[Row], Any]) -> Iterable[tuple[Any, list[Row]]]:
    groups = defaultdict(list)
    for row in rows:
        groups[by(row)].append(row)
    return groups.items()


class History:
    """What each version of each dataset has, by the intervals."""

    def __init__(self, evidence: Evidence) -> None:
        self.versions = {(row["dataset_id"], row["version"]): row for row in evidence.versions}
        self.intervals: dict[str, dict[str, list[Row]]] = defaultdict(dict)
        for (dataset, partition), rows in grouped(
            evidence.intervals, lambda row: (row["dataset_id"], row["partition_key"])
        ):
            self.intervals[dataset][partition] = sorted(rows, key=lambda row: row["from_version"])
        self.of = dict(grouped(evidence.intervals, lambda row: row["materialization_id"]))

    def content(self, dataset: str, version: int) -> dict[str, str]:
        """Partition to materialization."""
        found = {}
        for partition, rows in self.intervals[dataset].items():
            place = bisect_right(rows, version, key=lambda row: row["from_version"]) - 1
            if place >= 0 and (rows[place]["to_version"] is None or rows[place]["to_version"] > version):
                found[partition] = rows[place]["materialization_id"]
        return found

    def kind(self, dataset: str, version: int | None) -> str:
        return str(self.versions.get((dataset, version), {}).get("kind"))

    def at(self, dataset: str, version: int | None) -> float:
        return float(self.versions.get((dataset, version), {}).get("at", float("inf")))


def numbers_have_gaps(evidence: Evidence) -> Iterator[str]:
    for dataset, rows in grouped(evidence.versions, lambda row: row["dataset_id"]):
        numbers = sorted(row["version"] for row in rows)
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"gap: the versions of {dataset} are {numbers}"
        if evidence.published_versions[dataset] != numbers[-1]:
            yield f"gap: {dataset} is at {evidence.published_versions[dataset]}, its last version is {numbers[-1]}"
        for row in rows:
            if row["kind"] not in {"publish", "rollback", "retract"} or (row["kind"] == "rollback") != bool(
                row["restored"]
            ):
                yield f"contradicting: version {row['version']} of {dataset} is a {row['kind']} of {row['restored']}"


def intervals_are_broken(evidence: Evidence) -> Iterator[str]:
    """A partition has one materialization in each version since its first, unless somebody took it away."""
    history = History(evidence)
    for dataset, partitions in history.intervals.items():
        for partition, rows in partitions.items():
            where = (dataset, partition)
            takes_away = {"rollback", "retract"}
            for one, other in pairwise(rows):
                ended, began = one["to_version"], other["from_version"]
                meet = ended == began or (
                    ended is not None and ended < began and history.kind(dataset, ended) in takes_away
                )
                if not meet:
                    yield f"gap: the intervals of {where} do not meet"
            ended = rows[-1]["to_version"]
            if ended is not None and history.kind(dataset, ended) not in takes_away:
                yield f"lost: {where} is not published any more"


def later_attempts_are_overtaken(evidence: Evidence) -> Iterator[str]:
    """No publish replaces what a later attempt published. A rollback may: it says so."""
    history, token = History(evidence), {row["id"]: row["token"] for row in evidence.materializations}
    for dataset, partitions in history.intervals.items():
        for partition, rows in partitions.items():
            for one, other in pairwise(rows):
                published = history.kind(dataset, other["from_version"]) == "publish"
                met = one["to_version"] == other["from_version"]
                before, after = (token.get(row["materialization_id"], 0) for row in (one, other))
                if published and met and before > after:
                    yield f"contradicting: an earlier attempt replaced a later one in {(dataset, partition)}"


def completions_contradict(evidence: Evidence) -> Iterator[str]:
    """Who was told that a try is done has done it, and nobody else has: not who was overtaken meanwhile."""
    status = {row["id"]: row["status"] for row in evidence.attempts}
    for line in evidence.noted("completed"):
        attempt = line["attempt"]
        if status.get(attempt) != "succeeded":
            yield f"contradicting: attempt {attempt} was told that it is done, it is {status.get(attempt)}"
    done = Counter((row["task"], row["number"]) for row in evidence.attempts if row["status"] == "succeeded")
    for (task, number), count in done.items():
        if count > 1:
            yield f"contradicting: attempt {number} of task {task} was done {count} times"


def rollbacks_contradict(evidence: Evidence) -> Iterator[str]:
    """Each equals what it restored, comes right after what its caller saw, and is answered the same each time."""
    history = History(evidence)
    for (dataset, version), row in history.versions.items():
        if row["kind"] == "rollback" and history.content(dataset, version) != history.content(
            dataset, row["restored"] or 0
        ):
            yield f"contradicting: version {version} of {dataset} has not what version {row['restored']} has"
    asked = grouped(evidence.noted("rolled back"), lambda line: (line["dataset"], line["to"], line["expected"]))
    for (dataset, to, expected), lines in asked:
        if {line["version"] for line in lines} != {expected + 1}:
            yield f"contradicting: a rollback of {dataset} from {expected} became {[one['version'] for one in lines]}"
        if sum(not line["replayed"] for line in lines) > 1:
            yield f"contradicting: the rollback of {dataset} from {expected} to {to} was first more than once"
        row = history.versions.get((dataset, expected + 1))
        if row is None or (row["kind"], row["restored"]) != ("rollback", to):
            yield f"lost: the rollback of {dataset} from {expected} to {to} was acknowledged and is not there"


def retracted_is_current(evidence: Evidence) -> Iterator[str]:
    history = History(evidence)
    at = {row["id"]: row["at"] for row in evidence.retractions}
    for line in evidence.noted("retracted"):
        if line["id"] not in at:
            yield f"lost: the retraction of {line['id']} was acknowledged and is not there"
    for one, moment in at.items():
        for row in history.of.get(one, []):
            if row["to_version"] is None or history.at(row["dataset_id"], row["from_version"]) > moment:
                yield f"contradicting: {one} is current after its retraction"


def reads_contradict(evidence: Evidence) -> Iterator[str]:
    """Whoever read a version, by whatever name and whenever, got what it has: half a publish is no version."""
    history = History(evidence)
    for (dataset, version), lines in grouped(evidence.noted("read"), lambda line: (line["dataset"], line["version"])):
        content = history.content(dataset, version)
        for line in lines:
            if line["content"] != content:
                yield f"contradicting: a reader at {line['at']} got another version {version} of {dataset}"


def pins_contradict(evidence: Evidence) -> Iterator[str]:
    """A pin is there once acknowledged, with what it was answered to have; its files were there while it held."""
    stored = {name: {row["dataset_id"]: row["version"] for row in rows} for name, rows in _by_name(evidence)}
    for line in evidence.noted("pinned"):
        if stored.get(line["pin"]) != line["versions"]:
            yield f"contradicting: pin {line['pin']} was answered {line['versions']}, it is {stored.get(line['pin'])}"
    for line in evidence.noted("unreadable"):
        yield f"collected: {line['id']} was not there for pin {line['pin']}: {line['problem']}"


def _by_name(evidence: Evidence) -> Iterable[tuple[Any, list[Row]]]:
    return grouped((row for row in evidence.pins if row["dataset_id"]), lambda row: row["name"])


def releases_are_torn(evidence: Evidence) -> Iterator[str]:
    """A reader of several datasets at once sees a release in all of them or in none."""
    of_a_release = {(row["dataset_id"], row["version"]) for row in evidence.versions if row["release"]}
    known = {(row["dataset_id"], row["version"]) for row in evidence.versions}
    seen = [line for line in evidence.noted("pinned") if line["present"]]
    released: dict[str, dict[str, int]] = {}
    for release, rows in grouped((row for row in evidence.versions if row["release"]), lambda row: row["release"]):
        released[release] = {row["dataset_id"]: row["version"] for row in rows}
    for name, lines in grouped(evidence.noted("released"), lambda line: line["name"]):
        if len({str((line["versions"], line["published"])) for line in lines}) > 1:
            yield f"contradicting: release {name} was answered in different ways"
        if lines[0]["published"] != lines[0]["asked"]:
            yield f"lost: release {name} published {lines[0]['published']} of {lines[0]['asked']}"
        if not set(lines[0]["versions"].items()) <= known:
            yield f"lost: release {name} was acknowledged and is not there"
        told = lines[0]["versions"].items()
        released[name] = {dataset: version for dataset, version in told if (dataset, version) in of_a_release}
    for name, versions in released.items():
        for line in seen:
            if len({line["versions"][dataset] >= version for dataset, version in versions.items()}) > 1:
                yield f"torn: pin {line['pin']} has a part of release {name}"


def garbage_was_live(evidence: Evidence) -> Iterator[str]:
    """Nothing is condemned while it is current or pinned, and the files of everything else are as committed."""
    history = History(evidence)
    pinned = defaultdict(list)
    for row in evidence.pins:
        if row["dataset_id"]:
            pinned[row["dataset_id"]].append(row)
    condemned = {row["id"]: row["at"] for row in evidence.condemned}
    for one, moment in condemned.items():
        for row in history.of.get(one, []):
            dataset, begin, end = row["dataset_id"], row["from_version"], row["to_version"]
            if end is None or history.at(dataset, end) > moment:
                yield f"condemned: {one} was current in version {begin} of {dataset}"
            for pin in pinned[dataset]:
                holds = pin["version"] >= begin and (end is None or pin["version"] < end)
                if holds and (pin["end"] is None or pin["end"] > moment):
                    yield f"condemned: {one} was in pin {pin['name']}"
    for one, problem in evidence.damaged.items():
        if one not in condemned:
            yield f"collected: {one} is nobody's garbage: {problem}"
    unusable = condemned.keys() | {row["id"] for row in evidence.retractions}
    for line in evidence.noted("unusable"):
        if not unusable & set(line["materializations"]):
            yield f"contradicting: {line['materializations']} were refused and nothing is wrong with them"


def audit_is_not_one_for_one(evidence: Evidence) -> Iterator[str]:
    """Of what is made, and of each change to it: a version, the end of a pin, the end of files."""
    expected: Counter[tuple[str, str, str]] = Counter()
    for row in evidence.audited:
        expected[row["type"], row["id"], "CREATE"] += 1
        expected[row["type"], row["id"], "UPDATE"] += row["changes"]
    found = Counter({(row["type"], row["id"], row["action"]): row["count"] for row in evidence.audit})
    if +expected != found:
        missing, surplus = len(+expected - found), len(found - expected)
        yield f"audit: its rows are not one for each change, {missing} missing, {surplus} too many"


HISTORY: tuple[Callable[[Evidence], Iterable[str]], ...] = (
    numbers_have_gaps,
    intervals_are_broken,
    later_attempts_are_overtaken,
    completions_contradict,
    rollbacks_contradict,
    retracted_is_current,
    reads_contradict,
    pins_contradict,
    releases_are_torn,
    garbage_was_live,
    audit_is_not_one_for_one,
)
