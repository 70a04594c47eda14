"""What counts as being asked for the same thing again, and the idempotency key that says so.

Data is produced because of an *intent*: the logical run. Whoever delivers data for the same tenant, dataset,
partition, intent and step output delivers the same thing again, and only the first delivery is recorded.

Re-deliveries of one intent (the bytes may differ: the first commit stands):
- a step that retries, in the same run;
- a run re-executed from its failure, and a run that the daemon retries by itself;
- a step or a worker that was handed the same work twice;
- a backfill asks for each (dataset, partition) once, so its intent is the backfill, however many runs it takes; a
  backfill that continues an earlier one is that earlier intent for what the earlier one did not materialize;
- everything that carries the same explicit key.

New intents: a new run, a schedule's tick, a sensor's request, a person who re-executes all of a run, another backfill.

Which of these a Dagster run is, is decided where Dagster is known; here is only what follows from the answer.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self, TypeGuard, get_args
from uuid import UUID

from identity.errors import InvalidIntent
from identity.ids import EntityId, TenantId, digest_id, sha256_of
from identity.keys import check_name

IntentKind = Literal["run", "backfill", "key"]


@dataclass(frozen=True, slots=True)
class Intent:
    """Why data is being produced: a logical run, a backfill, or a key that the caller chose.

    `str(intent)` is "run:<id>", `Intent.parse(text)` the way back. Raises InvalidIntent.
    """

    kind: IntentKind
    value: str

    def __post_init__(self) -> None:
        check_name(self.value, InvalidIntent)
        if not _is_kind(self.kind):
            fix = f"use one of {', '.join(get_args(IntentKind))}"
            raise InvalidIntent(value=self.kind, reason="its kind is unknown", fix=fix)
        if not self.value:
            raise InvalidIntent(
                value=self.value, reason="it is empty", fix="give the id of the run or backfill, or a key"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The intent that `text` is the form of: everything after the first colon is the value."""
        kind, colon, value = text.partition(":")
        if not colon or not _is_kind(kind):
            fix = "an intent is run:<id>, backfill:<id> or key:<text>"
            raise InvalidIntent(value=text, reason="its kind is unknown", fix=fix)
        return cls(kind, value)

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True)
class Delivery:
    """The thing asked for: one output of one step, for one partition of a dataset, because of one intent.

    `partition` is None for an unpartitioned dataset; `output` is the name of the step's output. Raises InvalidKey.
    """

    tenant: TenantId
    dataset: EntityId
    partition: str | None
    intent: Intent
    output: str

    def __post_init__(self) -> None:
        if not isinstance(self.tenant, TenantId) or not isinstance(self.dataset, EntityId):
            raise TypeError("a Delivery is for a TenantId and the EntityId of a dataset")
        if not isinstance(self.intent, Intent):
            raise TypeError("a Delivery has an Intent")
        check_name(self.partition or "")
        check_name(self.output)

    @cached_property
    def key(self) -> str:
        """The idempotency key, 64 hex digits: equal exactly for re-deliveries."""
        return sha256_of(*self._parts()).hex()

    @property
    def fingerprint(self) -> bytes:
        """What must be equal wherever the key is equal, 32 bytes: the intent and its target, not the bytes produced.

        A retry may produce other bytes; that is a re-delivery with a difference, not another request.
        """
        return sha256_of("fingerprint of a materialization", *self._parts())

    @cached_property
    def materialization_id(self) -> UUID:
        """The id that the first delivery is recorded under, and that every re-delivery computes again."""
        return digest_id(self.dataset, "materialization", self.key)

    def _parts(self) -> tuple[str | bytes | None, ...]:
        return self.tenant.value.bytes, self.dataset.value.bytes, self.partition, str(self.intent), self.output


def _is_kind(kind: str) -> TypeGuard[IntentKind]:
    return kind in get_args(IntentKind)
