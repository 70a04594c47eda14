"""What our own runs did, read to be told to others: page by page, a few statements for each."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from identity.keys import CanonicalKey
from resources.metadata.described import described_at
from resources.metadata.lineage_events import EVENTS
from resources.metadata.noun import Noun
from resources.metadata.resolution import present_key
from resources.postgres.session import Row, Session
from resources.told_runs import ToldDataset, ToldInput, ToldOutput, ToldRun, ToldStep

PAGE: Final = 200

# Also runs that nobody recorded: they committed something.
_IDS = """
SELECT t.run_id FROM (
  SELECT j.run_id, coalesce(j.started_at, j.created_at) AS began, coalesce(j.ended_at, j.updated_at) AS last
  FROM metadata.job j WHERE j.tenant_id = %(tenant)s
    AND (j.source <> %(events)s OR EXISTS (
      SELECT 1 FROM metadata.materialization m WHERE m.tenant_id = j.tenant_id AND m.run_id = j.run_id))
  UNION ALL
  SELECT m.run_id, m.committed_at, m.committed_at FROM metadata.materialization m WHERE m.tenant_id = %(tenant)s) t
WHERE %(runs)s::text[] IS NULL OR t.run_id = ANY (%(runs)s)
GROUP BY t.run_id
HAVING %(since)s::timestamptz IS NULL OR max(t.last) >= %(since)s
ORDER BY min(t.began), t.run_id
"""
_RUNS = """
SELECT run_id, name, code_location, status, started_at, ended_at, failure_class, failure_reason
FROM metadata.job WHERE tenant_id = %(tenant)s AND run_id = ANY (%(runs)s)
"""
# Of several holders of one try the last one counts.
_STEPS = """
SELECT DISTINCT ON (j.run_id, t.step_key, a.number)
  j.run_id, t.step_key, a.number, a.status, a.started_at, a.ended_at, a.failure_class, a.failure_reason
FROM metadata.job j
JOIN metadata.task t ON t.tenant_id = j.tenant_id AND t.job_id = j.job_id
JOIN metadata.task_attempt a ON a.tenant_id = t.tenant_id AND a.task_id = t.task_id
WHERE j.tenant_id = %(tenant)s AND j.run_id = ANY (%(runs)s)
ORDER BY j.run_id, t.step_key, a.number, a.lease_epoch DESC
"""
_MADE = f"""
SELECT m.materialization_id, m.run_id, m.step_key, m.retry_number, m.partition_key, m.row_count, m.byte_count,
  m.committed_at, m.dataset_id, {present_key("a.qualified_name")} AS key, (
    SELECT max(v.from_version) FROM metadata.version_partition v
    WHERE v.tenant_id = m.tenant_id AND v.materialization_id = m.materialization_id) AS version
FROM metadata.materialization m
JOIN metadata.asset a ON a.tenant_id = m.tenant_id AND a.asset_id = m.dataset_id
WHERE m.tenant_id = %(tenant)s AND m.run_id = ANY (%(runs)s)
ORDER BY m.run_id, m.step_key, m.retry_number, a.qualified_name, m.partition_key, m.materialization_id
"""
_READ = f"""
SELECT i.materialization_id, a.asset_id, {present_key("a.qualified_name")} AS key, max(i.input_version) AS version,
  array_agg(DISTINCT i.input_partition_key ORDER BY i.input_partition_key) AS partitions
