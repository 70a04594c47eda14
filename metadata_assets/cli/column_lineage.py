"""`lineage --columns` and `impact` of a column: where columns come from, and what is computed from them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import assert_never

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from identity.keys import CanonicalKey, ColumnKey, short_name
from metadata_assets.cli.columns import column_as_written, names_column
from metadata_assets.cli.context import Cli
from metadata_assets.cli.diagrams import dot_string, mermaid_label, svg
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.lineage import thing_then
from metadata_assets.cli.lineage_commands import LineageFormat
from metadata_assets.cli.output import document, facts, plain, printable, table
from metadata_assets.cli.trees import Branch, draw
from resources.graph.column_walk import ColumnLineage
from resources.metadata.assets import UnknownKey
from resources.metadata_store import MetadataStore
from resources.models import Direction, StoredColumn


def column_meant(store: MetadataStore, name: str) -> StoredColumn | None:
    """The column that a name means, `dataset#column` or `dataset.column`; None where it means a dataset.

    Raises UnknownKey, UnknownColumn, AmbiguousKey.
    """
    if names_column(name):
        key = column_as_written(store, name)
        return None if isinstance(key, CanonicalKey) else store.column(key)
    try:
        store.thing(name)
    except UnknownKey as unknown:
        dataset, dot, column = name.rpartition(".")
        if not (dot and dataset and column):
            raise
        try:
            owner = store.resolve(dataset)
        except UnknownKey:
            raise unknown from None
        return store.column(ColumnKey(owner, column))
    return None


def show_columns(
    cli: Cli, name: str, *, direction: Direction, depth: int | None, form: LineageFormat, at: datetime | None
) -> ExitCode:
    with cli.opened() as opened:
        column = column_meant(opened.store, name)
        if column is None:
            found = opened.graph.column_lineage(thing_then(opened.store, name, at), direction, depth=depth, at=at)
        else:
            entity = opened.store.entity(column.key.dataset)
            found = opened.graph.column_lineage(entity, direction, column=column.id, depth=depth, at=at)
    match form:
        case LineageFormat.JSON:
            cli.write(document(described(found)))
        case LineageFormat.MERMAID:
            cli.write(mermaid(found))
        case LineageFormat.DOT:
            cli.write(dot(found))
        case LineageFormat.SVG:
            cli.write(svg(dot(found), len(found.nodes)))
        case LineageFormat.TREE:
            cli.out.print(drawn(found))
        case other:
            assert_never(other)
    return ExitCode.OK


def described(found: ColumnLineage) -> dict[str, object]:
    """The columns as JSON: `source` is computed from `target`."""
    return {
        "start": found.dataset,
        "columns": [str(one) for one in found.start],
        "direction": found.direction,
        **({} if found.at is None else {"as_of": found.at}),
        "nodes": [
            {"key": str(one), "name": short_name(one), "dataset": one.dataset, "column": one.name}
            for one in sorted(found.nodes)
        ],
        "edges": [{"source": str(source), "target": str(target)} for source, target in found.edges],
    }


_Node = CanonicalKey | ColumnKey


def drawn(found: ColumnLineage) -> Tree:
    """A tree from the dataset over its columns to where they come from, or to what is computed from them."""
    root: _Node = found.dataset
    there: dict[_Node, list[ColumnKey]] = {root: list(found.start)}
    for source, target in found.edges:
        near, far = (source, target) if found.direction == "up" else (target, source)
        there.setdefault(near, []).append(far)

    def below(one: _Node) -> Iterator[Branch[_Node]]:
        for column in sorted(there.get(one, ())):
            label = column.name if one == root else short_name(column)
            yield Branch(Text(printable(label), style="bold"), column)

    return draw(root, Text(printable(short_name(found.dataset)), style="bold"), below)


def _by_dataset(found: ColumnLineage) -> Iterator[tuple[CanonicalKey, list[ColumnKey]]]:
    for dataset, columns in groupby(sorted(found.nodes), key=lambda one: one.dataset):
        yield dataset, list(columns)


def _names(found: ColumnLineage) -> Mapping[ColumnKey, str]:
    return {column: f"c{number}" for number, column in enumerate(sorted(found.nodes))}


def mermaid(found: ColumnLineage) -> str:
    """A Mermaid flowchart, data flowing from left to right; each dataset is a frame around its columns."""
    names = _names(found)
    lines = ["flowchart LR"]
    for number, (dataset, columns) in enumerate(_by_dataset(found)):
        lines.append(f'  subgraph d{number}["{mermaid_label(short_name(dataset))}"]')
        lines += [f'    {names[column]}["{mermaid_label(column.name)}"]' for column in columns]
        lines.append("  end")
    lines += [f"  {names[target]} --> {names[source]}" for source, target in found.edges]
    lines += [f"  style {names[one]} stroke-width:3px" for one in found.start]
    return "\n".join(lines) + "\n"


def dot(found: ColumnLineage) -> str:
    """The same in the language of Graphviz."""
    names = _names(found)
    lines = ["digraph columns {", "  rankdir=LR", "  node [shape=box]"]
    for number, (dataset, columns) in enumerate(_by_dataset(found)):
        lines += [f"  subgraph cluster_{number} {{", f"    label={dot_string(short_name(dataset))}"]
        for column in columns:
            more = " penwidth=3" if column in found.start else ""
            lines.append(f"    {names[column]} [label={dot_string(column.name)}{more}]")
        lines.append("  }")
    lines += [f"  {names[target]} -> {names[source]}" for source, target in found.edges]
    return "\n".join([*lines, "}"]) + "\n"


def show_column_impact(cli: Cli, column: StoredColumn, found: ColumnLineage, *, limit: int) -> ExitCode:
    steps = sorted(found.steps().items(), key=lambda one: (one[1], one[0]))
    datasets = sorted({one.dataset for one, _steps in steps})
    answer = {
        "name": short_name(column.key),
        "key": str(column.key),
        "gone": not column.open,
        "count": len(steps),
        "datasets": [{"name": short_name(one), "key": one} for one in datasets[:limit]],
        "made": [
            {"name": short_name(one), "key": str(one), "dataset": one.dataset, "column": one.name, "steps": count}
            for one, count in steps[:limit]
        ],
        "cut": [name for name, some in (("datasets", datasets), ("made", steps)) if len(some) > limit],
    }
    said = {"columns computed from it": len(steps), "in so many datasets": len(datasets)}
    human: list[RenderableType] = [facts(f"If {short_name(column.key)} goes", said)]
    if steps:
        rows = ((short_name(one), count) for one, count in steps[:limit])
        human += ["", table("Computed from it", ("column", "steps"), rows)]
    else:
        human += ["", "no column is known to be computed from it"]
    cli.show(plain(answer), *human)
    return ExitCode.OK
