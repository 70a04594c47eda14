"""Key loaders: what is behind a key, by the scheme of the key."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from identity.keys import CanonicalKey, Kind
from identity.nodes import SCHEME, IdentityKey, Reference, parse_reference
from resources.postgres.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a key leads to, as far as a list shows it. `key` is its present key, whatever it was asked for by."""

    key: Reference
    type: str
    name: str
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    deleted_at: datetime | None = None


Loader = Callable[[Session, Collection[Reference]], Mapping[Reference, Node]]
"""The nodes of many keys of one scheme; a key behind which there is nothing is left out."""


def scheme(reference: Reference) -> str:
    """Which loader a reference has: `identity`, or the kind of its key (`dataset`, `job`, `endpoint`)."""
    return SCHEME if isinstance(reference, IdentityKey) else str(reference.kind)


@dataclass(frozen=True, slots=True)
class KeyLoaders:
    """A loader for each scheme. A registry never changes: `registered` answers with another one."""

    by_scheme: Mapping[str, Loader]

    def registered(self, name: str, loader: Loader) -> "KeyLoaders":
        """The same registry with one more loader, or with another one for the scheme of that name."""
        return KeyLoaders(MappingProxyType({**self.by_scheme, name: loader}))

    def load(self, session: Session, references: Collection[Reference]) -> dict[Reference, Node]:
        """What is behind each reference, in one call of each loader that has any. What has no node is left out."""
        wanted: dict[str, list[Reference]] = {}
        for reference in dict.fromkeys(references):
            if scheme(reference) in self.by_scheme:
                wanted.setdefault(scheme(reference), []).append(reference)
        loaded: dict[Reference, Node] = {}
        for name, keys in wanted.items():
            loaded.update(self.by_scheme[name](session, keys))
        return loaded


def default_loaders() -> KeyLoaders:
    """Assets for the keys of all kinds but endpoints, which are in a table of their own; nodes for identity keys."""
    assets = dict.fromkeys(map(str, Kind), load_assets)
    return KeyLoaders(MappingProxyType({**assets, str(Kind.ENDPOINT): load_endpoints, SCHEME: load_identity_nodes}))


_ASSETS = """
SELECT n.key, n.present_key, a.type, a.name, a.description, a.metadata, a.deleted_at
FROM metadata.assets_named(%(keys)s) n
JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = n.asset_id
"""

_ENDPOINTS = """
SELECT e.slug, e.system, e.attributes FROM metadata.endpoint e
WHERE e.tenant_id = %(tenant)s AND e.slug = ANY (%(slugs)s)
"""

_IDENTITY_NODES = """
SELECT n.identity_id, n.target_key, n.metadata FROM metadata.identity_node n
WHERE n.tenant_id = %(tenant)s AND n.identity_id = ANY (%(ids)s)
"""


def load_assets(session: Session, keys: Collection[Reference]) -> Mapping[Reference, Node]:
    """The assets that keys name, by their present names or by former ones."""
    asked = {str(key): key for key in keys}
    rows = session.rows(_ASSETS, {"tenant": session.tenant_value, "keys": list(asked)})
    return {
        asked[row["key"]]: Node(
            key=CanonicalKey.parse(row["present_key"]),
            type=row["type"],
            name=row["name"],
            description=row["description"],
            metadata=row["metadata"],
            deleted_at=row["deleted_at"],
        )
        for row in rows
    }


def load_endpoints(session: Session, keys: Collection[Reference]) -> Mapping[Reference, Node]:
    """The registered endpoints that keys name."""
    asked = {key.endpoint: key for key in keys if isinstance(key, CanonicalKey)}
    rows = session.rows(_ENDPOINTS, {"tenant": session.tenant_value, "slugs": list(asked)})
    return {
        asked[row["slug"]]: Node(
            key=asked[row["slug"]],
            type="ENDPOINT",
            name=row["slug"],
            description=row["system"],
            metadata=row["attributes"],
        )
        for row in rows
    }


def load_identity_nodes(session: Session, keys: Collection[Reference]) -> Mapping[Reference, Node]:
    """Identity nodes as nodes of their own, for whoever wants to see them."""
    asked = {key.id: key for key in keys if isinstance(key, IdentityKey)}
    rows = session.rows(_IDENTITY_NODES, {"tenant": session.tenant_value, "ids": list(asked)})
    return {
        asked[row["identity_id"]]: Node(
            key=asked[row["identity_id"]],
            type="IDENTITY",
            name=str(asked[row["identity_id"]]),
            description=f"leads to {parse_reference(row['target_key'])}",
            metadata=row["metadata"],
        )
        for row in rows
    }
