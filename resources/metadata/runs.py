"""Runs: what ran, when, how it ended and why, as event logs and executors say it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from psycopg.types.json import Jsonb

from identity.credentials import scrub, scrubbed
from identity.errors import MetadataError, shown
from resources.metadata.noun import Noun
from resources.postgres.session import Row
from resources.runs import AttemptFact, DagVersion, Recorded, Run, RunFact, RunSummary, Task, TaskAttempt


class NoSuchRun(MetadataError):
    """no run {run} is recorded; list them with: metadata-assets runs"""

    run: str
    exit_code: ClassVar[int] = 3


class AmbiguousRun(MetadataError):
    """{run} begins the ids of several runs, {some}; write more of it"""

    run: str
    some: str
    exit_code: ClassVar[int] = 2


_RECORD = "SELECT * FROM metadata.record_runs(%(source)s, %(jobs)s, %(attempts)s, %(position)s)"
_ACTIVATE = "SELECT * FROM metadata.activate_dag(%(location)s, %(content)s, %(metadata)s)"
_POSITION = "SELECT position FROM metadata.mirror_position WHERE tenant_id = %(tenant)s AND source = %(source)s"
_UNFINISHED = """
SELECT run_id FROM metadata.job
WHERE tenant_id = %(tenant)s AND source = %(source)s AND ended_at IS NULL ORDER BY started_at, run_id LIMIT %(limit)s
"""
_DAGS = """
SELECT d.dag_version_id, d.code_location, d.content_sha256, d.metadata, a.valid_from, a.valid_to
FROM metadata.active_dag a
JOIN metadata.dag_version d ON d.tenant_id = a.tenant_id AND d.dag_version_id = a.dag_version_id
WHERE a.tenant_id = %(tenant)s AND a.code_location = %(location)s
ORDER BY a.valid_from DESC, a.active_dag_id LIMIT %(limit)s
"""

ATTEMPT_STATUS = """CASE WHEN a.status = 'running' AND l.expires_at < now() THEN 'lost' ELSE a.status END"""
ATTEMPT = f"""
SELECT a.attempt_id, j.run_id, t.step_key, a.number, {ATTEMPT_STATUS} AS status, a.lease_owner, a.lease_epoch,
  l.heartbeat_at, l.expires_at, a.started_at, a.ended_at, a.failure_class, a.failure_reason
FROM metadata.task_attempt a
JOIN metadata.task t ON t.tenant_id = a.tenant_id AND t.task_id = a.task_id
JOIN metadata.job j ON j.tenant_id = t.tenant_id AND j.job_id = t.job_id
LEFT JOIN metadata.attempt_lease l ON l.tenant_id = a.tenant_id AND l.attempt_id = a.attempt_id
WHERE a.tenant_id = %(tenant)s
"""
_OF_RUN = ATTEMPT + "AND j.run_id = %(run)s ORDER BY t.created_at, t.step_key, a.number, a.lease_epoch"
_LOST = f"""
({ATTEMPT} AND l.expires_at < now() AND a.status = 'running'
  ORDER BY l.expires_at DESC, a.attempt_id LIMIT %(limit)s)
UNION ALL
({ATTEMPT} AND a.status = 'lost' ORDER BY a.ended_at DESC, a.attempt_id LIMIT %(limit)s)
ORDER BY ended_at DESC NULLS FIRST, expires_at DESC, attempt_id LIMIT %(limit)s
"""

_COUNTED = f"""
SELECT j.run_id, j.source, j.name, j.code_location, j.dag_version_id, j.status, j.started_at, j.ended_at,
  j.failure_class, j.failure_reason, j.tags, c.steps, c.attempts, c.failures, c.lost
FROM metadata.job j
CROSS JOIN LATERAL (
  SELECT count(DISTINCT a.task_id) AS steps, count(*) AS attempts,
    count(*) FILTER (WHERE a.status = 'failed') AS failures,
    count(*) FILTER (WHERE {ATTEMPT_STATUS} = 'lost') AS lost
  FROM metadata.task t
  JOIN metadata.task_attempt a ON a.tenant_id = t.tenant_id AND a.task_id = t.task_id
  LEFT JOIN metadata.attempt_lease l ON l.tenant_id = a.tenant_id AND l.attempt_id = a.attempt_id
  WHERE t.tenant_id = j.tenant_id AND t.job_id = j.job_id) c
