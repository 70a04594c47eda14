"""Assets: the record of every thing that has a key. This noun owns record identity."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from psycopg.types.json import Jsonb

from identity.errors import MetadataError, repeatable
from identity.ids import Entity, EntityId
from identity.keys import CanonicalKey, Kind, endpoint_key, short_name
from resources.metadata.finding import Ask, Thing, around, called, keys_like, nearest
from resources.metadata.noun import Noun
from resources.metadata.resolution import (
    HOLDER,
    alive,
    asked,
    births,
    hold_names,
    leading_key,
    owners,
    present_key,
    writable,
)
from resources.models import Asset, AssetType, Field
from resources.postgres.session import Row, Session
from resources.postgres.statistics import MANY, take_stock


class UnknownKey(MetadataError):
    """nothing is called {name}; {hint}"""

    name: str
    hint: str
    exit_code: ClassVar[int] = 3


class AmbiguousKey(MetadataError):
    """{name} could be any of {candidates}; write the full key"""

    name: str
    candidates: str
    exit_code: ClassVar[int] = 3


class NameLost(MetadataError):
    """{name} is gone, and its name is another thing's now; read it by its id {id}: dataset show, versions, lineage"""

    name: str
    id: str
    exit_code: ClassVar[int] = 3


class ReservedMetadata(MetadataError):
    """the metadata of {key} have {word}, which collections and merges write; call it otherwise, nothing was written"""

    key: str
    word: str
    exit_code: ClassVar[int] = 2


class OneThingTwice(MetadataError):
    """{one} and {other} are names of one thing; declare it once"""

    one: str
    other: str


_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

RESERVED: Final = ("merged", "moved_from", "object", "relation")
"""What `asset.metadata` say of a thing that was merged or collected; nobody else's to say."""

_GIVEN = """
FROM jsonb_to_recordset(%(assets)s) AS a (asset_id uuid, endpoint_id uuid, type text, name text, qualified_name text,
  key_sha256 text, description text, metadata jsonb, own boolean, slot text, leads boolean)
LEFT JOIN metadata.endpoint e ON e.tenant_id = %(tenant)s AND e.endpoint_id = a.endpoint_id
"""

# DO NOTHING waits for whoever creates the same asset right now, on whichever of its unique keys they meet.
_CREATE = (
    """
INSERT INTO metadata.asset
  (tenant_id, asset_id, endpoint_id, type, name, qualified_name, key_sha256, description, metadata, created_by)
SELECT %(tenant)s, a.asset_id, e.endpoint_id, a.type, a.name, a.qualified_name, decode(a.key_sha256, 'hex'),
  a.description, a.metadata, %(actor)s
"""
    + _GIVEN
    + """
WHERE NOT EXISTS (SELECT 1 FROM metadata.asset k WHERE k.tenant_id = %(tenant)s AND k.asset_id = a.asset_id)
ORDER BY a.asset_id
ON CONFLICT DO NOTHING
"""
)

# What a look of another tool (of a slot) says of a thing. It said this the last time, in its entry: where that stands,
# the description is its own, to change and to take back, down to the comment that a collection saw. Another one stands,
# unless it is the look's project that makes the thing.
_DESCRIPTION = """CASE
  WHEN a.slot IS NULL THEN coalesce(a.description, s.description)
  WHEN s.description IS NOT DISTINCT FROM (s.metadata -> a.slot ->> 'description')
    THEN coalesce(a.description, s.metadata ->> 'comment')
  WHEN a.leads OR s.description IS NULL THEN coalesce(a.description, s.description)
  ELSE s.description END"""

# A look of another tool saw no database: what a collection found gone is gone until one finds it again.
_COMES_BACK = "a.own AND a.slot IS NULL"

_CHANGED = (
    _GIVEN
    + f"""
JOIN metadata.asset s ON s.tenant_id = %(tenant)s AND s.asset_id = a.asset_id
WHERE metadata.is_collision(s.asset_id, s.qualified_name, s.key_sha256, a.qualified_name, decode(a.key_sha256, 'hex'))
  OR s.metadata || a.metadata <> s.metadata OR {_DESCRIPTION} IS DISTINCT FROM s.description
  OR (s.endpoint_id IS NULL AND e.endpoint_id IS NOT NULL AND s.qualified_name = a.qualified_name)
  OR (s.deleted_at IS NOT NULL AND {_COMES_BACK})
"""
)

_WOULD_CHANGE = "SELECT 1" + _CHANGED + "LIMIT 1"

# In the order of the ids, and only what changes: a commit that refers to these assets is not held up. A statement of
# its own, so that the UPDATE after it starts from the newest rows.
_LOCK = "SELECT s.asset_id" + _CHANGED + "ORDER BY s.asset_id FOR NO KEY UPDATE OF s"

