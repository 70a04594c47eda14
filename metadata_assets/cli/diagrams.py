"""Lineage as the text of diagrams, Mermaid and DOT, data flowing from left to right. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from identity.keys import CanonicalKey, short_name
from identity.nodes import IdentityKey
from metadata_assets.cli.output import printable
from resources.graph.walk import Lineage
from resources.models import AssetType

Identities = Mapping[CanonicalKey, Sequence[IdentityKey]]
NO_IDENTITIES: Identities = {}
_RELATIONS = {AssetType.TABLE, AssetType.VIEW, AssetType.MATERIALIZED_VIEW, AssetType.FOREIGN_TABLE}


def mermaid(found: Lineage, identities: Identities = NO_IDENTITIES) -> str:
    """The graph as a Mermaid flowchart, data flowing from left to right. Source tables are cylinders."""
    names = {key: f"n{number}" for number, key in enumerate(sorted(found.nodes))}
    lines = ["flowchart LR"]
    for key, name in names.items():
        opening, closing = ("[(", ")]") if found.nodes[key] in _RELATIONS else ("[", "]")
        lines.append(f'  {name}{opening}"{mermaid_label(short_name(key))}"{closing}')
    lines += [f"  {names[edge.target]} --> {names[edge.source]}" for edge in found.edges]
    for number, (key, one) in enumerate(_leading(identities)):
        lines += [f'  i{number}(["{mermaid_label(str(one))}"])', f"  i{number} -.-> {names[key]}"]
    if found.start in names:
        lines.append(f"  style {names[found.start]} stroke-width:3px")
    return "\n".join(lines) + "\n"


_NOT_PLAIN = re.compile(r"[^\w ./:-]")


def mermaid_label(label: str) -> str:
    """The label for between quotes: everything that could mean something there as Mermaid's `#code;`."""
    return _NOT_PLAIN.sub(lambda match: f"#{ord(match[0])};", label)


def dot(found: Lineage, identities: Identities = NO_IDENTITIES) -> str:
    """The graph in the language of Graphviz. Source tables are cylinders; the start has a thick line."""
    names = {key: f"n{number}" for number, key in enumerate(sorted(found.nodes))}
    lines = ["digraph lineage {", "  rankdir=LR", "  node [shape=box]"]
    for key, name in names.items():
        more = " shape=cylinder" if found.nodes[key] in _RELATIONS else ""
        more += " penwidth=3" if key == found.start else ""
        lines.append(f"  {name} [label={dot_string(short_name(key))}{more}]")
    lines += [f"  {names[edge.target]} -> {names[edge.source]}" for edge in found.edges]
    for number, (key, one) in enumerate(_leading(identities)):
        lines.append(f"  i{number} [label={dot_string(str(one))} shape=ellipse]")
        lines.append(f"  i{number} -> {names[key]} [style=dashed]")
    return "\n".join([*lines, "}"]) + "\n"


def dot_string(label: str) -> str:
    """A label as a string of DOT: a backslash would begin an escape, and a quote would end it."""
    escaped = printable(label).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _leading(identities: Identities) -> Iterator[tuple[CanonicalKey, IdentityKey]]:
    yield from ((to, by) for to in sorted(identities) for by in identities[to])
