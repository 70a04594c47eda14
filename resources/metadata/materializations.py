"""Materializations: what an attempt produced, recorded exactly once per idempotency key."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from psycopg.types.json import Jsonb

from identity.errors import MetadataError
from identity.ids import Entity, EntityId
from identity.keys import CanonicalKey, check_name, key_text
from resources.metadata.noun import Noun
from resources.metadata.published import publish_request
from resources.metadata.resolution import HOLDER, asked, present_key
from resources.models import UNPARTITIONED, Attempt, Committed, Input, Materialization, Published, Read, Staged
from resources.postgres.session import BOUND, Row


class NoSuchMaterialization(MetadataError):
    """there is no materialization {id}"""

    id: str
    exit_code: ClassVar[int] = 3


_TOKEN = "SELECT metadata.next_fencing_token() AS token"

_OPEN_STAGING = (
    BOUND
    + """metadata.open_staging(
  CASE WHEN b THEN %(attempt)s::uuid END, %(leases)s, %(run_id)s, %(step_key)s, %(ttl)s) AS found
"""
)

# Whom the key names is looked up first, and only then is anything leased.
_LEASE = (
    BOUND
    + """(
  SELECT h.entity_id, h.birth_sha256, CASE WHEN h.entity_id = %(dataset)s::uuid THEN
    metadata.open_staging(%(attempt)s, %(leases)s, %(run_id)s, %(step_key)s, %(ttl)s) END AS expires_at
  FROM metadata.holders_of(CASE WHEN b THEN ARRAY[%(key)s::text] END) h WHERE h.writable) AS found
"""
)

_COMMIT = (
    BOUND
    + """metadata.commit_materializations(CASE WHEN b THEN %(attempt)s::uuid END, %(run_id)s, %(step_key)s,
  %(retry_number)s, %(fencing_token)s, %(items)s, %(inputs)s) AS found
"""
)

_COMMIT_AND_PUBLISH = (
    BOUND
    + """metadata.commit_and_publish(CASE WHEN b THEN %(attempt)s::uuid END, %(run_id)s, %(step_key)s,
  %(retry_number)s, %(fencing_token)s, %(items)s, %(inputs)s, %(key)s, %(fingerprint)s, %(publish_id)s) AS found
"""
)

_COLUMNS = f"""
SELECT m.materialization_id, {present_key("a.qualified_name")} AS qualified_name,
  m.partition_key, m.intent, m.run_id, m.step_key, m.retry_number, m.fencing_token,
  m.code_version, m.location, m.manifest_sha256, m.row_count, m.byte_count, m.data_version, m.metadata, m.actor,
  m.committed_at, p.published_in, coalesce(p.current, false) AS current,
  (SELECT count(*) FROM metadata.redelivery r
   WHERE r.tenant_id = m.tenant_id AND r.materialization_id = m.materialization_id) AS redeliveries
FROM metadata.materialization m
JOIN metadata.asset a ON a.tenant_id = m.tenant_id AND a.asset_id = m.dataset_id
LEFT JOIN LATERAL (
  SELECT min(vp.from_version) AS published_in, bool_or(vp.to_version IS NULL) AS current
  FROM metadata.version_partition vp
  WHERE vp.tenant_id = m.tenant_id AND vp.materialization_id = m.materialization_id) p ON true
"""

_LIST = (
    _COLUMNS
    + f"""
WHERE m.tenant_id = %(tenant)s AND m.dataset_id = {HOLDER}
  AND (%(partition)s::text IS NULL OR m.partition_key = %(partition)s)
ORDER BY m.committed_at DESC, m.materialization_id LIMIT %(limit)s
"""
)

ONE = _COLUMNS + "WHERE m.tenant_id = %(tenant)s AND m.materialization_id = %(id)s"

# The keys first, the newest of them, and then the materializations of these: whatever matches is read by an index.
_WITH = (
    """
WITH found AS MATERIALIZED (
  SELECT k.materialization_id FROM metadata.metadata_key k
  WHERE k.tenant_id = %(tenant)s AND k.key = %(name)s {narrowed} {of_one}
  ORDER BY k.committed_at DESC, k.materialization_id DESC LIMIT %(limit)s)
"""
    + _COLUMNS
    + """
WHERE m.tenant_id = %(tenant)s AND m.materialization_id IN (SELECT f.materialization_id FROM found f)
ORDER BY m.committed_at DESC, m.materialization_id DESC
"""
)
_OF_ONE = f"""
    AND EXISTS (
      SELECT 1 FROM metadata.materialization o
      WHERE o.tenant_id = k.tenant_id AND o.materialization_id = k.materialization_id AND o.dataset_id = {HOLDER}
        AND (%(partition)s::text IS NULL OR o.partition_key = %(partition)s))
"""
_BY_VALUE = "AND k.value_sha256 = (SELECT metadata.name_digest(%(value)s::jsonb::text))"

_KNOWN = """
SELECT m.materialization_id FROM metadata.materialization m
WHERE m.tenant_id = %(tenant)s AND m.materialization_id = ANY (%(ids)s)
"""

_INPUTS = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name,
  i.input_partition_key, i.input_materialization_id, i.input_version, i.metadata
FROM metadata.materialization_input i
JOIN metadata.asset a ON a.tenant_id = i.tenant_id AND a.asset_id = i.input_asset_id
WHERE i.tenant_id = %(tenant)s AND i.materialization_id = %(id)s
ORDER BY a.qualified_name, i.input_partition_key
"""


