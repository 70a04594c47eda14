"""What tests of references put into the stores: keys of one endpoint, chains of nodes, and the events that follow."""

from collections.abc import Iterable
from typing import Any

import psycopg
from store_inputs import Lake, Look

from identity.keys import CanonicalKey
from identity.nodes import IdentityKey, Reference
from resources.graph_store import GraphStore
from resources.models import Asset, AssetType
from resources.postgres.session import Sessions


class Shelf:
    """Keys of an endpoint that no other test knows, and nodes for them."""

    def __init__(self, lake: Lake, look: Look) -> None:
        self.lake, self.look, self.graph = lake, look, GraphStore(lake.store.sessions)

    def key(self, name: str) -> CanonicalKey:
        return self.lake.key(name)

    def keys(self, names: Iterable[str]) -> list[CanonicalKey]:
        return [self.key(name) for name in names]

    def plant(self, statement: str, *parameters: object) -> None:
        """Write past the functions, as somebody who restores or repairs a table does."""
        tenant = str(self.lake.store.tenant)
        self.look(
            "SELECT set_config('metadata.actor', 'planted', false), set_config('metadata.tenant', %s, false)", tenant
        )
        self.look(statement, *parameters)

    def register(self, name: str, kind: AssetType = AssetType.DATASET) -> CanonicalKey:
        self.lake.store.register_assets([Asset(key=self.key(name), type=kind)])
        return self.key(name)

    def chain(self, length: int, end: CanonicalKey) -> list[IdentityKey]:
        """Nodes each of which leads to the next one, the last one to `end`, which is registered."""
        self.lake.assets(end.table)
        target: Reference = end
        nodes: list[IdentityKey] = []
        for _ in range(length):
            nodes.append(self.graph.create_identity(target).key)
            target = nodes[-1]
        return nodes[::-1]


def driver_of(sessions: Sessions) -> psycopg.Connection:
    """The connection that the pool keeps."""
    fairy = sessions.engine.raw_connection()
    driver = fairy.driver_connection
    fairy.close()
    assert isinstance(driver, psycopg.Connection)
    return driver


def events(look: Look) -> int:
    """Where the outbox ends now."""
    number: int = look("SELECT coalesce(max(seq), 0) AS seq FROM metadata.outbox")[0]["seq"]
    return number


def told(look: Look, after: int) -> list[tuple[str, dict[str, Any]]]:
    """What was told about identities and collections since then."""
    rows = look(
        """SELECT topic, payload FROM metadata.outbox
           WHERE seq > %s AND (topic LIKE 'identity.%%' OR topic LIKE 'collection.%%') ORDER BY seq""",
        after,
    )
    return [(row["topic"], row["payload"]) for row in rows]
