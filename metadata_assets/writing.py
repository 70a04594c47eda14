"""One output of a step on its way into the store: split by partition, staged, committed with what it was made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

import dagster as dg

from identity.errors import MetadataError
from identity.idempotency import Delivery
from identity.ids import Entity
from identity.keys import CanonicalKey
from metadata_assets._dagster import Step, parents_of, upstream_partitions
from metadata_assets.attempts import Progress
from metadata_assets.intent import intent_of
from metadata_assets.noted import JOB_METADATA, as_json
from resources.configurable import MetadataResource
from resources.failpoints import reach
from resources.files.marking import RootNotThere
from resources.files.staging import DataMissing
from resources.locations import location
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Committed, Current, Published, PublishPolicy, Read, Staged
from resources.postgres.errors import NotRegistered
from resources.reading import place_of
from resources.storage import Storage, Writing
from resources.tables.store import TableStorage
from resources.tables.switching import settle

LEASE: Final = timedelta(days=1)
"""How long an attempt may write before its files count as abandoned."""


class EmptyPartition(MetadataError):
    """{dataset}: a partition is called "", which is what data without partitions are called; give it a name"""

    dataset: str
    exit_code: ClassVar[int] = 2


class WrongPartitions(MetadataError):
    """{dataset}: the run asks for {wanted} partitions, the function returned {got}; return a dict, one table each"""

    dataset: str
    wanted: str
    got: str


class DataElsewhere(MetadataError):
    """there are no data at {path}, and this project has no endpoint {endpoint}, on which they were written; \
add {endpoint} to the project's endpoints, where it was"""

    path: str
    endpoint: str
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one output of a step writes to."""

    entity: Entity
    asset_key: dg.AssetKey
    output: str
    partitions: tuple[str | None, ...]
    policy: PublishPolicy
    code_version: str | None
    description: str | None
    storage: Storage = field(repr=False)
    """Of the endpoint that the asset is declared with."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What its function noted about the output, as Dagster has it."""

    def __post_init__(self) -> None:
        if "" in self.partitions:
            raise EmptyPartition(dataset=str(self.entity.key))


def by_partition(target: Target, value: object) -> dict[str | None, object]:
    """What goes where. A dict keyed by partitions of the run is one value for each; None stands for no data.

    So an empty dict is no data at all, but where there is one partition: there it is a value.
    """
    several = len(target.partitions) > 1
    if value is None:
        return {}
    partitioned = target.partitions != (None,)
    if partitioned and isinstance(value, dict) and (value or several) and set(value) <= set(target.partitions):
        return {partition: one for partition, one in value.items() if one is not None}
    if not several:
        return {target.partitions[0]: value}
    got = f"a dict with other keys ({few(list(value))})" if isinstance(value, dict) else type(value).__name__
    raise WrongPartitions(dataset=str(target.entity.key), wanted=str(len(target.partitions)), got=got)


def commit(
    step: Step,
    store: MetadataStore,
    progress: Progress,
    target: Target,
    values: Mapping[str | None, object],
    *,
    and_publish: bool,
) -> tuple[Target, list[Committed], Published | None]:
    """Write and record every partition, in one transaction; in the order of `values`. And what the dataset is by now.

    With `and_publish` it is published by the same transaction, unless some of it was recorded before: then None is
    published, as without. Raises NotStorable, StagingFailed, RootNotThere, LeaseLost; then nothing was recorded.
    """
    target, staged = _stage(step, store, progress, target, values)
    reads = {partition: _reads_of(step, progress, target, partition) for partition in values}

    def record() -> tuple[list[Committed], Published | None]:
        if and_publish:
            return store.commit_and_publish(progress.attempt, staged, reads)
        return store.commit(progress.attempt, staged, reads), None

    reach("commit.before")
    try:
        return target, *record()
    except NotRegistered:  # an input that nobody collected or declared
        inputs = {read.asset.key for some in reads.values() for read in some}
        store.register_assets(Asset(key=key, type=AssetType.DATASET) for key in sorted(inputs))
        return target, *record()


def publish(
    store: MetadataStore, target: Target, committed: Sequence[Committed], *, expected: int | None = None
) -> Published:
    """Publish what was committed; if the dataset is at the version `expected`, where one is: else raises NotAtVersion.

    Raises what `follow_published` does.
    """
    reach("publish.before")
    ids = [one.materialization_id for one in committed]
    (published,) = store.publish(ids) if expected is None else store.publish_at(ids, expected=expected)
    follow_published(target)
    return published


def follow_published(target: Target) -> None:
    """Where the data are tables, let the endpoint's views follow what was published.

    A step that dies before is repaired by whoever publishes next on that endpoint. Raises what keeps the view of this
    dataset behind: then it is published all the same.
    """
    reach("publish.after")
    if isinstance(target.storage, TableStorage):
        settle(target.storage).check([target.entity.id])


