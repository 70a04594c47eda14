"""`collect`: the catalogs of the project's endpoints into the store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import ClassVar

from rich.console import Group, RenderableType

from identity.errors import MetadataError, shown
from identity.keys import short_name
from metadata_assets.cli.context import Cli, Opened, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import plain, printable, table
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.collection.profiling import Profiled, profile_endpoint
from metadata_assets.collection.scope import EVERYTHING, Scope
from metadata_assets.spec import Project, ProjectEndpoint, load_project
from metadata_assets.spec.problems import did_you_mean
from resources.metadata.plans import Change, Collected
from resources.metadata.profiles import Profile
from resources.models import Gap

GAPS_SHOWN = 20
CHANGES_SHOWN = 50
PROFILES_SHOWN = 200


class NoSuchEndpoint(MetadataError):
    """the project {project} has no endpoint {endpoint}; {hint}"""

    project: str
    endpoint: str
    hint: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one endpoint: it was collected, or it was not, and why."""

    endpoint: str
    collected: Collected | None = None
    error: MetadataError | None = None
    profiled: Profiled | None = None

    @property
    def gaps(self) -> Sequence[Gap]:
        return self.collected.gaps if self.collected else ()


def collect_endpoints(cli: Cli, names: Sequence[str], *, profile: bool = False) -> ExitCode:
    project = load_project(cli.settings.project, environment=cli.settings.environment)
    wanted = _wanted(project, names)
    with cli.opened(actor=person()) as opened:
        outcomes = list(_collect(cli, opened, wanted, profile=profile))
    cli.show(described(outcomes), _shown(outcomes))
    for complaint in _complaints(outcomes):
        cli.complain(complaint)
    return exit_code(outcomes)


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    """UNUSABLE when an endpoint could not be used, else what went wrong with one; PARTIAL when something was unseen."""
    failed = {outcome.error.exit_code for outcome in outcomes if outcome.error}
    if failed:
        return ExitCode.UNUSABLE if ExitCode.UNUSABLE in failed else ExitCode(min(failed))
    return ExitCode.PARTIAL if any(outcome.gaps for outcome in outcomes) else ExitCode.OK


