"""Names as people write them, and the keys that they mean: of things that are there, and of names to be."""

from typing import ClassVar

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, Kind, dataset_key, key_at, short_name
from metadata_assets.cli.exit_codes import ExitCode
from resources.metadata_store import MetadataStore


class NotAName(MetadataError):
    """{name} cannot be the new name of {of}: {fix}"""

    name: str
    of: str
    fix: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def is_key(name: str) -> bool:
    return name.startswith("mid1:")


def key_as_written(store: MetadataStore, name: str) -> CanonicalKey:
    """The key that a name writes, be it a present one or one that a thing had. Raises UnknownKey, AmbiguousKey.

    `store.resolve` leads from an old name to the present one; this says which name was meant, so that whoever renames
    by an old name is told so.
    """
    if is_key(name):
        return CanonicalKey.parse(name)
    present = store.resolve(name)
    if short_name(present) == name:
        return present
    had = (one.key for one in store.aliases_of(present) if one.valid_to is None and short_name(one.key) == name)
    return next(had, present)


def new_key(store: MetadataStore, of: CanonicalKey, name: str) -> CanonicalKey:
    """The key that `name` gives to the thing `of`: a full key, endpoint/schema/table, or the table's new name alone.

    What the name leaves out stays as it is; at another endpoint the source is the one of everything there. Raises
    NotAName, InvalidKey, UnknownEndpoint.
    """
    if is_key(name):
        return CanonicalKey.parse(name)
    if of.kind is not Kind.DATASET:
        raise _refused(of, name, "write the full key")
    if "/" not in name:
        return dataset_key(of.endpoint, source=of.source, schema=of.schema, table=name)
    endpoint, _, rest = name.partition("/")
    schema, slash, table = rest.partition("/")
    if of.schema is None or not slash:
        schema, table = None, rest  # type: ignore[assignment]
    if not table or (of.schema is not None and not schema):
        raise _refused(of, name, "write endpoint/schema/table, or the full key")
    _check_there(store, endpoint, of)
    source = source_at(store, endpoint, of)
    return dataset_key(endpoint, source=source, schema=schema, table=table)


def source_at(store: MetadataStore, endpoint: str, of: CanonicalKey) -> str | None:
    """The source that a thing has at an endpoint: its own where it is, elsewhere that of everything there."""
    if endpoint == of.endpoint:
        return of.source
    there = {one.key.source for one in store.datasets(collected=True) if one.key.endpoint == endpoint}
    if len(there) > 1 or (not there and of.source is not None):
        known = f"{endpoint} has several sources" if there else f"nothing at {endpoint} says what its source is"
        raise _refused(of, endpoint, f"{known}; write the full key")
    return next(iter(there), None)


def moved_key(store: MetadataStore, of: CanonicalKey, to: str) -> CanonicalKey:
    """The key of a thing moved to `endpoint` or `endpoint/schema`, under its own name. Raises UnknownEndpoint."""
    if of.kind is not Kind.DATASET:
        _check_there(store, to, of)
        return key_at(of, to)
    endpoint, slash, schema = to.partition("/")
    if slash and not schema:
        raise _refused(of, to, "write the schema after the slash")
    _check_there(store, endpoint, of)
    source = source_at(store, endpoint, of)
    return dataset_key(endpoint, source=source, schema=schema if slash else of.schema, table=of.table)


def _check_there(store: MetadataStore, endpoint: str, of: CanonicalKey) -> None:
    """Raise UnknownEndpoint for an endpoint that nobody registered, unless the thing is there already."""
    if endpoint != of.endpoint:
        store.registered_endpoint(endpoint)


def _refused(of: CanonicalKey, name: str, fix: str) -> NotAName:
    return NotAName(name=shown(name), of=short_name(of), fix=fix)


class NotOneOf(MetadataError):
    """{text} is no {what}; use one of {allowed}"""

    text: str
    what: str
    allowed: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT
