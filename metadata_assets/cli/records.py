"""The records in JSON. These field names are a promise to scripts; a record may rename its own."""

from typing import Any

from identity.keys import short_name
from metadata_assets.cli.output import plain
from resources.models import Alias, Asset, Current, DatasetSummary, Input, Materialization, Renamed, Version

Document = dict[str, Any]


def summary(one: DatasetSummary) -> Document:
    """A line of the list of datasets."""
    return {
        "name": short_name(one.key),
        "key": plain(one.key),
        "type": plain(one.type),
        "publish": one.publish_policy,
        "version": one.published_version or None,
        "partitions": one.partitions,
        "rows": one.row_count,
        "materializations": one.materializations,
        "updated_at": plain(one.updated_at),
    }


def asset(one: Asset) -> Document:
    """What the catalog knows of one dataset or source table."""
    return {
        "name": short_name(one.key),
        "key": plain(one.key),
        "type": plain(one.type),
        "description": one.description,
        "metadata": plain(one.metadata),
        "columns": plain(one.fields or ()),
        "closed_at": plain(one.closed_at),
    }


def current(one: Current) -> Document:
    """What readers get for one partition."""
    return {
        "partition": one.partition,
        "version": one.version,
        "materialization": plain(one.materialization_id),
        "location": one.location,
        "rows": one.row_count,
        "data_version": one.data_version,
    }


def materialization(one: Materialization) -> Document:
    """One materialization. `attempt` counts from 1; `published_in` is the version that first had it."""
    return {
        "id": plain(one.id),
        "name": short_name(one.key),
        "key": plain(one.key),
        "partition": one.partition,
        "committed_at": plain(one.committed_at),
        "rows": one.row_count,
        "bytes": one.byte_count,
        "location": one.location,
        "manifest_sha256": plain(one.manifest_sha256),
        "data_version": one.data_version,
        "code_version": one.code_version,
        "intent": one.intent,
        "run": one.run_id,
        "step": one.step_key,
        "attempt": one.retry_number + 1,
        "actor": one.actor,
        "published_in": one.published_in,
        "current": one.current,
        "redeliveries": one.redeliveries,
        "metadata": plain(one.metadata),
    }


def input_(one: Input) -> Document:
    """One thing that a materialization was made from; `materialization` is null for a source table."""
    return {
        "name": short_name(one.key),
        "key": plain(one.key),
        "partition": one.partition,
        "materialization": plain(one.materialization_id),
        "version": one.version,
        "metadata": plain(one.metadata),
    }


def version(one: Version) -> Document:
    """One published version."""
    return {
        "version": one.number,
        "published_at": plain(one.published_at),
        "partitions_changed": one.partitions_changed,
        "partitions": one.partitions,
        "rows": one.row_count,
        "actor": one.actor,
    }


def alias(one: Alias) -> Document:
    """A name that a thing has or had. `change` is the rename or merge that gave it; no `to`: it leads there now."""
    return {
        "name": short_name(one.key),
        "key": plain(one.key),
        "kind": one.kind,
        "from": plain(one.valid_from),
        "to": plain(one.valid_to),
        "actor": one.actor,
        "reason": one.reason,
        "change": plain(one.batch),
    }


def renamed(one: Renamed) -> Document:
    """A thing that got another name."""
    return {
        "id": plain(one.entity),
        "was": short_name(one.was),
        "now": short_name(one.now),
        "was_key": plain(one.was),
        "now_key": plain(one.now),
    }