def described(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The same as JSON. What was counted is null for an endpoint that could not be collected, and `error` says why."""
    return {
        "rows_written": sum(outcome.collected.rows_written for outcome in outcomes if outcome.collected),
        "endpoints": [_document(outcome) for outcome in outcomes],
    }


def _wanted(project: Project, names: Sequence[str]) -> Sequence[ProjectEndpoint]:
    for name in names:
        if name not in project.endpoints:
            hint = did_you_mean(name, list(project.endpoints))
            raise NoSuchEndpoint(project=project.name, endpoint=shown(name), hint=hint)
    if names:
        return [project.endpoints[name] for name in dict.fromkeys(names)]
    return [one for one in project.endpoints.values() if one.collect is not None]


def _collect(cli: Cli, opened: Opened, wanted: Sequence[ProjectEndpoint], *, profile: bool) -> Iterator[Outcome]:
    """One after the other: what goes wrong with one is told at the end and does not stop the others."""
    for number, endpoint in enumerate(wanted, start=1):
        with cli.err.status(f"collecting {endpoint.slug}, {number} of {len(wanted)}"):
            scope = Scope.of(endpoint.collect.schemas, endpoint.collect.tables) if endpoint.collect else EVERYTHING
            try:
                found = collect_endpoint(opened.store, endpoint.location, opened.databases, scope=scope)
                profiled = None
                if profile:
                    profiled = profile_endpoint(opened.store, endpoint.location, opened.databases)
                yield Outcome(endpoint.slug, collected=found, profiled=profiled)
            except MetadataError as error:
                yield Outcome(endpoint.slug, error=error)


def _document(outcome: Outcome) -> Mapping[str, object]:
    found, error = outcome.collected, outcome.error
    return {
        "endpoint": outcome.endpoint,
        "complete": found.complete if found else None,
        "rows_written": found.rows_written if found else None,
        "assets": asdict(found.assets) if found else None,
        "columns": asdict(found.fields) if found else None,
        "edges": asdict(found.edges) if found else None,
        "changes": [_change(change) for change in found.changes] if found else None,
        "gaps": plain(outcome.gaps),
        "fingerprint": found.fingerprint if found else None,
        "profiles": [_profile(one) for one in outcome.profiled.profiles] if outcome.profiled else None,
        "not_profiled": plain(outcome.profiled.left) if outcome.profiled else None,
        "error": {**error.facts, "error": type(error).__name__, "message": str(error)} if error else None,
    }


def _change(change: Change) -> Mapping[str, object]:
    return {
        "name": short_name(change.key),
        "key": str(change.key),
        "column": change.column,
        "kind": change.kind,
        "breaking": change.breaking,
        "before": change.before,
        "after": change.after,
    }


def _profile(profile: Profile) -> Mapping[str, object]:
    return {
        "name": short_name(profile.key),
        "key": str(profile.key),
        "rows": profile.rows,
        "sampled": profile.sampled,
        "columns": [asdict(one) for one in profile.columns],
    }


def _profiles(outcomes: Sequence[Outcome]) -> Iterator[RenderableType]:
    found = [one for outcome in outcomes if outcome.profiled for one in outcome.profiled.profiles]
    if found:
        rows = (
            (
                f"{short_name(one.key)}#{column.name}",
                one.rows,
                None if column.nulls is None else f"{column.nulls:.2%}",
                column.distinct,
                column.least,
                column.greatest,
            )
            for one in found
            for column in one.columns
        )
        shown = list(islice(rows, PROFILES_SHOWN))
        yield table("Profiles", ("column", "rows", "nulls", "distinct", "least", "greatest"), shown)
    if (more := sum(len(one.columns) for one in found) - PROFILES_SHOWN) > 0:
        yield f"{more} more columns; --json lists all"


def _changes(outcomes: Sequence[Outcome]) -> Iterator[RenderableType]:
    """What may break readers comes first. Of a first collection nothing is told: all of it is new."""
    found = [
        change
        for outcome in outcomes
        if (seen := outcome.collected) and seen.assets.unchanged + seen.assets.changed + seen.assets.closed
        for change in sorted(seen.changes, key=lambda one: not one.breaking)
    ]
    if found:
        rows = (
            (
                short_name(change.key) + (f"#{change.column}" if change.column else ""),
                change.kind,
                change.before,
                change.after,
                "breaking" if change.breaking else None,
            )
            for change in found[:CHANGES_SHOWN]
        )
        yield table("Changed", ("what", "how", "before", "after", ""), rows)
    if len(found) > CHANGES_SHOWN:
        yield f"{len(found) - CHANGES_SHOWN} more changes; --json lists all"


def _shown(outcomes: Sequence[Outcome]) -> RenderableType:
    if not outcomes:
        return "nothing to collect: no endpoint of this project says `collect: {schemas: […]}`, and none was named"
    columns = (
        "endpoint",
        "new",
        "renamed",
        "changed",
        "closed",
        "unchanged",
        "columns",
        "edges",
        "rows written",
        "gaps",
    )
    return Group(
        table("Collected", columns, (_cells(outcome) for outcome in outcomes)),
        *_changes(outcomes),
        *_profiles(outcomes),
    )


def _complaints(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.error:
            yield f"not collected: {printable(outcome.error)}"
        for gap in outcome.gaps[:GAPS_SHOWN]:
            yield f"gap in {outcome.endpoint}: {printable(gap.name)}: {printable(gap.reason)}"
        for gap in (outcome.profiled.left if outcome.profiled else ())[:GAPS_SHOWN]:
            yield f"no profile of {printable(gap.name)}: {printable(gap.reason)}"
        if len(outcome.gaps) > GAPS_SHOWN:
            yield f"{len(outcome.gaps) - GAPS_SHOWN} more gaps in {outcome.endpoint}; --json lists all"


def _cells(outcome: Outcome) -> Sequence[object]:
    found = outcome.collected
    if found is None:
        return (outcome.endpoint, *[None] * 9)
    columns, edges = found.fields, found.edges
    return (
        outcome.endpoint,
        found.assets.new + found.assets.reopened,
        found.assets.renamed + columns.renamed,
        found.assets.changed,
        found.assets.closed,
        found.assets.unchanged,
        columns.new + columns.changed + columns.reopened + columns.closed,
        edges.opened + edges.closed,
        found.rows_written,
        len(found.gaps),
    )
