"""Ids and digests. The only file that hashes, so that an id can only be the one that its key leads to.

    tenant id = uuid5(NS_ROOT, "tenant:" + slug)
    entity id = uuid5(tenant id, key)            and key + "#" + n for the n-th thing that was born under one key
    child id  = uuid5(id of the parent, kind and name)

An id is computed once, from the key under which a thing is born. It stays when the thing is renamed: from then on the
id of a key is what the stores' aliases say. `Entity.from_database` is how they say it.

A UUID holds 122 bits of a SHA-1, so two keys could be made to share one on purpose: stores keep `key_sha256` beside
the id and compare it on every write.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from typing import Final, Self, assert_never
from uuid import UUID, uuid5

from identity.errors import InvalidTenant
from identity.kept import kept
from identity.keys import CanonicalKey, check_name, check_slug

NS_ROOT: Final = UUID("d6a36945-645d-4ac5-9ee1-ec690d0bebff")
"""The root of every id ever stored. Frozen: another value is another product."""

DEFAULT_TENANT: Final = "default"
"""The tenant of a team that never heard of tenants."""


class _Seal:
    """Known to this module only: whoever has it may make an id."""


_SEAL: Final = _Seal()


@dataclass(frozen=True, slots=True, order=True)
class TenantId:
    """The namespace of one tenant's ids. Made by `tenant_id(slug)` and nothing else."""

    value: UUID
    seal: InitVar[_Seal | None] = None

    def __post_init__(self, seal: _Seal | None) -> None:
        if seal is not _SEAL:
            raise TypeError("a TenantId is made by tenant_id(slug)")

    def __str__(self) -> str:
        return str(self.value)


def tenant_id(slug: str) -> TenantId:
    """The id of the tenant with this slug. Raises InvalidTenant when it is not `[a-z0-9][a-z0-9_-]{0,62}`."""
    check_slug(slug, InvalidTenant)
    return TenantId(uuid5(NS_ROOT, f"tenant:{slug}"), _SEAL)


@dataclass(frozen=True, slots=True, order=True)
class EntityId:
    """The id of one entity. Computed by `Entity` from a tenant and a key; nobody can hand one in.

    Ordered as PostgreSQL orders uuids: rows of several entities are locked in this order.
    """

    value: UUID
    seal: InitVar[_Seal | None] = None

    def __post_init__(self, seal: _Seal | None) -> None:
        if seal is not _SEAL:
            raise TypeError("an EntityId is computed: write Entity(tenant, key).id")

    @classmethod
    def from_database(cls, value: UUID) -> Self:
        """The id in a row. Only for values read from our own tables, which were computed when they were written."""
        if not isinstance(value, UUID):
            raise TypeError("an id in our tables is a UUID; a key becomes an id by Entity(tenant, key).id")
        return cls(value, _SEAL)

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class _Birth:
    """The identity of a thing whose key is not, or not alone, what it was born under."""

    id: EntityId
    key_sha256: bytes


@dataclass(frozen=True, slots=True)
class Entity:
    """One thing of one tenant, by the key that it is asked for. Its id follows from the two and cannot be chosen.

    `Entity(tenant, key)` is what the key names when it never named anything else; computable by anyone, without a
    store. What a renamed thing is, and a later thing of the same name, a store knows.
    """

    tenant: TenantId
    key: CanonicalKey
    birth: _Birth | None = None
    _first: _Birth | None = field(default=None, init=False, repr=False, compare=False)
    """What follows from tenant and key, computed when it is asked for, and once."""

    def __post_init__(self) -> None:
        if not isinstance(self.tenant, TenantId) or not isinstance(self.key, CanonicalKey):
            raise TypeError("an Entity is a TenantId, made by tenant_id(slug), and a CanonicalKey")
        if self.birth is not None and not isinstance(self.birth, _Birth):
            raise TypeError("nobody hands an id to an Entity: it takes a TenantId and a CanonicalKey")

    @classmethod
    def from_database(cls, tenant: TenantId, key: CanonicalKey, identifier: UUID, key_sha256: bytes) -> Self:
        """Whom a key names according to our own tables: its id, and the digest of what it was born under."""
        first = cls(tenant, key)
        if bytes(key_sha256) == first.key_sha256 and identifier == first.id.value:
            return first
        return cls(tenant, key, _Birth(EntityId.from_database(identifier), bytes(key_sha256)))

    @classmethod
    def of_generation(cls, tenant: TenantId, key: CanonicalKey, number: int) -> Self:
        """The `number`-th thing that is born under a key; the first one is `Entity(tenant, key)`."""
        if number < 1:
            raise ValueError("generations count from 1")
        if number == 1:
            return cls(tenant, key)
        name = f"{key}#{number}"  # no key has a # in it: it is %23 there
        return cls(tenant, key, _Birth(EntityId(uuid5(tenant.value, name), _SEAL), _digest(name)))

    @property
    def id(self) -> EntityId:
        return self._born.id

    @property
    def key_sha256(self) -> bytes:
        """SHA-256, 32 bytes, of the text that the id was computed from: equal wherever the id is equal."""
        return self._born.key_sha256

    @property
    def _born(self) -> _Birth:
        born = self.birth or self._first
        if born is None:
            text = str(self.key)
            born = _Birth(EntityId(uuid5(self.tenant.value, text), _SEAL), _digest(text))
            object.__setattr__(self, "_first", born)
        return born