_MERGE = (
    f"""
UPDATE metadata.asset t SET
  description = c.description, metadata = t.metadata || c.metadata,
  endpoint_id = coalesce(t.endpoint_id, c.endpoint_id), version = t.version + 1, updated_at = clock_timestamp(),
  deleted_at = CASE WHEN NOT c.comes_back OR t.metadata ? 'merged' THEN t.deleted_at END
FROM (SELECT s.asset_id, {_DESCRIPTION} AS description, a.metadata, e.endpoint_id, {_COMES_BACK} AS comes_back
"""
    + _CHANGED
    + """) c
WHERE t.tenant_id = %(tenant)s AND t.asset_id = c.asset_id AND t.asset_id = ANY (%(locked)s)
"""
)

_SHOW = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, a.type, a.description, a.metadata, a.deleted_at,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('name', f.name, 'type', f.type, 'nullable', f.nullable,
      'position', f.position, 'metadata', f.metadata) ORDER BY f.position, f.name), '[]')
   FROM metadata.schema_field f
   WHERE f.tenant_id = a.tenant_id AND f.asset_id = a.asset_id AND f.deleted_at IS NULL) AS fields
FROM metadata.asset a WHERE a.tenant_id = %(tenant)s AND a.asset_id = {HOLDER}
"""

_THING = f"""
SELECT a.asset_id AS entity_id, a.key_sha256 AS birth_sha256, a.deleted_at AS closed_at,
  {present_key("a.qualified_name")} AS present_key, {leading_key("a")} AS leading_key
