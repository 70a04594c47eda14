"""Identity nodes: references that stay while what they lead to changes."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, get_args

from rich.console import RenderableType

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, short_name
from identity.nodes import IdentityKey, Reference, parse_reference
from metadata_assets.cli.context import Cli, Opened, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.naming import NotAThing, NotOneOf
from metadata_assets.cli.output import facts, plain, table
from resources.graph.edges import EdgeChanges
from resources.graph.identities import IdentityNode
from resources.graph.loaders import Node
from resources.graph.references import EdgeType, ReferenceEdge
from resources.models import AssetType


class NotLinked(MetadataError):
    """there is no edge {source} {type} {target}, so none was removed; {hint}"""

    source: str
    target: str
    type: str
    hint: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


def is_reference(text: str) -> bool:
    """Whether a text names an identity node, and not a thing."""
    return text.startswith("identity:")


def reference(opened: Opened, text: str) -> Reference:
    """What a text refers to: an identity node, a full key, registered or not, or what a name means."""
    if is_reference(text) or text.startswith("mid1:"):
        return parse_reference(text)
    return opened.store.resolve(text)


def said(one: Reference) -> str:
    """A reference as people read it."""
    return short_name(one) if isinstance(one, CanonicalKey) else str(one)


def node_document(one: IdentityNode) -> dict[str, object]:
    return {
        "reference": str(one.key),
        "target": str(one.target),
        "version": one.version,
        "metadata": plain(one.metadata),
        "created_by": one.created_by,
        "created_at": plain(one.created_at),
        "updated_at": plain(one.updated_at),
    }


def kind_of(found: Node | None) -> str | None:
    """What is behind a reference, as people read it, and since when it is gone."""
    if found is None:
        return None
    kind = found.type.lower().replace("_", " ")
    return f"{kind}, gone since {plain(found.deleted_at)}" if found.deleted_at else kind


def show_node(cli: Cli, text: str, *, as_of: str | None) -> ExitCode:
    key = IdentityKey.parse(text)
    if as_of is not None:
        fix = "leave --as-of out; what changed it is in its events and in the audit"
        raise NotAThing(name=shown(text), what="an identity node, and only shown as it is now", fix=fix)
    with cli.opened() as opened:
        node = opened.graph.identity(key)
        (preview,) = opened.graph.previews([key])
        edges = opened.graph.reference_edges(key)
    found = preview.node
    answer = {
        **node_document(node),
        "path": [str(one) for one in preview.path],
        "key": str(found.key) if found else None,
        "type": found.type if found else None,
        "gone_since": plain(found.deleted_at) if found else None,
        "problem": str(preview.problem) if preview.problem else None,
        "edges": [
            {"source": str(one.edge.source), "target": str(one.edge.target), "type": one.type, "resolved": one.resolved}
            for one in edges
        ],
    }
    about = {
        "leads to": " → ".join(said(one) for one in preview.path[1:]),
        "type": kind_of(found),
        "problem": answer["problem"],
        "version": node.version,
        "made by": node.created_by,
        "changed": node.updated_at,
    }
    cli.show(answer, facts(str(key), about))
    return ExitCode.OK


def create(cli: Cli, target: str) -> ExitCode:
    with cli.opened(actor=person()) as opened:
        node = opened.graph.create_identity(reference(opened, target))
    cli.show({"reference": str(node.key), "target": str(node.target)}, str(node.key))
    return ExitCode.OK


def ensure(cli: Cli, name: str) -> ExitCode:
    with cli.opened(actor=person()) as opened:
        target = reference(opened, name)
        key = opened.graph.ensure_identity_key(target)
    cli.show({"reference": str(key), "target": str(target)}, str(key))
    return ExitCode.OK


def list_nodes(cli: Cli, target: str | None, *, after: str | None, limit: int) -> ExitCode:
    with cli.opened() as opened:
        if target is not None:
            found = opened.graph.find_by_target_key(reference(opened, target))[:limit]
        else:
            found = opened.graph.identities(after=IdentityKey.parse(after) if after else None, limit=limit)
    cli.show([node_document(one) for one in found], _listing(found))
    return ExitCode.OK


def _listing(found: Sequence[IdentityNode]) -> RenderableType:
    if not found:
        return "no identity nodes: `metadata-assets identity ensure KEY` makes one"
    cells = ((str(one.key), said(one.target), one.version, one.created_by, one.updated_at) for one in found)
    return table("Identity nodes", ("reference", "leads to", "version", "by", "changed"), cells)


def retarget(cli: Cli, text: str, target: str, *, version: int | None) -> ExitCode:
    key = IdentityKey.parse(text)
    with cli.opened(actor=person()) as opened:
        expected = opened.graph.identity(key).version if version is None else version
        to = reference(opened, target)
        edges = opened.graph.update_identity(key, expected_version=expected, target=to)
    _tell(cli, {"reference": text, "target": str(to)}, f"{text} leads to {said(to)} from now on", edges)
    return ExitCode.OK


def delete(cli: Cli, text: str, *, version: int | None) -> ExitCode:
    key = IdentityKey.parse(text)
    with cli.opened(actor=person()) as opened:
        node = opened.graph.identity(key)
        edges = opened.graph.delete_identity(key, expected_version=node.version if version is None else version)
    _tell(cli, {"reference": text, "target": str(node.target)}, f"{text} is gone; references to it stay", edges)
    return ExitCode.OK


def retype(cli: Cli, old: str, new: str, *, type_: str | None, reason: str | None) -> ExitCode:
    kind = None if type_ is None else AssetType(one_of(type_.upper(), list(AssetType), "type"))
    with cli.opened(actor=person()) as opened:
        was, now = _key(opened, old), _key(opened, new)
        done = opened.graph.retype(was, now, new_type=kind, reason=reason)
    answer = {
        "old": str(was),
        "new": str(now),
        "identities": [str(one) for one in done.identities],
        "type_changed": done.type_changed,
    }
    told = f"{len(done.identities):,} references lead to {short_name(now)} now"
    _tell(cli, answer, told + (f", which is a {type_} now" if done.type_changed else ""), done.edges)
    return ExitCode.OK


def _key(opened: Opened, name: str) -> CanonicalKey:
    return CanonicalKey.parse(name) if name.startswith("mid1:") else opened.store.resolve(name)


def link(cli: Cli, source: str, target: str, *, type_: str) -> ExitCode:
    """Keep an edge between two references."""
    kind = _edge_type(type_)
    with cli.opened(actor=person()) as opened:
        edge = ReferenceEdge(reference(opened, source), reference(opened, target))
        edges = opened.graph.add_reference_edges([edge], edge_type=kind)
    _tell(cli, _linked(edge, kind), f"{said(edge.source)} {kind} {said(edge.target)}: kept", edges)
    return ExitCode.OK


def unlink(cli: Cli, source: str, target: str, *, type_: str) -> ExitCode:
    """Forget an edge between two references, by whichever names it was given. Raises NotLinked."""
    kind = _edge_type(type_)
    with cli.opened(actor=person()) as opened:
        edge = ReferenceEdge(reference(opened, source), reference(opened, target))
        done = opened.graph.remove_reference_edges([edge], edge_type=kind)
        others = [] if done.removed else opened.graph.reference_edges(edge.source)
    if not done.removed:
        known = ", ".join(f"{said(one.edge.source)} {one.type} {said(one.edge.target)}" for one in others[:5])
        hint = f"the edges at {said(edge.source)}: {known or 'none'}"
        raise NotLinked(source=said(edge.source), target=said(edge.target), type=kind, hint=hint)
    _tell(
        cli,
        {**_linked(edge, kind), "removed": done.removed},
        f"{said(edge.source)} {kind} {said(edge.target)}: {done.removed:,} forgotten",
        EdgeChanges(opened=0, closed=done.closed),
    )
    return ExitCode.OK


def _edge_type(text: str) -> EdgeType:
    kind: EdgeType = one_of(text.upper(), get_args(EdgeType), "type")  # type: ignore[assignment]
    return kind


def _linked(edge: ReferenceEdge, kind: EdgeType) -> dict[str, object]:
    return {"source": str(edge.source), "target": str(edge.target), "type": kind}


def one_of(text: str, allowed: Sequence[str], what: str) -> str:
    """The text, when it is allowed. Raises NotOneOf."""
    if text not in allowed:
        raise NotOneOf(text=text, what=what, allowed=", ".join(allowed))
    return text


def _tell(cli: Cli, answer: Mapping[str, object], told: str, edges: EdgeChanges) -> None:
    cli.show(
        {**answer, "edges": {"opened": edges.opened, "closed": edges.closed}},
        f"{told}; edges: {edges.opened:,} opened, {edges.closed:,} closed",
    )
