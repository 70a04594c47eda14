"""Collections: curated, ordered lists of references, such as a report or a data product.

A collection stores references to identity nodes: a key that is added is wrapped into one, so that the list stays right
when a thing becomes another one. Keys stored by an earlier release are wrapped at the next change of their list, or all
at once by `migrate_collections`.
"""

import uuid
from collections.abc import Collection as Many
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, get_args
from uuid import UUID

from identity.errors import InvalidKey, MetadataError, shown
from identity.keys import SLUG, CanonicalKey, check_name, check_slug
from identity.nodes import (
    CollectionChange,
    IdentityKey,
    Positions,
    Reference,
    UnknownIdentity,
    added,
    after,
    keys_to_wrap,
    moved,
    parse_reference,
    reference_text,
    wrapped,
)
from resources.graph.given import LARGEST_NUMBER, NAME_LENGTH, TEXT_LENGTH, choice, number, text
from resources.graph.identities import Preview, ensured, previews
from resources.graph.noun import GraphNoun
from resources.postgres.session import Row, Session

CollectionKind = Literal["list", "report", "data_product"]


class InvalidCollection(InvalidKey):
    """not a valid collection, {reason}: {value!r}; {fix}"""


class UnknownCollection(MetadataError):
    """there is no collection {slug!r}"""

    slug: str
    exit_code: ClassVar[int] = 3


class CollectionExists(MetadataError):
    """there is another collection {slug!r}; nothing was written"""

    slug: str


class NotInCollection(MetadataError):
    """{reference} is not in the collection {slug!r}; nothing was written"""

    reference: str
    slug: str
    exit_code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSummary:
    """A collection without its items. `raw_keys` counts the items that are not wrapped yet."""

    slug: str
    name: str
    kind: CollectionKind
    description: str | None
    version: int
    items: int
    raw_keys: int
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MigratedCollection:
    """What wrapping the keys of one collection did, or would do: a node that is still to be made is None.

    `dropped` was in the list twice, as a key and as a reference to its node.
    """

    slug: str
    wrapped: Mapping[CanonicalKey, IdentityKey | None]
    dropped: tuple[Reference, ...]


_CREATE = "SELECT metadata.create_collection(%(id)s, %(slug)s, %(name)s, %(kind)s, %(description)s)"
_HOLD = "SELECT metadata.hold_collection(%(slug)s) AS id"
_FIND = "SELECT collection_id AS id FROM metadata.collection WHERE tenant_id = %(tenant)s AND slug = %(slug)s"
_ITEMS = """
SELECT i.reference, i.position FROM metadata.collection_item i
WHERE i.tenant_id = %(tenant)s AND i.collection_id = %(id)s ORDER BY i.position
"""
_CHANGE = """
SELECT metadata.change_collection(%(id)s, %(drop)s, %(keys)s, %(nodes)s, %(placed)s, %(positions)s)
"""
_DELETE = "SELECT metadata.delete_collection(%(slug)s) AS deleted"
_LIST = """
SELECT c.slug, c.name, c.kind, c.description, c.version, c.created_by, c.created_at, c.updated_at,
  count(i.item_id) AS items, count(i.item_id) FILTER (WHERE i.reference NOT LIKE 'identity:%%') AS raw_keys
FROM metadata.collection c
LEFT JOIN metadata.collection_item i ON i.tenant_id = c.tenant_id AND i.collection_id = c.collection_id
WHERE c.tenant_id = %(tenant)s AND (%(slug)s::text IS NULL OR c.slug = %(slug)s)
GROUP BY c.tenant_id, c.collection_id ORDER BY c.slug
"""
_KNOWN = """
SELECT k.key, n.identity_id FROM unnest(%(keys)s::text[]) AS k (key)
LEFT JOIN metadata.assets_named(%(keys)s) a ON a.key = k.key
JOIN metadata.identity_node n
  ON n.tenant_id = %(tenant)s AND n.target_key = coalesce(a.present_key, k.key) AND n.preferred
"""
_LEADING = "SELECT l.key, l.reference FROM metadata.leading_to(%(keys)s) l"
_HOLD_NAMES = "SELECT metadata.hold_names(false)"
_UNKNOWN = "SELECT metadata.unknown_identity(%(references)s) AS unknown"


