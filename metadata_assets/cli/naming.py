"""Names as people write them, and the keys that they mean: of things that are there, and of names to be."""

from dataclasses import dataclass, field
from typing import ClassVar

from identity.credentials import holds_credential
from identity.errors import InvalidKey, MetadataError, shown
from identity.keys import CanonicalKey, Kind, dataset_key, key_at, short_name
from metadata_assets.cli.exit_codes import ExitCode
from resources.metadata.assets import UnknownKey, lost
from resources.metadata.finding import Thing
from resources.metadata_store import MetadataStore


class NotAName(MetadataError):
    """{name} cannot be the new name of {of}: {fix}"""

    name: str
    of: str
    fix: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NotAThing(MetadataError):
    """{name} is {what}; {fix}"""

    name: str
    what: str
    fix: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def thing_called(store: MetadataStore, name: str) -> Thing:
    """What is called so and can be renamed: no node, no column. Raises NotAThing, UnknownKey, AmbiguousKey."""
    if name.startswith("identity:"):
        fix = "name what it leads to, or let it lead to something else with `metadata-assets identity retarget`"
        raise NotAThing(name=shown(name), what="an identity node", fix=fix)
    try:
        return store.thing(name)
    except (UnknownKey, InvalidKey):
        if "#" not in name or holds_credential(name):  # a part of it may look harmless
            raise
        store.thing(name.rpartition("#")[0])  # where there is no such dataset either, that is told
        fix = "name its dataset; collections see for themselves what a source calls its columns"
        raise NotAThing(name=shown(name), what="a column", fix=fix) from None


def is_key(name: str) -> bool:
    return name.startswith("mid1:")


def key_as_written(store: MetadataStore, thing: Thing, name: str) -> CanonicalKey:
    """The key that a name of a thing writes, be it a present one or one that it had.

    `store.thing` leads from an old name to the present one; this says which name was meant, so that whoever renames
    by an old name is told so.
    """
    if is_key(name):
        return CanonicalKey.parse(name)
    own = thing.entity.key
    if short_name(own) == name and not thing.name_taken:
        return own
    had = (one.key for one in store.aliases_of(thing.entity) if one.valid_to is None and short_name(one.key) == name)
    return next(had, thing.key or own)


def key_to_rename(store: MetadataStore, name: str) -> CanonicalKey:
    """The key that a name of a thing that may be renamed writes. Raises NameLost, UnknownKey, AmbiguousKey."""
    thing = thing_called(store, name)
    if thing.name_taken:
        raise lost(thing)
    return key_as_written(store, thing, name)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things may go: what one command asks about endpoints, once for each endpoint."""

    store: MetadataStore
    _sources: dict[str, frozenset[str | None]] = field(default_factory=dict)

    def new_key(self, of: CanonicalKey, name: str) -> CanonicalKey:
        """The key that `name` gives to the thing `of`: a full key, endpoint/schema/table, or a new table name alone.

        What the name leaves out stays as it is; at another endpoint the source is the one of everything there. Raises
        NotAName, InvalidKey, UnknownEndpoint.
        """
        if is_key(name):
            key = CanonicalKey.parse(name)
            self._check_there(key.endpoint, of)
            return key
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
        self._check_there(endpoint, of)
        return dataset_key(endpoint, source=self._source_at(endpoint, of), schema=schema, table=table)

    def moved_key(self, of: CanonicalKey, to: str) -> CanonicalKey:
        """The key of a thing moved to `endpoint` or `endpoint/schema`, under its own name. Raises UnknownEndpoint."""
        if of.kind is not Kind.DATASET:
            self._check_there(to, of)
            return key_at(of, to)
        endpoint, slash, schema = to.partition("/")
        if slash and not schema:
            raise _refused(of, to, "write the schema after the slash")
        self._check_there(endpoint, of)
        source = self._source_at(endpoint, of)
        return dataset_key(endpoint, source=source, schema=schema if slash else of.schema, table=of.table)

    def _check_there(self, endpoint: str, of: CanonicalKey) -> None:
        """Raise UnknownEndpoint for one that is neither registered nor provisional, unless the thing is there."""
        if endpoint != of.endpoint:
            self._at(endpoint)

    def _source_at(self, endpoint: str, of: CanonicalKey) -> str | None:
        """The source that a thing has at an endpoint: its own where it is, elsewhere that of everything there."""
        if endpoint == of.endpoint:
            return of.source
        there = self._at(endpoint)
        if len(there) > 1 or (not there and of.source is not None):
            known = f"{endpoint} has several sources" if there else f"nothing at {endpoint} says what its source is"
            raise _refused(of, endpoint, f"{known}; write the full key")
        return next(iter(there), None)

    def _at(self, endpoint: str) -> frozenset[str | None]:
        if endpoint not in self._sources:
            self.store.check_destination(endpoint)
            self._sources[endpoint] = self.store.sources_at(endpoint)
        return self._sources[endpoint]


def _refused(of: CanonicalKey, name: str, fix: str) -> NotAName:
    return NotAName(name=shown(name), of=short_name(of), fix=fix)


class NotOneOf(MetadataError):
    """{text} is no {what}; use one of {allowed}"""

    text: str
    what: str
    allowed: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT
