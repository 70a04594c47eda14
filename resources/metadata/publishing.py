"""Publishing by hand: what waits, and what a person decides about it."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Final

from identity.credentials import scrubbed
from identity.errors import MetadataError
from identity.ids import Entity, sha256_of
from identity.keys import CanonicalKey, check_name
from resources.metadata.noun import Noun
from resources.metadata.published import published_of
from resources.metadata.resolution import HOLDER, asked
from resources.models import UNPARTITIONED, Published
from resources.version_records import Unpublished

_PUBLISH: Final = """
SELECT * FROM metadata.publish_by_hand(%(key)s, %(fingerprint)s, %(publish_id)s, %(materializations)s, %(reason)s,
  %(despite_checks)s)
"""

_UNPUBLISHED: Final = f"SELECT * FROM metadata.unpublished({HOLDER}, %(partitions)s)"


class ReasonNeeded(MetadataError):
    """say why it is published despite its checks; nothing was published"""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Publishing(Noun):
    """Decide by hand what readers get."""

    def unpublished(
        self, dataset: CanonicalKey | Entity, partitions: Collection[str | None] | None = None
    ) -> list[Unpublished]:
        """The newest committed data of each partition (None: of all) that were never published, by partition.

        Without what was retracted or collected, and without what something published has overtaken.
        """
        wanted = None if partitions is None else [one or UNPARTITIONED for one in partitions]
        for partition in wanted or ():
            check_name(partition)
        parameters = {"tenant": self.tenant.value, **asked(dataset), "partitions": wanted}
        return [
            Unpublished(
                materialization_id=row["materialization_id"],
                partition=row["partition_key"] or None,
                failed=tuple(row["failed"]),
            )
            for row in self.sessions.call(_UNPUBLISHED, parameters)
        ]

    def publish_by_hand(
        self, materializations: Collection[uuid.UUID], *, reason: str | None = None, despite_checks: bool = False
    ) -> list[Published]:
        """`publish` as a person wants it: a request of its own each time, whatever the policy is and whatever waits.

        So it also brings back what is not current any more. The reason is kept with the versions. Raises ChecksRefuse,
        with nothing published, where the latest result of a blocking check is a failure; `despite_checks` publishes it
        all the same and needs a reason. Else as `publish`.
        """
        if despite_checks and not (reason or "").strip():
            raise ReasonNeeded
        ordered = sorted(set(materializations))
        request = uuid.uuid4()
        rows = self.sessions.call(
            _PUBLISH,
            {
                "key": f"by hand {request}",
                "fingerprint": sha256_of("publish", *(one.bytes for one in ordered)),
                "publish_id": request,
                "materializations": ordered,
                "reason": scrubbed(reason),
                "despite_checks": despite_checks,
            },
        )
        return [published_of(row) for row in rows]
