"""What a step of somebody else's project materializes, as our store records it: deliveries, versions, inputs."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import dagster as dg

from identity.idempotency import Delivery, Intent
from identity.ids import Entity
from identity.keys import CanonicalKey
from metadata_assets._dagster import Step
from metadata_assets.attempts import Progress, begin, begun
from metadata_assets.beside import Beside
from metadata_assets.datasets import publish_policy_of
from metadata_assets.intent import goes_on_with, intent_of
from metadata_assets.needs import Needs
from metadata_assets.noted import JOB_METADATA, Noted, as_json
from metadata_assets.settling import MATERIALIZATION_METADATA, awaited_checks, is_checked
from resources.models import (
    METADATA_DEPTH,
    Asset,
    AssetType,
    Attempt,
    Committed,
    Current,
    Published,
    PublishPolicy,
    Read,
    Staged,
)
from resources.postgres.errors import NotRegistered

DELIVERY_METADATA: Final = "metadata_assets/delivery"
"""On an event: which delivery it is, so that the event log is enough to record it."""
LEFT_OUT: Final = "metadata_assets/left_out"
"""On a record: the names of what its asset noted, and what is too much to be kept here; Dagster's event has it."""
_MOST_BYTES: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """One output of a step that is an asset, with what its function says about it."""

    step: Step
    asset_key: dg.AssetKey
    output: str
    partitions: tuple[str | None, ...]
    metadata: Mapping[str, Any]
    data_version: str | None

    @cached_property
    def intents(self) -> Mapping[str | None, Intent]:
        return {one: intent_of(self.step, self.asset_key, one) for one in self.partitions}

    def event_metadata(self, record: "StepRecord | None", shown: Mapping[str, Any]) -> dict[str, Any]:
        """What Dagster's events of this output show: which delivery it is, and what is `shown` of its record.

        It asks no store: the delivery and its fencing token are told although the store is away by now.
        """
        intents = {str(one) for one in self.intents.values()}
        told: dict[str, Any] = {
            "intent": intents.pop() if len(intents) == 1 else {key: str(one) for key, one in self.intents.items()},
            "output": self.output,
        }
        if record is None:
            return {DELIVERY_METADATA: dg.MetadataValue.json(told)}
        told |= {"attempt": str(record.attempt.id), "fencing_token": record.attempt.fencing_token}
        return {DELIVERY_METADATA: dg.MetadataValue.json(told), **shown}


@dataclass(frozen=True, slots=True)
class Made:
    """What was recorded of an output, and the version that it is published in."""

    committed: Sequence[Committed]
    published: Published | None


