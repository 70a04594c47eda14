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
    payload = {"dataset_id": "ds", "version": version, "materialization_ids": [f"m{version}"] if version < 3 else []}
    return {"topic": "version.published", "payload": payload}


def _retracted_event(item: int) -> Rows:
    return {"topic": "materialization.retracted", "payload": {"dataset_id": "ds", "materialization_id": f"m{item}"}}


def evidence() -> Rows:
    """Two items of one partition, each committed, asked for again and published; then back, and one of them away."""
    events = [_committed_event(1), _published_event(1), _committed_event(2), _published_event(2)]
    events += [_published_event(3), _published_event(4), _retracted_event(1)]
    stored = [
        {key: value for key, value in _commit(item).items() if key not in {"what", "replayed"}} for item in (1, 2)
    ]
    interval = {"dataset_id": "ds", "partition_key": "p"}
    version = {"dataset_id": "ds", "kind": "publish", "restored": None, "release": None}
    rolled_back = {"what": "rolled back", "dataset": "ds", "to": 1, "expected": 2, "version": 3}
    released = {"what": "released", "name": "r", "versions": {"ds": 2}, "published": ["m2"], "asked": ["m2"]}
    return {
        "journal": [
            _commit(1),
            _commit(1, replayed=True),
            _commit(2),
            _publish(1),
            _publish(2),
            _publish(2, replayed=True),
            {**rolled_back, "replayed": False},
            {**rolled_back, "replayed": True},
            {"what": "pinned", "pin": "kept", "present": True, "versions": {"ds": 2}},
            {"what": "read", "dataset": "ds", "version": 2, "at": "kept", "content": {"p": "m2"}},
            {**released, "replayed": False},
            {"what": "retracted", "dataset": "ds", "id": "m1", "version": 4},
            {"what": "unusable", "materializations": ["m1", "m3"]},
            {"what": "completed", "attempt": "a2"},
        ],
        "materializations": [{**row, "token": row["item"]} for row in stored],
        "inputs": [{"materialization_id": f"m{item}"} for item in (1, 1, 2, 2)],
        "versions": [
            {**version, "version": 1, "at": 1.0},
            {**version, "version": 2, "at": 2.0, "release": "r0"},
            {**version, "version": 3, "at": 3.0, "kind": "rollback", "restored": 1},
            {**version, "version": 4, "at": 4.0, "kind": "retract"},
        ],
        "intervals": [
            {**interval, "from_version": 1, "to_version": 2, "materialization_id": "m1"},
            {**interval, "from_version": 2, "to_version": 3, "materialization_id": "m2"},
            {**interval, "from_version": 3, "to_version": 4, "materialization_id": "m1"},
        ],
        "published_versions": {"ds": 4},
        "pins": [{"pin": "pin", "name": "kept", "dataset_id": "ds", "version": 2, "begin": 2.5, "end": 5.0}],
        "condemned": [{"id": "m2", "state": "collected", "at": 6.0}],
        "retractions": [{"id": "m1", "at": 3.5}],
        "attempts": [
            {"id": "a1", "task": "t", "number": 0, "status": "lost"},
            {"id": "a2", "task": "t", "number": 0, "status": "succeeded"},
        ],
        "audit": [
            {"type": "dataset", "id": "ds", "action": "CREATE", "count": 1},
            {"type": "dataset", "id": "ds", "action": "UPDATE", "count": 4},
        ],
        "audited": [{"type": "dataset", "id": "ds", "changes": 4}],
        "damaged": {"m2": "it is missing"},
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
        (lambda e: e["journal"].append(_publish(9)), "lost: version 9 of ds was acknowledged"),
        (lambda e: e["intervals"].pop(0), "lost: m1 was acknowledged as published in 1 and is not"),
        (lambda e: e["versions"].pop(0), "gap: the versions of ds are [2, 3, 4]"),
        (lambda e: e["versions"][1].update(kind="rollback"), "contradicting: version 2 of ds is a rollback of None"),
        (lambda e: e["published_versions"].update(ds=1), "gap: ds is at 1, its last version is 4"),
        (lambda e: e["intervals"][0].update(to_version=3), "gap: the intervals of ('ds', 'p') do not meet"),
        (lambda e: e["versions"][3].update(kind="publish"), "lost: ('ds', 'p') is not published any more"),
        (lambda e: e["intervals"][2].update(materialization_id="m2"), "contradicting: version 3 of ds has not what"),
        (lambda e: e["journal"][6].update(version=4), "contradicting: a rollback of ds from 2 became [4, 3]"),
        (lambda e: e["journal"][7].update(replayed=False), "contradicting: the rollback of ds from 2 to 1 was first"),
        (lambda e: e["versions"][2].update(kind="publish"), "lost: the rollback of ds from 2 to 1 was acknowledged"),
        (lambda e: e["intervals"][2].update(to_version=None), "contradicting: m1 is current after its retraction"),
        (lambda e: e["retractions"][0].update(at=0.5), "contradicting: m1 is current after its retraction"),
        (lambda e: e["retractions"].clear(), "lost: the retraction of m1"),
        (lambda e: e["journal"][9]["content"].update(p="m1"), "contradicting: a reader at kept got another version 2"),
        (lambda e: e["pins"][0].update(version=1), "contradicting: pin kept was answered {'ds': 2}, it is {'ds': 1}"),
        (
            lambda e: e["journal"].append({"what": "unreadable", "id": "m2", "pin": "kept", "problem": "missing"}),
            "collected: m2 was not there for pin kept",
        ),
        (lambda e: e["journal"][10].update(published=[]), "lost: release r published [] of ['m2']"),
        (lambda e: e["journal"][10]["versions"].update(ds=9), "lost: release r was acknowledged"),
        (
            lambda e: (
                e["versions"].append({**e["versions"][1], "dataset_id": "other", "version": 1}),
                e["published_versions"].update(other=1),
                e["journal"][8]["versions"].update(other=0),
            ),
            "torn: pin kept has a part of release r0",
        ),
        (lambda e: e["condemned"][0].update(at=2.5), "condemned: m2 was current in version 2 of ds"),
        (lambda e: e["condemned"][0].update(at=4.5), "condemned: m2 was in pin kept"),
        (lambda e: e["pins"][0].update(end=None), "condemned: m2 was in pin kept"),
        (lambda e: e["damaged"].update(m1="it is missing"), "collected: m1 is nobody's garbage"),
        (lambda e: e["journal"][12].update(materializations=["m3"]), "contradicting: ['m3'] were refused"),
        (lambda e: e["audit"][1].update(count=3), "audit: its rows are not one for each change, 1 missing"),
        (lambda e: e["materializations"][0].update(token=9), "contradicting: an earlier attempt replaced a later one"),
        (
            lambda e: e["journal"][13].update(attempt="a1"),
            "contradicting: attempt a1 was told that it is done",
        ),
        (lambda e: e["attempts"].clear(), "contradicting: attempt a2 was told that it is done, it is None"),
        (lambda e: e["attempts"][0].update(status="succeeded"), "contradicting: attempt 0 of task t was done 2 times"),
        (lambda e: e["outbox"].pop(), "outbox: its events are not one for each"),
        (lambda e: e["heard"].pop(), "outbox: a subscriber missed 1 events"),
        (lambda e: e["heard"].append(e["heard"][0]), "outbox: a subscriber missed 0 events or got some twice"),
        (lambda e: e["heard"].reverse(), "outbox: the versions of ds were told out of order, 3 times"),
        (lambda e: e["heard"].insert(0, e["heard"].pop(1)), "outbox: version 1 was told before what is in it"),
    ],
)
def test_whatever_is_wrong_is_told(break_it: Callable[[Rows], object], told: str) -> None:
    broken = evidence()
    break_it(broken)
    assert any(problem.startswith(told) for problem in violations(Evidence(**broken)))