def key_digest(key: CanonicalKey) -> bytes:
    """SHA-256, 32 bytes, of a key's text: what aliases are looked up by. A text that is one is a TypeError."""
    if not isinstance(key, CanonicalKey):
        raise TypeError("only a CanonicalKey has a digest; a text becomes one by CanonicalKey.parse(text)")
    return _digest(str(key))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def child_id(parent: EntityId, kind: str, name: str, *, generation: int = 1) -> UUID:
    """The id of a part of an entity, such as ("column", "carrier"): stable while the parent is renamed.

    Kind and name carry their lengths in UTF-8 bytes, so ("a", "bc") and ("ab", "c") differ. A part that is born under
    the name of an earlier one has another generation. Raises InvalidKey.
    """
    if generation < 1:
        raise ValueError("generations count from 1")
    if not isinstance(parent, EntityId):
        raise TypeError("the parent of a child id is an EntityId")
    later = "" if generation == 1 else f"#{generation}"  # after a name whose length is told: no other name reads so
    return uuid5(parent.value, f"{_child(kind, name).decode()}{later}")


def digest_id(parent: EntityId, kind: str, digest: str) -> UUID:
    """`child_id` of a part that a digest names, in hexadecimal: nothing can be hidden in it, so nobody looks."""
    if not _DIGEST.fullmatch(digest):
        raise TypeError("a digest is written in 64 hexadecimal digits")
    return uuid5(parent.value, f"{_counted(kind).decode()}{len(digest)}:{digest}")


_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def column_id(dataset: EntityId, name: str, *, generation: int = 1) -> UUID:
    """The id of the column that is born under a name in a dataset; it stays when either of the two is renamed."""
    return child_id(dataset, "column", name, generation=generation)


def column_ids(dataset: EntityId, names: Iterable[str]) -> list[str]:
    """The texts, in hexadecimal, of the ids that columns of these names are born under first, in their order.

    Texts, for there are tens of thousands at a time, which are written and not looked at. Raises InvalidKey.
    """
    if not isinstance(dataset, EntityId):
        raise TypeError("the parent of a child id is an EntityId")
    parent = dataset.value.bytes + _counted("column")
    return [_uuid5(hashlib.sha1(parent + _counted(name)).digest()) for name in names]


def _uuid5(sha1: bytes) -> str:
    """A UUID of version 5, as RFC 9562 has it: the first 16 bytes, with the version and the variant written over."""
    number = int.from_bytes(sha1[:16], "big")
    return f"{number & ~_VERSION_AND_VARIANT | _VERSION_5:032x}"


_VERSION_AND_VARIANT: Final = 0xF000 << 64 | 0xC000 << 48
_VERSION_5: Final = 0x5000 << 64 | 0x8000 << 48


def _child(kind: str, name: str) -> bytes:
    """Kind and name as child ids have them. Raises InvalidKey."""
    return _counted(kind) + _counted(name)


@kept(4096)  # many tables have columns of the same names
def _counted(text: str) -> bytes:
    check_name(text)
    return f"{len(text.encode())}:{text}".encode()


def sha256_of(*parts: str | bytes | None) -> bytes:
    """SHA-256, 32 bytes, of a tuple: no two different tuples feed the same bytes to it.

    Each part goes in as a tag for its type, its length in 8 bytes (big endian) and its bytes. Never fails on a str:
    lone surrogates are hashed as the three bytes that UTF-8 would give them.
    """
    return hashlib.sha256(b"".join(map(_framed, parts))).digest()


def _framed(part: str | bytes | None) -> bytes:
    match part:
        case None:
            return b"n"
        case str():
            tag, raw = b"s", part.encode("utf-8", "surrogatepass")
        case bytes():
            tag, raw = b"b", part
        case _:
            assert_never(part)
    return tag + len(raw).to_bytes(8, "big") + raw