@dataclass(slots=True)
class StepRecord:
    """The record of one try of one step: what it was before its work began, and what was recorded since."""

    beside: Beside
    step: Step
    progress: Progress
    needs: Needs
    found: Mapping[CanonicalKey, Mapping[str | None, Current]]
    made: dict[tuple[dg.AssetKey, str], Made] = field(default_factory=dict)
    _entities: dict[CanonicalKey, Entity] = field(default_factory=dict)
    _deliveries: dict[tuple[dg.AssetKey, str, str | None], Delivery] = field(default_factory=dict)
    _runs: Collection[str] | None = None
    """This one and those that it goes on with, once somebody asked."""

    @classmethod
    def begun(cls, beside: Beside, step: Step) -> "StepRecord":
        """Take a fencing token, and see what the inputs are: before any work."""
        partitions = {asset_key: step.partitions_of(output) for output, asset_key in step.materializes.items()}
        needs, first = beside.begun(step, partitions)
        found: dict[CanonicalKey, dict[str | None, Current]] = {}
        for one in first.found:
            found.setdefault(one.dataset.key, {})[one.partition] = one
        progress = begun(step) or begin(step, first)
        return cls(beside, step, progress, needs, found, {}, dict(first.outputs))

    @property
    def attempt(self) -> Attempt:
        return self.progress.attempt

    def shown(self, delivered: Delivered, *, recorded: bool) -> Mapping[str, Any]:
        """What the event of an output shows of its record: its id, and its version where it is recorded before."""
        made = self.made.get((delivered.asset_key, delivered.output)) if recorded else None
        noted: dict[str, Any] = {}
        if len(delivered.partitions) == 1:
            noted[MATERIALIZATION_METADATA] = str(self._delivery(delivered, delivered.partitions[0]).materialization_id)
        if made is not None:
            noted["metadata_assets/replayed"] = all(one.replayed for one in made.committed)
        if made is not None and made.published is not None and made.published.published:
            noted["metadata_assets/version"] = made.published.version
        return noted

    def record(self, delivered: Delivered) -> None:
        """Record an output, each of its partitions exactly once, and publish it where its policy says so."""
        self.prepared(delivered)()

    def prepared(self, delivered: Delivered) -> Callable[[], None]:
        """What records an output when it is called: in whatever thread, also when the step is over."""
        self.beside.unrecorded.add(delivered.asset_key)
        policy = self._policy(delivered.asset_key)
        said = {partition: self._noted(delivered, partition) for partition in delivered.partitions}
        staged = [self._staged(delivered, partition, noted) for partition, noted in said.items()]
        checked = bool(self.step.checks(delivered.asset_key)[0])
        noted = Noted.of_partitions(delivered.asset_key, datetime.now(UTC), said)
        return lambda: self._record(delivered, staged, policy, noted, checked=checked)

    def _record(
        self, delivered: Delivered, staged: Sequence[Staged], policy: PublishPolicy, noted: Noted, *, checked: bool
    ) -> None:
        reads = {partition: self._reads(delivered, partition) for partition in delivered.partitions}
        try:
            made = self._committed(staged, reads, policy)
        except NotRegistered:
            self._register(delivered.asset_key)
            inputs = {read.asset.key for some in reads.values() for read in some}
            self.beside.metadata.store().register_assets(
                Asset(key=key, type=AssetType.DATASET) for key in sorted(inputs)
            )
            made = self._committed(staged, reads, policy)
        self.made[delivered.asset_key, delivered.output] = made
        self.beside.unrecorded.discard(delivered.asset_key)
        if checked and is_checked(self.step, delivered.asset_key, made.published):
            awaited, complete = awaited_checks(self.step, delivered.asset_key)
            ids = [one.materialization_id for one in made.committed]
            deciding = awaited if policy == "when_checks_pass" else None
            self.beside.store.await_checks(self.step.run.run_id, ids, deciding, complete=complete)
        if noted.says_columns:
            from metadata_assets.mirror.materialized_columns import record_noted_columns

            record_noted_columns(self.beside.metadata.store(), self.step.asset_graph, [noted])

    def _committed(
        self, staged: Sequence[Staged], reads: Mapping[str | None, Sequence[Read]], policy: PublishPolicy
    ) -> Made:
        if policy == "immediately":
            return Made(*self.beside.store.commit_and_publish(self.attempt, staged, reads))
        return Made(self.beside.store.commit(self.attempt, staged, reads), None)

    def _staged(self, delivered: Delivered, partition: str | None, noted: Mapping[str, Any]) -> Staged:
        rows = noted.get("dagster/row_count")
        rows = getattr(rows, "value", rows)
        return Staged(
            delivery=self._delivery(delivered, partition),
            location=None,
            manifest_sha256=None,
            row_count=rows if isinstance(rows, int) and rows >= 0 else None,
            byte_count=None,
            data_version=delivered.data_version or self.step.data_version_of(delivered.asset_key),
            code_version=self.step.asset_graph.get(delivered.asset_key).code_version,
            metadata={**kept(noted), JOB_METADATA: self.step.run.job_name},
        )

    def _noted(self, delivered: Delivered, partition: str | None) -> Mapping[str, Any]:
        noted = {**delivered.metadata, **self.step.noted(delivered.asset_key, None)}
        return noted if partition is None else {**noted, **self.step.noted(delivered.asset_key, partition)}

    def _delivery(self, delivered: Delivered, partition: str | None) -> Delivery:
        known = self._deliveries.get((delivered.asset_key, delivered.output, partition))
        if known is not None:
            return known
        entity = self._entity(delivered.asset_key)
        made = Delivery(entity.tenant, entity.id, partition, delivered.intents[partition], delivered.output)
        self._deliveries[delivered.asset_key, delivered.output, partition] = made
        return made

    def _entity(self, asset_key: dg.AssetKey) -> Entity:
        key = self.needs.keys[asset_key]
        if key not in self._entities:
            self._register(asset_key)
            self._entities[key] = self.beside.store.entity(key)
        return self._entities[key]

    def _register(self, asset_key: dg.AssetKey) -> None:
        description = self.step.asset_graph.get(asset_key).description
        asset = Asset(key=self.needs.keys[asset_key], type=AssetType.DATASET, description=description)
        self.beside.metadata.store().register_datasets([(asset, self._policy(asset_key))])

    def _policy(self, asset_key: dg.AssetKey) -> PublishPolicy:
        return publish_policy_of(self.step.asset_graph.get(asset_key).metadata)

    def _reads(self, delivered: Delivered, partition: str | None) -> list[Read]:
        """What Dagster says that a partition is made from, as it was when the step began or as this step made it."""
        noted = self.progress.reads  # what our own I/O manager has loaded for the step, it knows exactly
        reads: list[Read] = []
        for parent, partitions in self.needs.needed.get(delivered.asset_key, {}).get(partition, {}).items():
            reads += list(noted[parent].values()) if parent in noted else self._read(parent, partitions)
        return reads

    def _read(self, parent: dg.AssetKey, partitions: Sequence[str | None]) -> list[Read]:
        key = self.needs.keys[parent]
        here = {
            one.partition: one for (asset, _out), made in self.made.items() if asset == parent for one in made.committed
        }
        entity = self._entities.get(key)
        if entity is None:
            entity = self._entities[key] = self.beside.store.entity(key)
        if parent in self.beside.unrecorded:
            return [Read(asset=entity)]
        current = self.found.get(key, {})
        stored = self._stored(parent, entity, partitions, current)
        reads = []
        for partition in partitions:
            published = current.get(partition)
            identifier = here[partition].materialization_id if partition in here else stored.get(partition)
            if identifier is not None:
                version = published.version if published and published.materialization_id == identifier else None
                reads.append(Read(asset=entity, partition=partition, materialization_id=identifier, version=version))
        return reads or [Read(asset=entity)]

    def _stored(
        self,
        parent: dg.AssetKey,
        entity: Entity,
        partitions: Sequence[str | None],
        current: Mapping[str | None, Current],
    ) -> Mapping[str | None, UUID]:
        """What the code of the project reads of a parent: what was stored last, published or waiting for that.

        By this run or one that it goes on with: they have stored it before this step began.
        """
        if self._policy(parent) == "immediately":
            return {partition: one.materialization_id for partition, one in current.items()}
        published = [current[one] for one in partitions if one in current]
        return self.beside.store.stored_last(
            goes_on_with(self.step.instance, self.step.run), published, entity, partitions
        )


def kept(noted: Mapping[str, Any]) -> dict[str, Any]:
    """What an asset noted, as far as a record keeps it, and the names of the rest: it never prevents a record."""
    found = {name: one for name, one in as_json(noted).items() if not name.startswith("metadata_assets/")}
    sizes = {name: len(json.dumps([name, one])) for name, one in found.items()}
    left_out = {name for name, one in found.items() if _depth(one) >= METADATA_DEPTH}
    while (largest := max(sizes, key=lambda name: (sizes[name], name), default=None)) is not None:
        if sum(sizes.values()) <= _MOST_BYTES:
            break
        left_out.add(largest)
        del sizes[largest]
    fitting = {name: one for name, one in found.items() if name not in left_out}
    return {**fitting, LEFT_OUT: sorted(left_out)[:100]} if left_out else fitting


def _depth(value: object) -> int:
    """How deep JSON is nested, counted no further than a record may be."""
    level, depth = [value], 0
    while depth < METADATA_DEPTH:
        level = [
            each
            for one in level
            if isinstance(one, dict | list)
            for each in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return depth
        depth += 1
    return depth
