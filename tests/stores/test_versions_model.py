"""Versions against a model: whatever is published, taken back, pinned or marked, every version reads as it did."""

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from store_inputs import Lake
from thorough import many

from resources.metadata_store import MetadataStore
from resources.models import Published, Read
from resources.postgres.refusals import (
    NotAtVersion,
    PinTaken,
    ReleaseRefused,
    RollbackRefused,
    UnknownPin,
    UnknownVersion,
    UnusableMaterialization,
)
from resources.postgres.session import Row

Partition = tuple[str, str]
DATASETS = ("delays", "flights")
PARTITIONS = [(name, partition) for name in DATASETS for partition in "abc"]
PINS = ("red", "blue", "green")

_AS_OF = """
SELECT v.version, p.partition_key, p.materialization_id FROM metadata.version v
JOIN metadata.version_partition p ON p.tenant_id = v.tenant_id AND p.dataset_id = v.dataset_id
  AND p.from_version <= v.version AND (p.to_version IS NULL OR p.to_version > v.version)
WHERE v.dataset_id = %s
"""
_runs = itertools.count()


class Versions(RuleBasedStateMachine):
    """The model: what each version of each dataset holds, as plain dictionaries."""

    store: MetadataStore
    look: Callable[..., list[Row]]
    materializations = Bundle("materializations")

    def __init__(self) -> None:
        super().__init__()
        self.lake = Lake(self.store, f"model{next(_runs)}")
        self.lake.datasets(*DATASETS)
        self.history: dict[str, list[dict[str, UUID]]] = {name: [{}] for name in DATASETS}
        self.kinds: dict[str, list[tuple[str, int | None]]] = {name: [("", None)] for name in DATASETS}
        self.known: dict[UUID, tuple[Partition, int]] = {}
        self.made_from: dict[UUID, set[UUID]] = {}
        self.requests: dict[frozenset[UUID], list[tuple[object, ...]]] = {}
        self.moves: dict[tuple[str, int, int], int] = {}
        self.retracted: set[UUID] = set()
        self.pins: dict[str, dict[str, int]] = {}
        self.wanted: dict[str, dict[str, int | None]] = {}
        self.marked: set[UUID] = set()

    @initialize(partitions=st.lists(st.sampled_from(PARTITIONS), min_size=4, max_size=8))
    def begin(self, partitions: list[Partition]) -> None:
        """A few versions to go back to."""
        for partition in partitions:
            one = self.lake.committed(*partition, intent=str(len(self.known)), token=1)
            self.known[one], self.made_from[one] = (partition, 1), set()
            self.publish([one])

    @rule(
        target=materializations,
        partition=st.sampled_from(PARTITIONS),
        token=st.integers(1, 9),
        more=st.booleans(),
        choice=st.randoms(use_true_random=False),
    )
    def commit(self, partition: Partition, token: int, *, more: bool, choice: Any) -> object:
        """One or two attempts at a partition; their tokens say who started later."""
        ids = []
        for started in (token, token + 1)[: 2 if more else 1]:
            of = choice.sample(sorted(self.known), min(len(self.known), choice.randrange(3)))
            staged = self.lake.staged(*partition, intent=str(len(self.known)))
            (one,) = self.lake.commit(staged, token=started, reads={partition[1]: [self.read(each) for each in of]})
            self.known[one.materialization_id] = (partition, started)
            self.made_from[one.materialization_id] = set(of)
            ids.append(one.materialization_id)
        return multiple(*ids)

    def read(self, one: UUID) -> Read:
        name, partition = self.known[one][0]
        return Read(asset=self.lake.entity(name), partition=f"{partition}{one}", materialization_id=one)

    @rule(chosen=st.lists(materializations, min_size=1, max_size=4))
    def publish(self, chosen: list[UUID]) -> None:
        wanted = {self.known[one][0]: one for one in chosen}  # one of each partition
        request = frozenset(wanted.values())
        if request not in self.requests and request & self.retracted:
            with pytest.raises(UnusableMaterialization):
                self.lake.store.publish(request)
            return
        answers = self.lake.store.publish(request)
        told = [(one.dataset, one.version, one.published, one.fenced) for one in answers]
        if request in self.requests:
            assert told == self.requests[request]
            assert all(one.replayed for one in answers)
            return
        self.requests[request] = told
        self.expect(wanted, answers)

    @rule(chosen=st.lists(materializations, min_size=1, max_size=3))
    def release(self, chosen: list[UUID]) -> None:
        wanted = {self.known[one][0]: one for one in chosen}
        name = f"{self.lake.endpoint} {sum(map(len, self.history.values()))} {next(_runs)}"
        if self.retracted.intersection(wanted.values()) or any(self.is_fenced(*place) for place in wanted.items()):
            with pytest.raises(ReleaseRefused):
                self.lake.store.release(name, wanted.values())
            return
        self.expect(wanted, list(self.lake.store.release(name, wanted.values()).datasets))

    def is_fenced(self, place: Partition, one: UUID) -> bool:
        current = self.history[place[0]][-1].get(place[1])
        return current is not None and self.known[current][1] > self.known[one][1]

    def expect(self, wanted: dict[Partition, UUID], answers: list[Published]) -> None:
        for name in DATASETS:
            mine = {partition: one for (dataset, partition), one in wanted.items() if dataset == name}
            current = self.history[name][-1]
            winners = {
                partition: one
                for partition, one in mine.items()
                if current.get(partition) != one and not self.is_fenced((name, partition), one)
            }
            assert len([one for one in answers if one.dataset == self.lake.entity(name).id]) == bool(mine)
            if winners:
                self.append(name, {**current, **winners}, "publish")

    def append(self, name: str, held: dict[str, UUID], kind: str, restored: int | None = None) -> None:
        self.history[name].append(held)
        self.kinds[name].append((kind, restored))

    @rule(name=st.sampled_from(DATASETS), to=st.integers(0, 12), off=st.sampled_from([0, 0, 0, 0, -1, 1]))
    def roll_back(self, name: str, to: int, off: int) -> None:
        key, present = self.lake.key(name), len(self.history[name]) - 1
        to = to % (present + 2)
        expected = present + off
        if (name, to, expected) in self.moves:
            again = self.lake.store.rollback(key, to=to, expected=expected)
            assert (again.version, again.replayed) == (self.moves[name, to, expected], True)
            return
        refusal = (
            NotAtVersion
            if off
            else UnknownVersion
            if not 1 <= to <= present
            else RollbackRefused
            if to == present
            else UnusableMaterialization
            if self.retracted.intersection(self.history[name][to].values())
            else None
        )
        if refusal:
            with pytest.raises(refusal):
                self.lake.store.rollback(key, to=to, expected=expected)
            return
        answer = self.lake.store.rollback(key, to=to, expected=expected)
        assert (answer.version, answer.replayed) == (present + 1, False)
        self.moves[name, to, expected] = answer.version
        self.append(name, self.history[name][to], "rollback", to)

    @rule(place=st.sampled_from(PARTITIONS))
    def retract_what_is_current(self, place: Partition) -> None:
        if place[1] in self.history[place[0]][-1]:
            self.retract(self.history[place[0]][-1][place[1]])

    @rule(one=materializations)
    def retract(self, one: UUID) -> None:
        (name, partition), _token = self.known[one]
        told = self.lake.store.retract(one, reason="bad")
        if one in self.retracted:
            return
        self.retracted.add(one)
        current = self.history[name][-1]
        is_current = current.get(partition) == one
        assert told.version == (len(self.history[name]) if is_current else None)
        if is_current:
            self.append(name, {place: each for place, each in current.items() if place != partition}, "retract")

    @rule(
        name=st.sampled_from(PINS), versions=st.dictionaries(st.sampled_from(DATASETS), st.integers(0, 6), min_size=1)
    )
    def pin(self, name: str, versions: dict[str, int]) -> None:
        """0 is asked for as the present version."""
        versions = {dataset: number % (len(self.history[dataset]) + 1) for dataset, number in versions.items()}
        called = f"{self.lake.endpoint}-{name}"
        wanted = {dataset: number or None for dataset, number in versions.items()}
        asked = {self.lake.key(dataset): number for dataset, number in wanted.items()}
        if name in self.pins:
            if wanted == self.wanted[name]:
                assert self.lake.store.pin(called, asked).replayed
            else:
                with pytest.raises(PinTaken):
                    self.lake.store.pin(called, asked)
            return
        present = {dataset: len(self.history[dataset]) - 1 for dataset in versions}
        if any(not present[dataset] or number > present[dataset] for dataset, number in versions.items()):
            with pytest.raises(UnknownVersion):
                self.lake.store.pin(called, asked)
            return
        assert not self.lake.store.pin(called, asked).replayed
        self.pins[name] = {dataset: number or present[dataset] for dataset, number in versions.items()}
        self.wanted[name] = wanted

    @rule(name=st.sampled_from(PINS))
    def unpin(self, name: str) -> None:
        if name in self.pins:
            assert self.lake.store.unpin(f"{self.lake.endpoint}-{name}")
            del self.pins[name]
            with pytest.raises(UnknownPin):
                self.lake.store.current(self.lake.key("delays"), at=f"{self.lake.endpoint}-{name}")

    @rule(name=st.sampled_from(DATASETS), partitions=st.sets(st.sampled_from("abc")), downstream=st.booleans())
    def invalidate(self, name: str, partitions: set[str], *, downstream: bool) -> None:
        current = self.history[name][-1]
        marked = {one for partition, one in current.items() if partition in partitions}
        more = marked if downstream else set()
        while more:
            more = {one for one, of in self.made_from.items() if of & more} - marked
            marked |= more
        told = self.lake.store.invalidate(self.lake.key(name), partitions, reason="late", downstream=downstream)
        present = {one for held in self.history.values() for one in held[-1].values()}
        assert {one.materialization_id for one in told.stale} == marked & present
        self.marked |= marked

    @rule(name=st.sampled_from(DATASETS), number=st.integers(1, 12))
    def read_a_version(self, name: str, number: int) -> None:
        if number < len(self.history[name]):
            assert self.held(name, number) == self.history[name][number]
        else:
            with pytest.raises(UnknownVersion):
                self.held(name, number)

    def held(self, name: str, at: int | str | None = None) -> dict[str | None, UUID]:
        return {one.partition: one.materialization_id for one in self.lake.store.current(self.lake.key(name), at=at)}

    @invariant()
    def readers_get_the_newest(self) -> None:
        for name in DATASETS:
            current = self.lake.store.current(self.lake.key(name))
            assert {one.partition: one.materialization_id for one in current} == self.history[name][-1]
            assert {one.version for one in current} <= {len(self.history[name]) - 1}

    @invariant()
    def pins_stay(self) -> None:
        for pin, versions in self.pins.items():
            for name, number in versions.items():
                assert self.held(name, f"{self.lake.endpoint}-{pin}") == self.history[name][number]

    def teardown(self) -> None:
        for name in DATASETS:
            self.every_version_reads_as_it_did(name)
            self.the_list_of_versions_counts_what_changed(name)
            stale = {one.materialization_id for one in self.lake.store.stale(self.lake.key(name))}
            assert stale == self.marked & set(self.history[name][-1].values())
            self.lineage_is_what_the_current_ones_read(name)

    def every_version_reads_as_it_did(self, name: str) -> None:
        found: list[list[tuple[str, UUID]]] = [[] for _ in self.history[name]]
        for row in self.look(_AS_OF, self.lake.entity(name).id.value):
            found[row["version"]].append((row["partition_key"], row["materialization_id"]))
        assert [sorted(rows) for rows in found] == [sorted(held.items()) for held in self.history[name]]

    def the_list_of_versions_counts_what_changed(self, name: str) -> None:
        listed = self.lake.store.versions(self.lake.key(name), limit=100)[::-1]
        assert [one.number for one in listed] == list(range(1, len(self.history[name])))
        assert [(one.kind, one.restored) for one in listed] == self.kinds[name][1:]
        for one, (before, after) in zip(listed, itertools.pairwise(self.history[name]), strict=True):
            changed = sum(before.get(partition) != after.get(partition) for partition in "abc")
            assert (one.partitions_changed, one.partitions) == (changed, len(after))
            assert self.lake.store.version_at(self.lake.key(name), one.published_at) == one.number

    def lineage_is_what_the_current_ones_read(self, name: str) -> None:
        """Once it moved: a commit opens an edge for what may be published, and the next version settles it."""
        self.lake.store.publish([self.lake.committed(name, "z", intent="last")])
        read = {self.known[one][0][0] for held in self.history[name][-1].values() for one in self.made_from[held]}
        statement = """SELECT target_asset_id FROM metadata.relationship
          WHERE source_asset_id = %s AND producer = 'materialization' AND valid_to IS NULL"""
        edges = {row["target_asset_id"] for row in self.look(statement, self.lake.entity(name).id.value)}
        assert edges == {self.lake.entity(each).id.value for each in read}


@pytest.mark.parametrize(("steps", "examples"), [(8, many(12, usually=6)), (30, many(3, usually=2))])
def test_versions_agree_with_the_model(
    store: MetadataStore, look: Callable[..., list[Row]], steps: int, examples: int
) -> None:
    class Machine(Versions):
        pass

    Machine.store, Machine.look = store, staticmethod(look)
    run_state_machine_as_test(Machine, settings=settings(max_examples=examples, stateful_step_count=steps))
