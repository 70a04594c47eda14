"""What every noun of the store has: transactions of one tenant and actor."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from identity.ids import Entity, TenantId
from identity.keys import CanonicalKey
from resources.metadata.resolution import entities, named
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

    def session(self) -> AbstractContextManager[Session]:
        """A transaction of this store's tenant and actor."""
        return self.sessions.begin()
