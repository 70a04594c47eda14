"""`compile` and `validate`: a project as it is understood, without running it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name
from metadata_assets.cli.choices import Choice
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import printable, table
from metadata_assets.factory import implemented
from metadata_assets.spec import Dataset, Project, ProjectInvalid, load_project
from metadata_assets.spec.manifest import Manifest
from metadata_assets.sql.columns import Columns, Described
from metadata_assets.sql.derived import promised, select_columns, select_problems, source_type


def validate_project(cli: Cli, choice: Choice) -> ExitCode:
    project = load_project(cli.settings.project, environment=cli.settings.environment)
    wanted = choice.of(project)
    implemented(project, wanted)
    chosen = {one.key for one in wanted}
    problems = select_problems({key: one for key, one in select_columns(project).items() if key in chosen})
    if problems:
        raise ProjectInvalid(project=str(project.folder), problems=problems)
    selects = sum(1 for dataset in wanted if dataset.sql)
    own = project.datasets_by_key
    sources = {dep.key for dataset in wanted for dep in dataset.depends_on if dep.key not in own}
    answer = {
        "name": project.name,
        "endpoints": len(project.endpoints),
        "datasets": len(wanted),
        "selects": selects,
        "sources": len(sources),
    }
    counted = f"{len(wanted)} datasets ({selects} of SQL) made from {len(sources)} source tables"
    cli.show(answer, f"{project.name} is valid: {counted}")
    return ExitCode.OK


def compile_project(cli: Cli, choice: Choice, manifest: Path | None) -> ExitCode:
    project = load_project(cli.settings.project, environment=cli.settings.environment)
    wanted = choice.of(project)
    described = _columns(cli, project) if any(dataset.sql for dataset in wanted) else {}
    compiled = [_compiled(one, described.get(one.key)) for one in wanted]
    if manifest is not None:
        manifest.write_text(Manifest.of(project).text(), encoding="utf-8")
    cli.show(compiled, *_shown(project, wanted, compiled))
    return ExitCode.BAD_INPUT if any(one["problem"] for one in compiled) else ExitCode.OK


def _columns(cli: Cli, project: Project) -> Mapping[CanonicalKey, Described]:
    return select_columns(project, _collected(cli, project))


def _collected(cli: Cli, project: Project) -> Mapping[CanonicalKey, Columns]:
    """What was collected of the sources that SELECTs read; nothing where the store does not answer."""
    own = project.datasets_by_key
    selects = (dataset.sql for dataset in project.datasets if dataset.sql is not None)
    sources = {one.key for query in selects for one in query.relations} - own.keys()
    if not sources:
        return {}
    try:
        with cli.opened() as opened:
            fields = opened.store.fields_of(sources)
    except MetadataError as error:
        cli.complain(f"what was collected of sources is not known: {printable(error)}")
        return {}
    return {key: {one.name: source_type(one.type) for one in found} for key, found in fields.items()}


def _compiled(dataset: Dataset, described: Described | None) -> Mapping[str, object]:
    query = dataset.sql
    return {
        "name": short_name(dataset.key),
        "key": dataset.key,
        "computed_by": query.file if query else str(dataset.python),
        "sql": query.statement if query else None,
        "code_version": dataset.code_version,
        "publish": dataset.publish,
        "partitions": str(dataset.partitions) if dataset.partitions else None,
        "depends_on": [
            {
                "name": short_name(one.key),
                "key": one.key,
                "partitions": str(one.mapping) if one.mapping else None,
                "missing": one.missing,
            }
            for one in dataset.depends_on
        ],
        "columns": [
            {
                "name": one.name,
                "type": one.type,
                "from": [
                    {"name": short_name(relation.key), "key": relation.key, "column": column}
                    for relation, column in (described.origins.get(one.name, ()) if described else ())
                ],
            }
            for one in (promised(dataset, described) if described else dataset.columns)
        ],
        "problem": str(described.problem) if described and described.problem else None,
    }


def _shown(
    project: Project, wanted: Sequence[Dataset], compiled: Sequence[Mapping[str, object]]
) -> Iterator[RenderableType]:
    titles = ("dataset", "computed by", "partitions", "publish", "made from")
    yield table(f"Assets of {project.name}", titles, (_cells(one) for one in wanted))
    for dataset, one in zip(wanted, compiled, strict=True):
        if dataset.sql is None:
            continue
        yield ""
        yield Text(f"{short_name(dataset.key)}: {dataset.sql.file}", style="bold")
        yield "\n".join(
            f"  {printable(line)}".rstrip() for line in dataset.sql.statement.strip().expandtabs().splitlines()
        )
        if one["problem"]:
            yield f"given the columns that are known: {one['problem']}"
        columns = one["columns"]
        if isinstance(columns, list) and columns:
            yield table("Columns", ("column", "type", "from"), (_column(each) for each in columns))


def _cells(one: Dataset) -> Sequence[object]:
    made_from = ", ".join(short_name(each.key) for each in one.depends_on)
    return short_name(one.key), one.sql.file if one.sql else one.python, one.partitions, one.publish, made_from


def _column(one: Mapping[str, object]) -> Sequence[object]:
    origins = one["from"]
    named = [f"{each['name']}.{each['column']}" for each in origins] if isinstance(origins, list) else []
    return one["name"], one["type"], ", ".join(named)