@dataclass(slots=True)
class Others:
    """What is published of a dataset, as far as its checks compared with it what was committed: one version."""

    known: frozenset[UUID] | None = None
    """What was compared before, by an earlier look; None for the first one."""
    version: int | None = None
    """None as long as no check has asked."""
    _there: Sequence[Current] = ()

    def look(self, store: MetadataStore, key: CanonicalKey) -> Sequence[Current]:
        """What is to be compared: all of one version, whatever is published meanwhile, but for what is known."""
        if self.version is None:
            version = store.version_at(key)
            there = store.current(key, at=version) if version else ()
            self.version, known = version, self.known or frozenset()
            self._there = [one for one in there if one.materialization_id not in known]
        return self._there

    def again(self) -> "Others":
        """The next look, at what came since."""
        return Others((self.known or frozenset()) | {one.materialization_id for one in self._there})


@dataclass(frozen=True, slots=True)
class CommittedValues(Mapping[str | None, Any]):
    """What was committed, by partition; read back from its files each time it is looked up."""

    metadata: MetadataResource
    committed: Mapping[str | None, Committed]
    pin: str | None = None
    """The pin that the I/O manager reads at, unless the run names one."""
    others: Others = field(default_factory=Others)

    def __getitem__(self, partition: str | None) -> Any:
        return stored(self.metadata, self.committed[partition])

    def __iter__(self) -> Iterator[str | None]:
        return iter(self.committed)

    def __len__(self) -> int:
        return len(self.committed)


def stored(metadata: MetadataResource, one: Current | Committed) -> Any:
    """The value that a commit or a version names, read back and verified, on whichever endpoint it was written.

    Raises RecordedOnly, DataElsewhere, RootNotThere, DataDamaged, DataUnreadable.
    """
    endpoint, path, digest = place_of(one)
    storage = metadata.storage_of(endpoint)
    try:
        return storage.read(path, digest)
    except (DataMissing, RootNotThere):
        if endpoint in metadata.endpoints:
            raise
        raise DataElsewhere(path=storage.shown(path), endpoint=endpoint) from None


def _stage(
    step: Step, store: MetadataStore, progress: Progress, target: Target, values: Mapping[str | None, object]
) -> tuple[Target, list[Staged]]:
    """Write each partition under a path of this attempt, leased before the first byte."""
    attempt = progress.attempt
    if len(values) > 1 and isinstance(target.storage, TableStorage):
        target.storage.admit(target.entity, values)
    reach("lease.before")
    target, paths = _lease(store, target, attempt, list(values))
    reach("lease.after")
    entity = target.entity
    staged = []
    for partition, value in values.items():
        delivery = Delivery(
            entity.tenant, entity.id, partition, intent_of(step, target.asset_key, partition), target.output
        )
        writing = Writing(
            entity=entity, partition=partition, attempt=attempt, materialization_id=delivery.materialization_id
        )
        written = target.storage.write(paths[partition], value, writing)
        staged.append(
            Staged(
                delivery=delivery,
                location=location(entity.key.endpoint, paths[partition]),
                manifest_sha256=written.manifest_sha256,
                row_count=written.row_count,
                byte_count=written.byte_count,
                data_version=written.data_version,
                code_version=target.code_version,
                metadata=_noted(step, target, partition),
            )
        )
    return target, staged


def _noted(step: Step, target: Target, partition: str | None) -> dict[str, Any]:
    """What the function noted about a partition: the narrower note wins, as in Dagster's own event."""
    noted = {**target.metadata, **step.noted(target.asset_key, None)}
    if partition is not None:
        noted |= step.noted(target.asset_key, partition)
    return {**as_json(noted), JOB_METADATA: step.run.job_name}


def _lease(
    store: MetadataStore, target: Target, attempt: Attempt, partitions: Sequence[str | None]
) -> tuple[Target, dict[str | None, str]]:
    """Lease the paths of these partitions, of the dataset that the key names now: it may be another one by now.

    A dataset that nobody declared to the store is registered here, when it is first written.
    """
    registered = False
    while True:
        entity = target.entity
        paths = {partition: target.storage.path_of(entity, partition, attempt) for partition in partitions}
        locations = {partition: location(entity.key.endpoint, path) for partition, path in paths.items()}
        try:
            holder = store.lease(attempt, entity, locations, ttl=LEASE)
        except NotRegistered:
            if registered:
                raise
            holder = None
        if holder is None:
            registered = True
            asset = Asset(key=entity.key, type=AssetType.DATASET, description=target.description)
            store.register_datasets([(asset, target.policy)])
            holder = store.entity(entity.key)
        elif holder.id == entity.id:
            return target, paths
        target = replace(target, entity=holder)


def _reads_of(step: Step, progress: Progress, target: Target, partition: str | None) -> list[Read]:
    """What one partition of one output was made from: of all that the attempt read, what its mappings lead to."""
    only = len(target.partitions) == 1
    mapped = {} if only else upstream_partitions(step.asset_graph, target.asset_key, partition)
    parents = parents_of(step, target.asset_key)
    return [
        progress.counted(asset_key, read, partition, only=only)
        for asset_key, reads in progress.reads.items()
        if asset_key in parents
        for read in reads.values()
        if only or read.partition is None or read.partition in mapped.get(asset_key, ())
    ]


def few(partitions: Sequence[object]) -> str:
    """The first three, and how many more: a message names what it is about without listing a year."""
    names = [str(partition) for partition in partitions[:3] if partition is not None] or ["it"]
    return ", ".join(names) + (f" and {len(partitions) - 3} more" if len(partitions) > 3 else "")