@dataclass(frozen=True, slots=True)
class Materializations(Noun):
    """Stage, commit and look up materializations."""

    def next_fencing_token(self) -> int:
        """A number larger than every one given before: the later an attempt starts, the larger its token."""
        (row,) = self.sessions.call(_TOKEN, {})
        token: int = row["token"]
        return token

    def open_staging(
        self, attempt: Attempt, locations: Mapping[tuple[Entity, str | None], str], *, ttl: timedelta
    ) -> None:
        """Register where the attempt writes, before its first byte: (dataset, partition) to location.

        Until the lease expires nobody collects what is there. Asking again changes nothing.
        """
        leases = [_leased(dataset, partition, location) for (dataset, partition), location in locations.items()]
        self.sessions.call(_OPEN_STAGING, {**self.sessions.binding, **_asking(attempt, leases, ttl)})

    def lease(
        self, attempt: Attempt, dataset: Entity, locations: Mapping[str | None, str], *, ttl: timedelta
    ) -> Entity | None:
        """`open_staging` for partitions of one dataset that was looked up some time ago, if its key still names it.

        Answers whom the key names now, None for nobody: nothing was leased unless that is the given dataset.
        """
        rows = self.sessions.call(
            _LEASE,
            {
                **self.sessions.binding,
                **_asking(attempt, [_leased(dataset, partition, at) for partition, at in locations.items()], ttl),
                "dataset": dataset.id.value,
                "key": key_text(dataset.key),
            },
        )
        for row in rows:
            return Entity.from_database(self.tenant, dataset.key, row["entity_id"], row["birth_sha256"])
        return None

    def commit(
        self,
        attempt: Attempt,
        staged: Sequence[Staged],
        reads: Mapping[str | None, Sequence[Read]],
    ) -> list[Committed]:
        """Record what the attempt produced, each delivery exactly once; one transaction, one round trip.

        `reads` says, for each partition written, what it was made from. The answers come in the order of `staged`.
        A delivery whose intent was committed before is answered with that commit (`replayed`), and the difference is
        kept as a redelivery. Safe to call again until it answers: the outcome is the same.

        What has a location must have been staged there by this attempt. Raises IdempotencyConflict, LeaseLost,
        NotRegistered; then nothing was written.
        """
        return _answers(staged, self.sessions.call(_COMMIT, {**self.sessions.binding, **_said(attempt, staged, reads)}))

    def commit_and_publish(
        self,
        attempt: Attempt,
        staged: Sequence[Staged],
        reads: Mapping[str | None, Sequence[Read]],
    ) -> tuple[list[Committed], Published | None]:
        """`commit` and `publish` of what one dataset gets, in one transaction: both, or neither.

        Where something was committed before, nothing is published (None): look at that first, and then `publish`. So
        does whoever asks again because the answer was lost, and gets the version that there is.
        """
        request = publish_request([one.delivery.materialization_id for one in staged])
        del request["materializations"]
        said = {**self.sessions.binding, **_said(attempt, staged, reads), **request}
        rows = self.sessions.call(_COMMIT_AND_PUBLISH, said)
        if any(row["version"] is None for row in rows):
            return _answers(staged, rows), None
        (dataset, version), *others = {(row["dataset_id"], row["version"]) for row in rows}
        assert not others, "one dataset"
        published = Published(
            dataset=EntityId.from_database(dataset),
            version=version,
            published=tuple(sorted(row["materialization_id"] for row in rows if not row["is_fenced"])),
            fenced=tuple(sorted(row["materialization_id"] for row in rows if row["is_fenced"])),
            replayed=False,
        )
        return _answers(staged, rows), published

    def materializations(
        self, dataset: CanonicalKey | Entity, *, partition: str | None = None, limit: int = 100
    ) -> list[Materialization]:
        """The newest materializations of a dataset, or of one of its partitions."""
        parameters = {**asked(dataset), "partition": partition, "limit": limit}
        with self.session() as session:
            rows = session.rows(_LIST, {"tenant": session.tenant_value, **parameters})
        return [materialization_of(row) for row in rows]

    def materializations_with(
        self,
        name: str,
        value: object = ...,
        *,
        dataset: CanonicalKey | Entity | None = None,
        partition: str | None = None,
        limit: int = 100,
    ) -> list[Materialization]:
        """The newest materializations whose metadata has this name at its top, with this JSON value if one is given.
        Of all datasets; or of one, or of a partition of it.

        Found by an index, however many others there are. Values are equal as JSON is: 1 is not 1.0, members of objects
        have no order. Names over 500 bytes are stored but not found.
        """
        narrowed = "" if value is ... else _BY_VALUE
        parameters = {"name": name, "value": None if value is ... else Jsonb(value), "limit": limit}
        if dataset is not None:
            parameters |= {**asked(dataset), "partition": partition}
        of_one = "" if dataset is None else _OF_ONE
        with self.session() as session:
            statement = _WITH.replace("{narrowed}", narrowed).replace("{of_one}", of_one)
            rows = session.rows(statement, {"tenant": session.tenant_value, **parameters})
        return [materialization_of(row) for row in rows]

    def materialization(self, identifier: UUID) -> Materialization:
        """One materialization. Raises NoSuchMaterialization."""
        with self.session() as session:
            rows = session.rows(ONE, {"tenant": session.tenant_value, "id": identifier})
        if not rows:
            raise NoSuchMaterialization(id=str(identifier))
        return materialization_of(rows[0])

    def recorded_among(self, ids: Collection[UUID]) -> set[UUID]:
        """Which of these materializations are recorded."""
        rows = self.sessions.call(_KNOWN, {"tenant": self.tenant.value, "ids": list(ids)}) if ids else []
        return {row["materialization_id"] for row in rows}

    def inputs(self, materialization: UUID) -> list[Input]:
        """What a materialization was made from, by key and partition."""
        with self.session() as session:
            rows = session.rows(_INPUTS, {"tenant": session.tenant_value, "id": materialization})
        return [
            Input(
                key=CanonicalKey.parse(row["qualified_name"]),
                partition=row["input_partition_key"] or None,
                materialization_id=row["input_materialization_id"],
                version=row["input_version"],
                metadata=row["metadata"],
            )
            for row in rows
        ]


