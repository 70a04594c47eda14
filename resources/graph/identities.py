"""Identity nodes in the store: made, retargeted, followed, retyped."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, ClassVar

from identity.errors import MetadataError
from identity.keys import CanonicalKey, key_text
from identity.nodes import (
    BrokenReference,
    IdentityCycle,
    IdentityKey,
    Reference,
    Trail,
    UnknownIdentity,
    follow,
    node_id,
    parse_reference,
    reference_text,
)
from resources.graph.edges import EdgeChanges
from resources.graph.given import document, number, text
from resources.graph.loaders import Node
from resources.graph.noun import GraphNoun
from resources.models import AssetType
from resources.postgres.session import Row, Session


class IdentityChanged(MetadataError):
    """{reference} is at version {found}, not at {expected}: somebody changed it; nothing was written"""

    reference: str
    expected: int
    found: int


class IdentityTaken(MetadataError):
    """{reference} exists already and is another node; nothing was written"""

    reference: str


class NothingRegistered(MetadataError):
    """{reference} leads to {key}, and nothing is registered under that key"""

    reference: str
    key: str
    exit_code: ClassVar[int] = 3


class NothingToRetype(MetadataError):
    """nothing is registered under {key}, so there is nothing to become a {type}; collect or declare it first, or give \
no type; nothing was written"""

    key: str
    type: str
    exit_code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityNode:
    """A stable reference and what it leads to now. `version` counts its changes."""

    key: IdentityKey
    target: Reference
    metadata: Mapping[str, Any]
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Retyped:
    """What followed when a thing became another one: the nodes that lead to it now, and their edges."""

    identities: tuple[IdentityKey, ...]
    edges: EdgeChanges
    type_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One reference as a list shows it. Exactly one of `node` and `problem` is there.

    `node.deleted_at`: it is gone since then. `same_as`: the earlier reference of the list that leads to the same thing.
    """

    reference: Reference
    path: tuple[Reference, ...]
    node: Node | None
    problem: MetadataError | None
    same_as: Reference | None = None


_COLUMNS = (
    "n.identity_id, n.target_key, n.metadata, n.version, n.created_by, n.created_at, n.updated_at "
    "FROM metadata.identity_node n WHERE n.tenant_id = %(tenant)s"
)
_GET = f"SELECT {_COLUMNS} AND n.identity_id = ANY (%(ids)s)"
_LIST = (
    f"SELECT {_COLUMNS} AND (%(after)s::uuid IS NULL OR n.identity_id > %(after)s) "
    "ORDER BY n.identity_id LIMIT %(limit)s"
)
_BY_TARGET = f"""
SELECT {_COLUMNS} AND n.target_key = metadata.present_reference(%(target)s)
ORDER BY n.preferred DESC, n.created_at, n.identity_id
"""
_LEADING = """
SELECT l.key, l.reference FROM metadata.leading_to(%(keys)s) l WHERE l.reference LIKE 'identity:%%'
"""
_TRAILS = "SELECT * FROM metadata.identity_trails(%(references)s, %(max_depth)s)"
_CREATE = "SELECT metadata.create_identity(%(id)s, %(target)s, %(metadata)s) AS outcome"
_ENSURE = "SELECT * FROM metadata.ensure_identities(%(targets)s, %(ids)s)"
_UPDATE = "SELECT * FROM metadata.update_identity(%(id)s, %(expected)s, %(target)s, %(metadata)s)"
_DELETE = "SELECT * FROM metadata.delete_identity(%(id)s, %(expected)s)"
_RETYPE = "SELECT * FROM metadata.retype(%(old)s, %(new)s, %(type)s, %(reason)s)"


