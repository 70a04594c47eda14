"""What every noun of the store has: transactions of one tenant and actor."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from identity.ids import Entity, TenantId
from identity.keys import CanonicalKey
from resources.metadata.resolution import entities, named, standing
from resources.postgres.session import Session, Sessions


@dataclass(frozen=True, slots=True)
class Noun:
    """A part of the store. Each public method is one transaction, unless it takes a session."""

    sessions: Sessions

    @property
    def tenant(self) -> TenantId:
        return self.sessions.tenant

    def entity(self, key: CanonicalKey) -> Entity:
        """The entity that a key names for this store's tenant: its holder, or what would be born under it."""
        return self.entities([key])[key]

    def entities(self, keys: Collection[CanonicalKey]) -> dict[CanonicalKey, Entity]:
        """The same for many keys at once."""
        return entities(self.sessions, keys)

    def named(self, key: CanonicalKey) -> tuple[Entity, CanonicalKey]:
        """The entity that a key names, and the key that it has now."""
        return named(self.sessions, key)

    def standing(self, keys: Collection[CanonicalKey]) -> tuple[str, dict[CanonicalKey, Entity]]:
        """Which store this is, and whom keys name in it, for whoever remembers what it wrote. One round trip.

        The first is equal only while nothing can be forgotten: it differs between tenants, databases and schemas made
        anew, and after each start of the server: a restored backup is another incarnation, whatever else it has in
        common with what it replaced. A key that nobody has is not in the second.
        """
        return standing(self.sessions, keys)

    def session(self) -> AbstractContextManager[Session]:
        """A transaction of this store's tenant and actor."""
        return self.sessions.begin()