@dataclass(frozen=True, slots=True)
class Collections(GraphNoun):
    """Make, fill, order and show collections. Who changes one waits for whoever changes it right now."""

    def create_collection(
        self, slug: str, *, name: str, kind: CollectionKind = "list", description: str | None = None
    ) -> CollectionSummary:
        """An empty collection; the one that is there when it was made the same way.

        Raises CollectionExists, InvalidCollection, InvalidInput.
        """
        check_slug(slug, InvalidCollection)
        check_name(name, InvalidCollection)
        name = text("name", name, longest=NAME_LENGTH) or ""
        description = text("description", description, longest=TEXT_LENGTH)
        choice("kind", kind, get_args(CollectionKind))
        given = {"slug": slug, "name": name, "kind": kind, "description": description}
        self.sessions.call(_CREATE, {"id": uuid.uuid4(), **given})
        made = self.collection(slug)
        if (made.name, made.kind, made.description) != (name, kind, description):
            raise CollectionExists(slug=slug)
        return made

    def collection(self, slug: str) -> CollectionSummary:
        """One collection. Raises UnknownCollection."""
        found = self._summaries(_known_slug(slug))
        if not found:
            raise UnknownCollection(slug=slug)
        return found[0]

    def collections(self) -> list[CollectionSummary]:
        """All collections in the order of their slugs."""
        return self._summaries(None)

    def delete_collection(self, slug: str) -> None:
        """Delete a collection with its items; the nodes stay, others may refer to them. Raises UnknownCollection."""
        parameters = {"slug": _known_slug(slug)}
        (row,) = self.sessions.perform(lambda session: session.rows(_DELETE, parameters))
        if not row["deleted"]:
            raise UnknownCollection(slug=slug)

    def add_items(self, slug: str, references: Sequence[Reference]) -> list[Reference]:
        """Append references in the order given, and answer with all items in order.

        A key is wrapped into an identity node, the same one for the same key; `identity:` references are stored as they
        are. What is in the collection stays where it is. Raises UnknownCollection, UnknownIdentity.
        """
        texts = [reference_text(one) for one in references]

        def add(session: Session) -> list[Reference]:
            collection, stored, nodes = _held(session, slug, keys_to_wrap(references))
            session.rows(_HOLD_NAMES)  # nodes stay from here on
            (row,) = session.rows(_UNKNOWN, {"references": texts})
            if row["unknown"]:
                raise UnknownIdentity(reference=row["unknown"])
            _write(session, collection, added(stored, references, nodes))
            return list(_items(session, collection))

        return self.sessions.perform(add)

    def remove_items(self, slug: str, references: Many[Reference]) -> list[Reference]:
        """Take references out, and with a key all that leads to its thing; answer with the rest in order.

        What is not there is no error: it may have been removed by the same request. Raises UnknownCollection.
        """
        for one in references:
            reference_text(one)

        def remove(session: Session) -> list[Reference]:
            collection, stored, _nodes = _held(session, slug)
            leading = _leading(session, keys_to_wrap(references)).values()
            gone = {*references, *(one for some in leading for one in some)}
            _write(session, collection, CollectionChange(drop=tuple(one for one in stored if one in gone)))
            return list(_items(session, collection))

        return self.sessions.perform(remove)

    def move_item(self, slug: str, reference: Reference, index: int) -> list[Reference]:
        """Make an item the `index`-th, from 0, and answer with all items in order; no other item moves.

        A key means the first item that leads to its thing. Raises UnknownCollection, NotInCollection.
        """
        reference_text(reference)
        number("index", index, least=-LARGEST_NUMBER)

        def move(session: Session) -> list[Reference]:
            collection, stored, _nodes = _held(session, slug)
            meant = {reference}
            if isinstance(reference, CanonicalKey):
                meant |= _leading(session, [reference])[reference]
            which = next((one for one in stored if one in meant), None)
            if which is None:
                raise NotInCollection(reference=str(reference), slug=slug)
            _write(session, collection, moved(stored, which, index))
            return list(_items(session, collection))

        return self.sessions.perform(move)

    def items(self, slug: str) -> list[Reference]:
        """The references of a collection, as stored and in order. Raises UnknownCollection."""
        with self.sessions.begin() as session:
            return list(_items(session, _found(session, slug)))

    def preview_collection(self, slug: str) -> list[Preview]:
        """The items in order, each with what it leads to now; a broken one says why. Raises UnknownCollection."""
        with self.sessions.begin() as session:
            return previews(self, session, list(_items(session, _found(session, slug))))

    def migrate_collections(self, *, dry_run: bool = False) -> list[MigratedCollection]:
        """Wrap every key that any collection still stores; what that did, or with `dry_run` what it would do.

        One transaction for each collection: it may be stopped and run again, and finds nothing the second time.
        """
        slugs = [one.slug for one in self.collections() if one.raw_keys]
        reports = [self._migrated(slug, dry_run=dry_run) for slug in slugs]
        return [one for one in reports if one is not None]

    def _migrated(self, slug: str, *, dry_run: bool) -> MigratedCollection | None:
        def wrap(session: Session) -> MigratedCollection | None:
            (row,) = session.rows(_HOLD, {"slug": slug})
            if row["id"] is None:  # deleted since it was listed
                return None
            stored = _items(session, row["id"])
            keys = keys_to_wrap(list(stored))
            known = _known(session, keys) if dry_run else ensured(session, keys)
            change = wrapped(stored, known | {key: IdentityKey(uuid.uuid4()) for key in keys if key not in known})
            if not dry_run:
                _write(session, row["id"], change)
            return MigratedCollection(slug=slug, wrapped={key: known.get(key) for key in keys}, dropped=change.drop)

        return self.sessions.perform(wrap)

    def _summaries(self, slug: str | None) -> list[CollectionSummary]:
        rows = self.sessions.call(_LIST, {"tenant": self.sessions.tenant.value, "slug": slug})
        return [CollectionSummary(**row) for row in rows]


