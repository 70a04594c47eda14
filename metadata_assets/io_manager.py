"""The I/O manager: what a step returns is stored, one record and, by policy, a version; what it reads is recorded.

In a step, in this order: take a fencing token → read the published inputs → compute → lease a path of its own → write
→ commit (exactly once per intent) → check what was committed → publish → let the view of a table follow → tell Dagster.
A crash between any two leaves garbage that nobody sees; the next delivery of the same intent goes on from what was
committed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Final, get_args

import dagster as dg
from pydantic import PrivateAttr
from upath import UPath

from identity.keys import CanonicalKey
from metadata_assets._dagster import Step, current_step, report_only
from metadata_assets.attempts import Progress, begin, begun, outputs_of, progress_of
from metadata_assets.datasets import is_dataset, key_of, publish_policy_of
from metadata_assets.io_manager_errors import (
    NoChecksToPass,
    NothingPinned,
    NothingPublished,
    NothingToDeliver,
    SourceElsewhere,
)
from metadata_assets.mirror.materialized_columns import record_noted_columns
from metadata_assets.noted import Noted
from metadata_assets.pinned import pin_of, read_at
from metadata_assets.reporting import report
from metadata_assets.settling import (
    awaited_checks,
    check_results,
    checks_recorded,
    is_checked,
    settle_run,
)
from metadata_assets.source_systems import table_at
from metadata_assets.source_table import SourceTable
from metadata_assets.writing import (
    CommittedValues,
    Target,
    by_partition,
    commit,
    few,
    follow_published,
    publish,
    stored,
)
from resources.configurable import MetadataResource
from resources.failpoints import reach
from resources.files import intermediate
from resources.files.formats import as_frame, frame_of
from resources.locations import EndpointLocation, place
from resources.metadata_store import MetadataStore
from resources.models import Committed, Current, PublishPolicy, Read
from resources.postgres.errors import UNREACHABLE
from resources.postgres.refusals import NotAtVersion
from resources.version_records import Frame

FRAME_METADATA: Final = "metadata_assets/as"
MISSING_METADATA: Final = "metadata_assets/missing"


@dataclass(frozen=True, slots=True)
class Audited:
    """The values of a step, by partition, with the checks that decide about them.

    A partition that is not among `values` has no data; the only one of an asset without partitions is None.
    `audit` gets what was committed, by partition (read back from the files when looked up), before it is published;
    without one it is committed and published as one step where the policy allows it. `blocking` names the checks that
    keep a `when_checks_pass` dataset from being published when they fail. `shown` is what Dagster's event of each
    partition shows beside what was committed.
    """

    values: Mapping[str | None, object]
    audit: Callable[[CommittedValues], Sequence[dg.AssetCheckResult]] | None = None
    blocking: frozenset[str] = frozenset()
    shown: Mapping[str | None, Mapping[str, Any]] = field(default_factory=dict)


class MetadataIOManager(dg.ConfigurableIOManager, dg.IAttachDifferentObjectToOpContext):
    """Stores what assets return, exactly once per intent, and gives their readers the published version.

    Tables (pandas, Polars, Arrow) are Parquet, other JSON values are JSON; on a postgres endpoint tables are tables. A
    run over several partitions returns a dict from partition to table and becomes one version.
    """

    records_itself: ClassVar[bool] = True
    """What it stores needs no record by anybody else."""
    metadata: dg.ResourceDependency[MetadataResource]
    pin: str | None = None
    """What steps read at: each dataset that the pin has. The run tag metadata_assets/pin outranks it."""
    _token: int | None = PrivateAttr(default=None)
    _is_of_step: bool = PrivateAttr(default=False)
    _unsettled: dict[dg.AssetKey, CanonicalKey] = PrivateAttr(default_factory=dict)
    _recorded: set[dg.AssetCheckKey] = PrivateAttr(default_factory=set)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 Dagster gives it
        """Take a fencing token before any step of this process works.

        Only for steps that Dagster does not tell us of when they start, because an I/O manager of the user stands
        between: they give way to a run that began after their process did.
        """
        self._token, self._is_of_step = self.metadata.store().next_fencing_token(), False
        self._unsettled, self._recorded = {}, set()

    def get_object_to_set_on_execution_context(self) -> "MetadataIOManager":
        """Take a fencing token for the step that starts: Dagster asks for its resources right before.

        It is for steps that we meet only when they are done, because they load nothing through us.
        """
        self._token, self._is_of_step = self.metadata.store().next_fencing_token(), True
        return self

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Settle what this process knows to be checked: all of its steps have told what they found."""
        if self._unsettled and context.instance is not None and context.run is not None:
            settle_run(context.instance, self.metadata, context.run.run_id, self._unsettled, recorded=self._recorded)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write, commit, check, publish. Raises a MetadataError that says what to do; then nothing is published."""
        if not context.has_asset_key:
            intermediate.keep(self._waiting(), _names(context), obj)
            return
        step = current_step()
        store = self.metadata.store()
        progress = progress_of(step, store, self._token)
        target = self._target(context, store, progress)
        awaited, complete = awaited_checks(step, target.asset_key)
        audited = obj if isinstance(obj, Audited) else _unaudited(target, obj, awaited)
        report_only(context, audited.values)
        if not audited.values:
            return
        at_once = target.policy == "immediately" and audited.audit is None
        target, committed, published = commit(step, store, progress, target, audited.values, and_publish=at_once)
        failed: list[str] = []
        values = CommittedValues(self.metadata, {one.partition: one for one in committed}, self.pin)
        if published is None:
            self._check_replayed(store, target, committed)
            failed = self._audit(store, progress.attempt.fencing_token, progress, values, audited)
        if published is not None:
            follow_published(target)
        elif target.policy == "immediately":
            published = publish(store, target, committed)
        while published is None and target.policy == "when_checks_pass" and not failed and not awaited:
            try:
                published = publish(store, target, committed, expected=values.others.version)
            except NotAtVersion:
                values = replace(values, others=values.others.again())
                failed = self._audit(store, store.next_fencing_token(), progress, values, audited)
        if is_checked(step, target.asset_key, published):
            decides = published is None and target.policy == "when_checks_pass"
            deciding = awaited | audited.blocking if decides else None
            ids = [one.materialization_id for one in committed]
            store.await_checks(step.run.run_id, ids, deciding, complete=complete)
            self._settle_later(step, target.asset_key, target.entity.key)
        replayed = [one.materialization_id for one in committed if one.replayed]
        ended = store.ended(replayed) if replayed else {}
        why_not = self._overtaken(progress) if published else _why_not(target, failed, awaited)
        reach("report.before")
        report(self.metadata, context, step, target, committed, published, why_not, ended, audited.shown)
        reach("report.after")
        shown = audited.shown or {None: {}}
        said = {one: {**context.output_metadata, **told} for one, told in shown.items()}
        noted = Noted.of_partitions(target.asset_key, datetime.now(UTC), said)
        try:
            record_noted_columns(store, step.asset_graph, [noted])
        except UNREACHABLE as error:  # what the step delivered stands, and its event has the note, too
            context.log.warning(
                "where the columns of %s come from is not recorded yet, %s; the sensor record_materializations "
                "records it from the event log",
                target.asset_key.to_user_string(),
                error,
            )

    def load_input(self, context: dg.InputContext) -> object:
        """The published data of the partitions that the step needs: one value, or a dict from partition to value.

        A table of a source database arrives as a SourceTable. Raises NothingPublished, or leaves the partition out
        (None for a single one) where the dependency says `missing: skip`.
        """
        if not context.has_asset_key:
            assert context.upstream_output is not None
            value = intermediate.recall(self._waiting(), _names(context.upstream_output))
            return as_frame(value, _frame_wanted(context))
        step = current_step()
        upstream = context.upstream_output
        key = key_of(context.asset_key, upstream.definition_metadata if upstream else None)
        if self._is_source(key.endpoint) and not is_dataset(upstream.definition_metadata if upstream else None):
            return self._source_table(context.asset_key, key, progress_of(step, self.metadata.store()))
        policy = publish_policy_of(upstream.definition_metadata if upstream else None)
        checks = context.asset_key in step.checked
        if not checks and policy == "when_checks_pass" and awaited_checks(step, context.asset_key)[0]:
            progress_of(step, self.metadata.store())
            recorded = checks_recorded(step, context.asset_key)
            settle_run(step.instance, self.metadata, step.run.run_id, {context.asset_key: key}, recorded=recorded)
        if not checks:
            return self._published(context, step, key)
        progress = progress_of(step, self.metadata.store())
        wanted = step.partitions_asked_for(context)
        found = self._examined(context, step, key, policy, wanted)
        if not found:
            raise NothingPublished(dataset=str(key), partitions=few(wanted or [None]))
        values = self._values(context, progress, found)
        return next(iter(values.values())) if len(values) == 1 else values

    def _settle_later(self, step: Step, asset_key: dg.AssetKey, key: CanonicalKey) -> None:
        self._unsettled[asset_key] = key
        self._recorded |= checks_recorded(step, asset_key)

    def _overtaken(self, progress: Progress) -> str:
        of_process = not self._is_of_step and progress.attempt.fencing_token == self._token
        return f"a later attempt {'than the start of this process ' if of_process else ''}is published already"

    def _audit(
        self, store: MetadataStore, evaluation: int, progress: Progress, values: CommittedValues, audited: Audited
    ) -> list[str]:
        """Record what the checks of the step find in what was committed; the blocking ones that failed."""
        reach("commit.after")
        results = audited.audit(values) if audited.audit is not None else ()
        reach("audit.after")
        if results:
            run_id, blocking = progress.attempt.run_id, audited.blocking
            told = check_results(results, run_id=run_id, evaluation=evaluation, blocking=blocking)
            store.record_checks([one.materialization_id for one in values.committed.values()], told)
        return sorted(r.check_name or "" for r in results if not r.passed and r.check_name in audited.blocking)

    def _target(self, context: dg.OutputContext, store: MetadataStore, progress: Progress) -> Target:
        metadata = context.definition_metadata
        key = key_of(context.asset_key, metadata)
        partitions = tuple(context.asset_partition_keys) if context.has_asset_partitions else (None,)
        return Target(
            entity=progress.outputs.get(key) or store.entity(key),
            asset_key=context.asset_key,
            output=context.name,
            partitions=partitions,
            policy=publish_policy_of(metadata),
            code_version=context.asset_spec.code_version,
            description=context.asset_spec.description,
            storage=self.metadata.storage_of(key.endpoint),
            metadata=context.output_metadata,
        )

    def _check_replayed(self, store: MetadataStore, target: Target, committed: Sequence[Committed]) -> None:
        """What an earlier delivery of the request committed must be good and there. Raises NothingToDeliver."""
        replayed = [one for one in committed if one.replayed]
        retracted = (
            {one.materialization_id for one in store.retractions(target.entity, limit=10_000)} if replayed else ()
        )
        for one in replayed:
            if one.materialization_id in retracted:
                state = "retracted"
            elif one.location is not None and not _is_there(self.metadata, one.location):
                state = "collected or lost"
            else:
                continue
            name, this = str(target.entity.key), str(one.materialization_id)
            raise NothingToDeliver(dataset=name, materialization=this, state=state)

    def _source_table(self, asset_key: dg.AssetKey, declared: CanonicalKey, progress: Progress) -> SourceTable:
        """What the declared name means by now, under the name that it has: what is read is what is recorded."""
        entity, key = self.metadata.store().named(declared)
        location = self._database_of(declared, key)
        progress.note(asset_key, [Read(asset=entity)])
        return table_at(
            location,
            self.metadata.databases,
            key=key,
            note=partial(progress.count, asset_key),
            declared=declared,
        )

    def _database_of(self, declared: CanonicalKey, key: CanonicalKey) -> EndpointLocation:
        if not self._is_source(key.endpoint):
            raise SourceElsewhere(declared=str(declared), table=str(key), endpoint=key.endpoint)
        location = self.metadata.location(key.endpoint)
        moved = key.source != declared.source or key.endpoint != declared.endpoint
        renamed = moved and key.source and location.system == "postgres"  # what a file is called here is nobody's name
        return replace(location, database=key.source) if renamed else location

    def _is_source(self, endpoint: str) -> bool:
        return endpoint in self.metadata.endpoints and self.metadata.endpoints[endpoint].system != "files"

    def _published(self, context: dg.InputContext, step: Step, key: CanonicalKey) -> object:
        store = self.metadata.store()
        wanted = list(context.asset_partition_keys) if context.has_asset_partitions else [None]
        at, pin = None, pin_of(step, self.pin)
        if begun(step) is None and pin is None:
            first = store.begin_step(outputs_of(step), key, wanted)
            progress, current = begin(step, first), first.found
        else:
            progress = progress_of(step, store)
            at = None if pin is None else read_at(step, store, key, pin)
            current = store.current(key, wanted, at=at)
        found = {one.partition: one for one in current}
        metadata = context.definition_metadata or {}
        absent = [partition for partition in wanted if partition not in found]
        if absent and metadata.get(MISSING_METADATA) != "skip":
            if at is not None:
                raise NothingPinned(dataset=str(key), partitions=few(absent), pin=str(pin))
            raise NothingPublished(dataset=str(key), partitions=few(absent))
        values = self._values(context, progress, list(found.values()))
        return values.get(wanted[0]) if len(wanted) == 1 else values

    def _examined(
        self,
        context: dg.InputContext,
        step: Step,
        key: CanonicalKey,
        policy: PublishPolicy,
        wanted: Sequence[str] | None,
    ) -> list[Current]:
        """What the checks of this run are about, whatever readers have; what they found is recorded with it."""
        awaited, complete = awaited_checks(step, context.asset_key)
        self._settle_later(step, context.asset_key, key)
        store = self.metadata.store()
        deciding = awaited if policy == "when_checks_pass" else None
        return store.examined(step.run.run_id, store.entity(key), wanted, deciding, complete=complete)

    def _values(self, context: dg.InputContext, progress: Progress, found: Sequence[Current]) -> dict[str | None, Any]:
        """From partition to value, read back; noted as read."""
        progress.note(context.asset_key, [_read(one) for one in found])
        frame = _frame_wanted(context)
        return {one.partition: as_frame(stored(self.metadata, one), frame) for one in found}

    def _waiting(self) -> UPath:
        return UPath(self.metadata.settings().intermediate)


def _unaudited(target: Target, value: object, awaited: Collection[str]) -> Audited:
    if target.policy == "when_checks_pass" and not awaited:
        raise NoChecksToPass(dataset=str(target.entity.key))
    return Audited(by_partition(target, value))


def _is_there(metadata: MetadataResource, at: str) -> bool:
    endpoint, path = place(at)
    return metadata.storage_of(endpoint).exists(path)


def _names(output: dg.OutputContext) -> tuple[str, str, str, str]:
    return output.run_id, output.step_key, output.name, output.mapping_key or ""


def _read(current: Current) -> Read:
    return Read(
        asset=current.dataset,
        partition=current.partition,
        materialization_id=current.materialization_id,
        version=current.version,
    )


def _frame_wanted(context: dg.InputContext) -> Frame:
    declared = (context.definition_metadata or {}).get(FRAME_METADATA)
    for frame in get_args(Frame):
        if frame == declared:
            found: Frame = frame
            return found
    return frame_of(context.dagster_type.typing_type) or "polars"


def _why_not(target: Target, failed: Sequence[str], awaited: Collection[str]) -> str:
    if failed:
        return f"failed checks: {', '.join(failed)}"
    if target.policy == "when_checks_pass":
        return f"waits for its checks: {', '.join(sorted(awaited))}"
    return f"publish: {target.policy}"
