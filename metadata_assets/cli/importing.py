"""`import`: what other tools wrote into the store, at the endpoints of the project."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from metadata_assets.cli.collecting import GAPS_SHOWN
from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import plain, printable
from metadata_assets.importers.dbt import Project as DbtProject
from metadata_assets.importers.dbt import import_project, read_project
from metadata_assets.importers.dbt_relations import Target, Targets
from metadata_assets.importers.targets import chosen
from metadata_assets.spec import ProjectEndpoint, load_project
from resources.metadata.imports import Import, Imported
from resources.metadata_store import MetadataStore
from resources.models import Endpoint


def import_dbt(
    cli: Cli,
    manifest: Path,
    *,
    catalog: Path | None,
    endpoints: Sequence[str],
    name: str | None,
    dry_run: bool,
) -> ExitCode:
    project = read_project(manifest, catalog, name=name)
    declared = load_project(cli.settings.project, environment=cli.settings.environment).endpoints
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        targets = _targets(opened.store, declared, endpoints, project)
        look, done = import_project(opened.store, project, targets, endpoints=_endpoints(declared, targets))
    cli.show(_described(project, look, done, dry_run=dry_run), *_shown(project, look, done, dry_run=dry_run))
    for gap in look.gaps[:GAPS_SHOWN]:
        cli.complain(f"gap: {printable(gap.name)}: {printable(gap.reason)}")
    if len(look.gaps) > GAPS_SHOWN:
        cli.complain(f"{len(look.gaps) - GAPS_SHOWN} more gaps; --json lists all")
    return ExitCode.OK if look.complete else ExitCode.PARTIAL


def _targets(
    store: MetadataStore, declared: Mapping[str, ProjectEndpoint], endpoints: Sequence[str], project: DbtProject
) -> Targets:
    """The endpoints to write below: named ones of the project or the store, else all of the project's that fit."""
    ours = {slug: _target(slug, one.location.system, one.location.attributes()) for slug, one in declared.items()}
    known = {one.slug: _target(one.slug, one.system, one.attributes) for one in store.endpoints()} if endpoints else {}
    return chosen(endpoints, declared=ours, known=known | ours, rules=project.rules, adapter=project.manifest.adapter)


def _endpoints(declared: Mapping[str, ProjectEndpoint], targets: Targets) -> list[Endpoint]:
    """The targets that the project declares, to be registered with what is written below them."""
    used = [declared[one.slug].location for one in targets.targets if one.slug in declared]
    return [Endpoint(slug=one.slug, system=one.system, attributes=one.attributes()) for one in used]


def _target(slug: str, system: str, attributes: Mapping[str, object]) -> Target:
    database = attributes.get("database")
    return Target(slug, system, database if isinstance(database, str) else None)


def _described(project: DbtProject, look: Import, done: Imported, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "project": look.project,
        "adapter": project.manifest.adapter,
        "schema_version": project.manifest.version,
        "endpoints": [{"endpoint": slug, "scope": look.scope(slug)} for slug in look.endpoints],
        "assets": len(look.assets),
        "columns": sum(len(asset.fields or ()) for asset in look.assets),
        "tests": len(project.manifest.tests),
        "edges": {"total": len(look.edges), "opened": done.edges.opened, "closed": done.edges.closed},
        "taken_back": done.taken_back,
        "rows_written": done.rows_written,
        "complete": look.complete,
        "gaps": plain(look.gaps),
    }


def _shown(project: DbtProject, look: Import, done: Imported, *, dry_run: bool) -> list[str]:
    would = "would be " if dry_run else ""
    where = ", ".join(look.endpoints)
    said = [
        f"dbt project {look.project}, schema v{project.manifest.version}, {project.manifest.adapter}: {where}",
        f"{len(look.assets)} datasets, {len(look.edges)} edges, {len(project.manifest.tests)} tests",
        f"{done.rows_written} rows {would}written: {done.edges.opened} edges opened, {done.edges.closed} closed",
    ]
    if done.taken_back:
        said.append(f"{done.taken_back} datasets that it does not have any more keep their records, without its words")
    return [printable(line) for line in said]
