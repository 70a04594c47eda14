"""The checks of a project: run on what was committed, one answer for all partitions of a run.

A check never loses a commit: whatever its function raises is the answer that it failed.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from metadata_assets.calls import NoData, Run, filled
from metadata_assets.project_code import told, where_in
from metadata_assets.signatures import Callee
from metadata_assets.spec import Check
from metadata_assets.spec.rules import Unique
from metadata_assets.writing import CommittedValues

if TYPE_CHECKING:
    from metadata_assets.contracts import Examined

MOST_NAMED = 20
"""So many partitions are named in an answer; the others are counted."""


@dataclass(frozen=True, slots=True)
class DeclaredCheck:
    """A check with its function, which a rule of the contract has not."""

    check: Check
    callee: Callee | None

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        return dg.AssetCheckSeverity.WARN if self.check.warns else dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check says about one partition."""

    partition: str | None
    passed: bool
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Audit:
    """Every check of a dataset, for one run. Called with what was committed; keeps what it answered in `results`."""

    checks: Sequence[DeclaredCheck]
    run: Run
    folder: Path
    results: list[dg.AssetCheckResult] = field(default_factory=list)

    def __call__(self, committed: CommittedValues) -> Sequence[dg.AssetCheckResult]:
        """One result for each check, in the order of the checks. Reads each partition once.

        When it is called again, because something else was published meanwhile, only what passed beside that is asked.
        """
        asked = self.checks if committed.others.known is None else self._passed_beside_others()
        answers: dict[str, list[Answer]] = {declared.check.name: [] for declared in asked}
        with ExitStack() as until_asked:
            examined = self._examined(committed, until_asked)
            for partition in committed if asked else ():
                data = committed[partition]
                is_table = examined is not None and examined.take(partition, data)
                for declared in asked:
                    answer = self._answer(declared, partition, data, examined if is_table else None)
                    answers[declared.check.name].append(answer)
        found = {one.check_name: one for one in self.results}
        found |= {declared.check.name: self._result(declared, answers[declared.check.name]) for declared in asked}
        self.results = [found[declared.check.name] for declared in self.checks]
        return self.results

    def _passed_beside_others(self) -> list[DeclaredCheck]:
        passed = {one.check_name for one in self.results if one.passed}
        across = [one for one in self.checks if isinstance(one.check.rule, Unique) and one.check.rule.across]
        return [one for one in across if one.check.name in passed]

    def _examined(self, committed: CommittedValues, until_asked: ExitStack) -> "Examined | None":
        if not any(declared.check.rule for declared in self.checks):
            return None
        from metadata_assets.contracts import examining, now  # whoever has no contract need not wait for DuckDB

        return until_asked.enter_context(examining(self.run, committed, now))

    def _answer(self, declared: DeclaredCheck, partition: str | None, data: Any, examined: "Examined | None") -> Answer:
        callee, rule = declared.callee, declared.check.rule
        if callee is None or rule is not None:
            found = examined.ask(rule) if examined is not None and rule is not None else None
            words = found.description if found else f"cannot be checked: it is no table ({type(data).__name__})"
            return Answer(partition, found is not None and found.passed, words, found.metadata if found else {})
        try:
            arguments = filled(callee.parameters, self.run, (partition,), data=data)
            if isinstance(arguments, NoData):
                return Answer(partition, passed=False, description=f"cannot be checked: {arguments.reason}")
            return _answer_of(partition, callee.function(**arguments))
        except (Exception, SystemExit) as error:  # noqa: BLE001 a check may raise anything; the commit stands
            description = f"the check raised {told(error)}{where_in(self.folder, error)}"
            return Answer(partition, passed=False, description=description)

    def _result(self, declared: DeclaredCheck, answers: Sequence[Answer]) -> dg.AssetCheckResult:
        failed = [answer for answer in answers if not answer.passed]
        shown = (failed or list(answers))[0]
        return dg.AssetCheckResult(
            check_name=declared.check.name,
            passed=not failed,
            severity=declared.severity,
            description=_description(shown, failed, answers),
            metadata=_metadata(shown, failed, answers),
        )


def missing_results(
    checks: Sequence[DeclaredCheck],
    missing: Mapping[str | None, NoData],
    results: Sequence[dg.AssetCheckResult],
) -> list[dg.AssetCheckResult]:
    """What the checks say where there is no data for some partitions: failed as a warning, and why.

    `results` are those about the partitions that have data; a check that failed there keeps its severity.
    """
    told_already = {result.check_name: result for result in results}
    return [_missing(declared, missing, told_already.get(declared.check.name)) for declared in checks]


def _missing(
    declared: DeclaredCheck, missing: Mapping[str | None, NoData], found: dg.AssetCheckResult | None
) -> dg.AssetCheckResult:
    sentences = [f"missing: {missing_words(missing)}", found.description if found else None]
    severe = found is not None and not found.passed
    return dg.AssetCheckResult(
        check_name=declared.check.name,
        passed=False,
        severity=declared.severity if severe else dg.AssetCheckSeverity.WARN,
        description="; ".join(sentence for sentence in sentences if sentence),
        metadata={**(found.metadata if found else {}), "missing_partitions": _named(list(missing))},
    )


def missing_words(missing: Mapping[str | None, NoData]) -> str:
    """`no data for partition 2013-12-31 (its input weather has none)`."""
    reasons = sorted({one.reason for one in missing.values() if one.reason})
    because = f" ({', '.join(reasons[:3])})" if reasons else ""
    if list(missing) == [None]:
        return f"no data{because}"
    names = _named(list(missing))
    more = f" and {len(missing) - len(names)} more" if len(missing) > len(names) else ""
    return f"no data for partition{'s' if len(missing) > 1 else ''} {', '.join(names)}{more}{because}"


def _named(partitions: Sequence[str | None]) -> list[str]:
    return [str(partition) for partition in partitions[:MOST_NAMED]]


def _answer_of(partition: str | None, result: Any) -> Answer:
    if isinstance(result, dg.AssetCheckResult):
        return Answer(partition, result.passed, result.description, result.metadata)
    if isinstance(result, bool) or (type(result).__module__ == "numpy" and type(result).__name__ in ("bool", "bool_")):
        return Answer(partition, bool(result))
    kind = type(result).__name__
    return Answer(partition, passed=False, description=f"the check returned {kind}, not a bool or an AssetCheckResult")


def _description(shown: Answer, failed: Sequence[Answer], answers: Sequence[Answer]) -> str | None:
    if len(answers) == 1:
        return shown.description
    if not failed:
        return f"passed in all {len(answers)} partitions"
    names = ", ".join(_named([answer.partition for answer in failed]))
    first = f"; {shown.partition}: {shown.description}" if shown.description else ""
    return f"failed in {len(failed)} of {len(answers)} partitions: {names}{first}"


def _metadata(shown: Answer, failed: Sequence[Answer], answers: Sequence[Answer]) -> Mapping[str, Any]:
    if len(answers) == 1:
        return shown.metadata
    counts: dict[str, Any] = {"partitions": len(answers), "failed": len(failed)}
    if failed:
        counts["failed_partitions"] = _named([answer.partition for answer in failed])
    return {**(shown.metadata if failed else {}), **counts}
