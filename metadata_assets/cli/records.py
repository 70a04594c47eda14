"""The records in JSON. These field names are a promise to scripts; a record may rename its own."""

from collections.abc import Sequence
from typing import Any

from identity.keys import short_name
from metadata_assets.cli.output import plain
from resources.models import Alias, Asset, Current, DatasetSummary, Input, Materialization, Renamed, Version
from resources.version_records import DatasetVersion, Pin, Release, Retraction, Stale

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
        **said_of(one),
    }


def said_of(one: Version | None) -> Document:
    """What people said of a version: a rollback has what `restored` had; `release` is the name of its release."""
    return {
        "kind": one.kind if one else None,
        "reason": one.reason if one else None,
        "release": one.release if one else None,
        "restored": one.restored if one else None,
    }


def retraction(one: Retraction) -> Document:
    """Data that somebody took away; `version` is the one that went on without it, if readers had it."""
    return {
        "materialization": plain(one.materialization_id),
        "name": short_name(one.key),
        "key": plain(one.key),
        "partition": one.partition,
        "version": one.version,
        "reason": one.reason,
        "actor": one.actor,
        "at": plain(one.at),
    }


def release(one: Release) -> Document:
    """Versions that were published together."""
    return {
        "release": one.name,
        "versions": _versions(one.versions),
        "reason": one.reason,
        "actor": one.actor,
        "released_at": plain(one.released_at),
    }


def pin(one: Pin) -> Document:
    """A name for versions."""
    return {
        "name": one.name,
        "state": one.state,
        "versions": _versions(one.versions),
        "reason": one.reason,
        "created_by": one.created_by,
        "created_at": plain(one.created_at),
        "expires_at": plain(one.expires_at),
        "removed_at": plain(one.removed_at),
        "removed_by": one.removed_by,
    }


def stale(one: Stale) -> Document:
    """A partition that has to be made anew; `cause` is the materialization that it was made from, if that is why."""
    return {
        "name": short_name(one.key),
        "key": plain(one.key),
        "partition": one.partition,
        "materialization": plain(one.materialization_id),
        "reason": one.reason,
        "actor": one.actor,
        "at": plain(one.at),
        "cause": plain(one.cause),
    }


def _versions(some: Sequence[DatasetVersion]) -> list[Document]:
    return [{"name": short_name(one.key), "key": plain(one.key), "version": one.version} for one in some]


def versions_named(some: Sequence[DatasetVersion]) -> str:
    """`DATASET@VERSION`, for people."""
    return ", ".join(f"{short_name(one.key)}@{one.version}" for one in some)


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
