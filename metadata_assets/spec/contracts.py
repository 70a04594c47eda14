"""What a dataset promises about its data, resolved: one rule for each check of a contract."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from identity.errors import shown
from identity.ids import sha256_of
from identity.keys import short_name
from metadata_assets.spec.contract_fields import RelationshipFields, RuleFields
from metadata_assets.spec.entries import Entry, Known
from metadata_assets.spec.problems import At, Path, Problem, did_you_mean
from metadata_assets.spec.project import Check
from metadata_assets.spec.references import parsed_key
from metadata_assets.spec.rules import Accepted, Fresh, NotNull, Related, RowCount, Rule, TableColumns, Unique


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A rule under the name of its check, with how much it matters; `warns`: breaking it is no error."""

    name: str
    rule: Rule
    warns: bool
    blocking: bool
    at: At = field(compare=False)


def promises(entry: Entry, known: Known) -> Iterator[Promise | Problem]:
    """What an entry promises, or what is wrong with it."""
    for index, column in enumerate(entry.fields.columns):
        path: Path = ("columns", index)
        if column.not_null is not None:
            yield _promise(entry, (*path, "not_null"), NotNull(column.name), column.not_null)
        if column.unique is not None:
            yield _promise(
                entry, (*path, "unique"), Unique(column.name, column.unique.across == "dataset"), column.unique
            )
        if column.accepted_values is not None:
            accepted = Accepted(column.name, column.accepted_values.values)
            yield _promise(entry, (*path, "accepted_values"), accepted, column.accepted_values)
        if column.relationships is not None:
            rule = _related(entry, (*path, "relationships"), column.name, column.relationships, known)
            if isinstance(rule, Problem):
                yield rule
            elif rule is not None:
                yield _promise(entry, (*path, "relationships"), rule, column.relationships)
    yield from _of_table(entry)


def _of_table(entry: Entry) -> Iterator[Promise | Problem]:
    contract = entry.fields.contract
    if contract is None:
        return
    if contract.columns is not None:
        columns = tuple((one.name, one.type) for one in entry.fields.columns)
        yield from _unknown_types(entry)
        rule = TableColumns(columns, contract.columns.others)
        yield _promise(entry, ("contract", "columns"), rule, contract.columns)
    if contract.row_count is not None:
        count = contract.row_count
        rows = RowCount(least=count.min, most=count.max, fall=count.max_fall, rise=count.max_rise)
        yield _promise(entry, ("contract", "row_count"), rows, count)
    if contract.freshness is not None:
        fresh = contract.freshness
        problem = _no_column(entry, ("contract", "freshness", "column"), fresh.column, entry)
        yield problem or _promise(entry, ("contract", "freshness"), Fresh(fresh.column, fresh.within), fresh)


def _unknown_types(entry: Entry) -> Iterator[Problem]:
    from metadata_assets.sql.types import KNOWN_TYPES, duckdb_type, is_inexact

    for index, column in enumerate(entry.fields.columns):
        if column.type and not is_inexact(column.type) and duckdb_type(column.type) is None:
            reason = f"{shown(column.type)!r} is no type, and the contract says that columns have their types"
            yield entry.problem(("columns", index, "type"), reason, did_you_mean(column.type.lower(), KNOWN_TYPES))


def _related(
    entry: Entry, path: Path, column: str, fields: RelationshipFields, known: Known
) -> Related | Problem | None:
    """None when nobody is to blame: what it names is invalid itself, or in a file that could not be read."""
    key = parsed_key(fields.dataset, known)
    at = (*path, "dataset")
    if isinstance(key, str):
        return entry.problem(at, f"{shown(fields.dataset)!r} is not the name of a dataset", key)
    if key not in known.keys:
        invalid = any(f"/{short_name(key)}".endswith(f"/{one}") for one in known.invalid)
        if invalid or known.datasets_unread or key.endpoint in known.invalid:
            return None
        names = [short_name(one) for one in known.keys]
        return entry.problem(at, f"no dataset {shown(short_name(key))!r}", did_you_mean(short_name(key), names))
    problem = _no_column(entry, (*path, "column"), fields.column, known.keys[key])
    return problem or Related(column, key, fields.column)


def _no_column(entry: Entry, path: Path, column: str, of: Entry) -> Problem | None:
    names = [one.name for one in of.fields.columns]
    if column in names or not names:
        return None
    return entry.problem(path, f"{of.fields.name} declares no column {shown(column)!r}", did_you_mean(column, names))


def _promise(entry: Entry, path: Path, rule: Rule, fields: RuleFields) -> Promise:
    kind = str(path[-1])
    column = entry.fields.columns[path[1]].name if isinstance(path[1], int) else None
    plain = column is None or re.fullmatch("[A-Za-z0-9_]+", column)
    name = kind if column is None else f"{re.sub('[^A-Za-z0-9_]', '_', column)}_{kind}"
    return Promise(
        name=name if plain else f"{name}_{sha256_of(str(column)).hex()[:8]}",
        rule=rule,
        warns=fields.severity == "warn",
        blocking=fields.blocks,
        at=entry.at(*path),
    )


def check_of(promise: Promise) -> Check:
    """The check that a promise becomes."""
    return Check(
        name=promise.name,
        python=None,
        rule=promise.rule,
        blocking=promise.blocking,
        warns=promise.warns,
        description=str(promise.rule),
    )


def same_names(entry: Entry, found: Sequence[Promise]) -> Iterator[Problem]:
    """Checks of Python that are called like one of a contract."""
    taken = {one.name: one for one in found}
    for index, check in enumerate(entry.fields.checks):
        if check.name in taken:
            reason = f"the contract has a check {check.name}, at {taken[check.name].at}"
            yield entry.problem(("checks", index, "name"), reason, "give this one another name")