FROM metadata.asset a WHERE a.tenant_id = %(tenant)s AND a.asset_id = {HOLDER}
"""


def register(session: Session, assets: Iterable[Asset]) -> int:
    """Make sure that the assets exist; how many rows that wrote (0 when all were there as given).

    Merges: what another producer knows (fields, a description, other metadata) stays. A key leads to its holder,
    however that is called by now; only one that nobody has gives birth to an asset. Raises OneThingTwice.
    """
    return registered(session, assets)[0]


def registered(
    session: Session, assets: Iterable[Asset], *, slot: str | None = None, leading: Collection[CanonicalKey] = ()
) -> tuple[int, dict[CanonicalKey, Entity]]:
    """`register`, and the entity of each key.

    With a `slot`, what another tool says: the entry of this name in the metadata is its own, and its description gives
    way to other people's, but for the things in `leading`. It brings nothing back that a collection found gone.
    """
    given = list(assets)
    keys = {asset.key for asset in given}
    said = {asset.key: {"slot": slot, "leads": asset.key in leading} for asset in given}
    there = _as_given(session, given, keys, said)
    if there is not None:
        return 0, there
    hold_names(session, exclusive=False)
    # Counted before it is looked: somebody else's birth in between is the one that is expected here, not one more.
    expected = births(session, keys)
    found = writable(session, keys)  # by the names as they stay; what is gone comes back by its own
    born = {key: expected[key] for key in keys - found.keys()}
    entities = found | born
    _check_each_is_its_own(entities)
    own = owners(session, found).keys() | born.keys()
    made = _parameters(session, [one for one in given if one.key in born], entities, said, own=own)
    created = session.count(_CREATE, made) if born else 0
    if created >= MANY:
        take_stock(session, "asset", "alias")
    if created == len(born):  # else somebody else made one of them meanwhile
        given = [one for one in given if one.key not in born]
    parameters = _parameters(session, given, entities, said, own=own)
    locked = [row["asset_id"] for row in session.rows(_LOCK, parameters)] if given else []
    return created + (session.count(_MERGE, {**parameters, "locked": locked}) if locked else 0), entities


def _as_given(
    session: Session, given: Collection[Asset], keys: Collection[CanonicalKey], said: Mapping[CanonicalKey, Row]
) -> dict[CanonicalKey, Entity] | None:
    """The entities of assets that are all there as given, so that nothing is to be written: no names need be held.

    None otherwise: then whoever writes decides anew, with the names held. Until then a thing may be merged or gone.
    """
    found = alive(session, keys)
    if len(found) < len(keys):
        return None
    _check_each_is_its_own(found)
    if given and session.rows(_WOULD_CHANGE, _parameters(session, given, found, said, own=found.keys())):
        return None
    return found


def _parameters(
    session: Session,
    given: Iterable[Asset],
    entities: Mapping[CanonicalKey, Entity],
    said: Mapping[CanonicalKey, Row],
    *,
    own: Collection[CanonicalKey],
) -> Row:
    rows = [_row(entities[asset.key], asset) | said[asset.key] | {"own": asset.key in own} for asset in given]
    endpoints = {row["endpoint"] for row in rows}
    ids = {slug: str(Entity(session.tenant, endpoint_key(slug)).id) for slug in endpoints}
    for row in rows:
        row["endpoint_id"] = ids[row.pop("endpoint")]
    return {"tenant": session.tenant_value, "actor": session.actor, "assets": Jsonb(rows)}


def _check_each_is_its_own(entities: Mapping[CanonicalKey, Entity]) -> None:
    names: dict[EntityId, CanonicalKey] = {}
    for key, entity in sorted(entities.items()):
        other = names.setdefault(entity.id, key)
        if other is not key:
            raise OneThingTwice(one=str(other), other=str(key))


def _row(entity: Entity, asset: Asset) -> Row:
    key = entity.key  # of what is born below a provisional endpoint that is registered by now, the registered one
    return {
        "asset_id": str(entity.id),
        "endpoint": key.endpoint,
        "type": asset.type,
        "name": own_name(key),
        "qualified_name": str(key),
        "key_sha256": entity.key_sha256.hex(),
        "description": asset.description,
        "metadata": dict(asset.metadata),
    }


def own_name(key: CanonicalKey) -> str:
    """What `asset.name` says of a key: the table of a dataset, the whole key of anything else."""
    return key.table if key.kind is Kind.DATASET else str(key)


def _spelled(key: CanonicalKey) -> str:
    """endpoint/schema/table, as somebody types it who does not know that a name has a slash in it."""
    parts = (key.endpoint, key.schema, key.table) if key.kind is Kind.DATASET else (str(key),)
    return "/".join(part for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class Assets(Noun):
    """Register, find and show assets."""

    def register_assets(self, assets: Iterable[Asset]) -> int:
        """Make sure that the assets exist; how many rows that wrote. Raises ReservedMetadata, OneThingTwice."""
        given = [said_by_callers(asset) for asset in assets]
        return self.sessions.perform(lambda session: register(session, given))

    def asset(self, thing: CanonicalKey | Entity) -> Asset:
        """One asset with its open fields, under the key that it has or had last.

        Raises UnknownKey, which names the nearest ones.
        """
        with self.session() as session:
            rows = session.rows(_SHOW, {"tenant": session.tenant_value, **asked(thing)})
            if not rows:
                key = thing.key if isinstance(thing, Entity) else thing
                raise _unknown(session.rows, _spelled(key), key)
        (row,) = rows
        return Asset(
            key=CanonicalKey.parse(row["qualified_name"]),
            type=AssetType(row["type"]),
            description=row["description"],
            fields=tuple(Field(**field) for field in row["fields"]),
            metadata=row["metadata"],
            closed_at=row["deleted_at"],
        )

    def resolve(self, name: str) -> CanonicalKey:
        """The key that leads to what a person means by a name, as `thing` finds it: its present one.

        Of what is gone, and whose name another thing has by now, an old one that still leads to it. Raises what `thing`
        does, and NameLost where no name leads there.
        """
        return key_of(self.thing(name))

    def thing(self, name: str) -> Thing:
        """What a person means by a full key, by endpoint/schema/table, or by an id.

        An old name leads to what it named, until something else has it, and so does the name of what is gone. Raises
        UnknownKey (with the nearest names) or AmbiguousKey (with the candidates).
        """
        ask = self.sessions.call
        if is_id(name):
            for row in ask(_THING, {"tenant": self.tenant.value, "id": name, "key": None}):
                return Thing.of(self.tenant, row)
            raise UnknownKey(name=name, hint="no thing has this id; `metadata-assets identity show` tells ids")
        if name.startswith("mid1:"):
            key = CanonicalKey.parse(name)
            for row in ask(_THING, {"tenant": self.tenant.value, **asked(key)}):
                return Thing.of(self.tenant, row)
            raise _unknown(ask, _spelled(key), key)
        found = called(ask, self.tenant, name)
        if not found:
            raise _unknown(ask, name, *keys_like(name))
        if len(found) > 1:
            raise AmbiguousKey(name=name, candidates=", ".join(str(one.key or one.entity.key) for one in found))
        return found[0]


def said_by_callers(asset: Asset) -> Asset:
    """The asset, when its metadata are its caller's to say. Raises ReservedMetadata."""
    for word in RESERVED:
        if word in asset.metadata:
            raise ReservedMetadata(key=str(asset.key), word=word)
    return asset


def is_id(name: str) -> bool:
    """Whether a text is written like the id of a thing."""
    return _ID.fullmatch(name) is not None


def key_of(thing: Thing) -> CanonicalKey:
    """A key that leads to a thing. Raises NameLost."""
    if thing.key is None:
        raise lost(thing)
    return thing.key


def lost(thing: Thing) -> NameLost:
    """What to tell whoever asks for the name of a thing that has none any more."""
    return NameLost(name=short_name(thing.entity.key), id=str(thing.entity.id))


def _unknown(ask: Ask, name: str, *keys: CanonicalKey) -> UnknownKey:
    own = name.rpartition("/")[2]
    near = nearest(name, ((_spelled(key), present) for key, present in around(ask, own, keys)))
    hint = f"the nearest: {', '.join(map(short_name, near))}" if near else "see: metadata-assets datasets --all"
    return UnknownKey(name=repeatable(name), hint=hint)
