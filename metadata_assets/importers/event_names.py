"""Which endpoint a namespace of OpenLineage means: the registered one at its server, or else the provisional one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from identity.errors import InvalidKey
from identity.external import LineageName, OpenLineage
from identity.keys import CanonicalKey, Kind
from identity.naming import Authority, openlineage_key
from identity.naming.openlineage import openlineage_server
from metadata_assets.exporters.openlineage import dataset_name
from resources.metadata.endpoint_aliases import NO_SERVERS, server_of
from resources.models import Endpoint


@dataclass(frozen=True, slots=True)
class EventNames:
    """The keys of what events name. Several endpoints at one server are told apart by their databases."""

    at: Mapping[Authority, tuple[tuple[str, str | None], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, endpoints: Iterable[Endpoint], servers: Mapping[str, Authority] = NO_SERVERS) -> Self:
        """By what is registered; a server is what `servers` says of a slug, else what the attributes say."""
        found: dict[Authority, list[tuple[str, str | None]]] = {}
        for one in endpoints:
            server = servers.get(one.slug) or server_of(one)
            if server is not None:
                database = one.attributes.get("database")
                found.setdefault(server, []).append((one.slug, database if isinstance(database, str) else None))
        return cls({server: tuple(some) for server, some in found.items()})

    def dataset(self, namespace: str, name: str, own: object = None) -> CanonicalKey:
        """`own` is the key that the event tells beside: it counts where it says the same namespace and name.

        Raises InvalidKey, InvalidUrl, InvalidEndpoint.
        """
        if isinstance(own, str) and (told := _told(namespace, name, own)) is not None:
            return told
        server, _above = openlineage_server(namespace, self.at)
        here = self.at.get(server, ())
        if not here:
            return openlineage_key(namespace, name)
        key = openlineage_key(namespace, name, {server: here[0][0]})
        if len(here) == 1:
            return key
        fits = [slug for slug, database in here if database == key.source]
        return openlineage_key(namespace, name, {server: fits[0]} if len(fits) == 1 else {})

    def job(self, namespace: str, name: str) -> CanonicalKey:
        """Raises InvalidKey, InvalidUrl, InvalidEndpoint."""
        servers = {some[0][0]: server for server, some in self.at.items() if len(some) == 1}
        key = OpenLineage(servers).key_of(LineageName("job", namespace, name))
        assert key.kind is Kind.JOB
        return key


PROVISIONAL = EventNames()
"""Of a store in which nobody registered anything."""


def _told(namespace: str, name: str, own: str) -> CanonicalKey | None:
    try:
        key = CanonicalKey.parse(own)
    except InvalidKey:
        return None
    if key.kind is not Kind.DATASET or (key.endpoint, dataset_name(key)) != (namespace, name):
        return None
    return key
