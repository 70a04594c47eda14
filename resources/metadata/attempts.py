"""Attempts of executors that are not Dagster: held by a lease, fenced by its epoch, completed exactly once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

from identity.credentials import scrub
from identity.errors import MetadataError
from resources.metadata.materializations import Materializations
from resources.metadata.versions import Versions
from resources.models import Attempt, Committed, PublishPolicy, Read, Staged
from resources.runs import Completed, Lease, reason

_TAKE = """
SELECT * FROM metadata.take_attempt(%(attempt)s, %(run)s, %(job)s, %(step)s, %(number)s, %(owner)s, %(ttl)s)
"""
_HEARTBEAT = "SELECT metadata.heartbeat(%(attempt)s, %(epoch)s, %(ttl)s) AS expires_at"
_HOLD = "SELECT metadata.hold_attempt(%(attempt)s, %(epoch)s, ARRAY['running', 'succeeded']) AS status"
_END = "SELECT metadata.end_attempt(%(attempt)s, %(epoch)s, %(status)s, %(class)s, %(reason)s) AS ended_at"
_AT_ONCE = """
SELECT m.materialization_id FROM metadata.materialization m
JOIN metadata.dataset d ON d.tenant_id = m.tenant_id AND d.dataset_id = m.dataset_id
WHERE m.tenant_id = %(tenant)s AND m.materialization_id = ANY (%(ids)s) AND d.publish_policy = 'immediately'
ORDER BY m.materialization_id
"""


class LeaseTooShort(MetadataError):
    """a lease of {seconds} seconds is over before it begins; give it longer, and a heartbeat in each third of it"""

    seconds: float
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Attempts(Materializations, Versions):
    """Start, keep alive and end attempts. A call that was not answered may be made again."""

    def start_attempt(
        self, run_id: str, step_key: str, number: int, owner: str, ttl: timedelta, *, job: str | None = None
    ) -> Lease:
        """The lease of one try of a step, counted from 0, for `ttl`; `job` is what the run is called.

        Each call is an attempt of its own, with files of its own, a larger epoch and a later fencing token. The same
        owner calling again is its successor, and takes the try over at once; another owner may after the lease
        expired; a later try takes the task over at any time.
        Raises AttemptHeld, AttemptEnded, LeaseTakenOver (a later try has begun), LeaseTooShort.
        """
        _check(ttl)
        run, step, holder = scrub(run_id), scrub(step_key), scrub(owner)
        made = uuid4()  # an attempt is never repeated: what repeats is the intent
        given = {"run": run, "step": step, "number": number, "owner": holder, "ttl": ttl, "job": reason(job)}
        (row,) = self.sessions.call(_TAKE, {**given, "attempt": made})
        attempt = Attempt(
            id=made,
            run_id=run,
            step_key=step,
            retry_number=number,
            fencing_token=row["fencing_token"],
        )
        return Lease(
            attempt=attempt,
            owner=holder,
            epoch=row["lease_epoch"],
            expires_at=row["expires_at"],
        )

    def heartbeat(self, lease: Lease, ttl: timedelta) -> datetime:
        """Keep a lease for `ttl` from now; when it expires then. Also one that expired and that nobody took over.

        Raises LeaseTakenOver: stop working. Raises AttemptEnded, UnknownAttempt.
        """
        _check(ttl)
        (row,) = self.sessions.call(_HEARTBEAT, {**_named(lease), "ttl": ttl})
        expires_at: datetime = row["expires_at"]
        return expires_at

    def complete(
        self,
        lease: Lease,
        staged: Sequence[Staged],
        reads: Mapping[str | None, Sequence[Read]],
        *,
        publish: PublishPolicy | None = None,
    ) -> Completed:
        """Commit what the attempt staged, publish it, and end the attempt as succeeded.

        Published is what the policy says `immediately` for: the one given, else that of each dataset; what waits for
        checks is published by whoever decides about them. Each of the three is idempotent, so the same call goes on
        where it was, and gets the same answer. After a crash the successor's call does: the first commit stands.
        Raises LeaseTakenOver when somebody else has the task: what was committed stays a fact, nothing is published.
        Raises AttemptEnded when the attempt failed, and whatever `commit` and `publish` raise.
        """
        committed = self.commit(lease.attempt, staged, reads) if staged else []
        self.sessions.call(_HOLD, _named(lease))
        chosen = self._published_now(committed, publish)
        published = self.publish(chosen) if chosen else []
        return Completed(committed=committed, published=published, ended_at=self._end(lease, "succeeded", None, None))

    def fail(self, lease: Lease, failure_class: str, failure_reason: str) -> datetime:
        """End an attempt as failed; when that was. The class is the exception's, the reason is cut and scrubbed.

        The first answer stands. Raises LeaseTakenOver, AttemptEnded when it succeeded, UnknownAttempt.
        """
        return self._end(lease, "failed", reason(failure_class), reason(failure_reason))

    def _published_now(self, committed: Sequence[Committed], policy: PublishPolicy | None) -> list[Any]:
        ids = [one.materialization_id for one in committed]
        if not ids or policy not in (None, "immediately"):
            return []
        if policy == "immediately":
            return ids
        rows = self.sessions.call(_AT_ONCE, {"tenant": self.tenant.value, "ids": ids})
        return [row["materialization_id"] for row in rows]

    def _end(self, lease: Lease, status: str, failure_class: str | None, failure_reason: str | None) -> datetime:
        facts = {"status": status, "class": failure_class, "reason": failure_reason}
        (row,) = self.sessions.call(_END, {**_named(lease), **facts})
        ended_at: datetime = row["ended_at"]
        return ended_at


def _named(lease: Lease) -> dict[str, Any]:
    return {"attempt": lease.attempt.id, "epoch": lease.epoch}


def _check(ttl: timedelta) -> None:
    if ttl <= timedelta(0):
        raise LeaseTooShort(seconds=ttl.total_seconds())
