"""Explanations: what produced data, from what, why it failed, who has it now, and the way back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from identity.errors import MetadataError
from identity.ids import Entity
from identity.keys import CanonicalKey, check_name, short_name
from resources.check_models import Checked
from resources.explanations import (
    Back,
    Changed,
    Counted,
    Cut,
    Delivered,
    ExplainedInput,
    ExplainedRun,
    Explanation,
    Had,
    Inputs,
    Made,
    PinFacts,
    Shown,
    Sibling,
    Tried,
    VersionFacts,
    VersionMade,
)
from resources.metadata import explaining
from resources.metadata.check_results import verdict_of
from resources.metadata.invalidations import stale_of
from resources.metadata.materializations import ONE, NoSuchMaterialization, materialization_of
from resources.metadata.noun import Noun
from resources.metadata.remedies import remedies, targets
from resources.metadata.resolution import asked
from resources.metadata.runs import attempt_of
from resources.metadata.versions import VERSION_AT, at_parameters
from resources.models import UNPARTITIONED
from resources.postgres.session import Row, Session
from resources.version_records import At, Retraction, Stale

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NothingToExplain(MetadataError):
    """nothing was ever materialized as {dataset} here: it is not declared as a dataset; see: metadata-assets dataset \
show {dataset}"""

    dataset: str
    exit_code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Explanations(Noun):
    """Explain. Each answer is of one moment, from a fixed number of statements, however much is stored."""

    def explain(self, materialization: UUID) -> Explanation:
        """All about a materialization, and what was tried since without success. Raises NoSuchMaterialization."""
        with self.sessions.begin(snapshot=True) as session:
            about = _About(session)
            about.find(explaining.BY_MATERIALIZATION, {"materialization": materialization})
            if not about.given:
                raise NoSuchMaterialization(id=str(materialization))
            return about.explained(materialization)

    def explain_partition(
        self, dataset: CanonicalKey | Entity, partition: str | None = None, *, steps: Collection[str] = ()
    ) -> Explanation:
        """What readers get for a partition, or else the newest that was delivered, and what was tried since.

        `steps` are the names of steps that would deliver it, beside those that did before. Raises NothingToExplain.
        """
        for name in (partition or "", *steps):
            check_name(name)
        with self.sessions.begin(snapshot=True) as session:
            about = _dataset(session, dataset)
            (found,) = about.rows(explaining.OF_PARTITION, partition=partition or UNPARTITIONED)
            return about.explained(found["id"], partition, steps)

    def explain_version(self, dataset: CanonicalKey | Entity, at: At = None) -> Explanation:
        """What a version changed, who published it and why; of a dataset without partitions its data, too.

        Raises UnknownVersion, UnknownPin, MomentWithoutZone, NothingToExplain.
        """
        with self.sessions.begin(snapshot=True) as session:
            about = _dataset(session, dataset)
            (row,) = session.rows(f"SELECT {VERSION_AT} AS version", at_parameters(dataset, at))
            version = about.version(row["version"]) if row["version"] else None
            changed = version.changed if version else ()
            whole = changed[0].now if len(changed) == 1 and changed[0].partition is None else None
            return about.explained(whole, version=version, every=whole is None)


def _dataset(session: Session, dataset: CanonicalKey | Entity) -> "_About":
    about = _About(session)
    about.find(explaining.BY_DATASET, asked(dataset))
    if not about.given:
        raise NothingToExplain(dataset=short_name(dataset.key if isinstance(dataset, Entity) else dataset))
    return about


class _About:
    """The parts of one explanation, read in one transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.given: Row = {}
        self.cut: list[Cut] = []

    def find(self, statement: str, parameters: Mapping[str, Any]) -> None:
        """Look up the dataset that it is about."""
        for row in self.session.rows(statement, {"tenant": self.session.tenant_value, **parameters}):
            self.given = row

    def some(self, what: Shown, shown: int, statement: str, **parameters: object) -> list[Row]:
        """The first rows of a statement that reads one more, and a note where there is one more."""
        rows = self.rows(statement, **parameters)
        if len(rows) > shown:
            self.cut.append(Cut(what=what, shown=shown))
        return rows[:shown]

    def rows(self, statement: str, **parameters: object) -> list[Row]:
        given = {"tenant": self.session.tenant_value, "dataset": self.given["dataset_id"]}
        return self.session.rows(statement, {**given, **parameters})

    def explained(
        self,
        materialization: UUID | None,
        partition: str | None = None,
        steps: Collection[str] = (),
        *,
        version: VersionMade | None = None,
        every: bool = False,
    ) -> Explanation:
        made = None if materialization is None else self.made(materialization)
        which = made.materialization.partition if made else partition
        tried, known = self.tried(made, version, which, steps, every=every)
        deliveries = () if every else self.deliveries(which)
        found = Explanation(
            key=CanonicalKey.parse(self.given["qualified_name"]),
            partition=which,
            publish_policy=self.given["publish_policy"],
            present_version=self.given["published_version"],
            made=made,
            version=version,
            deliveries=deliveries,
            tried=tried,
            steps=known,
            remedies=(),
            refused=(),
            cut=tuple(self.cut),
        )
        wanted = targets(found)
        backs = self.rows(explaining.BACK, versions=wanted, partition=which or UNPARTITIONED) if wanted else []
        return remedies(found, {row["version"]: Back(**row) for row in backs})

    def made(self, identifier: UUID) -> Made:
        of = {"materialization": identifier}
        (one,) = map(materialization_of, self.rows(ONE, id=identifier))
        (state,) = self.rows(explaining.STATE, **of)
        retraction = None
        if state["retracted_at"] is not None:
            retraction = Retraction(
                materialization_id=identifier,
                key=one.key,
                partition=one.partition,
                version=state["retracted_in"],
                reason=state["retracted_because"],
                actor=state["retracted_by"],
                at=state["retracted_at"],
            )
        ran = {"run": one.run_id, "step": one.step_key}
        checks = self.some("checks", explaining.SHOWN, explaining.CHECKS, **of)
        attempts = self.some("attempts", explaining.SHOWN, explaining.ATTEMPTS, **ran)
        return Made(
            materialization=one,
            fenced=bool(state["fenced"]),
            run=_run(state) if state["run_id"] is not None else None,
            attempts=tuple(map(attempt_of, reversed(attempts))),
            inputs=_inputs(self.rows(explaining.INPUTS, **of)),
            outputs=_counted(self.rows(explaining.OUTPUTS, **of, attempt=state["attempt_id"], run=one.run_id)),
            checks=Checked(
                awaited=tuple(checks[0]["awaited"]),
                results=tuple(verdict_of(row) for row in checks if row["name"] is not None),
            ),
            had=tuple(map(_had, self.some("versions", explaining.SHOWN, explaining.HAD, **of))),
            retraction=retraction,
            stale=self.stale(identifier),
            collected=state["collected"],
            collected_at=state["collected_at"],
            pins=_pins(self.some("pins", explaining.SHOWN, explaining.PINS, **of)),
            readers=_counted(self.rows(explaining.READERS, **of)),
        )

    def stale(self, identifier: UUID) -> tuple[Stale, ...]:
        """The ways up from it, for each of the newest ten invalidations."""
        shown = explaining.STALE_SHOWN
        rows = self.some("stale", shown, explaining.STALE, materialization=identifier)
        eleventh = dict.fromkeys(row["invalidation_id"] for row in rows)
        newest = list(eleventh)[: explaining.FIRST]
        kept = [row for row in rows if row["invalidation_id"] in newest]
        if len(kept) < len(rows):
            self.cut.append(Cut(what="stale", shown=len(kept)))
        return tuple(map(stale_of, kept))

    def version(self, number: int) -> VersionMade:
        (row,) = self.rows(explaining.VERSION, version=number)
        return VersionMade(
            facts=_version(row, "since"),
            is_present=number == self.given["published_version"],
            partitions_changed=row["changed"],
            changed=tuple(
                Changed(partition=one["partition_key"] or None, now=one["now"], before=one["before"])
                for one in self.rows(explaining.CHANGED, version=number)
            ),
            pins=_pins(self.some("pins", explaining.SHOWN, explaining.PINS_OF_VERSION, version=number)),
        )

    def deliveries(self, partition: str | None) -> tuple[Delivered, ...]:
        of = {"partition": partition or UNPARTITIONED}
        rows = self.some("deliveries", explaining.FIRST, explaining.DELIVERIES, **of)
        return tuple(
            Delivered(**{**row, "failed": tuple(row["failed"]), "waiting": tuple(row["waiting"])}) for row in rows
        )

    def tried(
        self,
        made: Made | None,
        version: VersionMade | None,
        partition: str | None,
        steps: Collection[str],
        *,
        every: bool,
    ) -> tuple[tuple[Tried, ...], tuple[str, ...]]:
        """The attempts that delivered nothing since then and before the next, and the steps that they could be of."""
        replaced = made.had[0].until if made and made.had and made.had[0].by else None
        rows = self.some(
            "tried",
            explaining.TRIED_SHOWN,
            explaining.TRIED,
            steps=sorted(steps),
            since=_since(made, version),
            until=replaced.published_at if replaced else None,
            version=version.facts.number if version else None,
            every=every or partition is None,
            partition=partition or UNPARTITIONED,
        )
        if any(row["looked_at"] > explaining.TRIES for row in rows):
            self.cut.append(Cut(what="tries looked through", shown=explaining.TRIES))
        found = tuple(map(_tried, (row for row in rows if row["attempt_id"] is not None)))
        return found, tuple(sorted({row["step"] for row in rows}))


