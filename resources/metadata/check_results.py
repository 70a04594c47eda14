"""Results of checks: what they found about materializations, and the publishing that waits for them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from identity.ids import Entity, EntityId
from identity.keys import check_name
from resources.check_models import Checked, CheckEvaluation, CheckResult, CheckVerdict, Settled
from resources.metadata.noun import Noun
from resources.metadata.published import current_of
from resources.models import UNPARTITIONED, Current
from resources.postgres.session import Row

_RECORD = "SELECT metadata.record_checks(%(results)s) AS new"

_AWAIT = "SELECT metadata.await_checks(%(run_id)s, %(materializations)s, %(awaited)s, %(complete)s)"

_EXAMINE = """
SELECT c.partition_key, d.published_version AS version, m.materialization_id, m.location, m.manifest_sha256,
  m.row_count, m.data_version
FROM metadata.examine(%(run_id)s, %(dataset)s, %(partitions)s, %(awaited)s, %(complete)s) c
JOIN metadata.materialization m ON m.tenant_id = %(tenant)s AND m.materialization_id = c.materialization_id
JOIN metadata.dataset d ON d.tenant_id = m.tenant_id AND d.dataset_id = m.dataset_id
ORDER BY c.partition_key
"""

_SETTLE = "SELECT * FROM metadata.settle_checks(%(evaluations)s, %(runs)s)"

CHECKS_OF = """
SELECT coalesce((
    SELECT c.awaited FROM metadata.candidate c
    WHERE c.tenant_id = %(tenant)s AND c.materialization_id = %(id)s
    ORDER BY c.at DESC, c.run_id LIMIT 1), '{}') AS awaited,
  r.*
FROM (SELECT 1) one LEFT JOIN metadata.check_result r
  ON r.tenant_id = %(tenant)s AND r.materialization_id = %(id)s
ORDER BY r.name, r.evaluation DESC, r.at DESC, r.run_id
"""


@dataclass(frozen=True, slots=True)
class CheckResults(Noun):
    """Record what checks found, and publish by it."""

    def record_checks(self, materializations: Collection[UUID], results: Sequence[CheckResult]) -> int:
        """Keep the results with each of the materializations; how many were new. One round trip.

        The same evaluation told again changes nothing: the first one stands.
        """
        told = [{"materialization_id": str(one), **_told(result)} for one in materializations for result in results]
        if not told:
            return 0
        (row,) = self.sessions.call(_RECORD, {"results": Jsonb(told)})
        new: int = row["new"]
        return new

    def await_checks(
        self, run_id: str, materializations: Collection[UUID], awaited: Collection[str] | None, *, complete: bool = True
    ) -> None:
        """Let what a run delivered wait for blocking checks by name, or (None) only say that its checks examine it.

        `complete`: these are all of the dataset's; else those are awaited, too, that an earlier run knew of.
        """
        for name in (run_id, *(awaited or ())):
            check_name(name)
        self.sessions.call(
            _AWAIT,
            {
                "run_id": run_id,
                "materializations": list(materializations),
                "awaited": None if awaited is None else sorted(awaited),
                "complete": complete,
            },
        )

    def examined(
        self,
        run_id: str,
        dataset: Entity,
        partitions: Collection[str | None] | None,
        awaited: Collection[str] | None,
        *,
        complete: bool = True,
    ) -> list[Current]:
        """What the checks of a run are about: what it delivered, or else the newest committed data not yet published
        where nothing published has overtaken it, or else what is published.

        The answer stays the same for the whole run. `version` is the published one, whether or not it has that.
        `awaited` as in `await_checks`.
        """
        for name in (run_id, *(awaited or ())):
            check_name(name)
        rows = self.sessions.call(
            _EXAMINE,
            {
                "tenant": self.tenant.value,
                "run_id": run_id,
                "dataset": dataset.id.value,
                "partitions": None if partitions is None else [one or UNPARTITIONED for one in partitions],
                "awaited": None if awaited is None else sorted(awaited),
                "complete": complete,
            },
        )
        return [current_of(dataset, row) for row in rows]

    def settle_checks(
        self, evaluations: Sequence[CheckEvaluation] = (), *, runs: Collection[str] = ()
    ) -> list[Settled]:
        """Record what checks of runs found, and publish what waited for nothing else: one transaction, one round trip.

        Whoever notices may ask, however often: of what waits for checks together, all is published or nothing, once.
        What a blocking check refused stays unpublished. `runs` are looked at, too. Answers what waits or waited there.
        """
        rows = self.sessions.call(
            _SETTLE, {"evaluations": Jsonb([_evaluation(one) for one in evaluations]), "runs": sorted(runs)}
        )
        return [
            Settled(
                run_id=row["run_id"],
                dataset=EntityId.from_database(row["dataset_id"]),
                version=row["version"],
                published=tuple(row["published"]),
                fenced=tuple(row["fenced"]),
                settled=row["settled"],
                failed=tuple(row["failed"]),
                waiting=tuple(row["waiting"]),
                refused=row["refused"],
            )
            for row in rows
        ]

    def checks_of(self, materialization: UUID) -> Checked:
        """What checks found about a materialization, and which blocking ones it waits for."""
        rows = self.sessions.call(CHECKS_OF, {"tenant": self.tenant.value, "id": materialization})
        results = [row for row in rows if row["name"] is not None]
        return Checked(awaited=tuple(rows[0]["awaited"]), results=tuple(verdict_of(row) for row in results))


def _told(result: CheckResult) -> Row:
    return {
        "name": result.name,
        "run_id": result.run_id,
        "evaluation": result.evaluation,
        "passed": result.passed,
        "blocking": result.blocking,
        "severity": result.severity,
        "description": result.description,
        "metadata": dict(result.metadata),
    }


def _evaluation(one: CheckEvaluation) -> Row:
    return {
        **_told(one.result),
        "dataset_id": str(one.dataset),
        "partition_key": one.partition,
        "target_run_id": one.target_run_id,
    }


def verdict_of(row: Row) -> CheckVerdict:
    result = CheckResult(
        name=row["name"],
        run_id=row["run_id"],
        evaluation=row["evaluation"],
        passed=row["passed"],
        blocking=row["blocking"],
        severity=row["severity"],
        description=row["description"],
        metadata=row["metadata"],
    )
    return CheckVerdict(result=result, actor=row["actor"], at=row["at"])
