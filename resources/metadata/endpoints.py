"""Endpoints: the registered system instances."""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from identity.ids import Entity
from identity.keys import endpoint_key
from resources.metadata.noun import Noun
from resources.models import Endpoint
from resources.postgres.session import Row, Session

# The anti-join keeps rows that are there as given out of the conflict: a conflict locks its row, and that is a write.
_INSERT = """
INSERT INTO metadata.endpoint (tenant_id, endpoint_id, slug, system, attributes)
SELECT %(tenant)s, e.endpoint_id, e.slug, e.system, e.attributes
FROM jsonb_to_recordset(%(endpoints)s) AS e (endpoint_id uuid, slug text, system text, attributes jsonb)
WHERE NOT EXISTS (
  SELECT 1 FROM metadata.endpoint k
  WHERE k.tenant_id = %(tenant)s AND k.endpoint_id = e.endpoint_id
    AND k.system = e.system AND k.attributes = e.attributes)
ORDER BY e.endpoint_id
"""

# Two steps: DO UPDATE settles conflicts on one unique key only, and of two processes that register the same endpoint
# for the first time one would break on the other key. DO NOTHING settles all, and waits for the other one.
_REGISTER_NEW = _INSERT + "ON CONFLICT DO NOTHING"
_REGISTER_CHANGED = (
    _INSERT
    + """
ON CONFLICT (tenant_id, endpoint_id) DO UPDATE SET
  system = excluded.system, attributes = excluded.attributes, updated_at = clock_timestamp()
WHERE (endpoint.system, endpoint.attributes) IS DISTINCT FROM (excluded.system, excluded.attributes)
"""
)

_LIST = """
SELECT slug, system, attributes, schema_fingerprint FROM metadata.endpoint
WHERE tenant_id = %(tenant)s AND (%(slug)s::text IS NULL OR slug = %(slug)s)
ORDER BY slug
"""


@dataclass(frozen=True, slots=True)
class Endpoints(Noun):
    """Register and look up endpoints."""

    def register_endpoints(self, endpoints: Iterable[Endpoint]) -> int:
        """Make sure that the endpoints exist with these systems and attributes; how many rows that wrote.

        Fingerprints are left alone: they belong to the collections.
        """
        given = list(endpoints)
        if not given:
            return 0
        with self.session() as session:
            return register_endpoints(session, given)

    def endpoint(self, slug: str) -> Endpoint | None:
        """One endpoint, None when nobody registered it."""
        return next(iter(self._list(slug)), None)

    def endpoints(self) -> list[Endpoint]:
        """All endpoints, by slug."""
        return self._list(None)

    def _list(self, slug: str | None) -> list[Endpoint]:
        with self.session() as session:
            rows = session.rows(_LIST, {"tenant": session.tenant_value, "slug": slug})
        return [Endpoint(**row) for row in rows]


def register_endpoints(session: Session, endpoints: Iterable[Endpoint]) -> int:
    """`Endpoints.register_endpoints` as a part of a transaction."""
    rows = {endpoint.slug: _row(session, endpoint) for endpoint in endpoints}
    if not rows:
        return 0
    parameters = {"tenant": session.tenant_value, "endpoints": Jsonb(list(rows.values()))}
    return session.count(_REGISTER_NEW, parameters) + session.count(_REGISTER_CHANGED, parameters)


def _row(session: Session, endpoint: Endpoint) -> Row:
    return {
        "endpoint_id": str(Entity(session.tenant, endpoint_key(endpoint.slug)).id),
        "slug": endpoint.slug,
        "system": endpoint.system,
        "attributes": dict(endpoint.attributes),
    }
