"""What Dagster's own event says about a materialization: which record, version and files it is."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import dagster as dg

from identity.credentials import scrub
from identity.ids import sha256_of
from metadata_assets._dagster import Step
from metadata_assets.settling import MATERIALIZATION_METADATA
from metadata_assets.writing import Target
from resources.configurable import MetadataResource
from resources.locations import place
from resources.models import Committed, Published
from resources.version_records import Ended


def report(
    metadata: MetadataResource,
    context: dg.OutputContext,
    step: Step,
    target: Target,
    committed: Sequence[Committed],
    published: Published | None,
    why_not: str,
    ended: Mapping[UUID, Ended],
    shown: Mapping[str | None, Mapping[str, Any]],
) -> None:
    """Show in the event of each partition what was committed and published, or why it was not.

    `ended` is what readers had once and have no more, of what was delivered again; `shown` what else is told of each.
    """
    for one in committed:
        details = _details(metadata, one, published, why_not, ended.get(one.materialization_id))
        details = {**shown.get(one.partition, {}), **details}
        if len(committed) == 1:
            context.add_output_metadata(details)
        else:
            step.asset_context.add_asset_metadata(details, asset_key=target.asset_key, partition_key=one.partition)
    versions = sorted(one.data_version or "" for one in committed)
    data_version = versions[0] if len(versions) == 1 else sha256_of(*versions).hex()[:16]
    step.asset_context.set_data_version(target.asset_key, dg.DataVersion(data_version))


def _details(
    metadata: MetadataResource, one: Committed, published: Published | None, why_not: str, ended: Ended | None
) -> dict[str, Any]:
    details: dict[str, Any] = {
        MATERIALIZATION_METADATA: str(one.materialization_id),
        "metadata_assets/data_version": one.data_version,
        "metadata_assets/bytes": one.byte_count,
        "metadata_assets/replayed": one.replayed,
    }
    if one.location is not None:
        endpoint, path = place(one.location)
        details["path"] = dg.MetadataValue.path(scrub(metadata.storage_of(endpoint).shown(path)))
    if one.row_count is not None:
        details["dagster/row_count"] = one.row_count
    if ended is not None:
        how = {"publish": "replaced", "rollback": "rolled back", "retract": "retracted"}[ended.by]
        since = f"published in version {ended.began} and {how} in version {ended.ended}"
        details["metadata_assets/not_published"] = f"{since}; to bring it back, publish it by hand"
    elif published is not None and one.materialization_id not in published.fenced:
        details["metadata_assets/version"] = published.version
    else:
        details["metadata_assets/not_published"] = why_not
    return details