def _leased(dataset: Entity, partition: str | None, location: str) -> Row:
    check_name(partition or "")
    check_name(location)
    return {"dataset_id": str(dataset.id), "partition_key": partition or UNPARTITIONED, "location": location}


def _asking(attempt: Attempt, leases: Sequence[Row], ttl: timedelta) -> Row:
    return {
        "attempt": attempt.id,
        "leases": Jsonb(leases),
        "run_id": attempt.run_id,
        "step_key": attempt.step_key,
        "ttl": ttl,
    }


def _said(attempt: Attempt, staged: Sequence[Staged], reads: Mapping[str | None, Sequence[Read]]) -> Row:
    items = [_item(one) for one in staged]
    inputs = [
        _input(item, read)
        for one, item in zip(staged, items, strict=True)
        for read in reads.get(one.delivery.partition, ())
    ]
    return {
        "attempt": attempt.id,
        "run_id": attempt.run_id,
        "step_key": attempt.step_key,
        "retry_number": attempt.retry_number,
        "fencing_token": attempt.fencing_token,
        "items": Jsonb(items),
        "inputs": Jsonb(inputs),
    }


def _answers(staged: Sequence[Staged], rows: Sequence[Row]) -> list[Committed]:
    answers = {row["idempotency_key"]: row for row in rows}
    return [_committed(one, answers[one.delivery.key]) for one in staged]


def _item(staged: Staged) -> Row:
    delivery = staged.delivery
    return {
        "idempotency_key": delivery.key,
        "fingerprint": delivery.fingerprint.hex(),
        "materialization_id": str(delivery.materialization_id),
        "dataset_id": str(delivery.dataset),
        "partition_key": delivery.partition or UNPARTITIONED,
        "intent": str(delivery.intent),
        "code_version": staged.code_version,
        "location": staged.location,
        "manifest_sha256": staged.manifest_sha256.hex() if staged.manifest_sha256 else None,
        "row_count": staged.row_count,
        "byte_count": staged.byte_count,
        "data_version": staged.data_version,
        "metadata": dict(staged.metadata),
    }


def _input(item: Row, read: Read) -> Row:
    return {
        "materialization_id": item["materialization_id"],
        "asset_id": str(read.asset.id),
        "partition_key": read.partition or UNPARTITIONED,
        "input_materialization_id": str(read.materialization_id) if read.materialization_id else None,
        "input_version": read.version,
        "metadata": dict(read.metadata),
    }


def _committed(staged: Staged, row: Row) -> Committed:
    return Committed(
        materialization_id=row["materialization_id"],
        idempotency_key=row["idempotency_key"],
        partition=staged.delivery.partition,
        replayed=row["replayed"],
        attempt_id=row["attempt_id"],
        location=row["location"],
        manifest_sha256=row["manifest_sha256"],
        data_version=row["data_version"],
        row_count=row["row_count"],
        byte_count=row["byte_count"],
    )


def materialization_of(row: Row) -> Materialization:
    return Materialization(
        id=row["materialization_id"],
        key=CanonicalKey.parse(row["qualified_name"]),
        partition=row["partition_key"] or None,
        intent=row["intent"],
        run_id=row["run_id"],
        step_key=row["step_key"],
        retry_number=row["retry_number"],
        fencing_token=row["fencing_token"],
        code_version=row["code_version"],
        location=row["location"],
        manifest_sha256=row["manifest_sha256"],
        row_count=row["row_count"],
        byte_count=row["byte_count"],
        data_version=row["data_version"],
        metadata=row["metadata"],
        actor=row["actor"],
        committed_at=row["committed_at"],
        published_in=row["published_in"],
        current=row["current"],
        redeliveries=row["redeliveries"],
    )