@dataclass(frozen=True, slots=True)
class Identities(GraphNoun):
    """Make, change, find and follow identity nodes. Each change, its event and its edges are one transaction."""

    def create_identity(
        self, target: Reference, *, metadata: Mapping[str, Any] | None = None, key: IdentityKey | None = None
    ) -> IdentityNode:
        """A new node for a target, whether or not there are others. Asked again with the same `key`, the same node.

        A target is kept under its present name. Raises UnknownIdentity for a target that does not exist, IdentityTaken,
        InvalidInput.
        """
        key = key or IdentityKey(uuid.uuid4())
        (row,) = self.sessions.call(
            _CREATE,
            {"id": node_id(key), "target": reference_text(target), "metadata": document("metadata", metadata or {})},
        )
        match row["outcome"]:
            case "no target":
                raise UnknownIdentity(reference=str(target))
            case "taken":
                raise IdentityTaken(reference=str(key))
        return self.identity(key)

    def ensure_identity_key(self, target: Reference) -> IdentityKey:
        """The node for a target: the one that exists, or a new one. All who ask at once get the same.

        A reference to a node is that reference.
        """
        return target if isinstance(target, IdentityKey) else self.ensure_identity_keys([target])[target]

    def ensure_identity_keys(self, targets: Iterable[CanonicalKey]) -> dict[CanonicalKey, IdentityKey]:
        """The node for each of many keys, in one transaction."""
        wanted = sorted(set(targets), key=key_text)
        return _ensured(self.sessions.call(_ENSURE, _offered(wanted))) if wanted else {}

    def identity(self, key: IdentityKey) -> IdentityNode:
        """One node. Raises UnknownIdentity."""
        rows = self.sessions.call(_GET, {"tenant": self.sessions.tenant.value, "ids": [node_id(key)]})
        if not rows:
            raise UnknownIdentity(reference=str(key))
        return _node(rows[0])

    def identities(self, *, after: IdentityKey | None = None, limit: int = 1000) -> list[IdentityNode]:
        """A page of all nodes in the order of their ids, after the last one of the page before. Raises InvalidInput."""
        parameters = {
            "tenant": self.sessions.tenant.value,
            "after": None if after is None else node_id(after),
            "limit": number("limit", limit),
        }
        return [_node(row) for row in self.sessions.call(_LIST, parameters)]

    def find_by_target_key(self, target: Reference) -> list[IdentityNode]:
        """The nodes that lead straight to a target; the first is the one that `ensure_identity_key` answers with."""
        rows = self.sessions.call(_BY_TARGET, {"tenant": self.sessions.tenant.value, "target": reference_text(target)})
        return [_node(row) for row in rows]

    def identities_of(self, keys: Collection[CanonicalKey]) -> dict[CanonicalKey, tuple[IdentityKey, ...]]:
        """All nodes that lead to each key, straight or through others, in order: what is shown of them in a graph."""
        asked = {key_text(key): key for key in keys}
        found: dict[CanonicalKey, list[IdentityKey]] = {key: [] for key in asked.values()}
        for row in self.sessions.call(_LEADING, {"keys": list(asked)}):
            found[asked[row["key"]]].append(IdentityKey.parse(row["reference"]))
        return {key: tuple(sorted(nodes)) for key, nodes in found.items()}

    def update_identity(
        self,
        key: IdentityKey,
        *,
        expected_version: int,
        target: Reference | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> EdgeChanges:
        """Let a node lead to another target, or give it other metadata; which resolved edges that opened and closed.

        Only edges that lead through this node are touched, none when only the metadata change. Raises UnknownIdentity,
        IdentityChanged when somebody was faster, IdentityCycle with the path when the target leads back here,
        InvalidInput.
        """
        parameters = {
            "id": node_id(key),
            "expected": number("expected_version", expected_version),
            "target": None if target is None else reference_text(target),
            "metadata": document("metadata", metadata),
        }
        (row,) = self.sessions.call(_UPDATE, parameters)
        return _changes(row, key, target, expected_version)

    def delete_identity(self, key: IdentityKey, *, expected_version: int) -> EdgeChanges:
        """Delete a node. References to it stay and lead nowhere; the edges through it are closed.

        Raises UnknownIdentity, IdentityChanged, InvalidInput.
        """
        parameters = {"id": node_id(key), "expected": number("expected_version", expected_version)}
        with self.sessions.begin() as session:  # not idempotent: the second time there is nothing to delete
            (row,) = session.rows(_DELETE, parameters)
        return _changes(row, key, None, expected_version)

    def retype(
        self, old: CanonicalKey, new: CanonicalKey, *, new_type: AssetType | None = None, reason: str | None = None
    ) -> Retyped:
        """The thing under `old` became the thing under `new`: all nodes that lead to `old` lead to `new` at once.

        With `new_type`, the asset under `new` gets that type; a table that becomes a view keeps its key, so the two
        may be equal. One transaction, one event; asked again there is nothing left to do. References stay as they are.
        Raises NothingToRetype, InvalidInput.
        """
        if new_type is not None and not isinstance(new_type, AssetType):
            raise TypeError("new_type is an AssetType")
        parameters = {"old": key_text(old), "new": key_text(new), "type": new_type, "reason": text("reason", reason)}
        (row,) = self.sessions.call(_RETYPE, parameters)
        if row["outcome"] == "no thing":
            raise NothingToRetype(key=str(new), type=str(new_type))
        return Retyped(
            identities=tuple(map(IdentityKey, row["identities"])),
            edges=EdgeChanges(opened=row["opened"], closed=row["closed"]),
            type_changed=row["retyped"],
        )

    def resolve(self, reference: Reference) -> Trail:
        """Where a reference leads and how, in one statement. Raises IdentityCycle, IdentityTooDeep, MissingIdentity."""
        rows = self.sessions.call(_TRAILS, {"references": [reference_text(reference)], "max_depth": self.max_depth})
        found = _followed([*map(parse_reference, rows[0]["path"])], self.max_depth)
        if isinstance(found, BrokenReference):
            raise found
        return found

    def resolve_key(self, reference: Reference) -> CanonicalKey:
        """The key that a reference leads to in the end; a key leads to itself. Raises as `resolve` does."""
        return self.resolve(reference).key

    def resolve_node(self, reference: Reference) -> Node:
        """What is behind a reference. Raises as `resolve` does, and NothingRegistered."""
        (preview,) = self.previews([reference])
        if preview.node is None:
            raise preview.problem or NothingRegistered(reference=str(reference), key="?")
        return preview.node

    def load_node(self, reference: Reference) -> Node:
        """What a reference itself is, not followed: an identity node shows as one. Raises NothingRegistered."""
        reference_text(reference)
        with self.sessions.begin() as session:
            loaded = self.loaders.load(session, [reference])
        if reference not in loaded:
            raise NothingRegistered(reference=str(reference), key=str(reference))
        return loaded[reference]

    def previews(self, references: Sequence[Reference]) -> list[Preview]:
        """Each reference with what it leads to now, in the order given; a broken one says why it is.

        One statement follows all, however many and however long; one more for each kind of key they lead to.
        """
        with self.sessions.begin() as session:
            return previews(self, session, references)


def previews(noun: GraphNoun, session: Session, references: Sequence[Reference]) -> list[Preview]:
    """`Identities.previews` within a transaction."""
    found = trails(session, references, max_depth=noun.max_depth)
    keys = [trail.key for trail in found.values() if isinstance(trail, Trail)]
    nodes = noun.loaders.load(session, keys)
    shown = [_preview(one, found[one], nodes) for one in references]
    first: dict[Reference, Reference] = {}
    for one in shown:
        if one.node:
            first.setdefault(one.node.key, one.reference)
    return [replace(one, same_as=_earlier(one, first)) for one in shown]


def _earlier(shown: Preview, first: Mapping[Reference, Reference]) -> Reference | None:
    earlier = first[shown.node.key] if shown.node else shown.reference
    return None if earlier == shown.reference else earlier


def _preview(reference: Reference, found: Trail | BrokenReference, nodes: Mapping[Reference, Node]) -> Preview:
    if isinstance(found, BrokenReference):
        path = tuple(map(parse_reference, found.path))
        return Preview(reference=reference, path=path, node=None, problem=found)
    node = nodes.get(found.key)
    problem = None if node else NothingRegistered(reference=str(reference), key=str(found.key))
    return Preview(reference=reference, path=found.path, node=node, problem=problem)


def trails(
    session: Session, references: Iterable[Reference], *, max_depth: int
) -> dict[Reference, Trail | BrokenReference]:
    """Where each reference leads, or why it leads nowhere: one statement, judged by `identity.nodes.follow`."""
    asked = {reference_text(one): one for one in references}
    rows = session.rows(_TRAILS, {"references": list(asked), "max_depth": max_depth})
    return {asked[row["reference"]]: _followed([*map(parse_reference, row["path"])], max_depth) for row in rows}


def _followed(path: Sequence[Reference], max_depth: int) -> Trail | BrokenReference:
    targets: dict[Reference, Reference] = dict(pairwise(path))
    try:
        return follow(path[0], targets.get, max_depth=max_depth)
    except BrokenReference as broken:
        return broken


def ensured(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, IdentityKey]:
    """`Identities.ensure_identity_keys` within a transaction."""
    wanted = sorted(set(keys), key=key_text)
    return _ensured(session.rows(_ENSURE, _offered(wanted))) if wanted else {}


def _offered(keys: Sequence[CanonicalKey]) -> dict[str, Any]:
    return {"targets": [str(key) for key in keys], "ids": [uuid.uuid4() for _ in keys]}


def _ensured(rows: Sequence[Row]) -> dict[CanonicalKey, IdentityKey]:
    return {CanonicalKey.parse(row["given"]): IdentityKey(row["identity_id"]) for row in rows}


def _node(row: Row) -> IdentityNode:
    return IdentityNode(
        key=IdentityKey(row["identity_id"]),
        target=parse_reference(row["target_key"]),
        metadata=row["metadata"],
        version=row["version"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _changes(row: Row, reference: Reference, target: Reference | None, expected: int) -> EdgeChanges:
    match row["outcome"]:
        case "unknown":
            raise UnknownIdentity(reference=str(reference))
        case "no target":
            raise UnknownIdentity(reference=str(target))
        case "changed":
            raise IdentityChanged(reference=str(reference), expected=expected, found=row["at_version"])
        case "cycle":
            raise IdentityCycle.at([parse_reference(text) for text in row["path"]])
    return EdgeChanges(opened=row["opened"], closed=row["closed"])
