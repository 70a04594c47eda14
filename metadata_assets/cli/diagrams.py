"""Lineage as diagrams: the text of Mermaid and DOT, and an SVG of the latter; data flow from left to right. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final
from uuid import UUID

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name
from identity.nodes import IdentityKey
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import printable
from resources.graph.walk import Lineage, Node
from resources.models import AssetType

Identities = Mapping[CanonicalKey, Sequence[IdentityKey]]
NO_IDENTITIES: Identities = {}
_MOST_DRAWN: Final = 1_000
_RELATIONS = {AssetType.TABLE, AssetType.VIEW, AssetType.MATERIALIZED_VIEW, AssetType.FOREIGN_TABLE}


class NoGraphviz(MetadataError):
    """an SVG is laid out by Graphviz: install it with `pip install 'metadata-assets[svg]'`, or ask for --format dot"""

    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class TooMuchToDraw(MetadataError):
    """{things} things and their edges are no picture any more, {most} are the most; use --depth, or --format dot"""

    things: int
    most: int
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def named(node: Node) -> str:
    """What a thing is called in a drawing. Of what is gone that is said; its id too, where its name is another's."""
    name = short_name(node.key)
    if node.name_taken:
        return f"{name} (gone, {node.id})"
    return name if node.closed_at is None else f"{name} (gone)"


def mermaid(found: Lineage, identities: Identities = NO_IDENTITIES) -> str:
    """The graph as a Mermaid flowchart, data flowing from left to right. Source tables are cylinders."""
    names = {one: f"n{number}" for number, one in enumerate(found.things)}
    lines = ["flowchart LR"]
    for one, name in names.items():
        node = found.things[one]
        opening, closing = ("[(", ")]") if node.type in _RELATIONS else ("[", "]")
        lines.append(f'  {name}{opening}"{mermaid_label(named(node))}"{closing}')
    lines += [f"  {names[source]} --> {names[made]}" for made, source in found.pairs]
    for number, (to, one_leading) in enumerate(_leading(found, identities)):
        lines += [f'  i{number}(["{mermaid_label(str(one_leading))}"])', f"  i{number} -.-> {names[to]}"]
    if found.start_id in names:
        lines.append(f"  style {names[found.start_id]} stroke-width:3px")
    if found.more:
        lines.append(f'  more["… and {found.more:,} more"]')
    return "\n".join(lines) + "\n"


_NOT_PLAIN = re.compile(r"[^\w ./:-]")


def mermaid_label(label: str) -> str:
    """The label for between quotes: everything that could mean something there as Mermaid's `#code;`."""
    return _NOT_PLAIN.sub(lambda match: f"#{ord(match[0])};", label)


def dot(found: Lineage, identities: Identities = NO_IDENTITIES) -> str:
    """The graph in the language of Graphviz. Source tables are cylinders; the start has a thick line."""
    names = {one: f"n{number}" for number, one in enumerate(found.things)}
    lines = ["digraph lineage {", "  rankdir=LR", "  node [shape=box]"]
    for one, name in names.items():
        node = found.things[one]
        more = " shape=cylinder" if node.type in _RELATIONS else ""
        more += " penwidth=3" if one == found.start_id else ""
        lines.append(f"  {name} [label={dot_string(named(node))}{more}]")
    lines += [f"  {names[source]} -> {names[made]}" for made, source in found.pairs]
    for number, (to, one_leading) in enumerate(_leading(found, identities)):
        lines.append(f"  i{number} [label={dot_string(str(one_leading))} shape=ellipse]")
        lines.append(f"  i{number} -> {names[to]} [style=dashed]")
    if found.more:
        lines.append(f'  more [label="… and {found.more:,} more" shape=plaintext]')
    return "\n".join([*lines, "}"]) + "\n"


def svg(drawing: str, things: int) -> str:
    """A drawing in DOT as an SVG. Its layout takes more than proportional time, so `things` are limited.

    Raises NoGraphviz, TooMuchToDraw.
    """
    if things > _MOST_DRAWN:
        raise TooMuchToDraw(things=things, most=_MOST_DRAWN)
    try:
        import pygraphviz
    except ImportError:
        raise NoGraphviz from None
    drawn: bytes = pygraphviz.AGraph(string=drawing).draw(format="svg", prog="dot")
    return drawn.decode()


def dot_string(label: str) -> str:
    """A label as a string of DOT: a backslash begins an escape, an ampersand an entity, and a quote ends it."""
    escaped = printable(label).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _leading(found: Lineage, identities: Identities) -> Iterator[tuple[UUID, IdentityKey]]:
    for node in found.things.values() if identities else ():
        yield from ((node.id, by) for by in identities_of(node, identities))


def identities_of(node: Node, identities: Identities) -> Sequence[IdentityKey]:
    """The identities that lead to a thing: they lead to a name, and so to what has it."""
    return () if node.name_taken else identities.get(node.key, ())
