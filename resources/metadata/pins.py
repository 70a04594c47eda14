"""Pins: names for versions of one or many datasets, which never move."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from identity.credentials import scrubbed
from identity.errors import MetadataError
from identity.ids import sha256_of
from identity.keys import CanonicalKey, check_name, short_name
from resources.metadata.noun import Noun
from resources.metadata.resolution import HOLDER, asked, present_key
from resources.metadata.versions import MomentWithoutZone
from resources.postgres.session import Row
from resources.version_records import DatasetVersion, Pin, PinRead

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")

_PIN = """
SELECT * FROM metadata.pin_versions(%(name)s, %(fingerprint)s, %(items)s, %(expires_at)s, %(reason)s)
"""

_PINS = f"""
SELECT p.pin_id, p.name, p.reason, p.created_by, p.created_at, p.expires_at, p.removed_at, p.removed_by,
  CASE WHEN p.removed_at IS NOT NULL THEN 'removed' WHEN p.expires_at <= clock_timestamp() THEN 'expired'
    ELSE 'open' END AS state,
  (SELECT coalesce(jsonb_object_agg({present_key("a.qualified_name")}, i.version), '{{}}') FROM metadata.pin_item i
   JOIN metadata.asset a ON a.tenant_id = i.tenant_id AND a.asset_id = i.dataset_id
   WHERE i.tenant_id = p.tenant_id AND i.pin_id = p.pin_id) AS versions
FROM metadata.pin p
WHERE p.tenant_id = %(tenant)s AND (%(name)s::text IS NULL OR p.name = %(name)s)
  AND (%(every)s OR p.removed_at IS NULL)
ORDER BY p.name, p.created_at DESC, p.pin_id
"""

_READ = f"SELECT * FROM metadata.read_at_pin(%(run_id)s, %(name)s, {HOLDER})"


class PinName(MetadataError):
    """{name} is no name for a pin; it begins with a letter and has up to 100 letters, digits, and any of - _ ."""

    name: str


class NothingToPin(MetadataError):
    """pin {name} would have no dataset; say of which dataset it pins which version"""

    name: str


@dataclass(frozen=True, slots=True)
class Pins(Noun):
    """Pin versions, find pins, and let them go."""

    def pin(
        self,
        name: str,
        versions: Mapping[CanonicalKey, int | None],
        *,
        expires_at: datetime | None = None,
        reason: str | None = None,
    ) -> Pin:
        """Give versions of datasets a name, all in one transaction; None means the present version.

        Until it expires or is removed, what it has is read by its name, never moves, and is never collected. Asked
        again for the same (what was the present version then stays it) it is a replay. Raises PinTaken when the name is
        another pin's, UnknownVersion, UnusableMaterialization for data that is gone, PinRefused, PinName, NothingToPin,
        MomentWithoutZone.
        """
        check_name(name)
        if not _NAME.fullmatch(name):
            raise PinName(name=name)
        if not versions:
            raise NothingToPin(name=name)
        if expires_at is not None and expires_at.utcoffset() is None:
            raise MomentWithoutZone(moment=expires_at.isoformat())
        entities = self.entities(versions)
        wanted = sorted((entities[key].id.value, short_name(key), number) for key, number in versions.items())
        end = str(expires_at.timestamp()) if expires_at else ""
        content = sha256_of("pin", end, *(part for one, _name, number in wanted for part in (one.bytes, str(number))))
        items = [{"dataset_id": str(one), "name": short, "version": number} for one, short, number in wanted]
        row, rows = self.sessions.call_and_look(
            _PIN,
            {
                "name": name,
                "fingerprint": content,
                "items": Jsonb(items),
                "expires_at": expires_at,
                "reason": scrubbed(reason),
            },
            _PINS,
            lambda _made: {"tenant": self.tenant.value, "name": name, "every": True},
        )
        return next(_pin(one, replayed=row["replayed"]) for one in rows if one["pin_id"] == row["pin_id"])

    def unpin(self, name: str) -> bool:
        """Remove a pin; whether it was there until now. Raises UnknownPin when there never was one of that name."""
        check_name(name)
        (row,) = self.sessions.call("SELECT metadata.unpin(%(name)s) AS removed", {"name": name})
        removed: bool = row["removed"]
        return removed

    def pins(self, *, removed: bool = False) -> list[Pin]:
        """The pins by name, expired ones too; with `removed` those that were, the newest first below each name."""
        rows = self.sessions.call(_PINS, {"tenant": self.tenant.value, "name": None, "every": removed})
        return [_pin(row) for row in rows]

    def read_at_pin(self, run_id: str, name: str, dataset: CanonicalKey) -> PinRead:
        """The version of a dataset that a run reads under the name of a pin: by that number, however late it reads.

        The first answer to a run decides which pin that is, for all of its steps, whatever is pinned under the name
        later. One round trip. Raises UnknownPin.
        """
        check_name(run_id)
        check_name(name)
        (row,) = self.sessions.call(_READ, {"run_id": run_id, "name": name, **asked(dataset)})
        return PinRead(state=row["state"], version=row["version"])


def _pin(row: Row, *, replayed: bool = False) -> Pin:
    versions = {CanonicalKey.parse(key): number for key, number in row["versions"].items()}
    return Pin(
        id=row["pin_id"],
        name=row["name"],
        versions=tuple(DatasetVersion(key=key, version=versions[key]) for key in sorted(versions)),
        state=row["state"],
        reason=row["reason"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        removed_at=row["removed_at"],
        removed_by=row["removed_by"],
        replayed=replayed,
    )
