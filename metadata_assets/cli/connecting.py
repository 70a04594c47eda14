"""`lineage --from --to`: why two things are connected."""

from typing import ClassVar, assert_never

from rich.console import Group, RenderableType
from rich.text import Text

from identity.errors import MetadataError
from identity.keys import short_name
from metadata_assets.cli.context import Cli
from metadata_assets.cli.diagrams import dot, mermaid, svg
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.lineage import described, drawn, format_meant, thing_then
from metadata_assets.cli.lineage_commands import LineageFormat
from metadata_assets.cli.moments import moment
from metadata_assets.cli.output import document, printable
from resources.graph.paths import Paths


class NotConnected(MetadataError):
    """{to} is not made from {source}{within}, and {source} not from {to}; see: metadata-assets lineage {to}"""

    source: str
    to: str
    within: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


class ConnectedTheOtherWay(MetadataError):
    """{to} is not made from {source}, but the other way round there is a path of {steps} steps; swap --from and --to"""

    source: str
    to: str
    steps: int
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


def show_paths(
    cli: Cli,
    source: str,
    to: str,
    *,
    every: bool,
    limit: int,
    depth: int | None,
    format_: LineageFormat | None,
    as_of: str | None,
) -> ExitCode:
    form = format_meant(cli, format_)
    at = None if as_of is None else moment(as_of)
    with cli.opened() as opened:
        start, end = (thing_then(opened.store, name, at) for name in (source, to))
        found = opened.graph.paths(start, end, every=every, limit=limit, depth=depth, at=at)
        if not found.ways:
            back = opened.graph.paths(end, start, limit=1, depth=depth, at=at)
            raise _unconnected(found, back, depth)
    match form:
        case LineageFormat.JSON:
            cli.write(document(told(found)))
        case LineageFormat.MERMAID:
            cli.write(mermaid(found.part))
        case LineageFormat.DOT:
            cli.write(dot(found.part))
        case LineageFormat.SVG:
            cli.write(svg(dot(found.part), len(found.part.things)))
        case LineageFormat.TREE:
            cli.out.print(listed(found, every=every))
        case other:
            assert_never(other)
    return ExitCode.OK


def told(found: Paths) -> dict[str, object]:
    """The paths as JSON: in the direction in which data flow; keys or, of what lost its name, ids; edges likewise."""
    whole = described(found.part)
    return {
        "from": found.start,
        "to": found.end,
        **{name: whole[name] for name in ("as_of",) if name in whole},
        "steps": found.steps,
        "paths": [[found.part.things[each].reference for each in way] for way in found.ways],
        "more": found.more,
        "nodes": whole["nodes"],
        "edges": whole["edges"],
    }


def listed(found: Paths, *, every: bool) -> RenderableType:
    """How many there are, and where they lead, as a tree from where data come."""
    count = len(found.ways)
    kind = "" if every else "shortest "
    heading = f"{count:,} {kind}{'path' if count == 1 else 'paths'} from {short_name(found.start)} to "
    heading += f"{short_name(found.end)}, {found.steps:,} steps" + (" at least" if every and count > 1 else "")
    parts: list[RenderableType] = [Text(printable(heading), style="bold"), drawn(found.part)]
    if found.more:
        parts.append(Text(f"only the first {count:,} are shown; there may be more: --limit {count * 10}", style="dim"))
    return Group(*parts)


def _unconnected(found: Paths, back: Paths, depth: int | None) -> MetadataError:
    source, to = short_name(found.start), short_name(found.end)
    if back.ways:
        return ConnectedTheOtherWay(source=source, to=to, steps=back.steps)
    return NotConnected(source=source, to=to, within="" if depth is None else f" within {depth:,} steps")
