"""Versions against a model: whatever is committed and published in whatever order, every version reads as it did."""

import itertools
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from store_inputs import Lake

from resources.metadata_store import MetadataStore
from resources.postgres.session import Row

Partition = tuple[str, str]
DATASETS = ("delays", "flights")
PARTITIONS = [(name, partition) for name in DATASETS for partition in "abc"]

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
        self.known: dict[UUID, tuple[Partition, int]] = {}
        self.requests: dict[frozenset[UUID], list[tuple[object, ...]]] = {}

    @rule(target=materializations, partition=st.sampled_from(PARTITIONS), token=st.integers(1, 9), more=st.booleans())
    def commit(self, partition: Partition, token: int, *, more: bool) -> object:
        """One or two attempts at a partition; their tokens say who started later."""
        ids = []
        for started in (token, token + 1)[: 2 if more else 1]:
            one = self.lake.committed(*partition, intent=str(len(self.known)), token=started)
            self.known[one] = (partition, started)
            ids.append(one)
        return multiple(*ids)

    @rule(chosen=st.lists(materializations, min_size=1, max_size=4))
    def publish(self, chosen: list[UUID]) -> None:
        wanted = {self.known[one][0]: one for one in chosen}  # one of each partition
        request = frozenset(wanted.values())
        answers = self.lake.store.publish(request)
        told = [(one.dataset, one.version, one.published, one.fenced) for one in answers]
        if request in self.requests:
            assert told == self.requests[request]
            assert all(one.replayed for one in answers)
            return
        self.requests[request] = told
        for name in DATASETS:
            mine = {partition: one for (dataset, partition), one in wanted.items() if dataset == name}
            if mine:
                self.expect(name, mine, [one for one in answers if one.dataset == self.lake.entity(name).id])

    def expect(self, name: str, wanted: dict[str, UUID], answers: list[object]) -> None:
        current = self.history[name][-1]
        winners = {
            partition: one
            for partition, one in wanted.items()
            if current.get(partition) != one
            and (partition not in current or self.known[current[partition]][1] <= self.known[one][1])
        }
        assert len(answers) == 1
        if winners:
            self.history[name].append({**current, **winners})

    @invariant()
    def readers_get_the_newest(self) -> None:
        for name in DATASETS:
            current = self.lake.store.current(self.lake.key(name))
            assert {one.partition: one.materialization_id for one in current} == self.history[name][-1]
            assert {one.version for one in current} <= {len(self.history[name]) - 1}

    def teardown(self) -> None:
        for name in DATASETS:
            self.every_version_reads_as_it_did(name)
            self.the_list_of_versions_counts_what_changed(name)

    def every_version_reads_as_it_did(self, name: str) -> None:
        found: list[list[tuple[str, UUID]]] = [[] for _ in self.history[name]]
        for row in self.look(_AS_OF, self.lake.entity(name).id.value):
            found[row["version"]].append((row["partition_key"], row["materialization_id"]))
        assert [sorted(rows) for rows in found] == [sorted(held.items()) for held in self.history[name]]

    def the_list_of_versions_counts_what_changed(self, name: str) -> None:
        listed = self.lake.store.versions(self.lake.key(name), limit=100)[::-1]
        assert [one.number for one in listed] == list(range(1, len(self.history[name])))
        for one, (before, after) in zip(listed, itertools.pairwise(self.history[name]), strict=True):
            changed = sum(before.get(partition) != found for partition, found in after.items())
            assert (one.partitions_changed, one.partitions) == (changed, len(after))


@pytest.mark.parametrize("steps", [8, 40])
def test_versions_agree_with_the_model(store: MetadataStore, look: Callable[..., list[Row]], steps: int) -> None:
    class Machine(Versions):
        pass

    Machine.store, Machine.look = store, staticmethod(look)
    run_state_machine_as_test(Machine, settings=settings(max_examples=160 // steps, stateful_step_count=steps))
