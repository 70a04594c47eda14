"""Declarations: what code says that there is, and takes back when it says it no more."""

from collections.abc import Collection
from dataclasses import dataclass

from identity.ids import Entity
from identity.keys import check_name
from resources.metadata.noun import Noun
from resources.metadata.resolution import hold_names
from resources.postgres.session import Session

# Whoever else speaks of a thing keeps it open: another look that has an entry of its own, or a collection that sees it.
_TAKE_BACK = """
UPDATE metadata.asset a SET
  metadata = a.metadata - %(slot)s, version = a.version + 1, updated_at = clock_timestamp(),
  deleted_at = CASE WHEN EXISTS (
      SELECT 1 FROM jsonb_object_keys(a.metadata - %(slot)s) AS k (word)
      WHERE k.word LIKE '%%:%%' OR k.word = 'relation')
    THEN a.deleted_at ELSE coalesce(a.deleted_at, clock_timestamp()) END
FROM (
  SELECT k.asset_id, k.deleted_at FROM metadata.asset k
  LEFT JOIN unnest(%(stay)s::uuid[]) AS s (asset_id) ON s.asset_id = k.asset_id
  WHERE k.tenant_id = %(tenant)s AND k.metadata ? %(slot)s AND s.asset_id IS NULL
  ORDER BY k.asset_id FOR NO KEY UPDATE OF k) gone
WHERE a.tenant_id = %(tenant)s AND a.asset_id = gone.asset_id
RETURNING a.deleted_at IS NOT NULL AND gone.deleted_at IS NULL AS closed
"""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Of how many assets a word was taken back, and how many of these nobody speaks of any more: they are closed."""

    assets: int
    closed: int


@dataclass(frozen=True, slots=True)
class Declarations(Noun):
    """Take back what is declared no more."""

    def take_back(self, slot: str, stay: Collection[Entity]) -> TakenBack:
        """Remove the entry `slot` (`<producer>:<whose>`) from the metadata of all assets but these.

        An asset that no other entry and no collection speaks of is closed: its history stays, and it is open again when
        it is declared again. One statement.
        """
        check_name(slot)

        def work(session: Session) -> TakenBack:
            hold_names(session, exclusive=False)
            ids = [entity.id.value for entity in stay]
            rows = session.rows(_TAKE_BACK, {"tenant": session.tenant_value, "slot": slot, "stay": ids})
            return TakenBack(assets=len(rows), closed=sum(row["closed"] for row in rows))

        return self.sessions.perform(work)
