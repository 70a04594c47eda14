"""The beginning of a step: its fencing token, what it reads first, and the datasets that it is going to write."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey, key_text
from resources.metadata.noun import Noun
from resources.metadata.published import current_of
from resources.models import UNPARTITIONED, Current
from resources.postgres.session import BOUND

_BEGIN = (
    BOUND
    + """metadata.begin_step(
  CASE WHEN b THEN %(keys)s::text[] END, %(read_keys)s::text[], %(read_partitions)s::text[]) AS found
"""
)

_entity: Final = lru_cache(maxsize=4096)(Entity.from_database)
"""What one step writes, the next ones read."""

# What has a location is where we put it: nobody reads that before it is published. The fencing token says how old the
# data are; when they were recorded does not: the event log may tell it late. Of several with one token the later record
# is the newer one: what the log tells of a step that took none gets the token of what it replaced.
_STORED_LAST = """
SELECT DISTINCT ON (s.partition_key) s.partition_key, s.materialization_id FROM (
  SELECT m.partition_key, m.materialization_id, m.fencing_token, m.committed_at FROM metadata.materialization m
  WHERE m.tenant_id = %(tenant)s AND m.run_id = ANY (%(runs)s) AND m.dataset_id = %(dataset)s
    AND m.partition_key = ANY (%(partitions)s) AND m.location IS NULL
  UNION
  SELECT m.partition_key, m.materialization_id, m.fencing_token, m.committed_at FROM metadata.materialization m
  WHERE m.tenant_id = %(tenant)s AND m.materialization_id = ANY (%(published)s)) s
ORDER BY s.partition_key, s.fencing_token DESC, s.committed_at DESC, s.materialization_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a step began with. `outputs` has no entity for a key that nobody had yet."""

    fencing_token: int
    found: list[Current]
    outputs: Mapping[CanonicalKey, Entity]


@dataclass(frozen=True, slots=True)
class Steps(Noun):
    """Begin a step."""

    def begin_step(
        self,
        outputs: Collection[CanonicalKey],
        dataset: CanonicalKey | None = None,
        partitions: Collection[str | None] = (),
    ) -> Begun:
        """`next_fencing_token`, and only then `current` of a dataset; and whom the keys of outputs name by now.

        One round trip instead of three. Names may move before the outputs are written: `lease` says so.
        """
        return self.begin_step_reading(outputs, {} if dataset is None else {dataset: partitions})

    def begin_step_reading(
        self, outputs: Collection[CanonicalKey], reads: Mapping[CanonicalKey, Collection[str | None]]
    ) -> Begun:
        """The same for a step that reads several datasets, each with the partitions that it needs."""
        wanted = {key_text(key): key for key in {*outputs, *reads}}
        asked = sorted({(str(key), partition or UNPARTITIONED) for key, some in reads.items() for partition in some})
        rows = self.sessions.call(
            _BEGIN,
            {
                **self.sessions.binding,
                "keys": sorted(wanted),
                "read_keys": [key for key, _partition in asked],
                "read_partitions": [partition for _key, partition in asked],
            },
        )
        named = {
            row["key"]: (
                _entity(self.tenant, wanted[row["key"]], row["entity_id"], bytes(row["birth_sha256"])),
                row,
            )
            for row in rows
            if row["key"] is not None
        }
        return Begun(
            fencing_token=rows[0]["token"],
            found=[current_of(named[row["key"]][0], row) for row in rows if row["materialization_id"] is not None],
            outputs={entity.key: entity for entity, row in named.values() if row["writable"] and entity.key in outputs},
        )

    def stored_last(
        self, runs: Collection[str], published: Sequence[Current], dataset: Entity, partitions: Collection[str | None]
    ) -> dict[str | None, UUID]:
        """By partition what one of these runs stored where its own code does, or what of it was published, if later."""
        rows = self.sessions.call(
            _STORED_LAST,
            {
                "tenant": self.tenant.value,
                "runs": sorted(runs),
                "dataset": dataset.id.value,
                "partitions": [one or UNPARTITIONED for one in partitions],
                "published": [one.materialization_id for one in published],
            },
        )
        return {row["partition_key"] or None: row["materialization_id"] for row in rows}