FROM metadata.materialization_input i
JOIN metadata.asset a ON a.tenant_id = i.tenant_id AND a.asset_id = i.input_asset_id
WHERE i.tenant_id = %(tenant)s AND i.materialization_id = ANY (%(made)s)
GROUP BY i.materialization_id, a.asset_id, a.qualified_name
"""
Told = tuple[list[ToldRun], dict[tuple[UUID, datetime], ToldDataset]]


@dataclass(frozen=True, slots=True)
class Telling(Noun):
    """Tell what our own runs did."""

    def told_runs(
        self, *, runs: Collection[str] | None = None, since: datetime | None = None, page: int = PAGE
    ) -> Iterator[Told]:
        """Runs with what they did, those that began earlier first, and what is known of their datasets; by pages.

        All that are our own, or the given ones; with `since` those in which something happened since then. Runs that
        only lineage events told are not ours.
        """
        parameters = {
            "tenant": self.tenant.value,
            "events": EVENTS,
            "runs": None if runs is None else sorted(runs),
            "since": since,
        }
        ids = [row["run_id"] for row in self.sessions.call(_IDS, parameters)]
        for first in range(0, len(ids), page):
            some = ids[first : first + page]
            with self.sessions.begin(snapshot=True) as session:
                found = _runs(session, some)
                outputs = (one for run in found for step in run.steps for one in step.outputs)
                described = described_at(session, {moment for one in outputs for moment in _moments(one)})
            yield found, described


def _moments(one: ToldOutput) -> Iterator[tuple[UUID, datetime]]:
    yield one.asset, one.at
    yield from ((read.asset, one.at) for read in one.inputs)


def _runs(session: Session, ids: list[str]) -> list[ToldRun]:
    given = {"tenant": session.tenant_value, "runs": ids}
    known = {row["run_id"]: row for row in session.rows(_RUNS, given)}
    tries: dict[str, dict[tuple[str, int], Row]] = {}
    for row in session.rows(_STEPS, given):
        tries.setdefault(row["run_id"], {})[row["step_key"], row["number"]] = row
    made: dict[str, dict[tuple[str, int], list[Row]]] = {}
    rows = session.rows(_MADE, given)
    for row in rows:
        made.setdefault(row["run_id"], {}).setdefault((row["step_key"], row["retry_number"]), []).append(row)
    read = _inputs(session, [row["materialization_id"] for row in rows])
    found = []
    for run_id in ids:
        steps = {
            one: _step(one, made.get(run_id, {}).get(one, []), row, read) for one, row in tries.get(run_id, {}).items()
        }
        for one, wrote in made.get(run_id, {}).items():
            steps.setdefault(one, _step(one, wrote, None, read))
        found.append(_run(run_id, known.get(run_id), [steps[one] for one in sorted(steps)]))
    return found


def _run(run_id: str, row: Row | None, steps: list[ToldStep]) -> ToldRun:
    if row is not None:
        return ToldRun(**row, steps=tuple(steps))
    ends = [one.ended_at for one in steps if one.ended_at is not None]
    return ToldRun(
        run_id=run_id,
        name=None,
        code_location=None,
        status="succeeded",
        started_at=None,
        ended_at=max(ends),
        steps=tuple(steps),
    )


def _step(
    one: tuple[str, int], wrote: list[Row], row: Row | None, read: Mapping[UUID, tuple[ToldInput, ...]]
) -> ToldStep:
    outputs: dict[str, list[Row]] = {}
    for made in wrote:
        outputs.setdefault(made["key"], []).append(made)
    facts: dict[str, Any] = {
        "step_key": one[0],
        "number": one[1],
        "status": "succeeded",
        "started_at": None,
        "ended_at": max((made["committed_at"] for made in wrote), default=None),
    }
    if row is not None:
        facts |= {name: value for name, value in row.items() if name != "run_id"}
    return ToldStep(**facts, outputs=tuple(_output(key, rows, read) for key, rows in sorted(outputs.items())))


def _output(key: str, rows: list[Row], read: Mapping[UUID, tuple[ToldInput, ...]]) -> ToldOutput:
    inputs: dict[CanonicalKey, list[ToldInput]] = {}
    for row in rows:
        for one in read.get(row["materialization_id"], ()):
            inputs.setdefault(one.key, []).append(one)
    return ToldOutput(
        key=CanonicalKey.parse(key),
        asset=rows[-1]["dataset_id"],
        at=max(row["committed_at"] for row in rows),
        materializations=tuple(row["materialization_id"] for row in rows),
        partitions=tuple(row["partition_key"] for row in rows if row["partition_key"]),
        row_count=_sum(row["row_count"] for row in rows),
        byte_count=_sum(row["byte_count"] for row in rows),
        version=max((row["version"] for row in rows if row["version"] is not None), default=None),
        inputs=tuple(
            ToldInput(
                key=one,
                asset=some[-1].asset,
                version=max((got.version for got in some if got.version is not None), default=None),
                partitions=tuple(sorted({partition for got in some for partition in got.partitions if partition})),
            )
            for one, some in sorted(inputs.items())
        ),
    )


def _sum(numbers: Iterator[int | None]) -> int | None:
    """Of all; unknown where one is."""
    every = list(numbers)
    known = [one for one in every if one is not None]
    return sum(known) if len(known) == len(every) else None


def _inputs(session: Session, made: list[UUID]) -> dict[UUID, tuple[ToldInput, ...]]:
    found: dict[UUID, tuple[ToldInput, ...]] = {}
    for row in session.rows(_READ, {"tenant": session.tenant_value, "made": made}) if made else []:
        one = ToldInput(
            key=CanonicalKey.parse(row["key"]),
            asset=row["asset_id"],
            version=row["version"],
            partitions=tuple(row["partitions"]),
        )
        found[row["materialization_id"]] = (*found.get(row["materialization_id"], ()), one)
    return found
