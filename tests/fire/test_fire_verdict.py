"""The checker of the fire: good evidence has no violations, and each thing that can be wrong is told."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from fire_verdict import Evidence, violations

Rows = dict[str, Any]


def _commit(item: int, /, **changed: object) -> Rows:
    told = {"item": item, "id": f"m{item}", "attempt": f"a{item}", "location": f"l{item}", "data": f"d{item}"}
    return {"what": "committed", "replayed": False, **told, **changed}


def _publish(version: int, /, **changed: object) -> Rows:
    told = {"request": [None, [f"m{version}"]], "dataset": "ds", "version": version, "published": [f"m{version}"]}
    return {"what": "published", "fenced": [], "replayed": False, **told, **changed}


def _committed_event(item: int) -> Rows:
    return {"topic": "materialization.committed", "payload": {"dataset_id": "ds", "materialization_id": f"m{item}"}}


def _published_event(version: int) -> Rows:
    payload = {"dataset_id": "ds", "version": version, "materialization_ids": [f"m{version}"]}
    return {"topic": "version.published", "payload": payload}


def evidence() -> Rows:
    """Two items of one partition: each committed, asked for again, and published."""
    events = [_committed_event(1), _published_event(1), _committed_event(2), _published_event(2)]
    stored = [
        {key: value for key, value in _commit(item).items() if key not in {"what", "replayed"}} for item in (1, 2)
    ]
    interval = {"dataset_id": "ds", "partition_key": "p"}
    return {
        "journal": [
            _commit(1),
            _commit(1, replayed=True),
            _commit(2),
            _publish(1),
            _publish(2),
            _publish(2, replayed=True),
        ],
        "materializations": [{**row, "token": row["item"]} for row in stored],
        "inputs": [{"materialization_id": f"m{item}"} for item in (1, 1, 2, 2)],
        "versions": [{"dataset_id": "ds", "version": 1}, {"dataset_id": "ds", "version": 2}],
        "intervals": [
            {**interval, "from_version": 1, "to_version": 2, "materialization_id": "m1"},
            {**interval, "from_version": 2, "to_version": None, "materialization_id": "m2"},
        ],
        "published_versions": {"ds": 2},
        "outbox": deepcopy(events),
        "heard": deepcopy(events),
    }


def test_good_evidence_has_no_violations() -> None:
    assert violations(Evidence(**json.loads(json.dumps(evidence())))) == []


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda e: e["materializations"].append({**e["materializations"][0], "id": "m3"}), "duplicated: item 1"),
        (lambda e: e["inputs"].pop(), "lost: materialization m2 has 1 inputs"),
        (lambda e: e["journal"].append({"what": "wrong", "problem": "KeyError"}), "lost: no answer, KeyError"),
        (lambda e: e["journal"].append(_commit(1, data="other", replayed=True)), "contradicting: item 1 was answered"),
        (lambda e: e["journal"].append(_commit(1)), "contradicting: item 1 was first more than once"),
        (lambda e: e["materializations"].pop(), "lost: item 2 was acknowledged as m2, which is not there"),
        (lambda e: e["materializations"][1].update(data="other"), "contradicting: m2 is not stored as acknowledged"),
        (lambda e: e["journal"].append(_publish(1, version=2)), "contradicting: [None, ['m1']] was answered"),
        (lambda e: e["journal"].append(_publish(1, published=[], fenced=["m1"])), "contradicting: [None, ['m1']] was"),
        (lambda e: e["journal"].append(_publish(3)), "lost: version 3 of ds was acknowledged"),
        (lambda e: e["intervals"].pop(0), "lost: m1 was acknowledged as published in 1 and is not"),
        (lambda e: e["versions"].pop(0), "gap: the versions of ds are [2]"),
        (lambda e: e["published_versions"].update(ds=1), "gap: ds is at 1, its last version is 2"),
        (lambda e: e["intervals"][0].update(to_version=3), "gap: the intervals of ('ds', 'p') do not meet"),
        (lambda e: e["intervals"][1].update(to_version=3), "lost: ('ds', 'p') is not published any more"),
        (lambda e: e["materializations"][0].update(token=9), "contradicting: an earlier attempt replaced a later one"),
        (lambda e: e["outbox"].pop(), "outbox: its events are not one for each"),
        (lambda e: e["heard"].pop(), "outbox: a subscriber missed 1 events"),
        (lambda e: e["heard"].append(e["heard"][0]), "outbox: a subscriber missed 0 events or got some twice"),
        (lambda e: e["heard"].reverse(), "outbox: the versions of ds were told out of order, 1 times"),
        (lambda e: e["heard"].insert(0, e["heard"].pop(1)), "outbox: version 1 was told before what is in it"),
    ],
)
def test_whatever_is_wrong_is_told(break_it: Callable[[Rows], object], told: str) -> None:
    broken = evidence()
    break_it(broken)
    assert any(problem.startswith(told) for problem in violations(Evidence(**broken)))