def _known_slug(slug: str) -> str:
    """A slug that a collection can have. Raises UnknownCollection: there is none of another one."""
    if not isinstance(slug, str):
        raise TypeError("a slug is a str")
    if not SLUG.fullmatch(slug):
        raise UnknownCollection(slug=shown(slug))
    return slug


def _held(
    session: Session, slug: str, given: Many[CanonicalKey] = ()
) -> tuple[UUID, Positions, Mapping[CanonicalKey, IdentityKey]]:
    """A collection that nobody else changes until the transaction ends, its items, all of them wrapped by now, and the
    nodes of these and of the given keys: asked for at once, in one order for everybody."""
    (row,) = session.rows(_HOLD, {"slug": _known_slug(slug)})
    if row["id"] is None:
        raise UnknownCollection(slug=slug)
    stored = _items(session, row["id"])
    nodes = ensured(session, [*keys_to_wrap(list(stored)), *given])
    change = wrapped(stored, nodes)
    _write(session, row["id"], change)
    return row["id"], after(stored, change), nodes


def _leading(session: Session, keys: Many[CanonicalKey]) -> dict[CanonicalKey, set[Reference]]:
    """All references that lead to what each key names."""
    found: dict[CanonicalKey, set[Reference]] = {key: {key} for key in keys}
    for row in session.rows(_LEADING, {"keys": [str(key) for key in keys]}) if keys else ():
        found[CanonicalKey.parse(row["key"])].add(parse_reference(row["reference"]))
    return found


def _found(session: Session, slug: str) -> UUID:
    rows: list[Row] = session.rows(_FIND, {"tenant": session.tenant_value, "slug": _known_slug(slug)})
    if not rows:
        raise UnknownCollection(slug=slug)
    identifier: UUID = rows[0]["id"]
    return identifier


def _items(session: Session, collection: UUID) -> Positions:
    rows = session.rows(_ITEMS, {"tenant": session.tenant_value, "id": collection})
    return {parse_reference(row["reference"]): row["position"] for row in rows}


def _known(session: Session, keys: Many[CanonicalKey]) -> dict[CanonicalKey, IdentityKey]:
    rows = session.rows(_KNOWN, {"tenant": session.tenant_value, "keys": [str(key) for key in keys]})
    return {CanonicalKey.parse(row["key"]): IdentityKey(row["identity_id"]) for row in rows}


def _write(session: Session, collection: UUID, change: CollectionChange) -> None:
    if not change:
        return
    parameters = {
        "id": collection,
        "drop": [str(one) for one in change.drop],
        "keys": [str(key) for key in change.wrap],
        "nodes": [str(node) for node in change.wrap.values()],
        "placed": [str(one) for one in change.place],
        "positions": list(change.place.values()),
    }
    session.rows(_CHANGE, parameters)