def _since(made: Made | None, version: VersionMade | None) -> datetime:
    """Since when readers have it; but for who brought it back, since it was delivered."""
    facts = version.facts if version else made.had[0].since if made and made.had else None
    if facts and (made is None or facts.kind == "rollback"):
        return facts.published_at
    return made.materialization.committed_at if made else _EVER


def _run(row: Row) -> ExplainedRun:
    return ExplainedRun(
        run_id=row["run_id"],
        source=row["source"],
        name=row["name"],
        status=row["status"],
        code_location=row["code_location"],
        dag_version=row["dag_version_id"],
        dag_sha256=row["content_sha256"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        failure_class=row["failure_class"],
        failure_reason=row["failure_reason"],
        tags=row["tags"],
    )


def _inputs(rows: Sequence[Row]) -> Inputs:
    total = rows[0]["total"]
    return Inputs(
        first=tuple(_input(row) for row in rows if row["qualified_name"] is not None),
        count=min(total, explaining.LOOKED),
        changed=rows[0]["changed"],
        more=total > explaining.LOOKED,
    )


def _input(row: Row) -> ExplainedInput:
    read = row["input_materialization_id"]
    return ExplainedInput(
        key=CanonicalKey.parse(row["qualified_name"]),
        partition=row["input_partition_key"] or None,
        materialization_id=read,
        version=row["input_version"],
        metadata=row["metadata"],
        is_current=None if read is None else row["current_id"] == read,
        current_id=row["current_id"],
        current_version=row["current_version"],
        retracted=row["retracted"],
    )


def _counted(rows: Sequence[Row]) -> Counted:
    first = tuple(
        Sibling(
            materialization_id=row["materialization_id"],
            key=CanonicalKey.parse(row["qualified_name"]),
            partition=row["partition_key"] or None,
        )
        for row in rows
        if row["materialization_id"] is not None
    )
    return Counted(first=first, count=min(rows[0]["total"], explaining.COUNTED), more=rows[0]["more"])


def _version(row: Row, which: str) -> VersionFacts:
    return VersionFacts(
        number=row[f"{which}_version"],
        kind=row[f"{which}_kind"],
        actor=row[f"{which}_actor"],
        published_at=row[f"{which}_published_at"],
        reason=row[f"{which}_reason"],
        restored=row[f"{which}_restored"],
        release=row[f"{which}_release"],
    )


def _had(row: Row) -> Had:
    ended = row["until_version"] is not None
    return Had(since=_version(row, "since"), until=_version(row, "until") if ended else None, by=row["by"])


def _pins(rows: Sequence[Row]) -> tuple[PinFacts, ...]:
    return tuple(PinFacts(**row) for row in rows)


def _tried(row: Row) -> Tried:
    return Tried(
        attempt=attempt_of(row),
        partition=row["partition"],
        job=row["job"],
        run_status=row["run_status"],
        run_failure=row["run_failure"],
    )