WHERE j.tenant_id = %(tenant)s
"""
_LIST = (
    _COUNTED
    + """
AND (NOT %(failed)s OR j.status IN ('failed', 'lost', 'cancelled') OR EXISTS (
  SELECT 1 FROM metadata.task t
  JOIN metadata.task_attempt a ON a.tenant_id = t.tenant_id AND a.task_id = t.task_id AND a.status = 'failed'
  WHERE t.tenant_id = j.tenant_id AND t.job_id = j.job_id))
AND (NOT %(lost)s OR j.status = 'lost' OR j.job_id IN (
  SELECT t.job_id FROM metadata.task t
  JOIN metadata.task_attempt a ON a.tenant_id = t.tenant_id AND a.task_id = t.task_id
  WHERE a.tenant_id = %(tenant)s AND a.status = 'lost'
  UNION ALL
  SELECT t.job_id FROM metadata.task t
  JOIN metadata.task_attempt a ON a.tenant_id = t.tenant_id AND a.task_id = t.task_id
  JOIN metadata.attempt_lease l ON l.tenant_id = a.tenant_id AND l.attempt_id = a.attempt_id
  WHERE l.tenant_id = %(tenant)s AND l.expires_at < now() AND a.status = 'running'))
ORDER BY j.started_at DESC, j.job_id LIMIT %(limit)s
"""
)
_ONE = _COUNTED + "AND j.run_id = ANY (%(runs)s)"
_BEGINS = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
"""What ids of Dagster's runs begin with. In every collation all of them that do are below it with a `g` behind it."""
_BEGINNING = """
SELECT run_id FROM metadata.job
WHERE tenant_id = %(tenant)s AND run_id >= %(low)s AND run_id < %(high)s ORDER BY run_id LIMIT 3
"""


@dataclass(frozen=True, slots=True)
class Runs(Noun):
    """Record and look up runs, their steps and attempts."""

    def record_runs(
        self,
        source: str,
        runs: Iterable[RunFact] = (),
        attempts: Iterable[AttemptFact] = (),
        *,
        position: Mapping[str, Any] | None = None,
    ) -> Recorded:
        """Record what a source says; one transaction, together with how far the source was read.

        Facts come in any order, as often and in as many batches as one likes: the rows are the same, and what says
        nothing new writes nothing. A later look never makes an ended run or attempt running again. A run that ended
        leaves no attempt running, but for those that somebody holds a lease of.
        """
        jobs = [run_item(one) for one in runs]
        tried = [attempt_item(one) for one in attempts]
        (row,) = self.sessions.call(
            _RECORD,
            {
                "source": scrub(source),
                "jobs": Jsonb(jobs),
                "attempts": Jsonb(tried),
                "position": None if position is None else Jsonb(scrubbed(dict(position))),
            },
        )
        return Recorded(jobs=row["jobs"], attempts=row["attempts"])

    def mirror_position(self, source: str) -> Mapping[str, Any]:
        """How far a source was read; empty when it never was."""
        rows = self.sessions.call(_POSITION, {"tenant": self.tenant.value, "source": scrub(source)})
        return rows[0]["position"] if rows else {}

    def unfinished_runs(self, source: str, *, limit: int = 1000) -> list[str]:
        """The runs of a source that it has not said the end of, the oldest first."""
        given = {"tenant": self.tenant.value, "source": scrub(source), "limit": limit}
        return [row["run_id"] for row in self.sessions.call(_UNFINISHED, given)]

    def activate_dag(self, code_location: str, content_sha256: bytes, metadata: Mapping[str, Any]) -> bool:
        """Say what a code location is now, by the digest of its definitions; whether that is another than before."""
        content = {"location": scrub(code_location), "content": content_sha256}
        (row,) = self.sessions.call(_ACTIVATE, {**content, "metadata": Jsonb(scrubbed(dict(metadata)))})
        changed: bool = row["changed"]
        return changed

    def dag_versions(self, code_location: str, *, limit: int = 50) -> list[DagVersion]:
        """What a code location was and since when, the active version first."""
        given = {"tenant": self.tenant.value, "location": scrub(code_location), "limit": limit}
        return [
            DagVersion(
                id=row["dag_version_id"],
                code_location=row["code_location"],
                content_sha256=row["content_sha256"],
                metadata=row["metadata"],
                since=row["valid_from"],
                until=row["valid_to"],
            )
            for row in self.sessions.call(_DAGS, given)
        ]

    def runs(self, *, failed: bool = False, lost: bool = False, limit: int = 50) -> list[RunSummary]:
        """The newest runs; with `failed` or `lost` those in which something failed or was lost."""
        given = {"tenant": self.tenant.value, "failed": failed, "lost": lost, "limit": limit}
        return [_summary(row) for row in self.sessions.call(_LIST, given)]

    def run(self, run_id: str) -> Run:
        """One run with its steps and their attempts. The beginning of an id is enough where it is the only one.

        Raises NoSuchRun, AmbiguousRun.
        """
        wanted = scrub(run_id)
        with self.session() as session:
            tenant = {"tenant": session.tenant_value}
            rows = session.rows(_ONE, {**tenant, "runs": [wanted]})
            if not rows and _BEGINS.fullmatch(wanted):
                nearby = {**tenant, "low": wanted, "high": f"{wanted}g"}
                found = [row["run_id"] for row in session.rows(_BEGINNING, nearby)]
                if len(found) > 1:
                    raise AmbiguousRun(run=shown(wanted), some=", ".join(found))
                rows = session.rows(_ONE, {**tenant, "runs": found})
            if not rows:
                raise NoSuchRun(run=shown(wanted))
            attempts = [attempt_of(row) for row in session.rows(_OF_RUN, {**tenant, "run": rows[0]["run_id"]})]
        return Run(summary=_summary(rows[0]), tasks=_tasks(attempts))

    def attempts_lost(self, *, limit: int = 100) -> list[TaskAttempt]:
        """Attempts that nobody heard of again: expired leases first, then those that are recorded as lost."""
        return [attempt_of(row) for row in self.sessions.call(_LOST, {"tenant": self.tenant.value, "limit": limit})]


