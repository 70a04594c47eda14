"""Provisional endpoints: registered later, they are another name of the endpoint, and all keys below them follow."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from identity.credentials import scrubbed
from identity.errors import InvalidUrl, MetadataError
from identity.keys import check_slug
from identity.naming import Authority, authority
from identity.naming.servers import endpoint_slug
from resources.metadata.endpoints import Endpoints
from resources.models import Endpoint
from resources.postgres.errors import EndpointAliasRefused

_log = logging.getLogger(__name__)

NO_SERVERS: Final[Mapping[str, Authority]] = MappingProxyType({})

_ALIAS = "SELECT metadata.alias_endpoint(gen_random_uuid(), %(slug)s, %(endpoint)s, %(reason)s) AS is_new"

_ALIASES = """
SELECT e.slug, e.endpoint FROM metadata.endpoint_alias e
WHERE e.tenant_id = (SELECT metadata.current_tenant()) AND e.slug = ANY (%(slugs)s) AND e.valid_to IS NULL
ORDER BY e.slug
"""

# Of slugs that nobody registered and that are no alias yet, those that something is below of.
_USED = """
SELECT g.slug, g.endpoint FROM unnest(%(slugs)s::text[], %(endpoints)s::text[]) AS g (slug, endpoint)
WHERE metadata.is_provisional(g.slug)
ORDER BY g.slug
"""


class UnknownEndpoint(MetadataError):
    """no endpoint is registered as {endpoint}; {hint}"""

    endpoint: str
    hint: str
    exit_code: ClassVar[int] = 3


def server_of(endpoint: Endpoint) -> Authority | None:
    """The server that an endpoint's attributes name by `host` and `port`; None where they do not."""
    host, port = endpoint.attributes.get("host"), endpoint.attributes.get("port")
    if not isinstance(host, str) or not host:
        return None
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    try:
        return authority(f"{endpoint.system}://{bracketed}" + (f":{port}" if port else ""))
    except InvalidUrl:
        return None


@dataclass(frozen=True, slots=True)
class EndpointAliases(Endpoints):
    """Register endpoints, and say which provisional ones they are."""

    def register_endpoints(
        self, endpoints: Iterable[Endpoint], *, servers: Mapping[str, Authority] = NO_SERVERS
    ) -> int:
        """Make sure that the endpoints exist with these systems and attributes; how many rows that wrote.

        Where one is on the server of a provisional endpoint, and no other can be, the provisional one is known as it
        from then on. A server is what `servers` says of an endpoint's slug, else `host` and `port` of its attributes.
        Fingerprints are left alone: they belong to the collections.
        """
        given = list(endpoints)
        for row in self.sessions.call(_ALIASES, {"slugs": sorted({one.slug for one in given})}):
            raise EndpointAliasRefused(detail=f"{row['slug']} is {row['endpoint']} already")
        written = Endpoints.register_endpoints(self, given)
        return written + self._follow(given, servers)

    def register_endpoint_as(self, slug: str, endpoint: str, *, reason: str | None = None) -> bool:
        """Say that a provisional endpoint is a registered one: keys below either mean the same. False if that was so.

        Nothing below it is written, and what was born there keeps its id. Raises UnknownEndpoint, EndpointAliasRefused
        (both have something of the same name, or the slug is registered itself); then nothing was changed.
        """
        check_slug(slug)
        self.check_registered(endpoint)
        parameters = {"slug": slug, "endpoint": endpoint, "reason": scrubbed(reason)}
        (row,) = self.sessions.call(_ALIAS, parameters)
        is_new: bool = row["is_new"]
        return is_new

    def check_registered(self, slug: str) -> None:
        """Raise UnknownEndpoint, with the known ones, unless an endpoint is registered by this slug."""
        if self.endpoint(slug) is None:
            known = ", ".join(one.slug for one in self.endpoints()[:20])
            hint = f"the known ones: {known}" if known else "`metadata-assets collect` registers those of the project"
            raise UnknownEndpoint(endpoint=slug, hint=hint)

    def _follow(self, given: Iterable[Endpoint], servers: Mapping[str, Authority]) -> int:
        """Register provisional endpoints as these, where that is certain; how many."""
        wanted = {
            endpoint_slug(server): one.slug
            for one in given
            if (server := servers.get(one.slug) or server_of(one)) is not None and one.slug != endpoint_slug(server)
        }
        if not wanted:
            return 0
        parameters = {"slugs": list(wanted), "endpoints": list(wanted.values())}
        used = self.sessions.call(_USED, parameters)
        everyone = self.endpoints() if used else []
        return sum(self._follows(row["slug"], row["endpoint"], everyone, servers) for row in used)

    def _follows(
        self, slug: str, endpoint: str, everyone: Iterable[Endpoint], servers: Mapping[str, Authority]
    ) -> bool:
        by_slug = {one.slug: one for one in everyone}
        others = [one for one in everyone if one.slug != endpoint and one.system == by_slug[endpoint].system]
        places = [servers.get(one.slug) or server_of(one) for one in others]
        if any(place is None or endpoint_slug(place) == slug for place in places):
            return False  # it may be another one's: a person says whose
        try:
            return self.register_endpoint_as(slug, endpoint, reason="it is registered on the same server")
        except EndpointAliasRefused as refused:
            _log.warning("endpoint %s is not known as %s: %s", slug, endpoint, refused)
            return False


def provisional_slug(where: str, system: str) -> str:
    """The provisional endpoint of a URL, of `host[:port]` of a system, or the slug itself. Raises InvalidUrl."""
    if "://" in where:
        return endpoint_slug(authority(where))
    if "_" in where and not set(where) & set(".:[]@/"):
        return where
    return endpoint_slug(authority(f"{system}://{where}"))
