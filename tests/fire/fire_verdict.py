"""What the answers and the tables say about exactly once. Pure: evidence in, violations out."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import pairwise

from fire_evidence import Evidence, Row
from fire_history import HISTORY, grouped


def violations(evidence: Evidence) -> list[str]:
    """Every promise that was broken, a sentence each; none when all were kept."""
    checks: tuple[Callable[[Evidence], Iterable[str]], ...] = (
        _duplicated,
        _wrong,
        _commits_contradict,
        _publishes_contradict,
        *HISTORY,
        _events_are_missing_or_doubled,
        _events_are_out_of_order,
    )
    return [problem for check in checks for problem in check(evidence)]


def _duplicated(evidence: Evidence) -> Iterator[str]:
    """Each item is recorded once, with its two inputs."""
    for item, count in Counter(row["item"] for row in evidence.materializations).items():
        if count > 1:
            yield f"duplicated: item {item} has {count} materializations"
    inputs = Counter(row["materialization_id"] for row in evidence.inputs)
    for row in evidence.materializations:
        if inputs[row["id"]] != 2:
            yield f"lost: materialization {row['id']} has {inputs[row['id']]} inputs of 2"


def _wrong(evidence: Evidence) -> Iterator[str]:
    """No request failed, and no key served two requests."""
    for line in evidence.noted("wrong"):
        yield f"lost: no answer, {line['problem']}"


def _commits_contradict(evidence: Evidence) -> Iterator[str]:
    """Whoever asked for an item was told of the same materialization, and that is the one in the table."""
    stored = {row["id"]: row for row in evidence.materializations}
    facts = ("id", "attempt", "location", "data")
    for item, lines in grouped(evidence.noted("committed"), lambda line: line["item"]):
        if len({tuple(line[fact] for fact in facts) for line in lines}) > 1:
            yield f"contradicting: item {item} was answered in different ways"
        if sum(not line["replayed"] for line in lines) > 1:
            yield f"contradicting: item {item} was first more than once"
        for line in lines:
            row = stored.get(line["id"])
            if row is None:
                yield f"lost: item {item} was acknowledged as {line['id']}, which is not there"
            elif any(row[fact] != line[fact] for fact in facts):
                yield f"contradicting: {line['id']} is not stored as acknowledged"


def _publishes_contradict(evidence: Evidence) -> Iterator[str]:
    """Whoever made the same request was told the same, and the versions that were named exist."""
    stored = {(row["dataset_id"], row["version"]) for row in evidence.versions}
    since = {
        one: min(row["from_version"] for row in rows)
        for one, rows in grouped(evidence.intervals, lambda row: (row["materialization_id"], row["dataset_id"]))
    }
    answers = grouped(evidence.noted("published"), lambda line: (str(line["request"]), line["dataset"]))
    for (request, dataset), lines in answers:
        if len({(line["version"], *line["published"], "fenced:", *line["fenced"]) for line in lines}) > 1:
            yield f"contradicting: {request} was answered in different ways"
        for line in lines:
            if (dataset, line["version"]) not in stored:
                yield f"lost: version {line['version']} of {dataset} was acknowledged and is not there"
            for one in line["published"]:
                if since.get((one, dataset), line["version"] + 1) > line["version"]:
                    yield f"lost: {one} was acknowledged as published in {line['version']} and is not"


def _events_are_missing_or_doubled(evidence: Evidence) -> Iterator[str]:
    expected = Counter(("materialization.committed", row["id"]) for row in evidence.materializations)
    expected += Counter(("version.published", (row["dataset_id"], row["version"])) for row in evidence.versions)
    expected += Counter(("materialization.retracted", row["id"]) for row in evidence.retractions)
    if Counter(map(_subject, evidence.outbox)) != expected:
        yield "outbox: its events are not one for each materialization, version and retraction"
    if Counter(map(_subject, evidence.heard)) != expected:
        missed = expected - Counter(map(_subject, evidence.heard))
        yield f"outbox: a subscriber missed {missed.total()} events or got some twice"


def _events_are_out_of_order(evidence: Evidence) -> Iterator[str]:
    """What was decided later is told later: the versions of a dataset, and a version after what is in it."""
    place = {_subject(event): number for number, event in enumerate(evidence.heard)}
    versions = [event["payload"] for event in evidence.heard if event["topic"] == "version.published"]
    for dataset, payloads in grouped(versions, lambda payload: payload["dataset_id"]):
        numbers = [payload["version"] for payload in payloads]
        if numbers != sorted(numbers):
            swaps = sum(one > other for one, other in pairwise(numbers))
            yield f"outbox: the versions of {dataset} were told out of order, {swaps} times"
    for payload in versions:
        told = place["version.published", (payload["dataset_id"], payload["version"])]
        if any(place.get(("materialization.committed", one), -1) > told for one in payload["materialization_ids"]):
            yield f"outbox: version {payload['version']} was told before what is in it"


def _subject(event: Row) -> Hashable:
    payload = event["payload"]
    if event["topic"] == "version.published":
        return event["topic"], (payload["dataset_id"], payload["version"])
    return event["topic"], payload["materialization_id"]