def _tasks(attempts: Sequence[TaskAttempt]) -> list[Task]:
    """Attempts by step; the step that began first is first."""
    by_step: dict[str, list[TaskAttempt]] = {}
    for one in attempts:
        by_step.setdefault(one.step_key, []).append(one)
    tasks = [Task(step_key=step, attempts=tuple(tried)) for step, tried in by_step.items()]
    return sorted(tasks, key=_began)


def _began(task: Task) -> tuple[bool, float, str]:
    moments = [one.started_at or one.ended_at for one in task.attempts]
    known = [one.timestamp() for one in moments if one is not None]
    return not known, min(known, default=0.0), task.step_key


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def run_item(one: RunFact) -> Row:
    """A fact about a run as the functions of the database take it."""
    return {
        "run_id": one.run_id,
        "name": one.name,
        "code_location": one.code_location,
        "status": one.status,
        "as_of": _moment(one.as_of),
        "started_at": _moment(one.started_at),
        "ended_at": _moment(one.ended_at),
        "failure_class": one.failure_class,
        "failure_reason": one.failure_reason,
        "tags": dict(one.tags),
    }


def attempt_item(one: AttemptFact) -> Row:
    """The same of an attempt."""
    return {
        "run_id": one.run_id,
        "step_key": one.step_key,
        "number": one.number,
        "status": one.status,
        "started_at": _moment(one.started_at),
        "ended_at": _moment(one.ended_at),
        "failure_class": one.failure_class,
        "failure_reason": one.failure_reason,
    }


def _summary(row: Row) -> RunSummary:
    given: dict[str, Any] = {name: value for name, value in row.items() if name != "dag_version_id"}
    return RunSummary(**given, dag_version=row["dag_version_id"])


def attempt_of(row: Row) -> TaskAttempt:
    identifier: UUID = row["attempt_id"]
    return TaskAttempt(
        id=identifier,
        run_id=row["run_id"],
        step_key=row["step_key"],
        number=row["number"],
        status=row["status"],
        owner=row["lease_owner"],
        epoch=row["lease_epoch"],
        heartbeat_at=row["heartbeat_at"],
        expires_at=row["expires_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        failure_class=row["failure_class"],
        failure_reason=row["failure_reason"],
    )
