"""Code locations: which ones are mirrored, and the end of one that is renamed or removed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from identity.credentials import scrub
from resources.metadata.noun import Noun

CODE: Final = "dagster"
"""The producer of what code locations say; its scopes are their names, its entries in metadata `dagster:<name>`."""

_LIST = """
WITH told AS (
  SELECT substr(k.word, length(%(code)s) + 2) AS name, 1 AS assets, 0 AS edges, 0 AS columns, a.created_at AS changed
  FROM metadata.asset a CROSS JOIN LATERAL jsonb_object_keys(a.metadata) AS k (word)
  WHERE a.tenant_id = %(tenant)s AND starts_with(k.word, %(code)s || ':')
  UNION ALL
  SELECT r.scope, 0, 1, 0, r.valid_from FROM metadata.relationship r
  WHERE r.tenant_id = %(tenant)s AND r.producer = %(code)s AND r.valid_to IS NULL
  UNION ALL
  SELECT e.scope, 0, 0, 1, e.valid_from FROM metadata.column_edge e
  WHERE e.tenant_id = %(tenant)s AND e.producer = %(code)s AND e.valid_to IS NULL
  UNION ALL
  SELECT d.code_location, 0, 0, 0, d.valid_from FROM metadata.active_dag d
  WHERE d.tenant_id = %(tenant)s AND d.valid_to IS NULL
)
SELECT t.name, sum(t.assets)::int AS assets, sum(t.edges)::int AS edges, sum(t.columns)::int AS column_edges,
  max(t.changed) AS changed_at
FROM told t GROUP BY t.name ORDER BY t.name
"""
_RETIRE = "SELECT metadata.retire_dag(%(location)s) AS retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLocation:
    """What stands of a code location: of how many assets it speaks, its open edges between assets and columns.

    `changed_at` is when the newest of it came: an asset, an edge, its definitions.
    """

    name: str
    assets: int
    edges: int
    column_edges: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class CodeLocations(Noun):
    """List code locations, and end their active definitions."""

    def code_locations(self) -> list[CodeLocation]:
        """All of which something stands, by name. One statement."""
        rows = self.sessions.call(_LIST, {"tenant": self.tenant.value, "code": CODE})
        return [CodeLocation(**row) for row in rows]

    def retire_dag(self, code_location: str) -> bool:
        """Say that a code location is no more; whether it had an active version. Its versions stay listed."""
        (row,) = self.sessions.call(_RETIRE, {"location": scrub(code_location)})
        retired: bool = row["retired"]
        return retired
