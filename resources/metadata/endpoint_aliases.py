"""Provisional endpoints: registered later, they are another name of the endpoint, and all keys below them follow."""

import logging
import re
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

_PART = "SELECT metadata.part_endpoint(gen_random_uuid(), %(slug)s, %(reason)s) AS endpoint"

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


class NotProvisional(MetadataError):
    """{slug} cannot be {endpoint}: {reason}; {fix}"""

    slug: str
    endpoint: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2


class NotRegisteredAs(MetadataError):
    """{slug} is no other name of an endpoint; see: metadata-assets identity show mid1:endpoint:SLUG"""

    slug: str
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
        (both have something of the same name, or the slug is registered itself) and NotProvisional (no server of the
        endpoint's system can have the slug); then nothing was changed.
        """
        check_slug(slug)
        _check_system(slug, self.registered_endpoint(endpoint))
        parameters = {"slug": slug, "endpoint": endpoint, "reason": scrubbed(reason)}
        (row,) = self.sessions.call(_ALIAS, parameters)
        is_new: bool = row["is_new"]
        return is_new

    def unregister_endpoint_as(self, slug: str, *, reason: str | None = None) -> str:
        """Take `register_endpoint_as` back: keys below the slug and below the endpoint are two again; which it was.

        Nothing below either is written: a thing is called as it was named, by whichever of the two. Raises
        NotRegisteredAs.
        """
        check_slug(slug)
        (row,) = self.sessions.call(_PART, {"slug": slug, "reason": scrubbed(reason)})
        if row["endpoint"] is None:
            raise NotRegisteredAs(slug=slug)
        endpoint: str = row["endpoint"]
        return endpoint

    def registered_endpoint(self, slug: str) -> Endpoint:
        """The endpoint that is registered by this slug. Raises UnknownEndpoint, with the known ones."""
        found = self.endpoint(slug)
        if found is None:
            known = ", ".join(one.slug for one in self.endpoints()[:20])
            hint = f"the known ones: {known}" if known else "`metadata-assets collect` registers those of the project"
            raise UnknownEndpoint(endpoint=slug, hint=hint)
        return found

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


def provisional_slug(where: str, endpoint: Endpoint) -> str:
    """The slug that a URL, a `host[:port]` or a slug has, of a server of the endpoint's system.

    Raises InvalidUrl, or NotProvisional for a server of another system.
    """
    if not _PLACE.fullmatch(where):
        raise InvalidUrl(reason="it names no server", fix="give host[:port], a URL, or the provisional endpoint")
    if "://" in where:
        slug = endpoint_slug(authority(where))
    elif where == endpoint.slug or ("_" in where and not set(where) & set(".:[]@/")):
        slug = where
    else:
        slug = endpoint_slug(authority(f"{endpoint.system}://{where}"))
    _check_system(slug, endpoint)
    return slug


_PLACE = re.compile(r"[^/\s;]+|[^/\s]+://.*", re.DOTALL)


def _check_system(slug: str, endpoint: Endpoint) -> None:
    """Raise NotProvisional where no server of the endpoint's system gets this slug."""
    beginning = endpoint_slug(authority(f"{endpoint.system}://server")).removesuffix("server")
    if not slug.startswith(beginning):
        raise NotProvisional(
            slug=slug,
            endpoint=endpoint.slug,
            reason=f"{endpoint.slug} is a {endpoint.system} endpoint, whose servers are below {beginning}…",
            fix="give a server of that system, or register another endpoint",
        )
