"""The frozen files: what a key, its digest and its ids are, for every version of this package."""

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, NAMESPACE_OID, NAMESPACE_URL, NAMESPACE_X500, UUID, uuid5

from identity.ids import NS_ROOT, Entity, child_id, sha256_of, tenant_id
from identity.keys import CanonicalKey, Kind

ROOT = Path(__file__).resolve().parents[2]
VECTORS = [json.loads(line) for line in (ROOT / "tests/vectors/keys.jsonl").read_text("ascii").splitlines()]
# RFC 9562, appendix A.4; Python's documentation of uuid, and its tests.
PUBLISHED = [
    (NAMESPACE_DNS, "www.example.com", "2ed6657d-e927-568b-95e1-2665a8aea6a2"),
    (NAMESPACE_DNS, "python.org", "886313e1-3b8a-5372-9b90-0c9aee199e5d"),
    (NAMESPACE_URL, "http://python.org/", "4c565f0d-3f5a-5890-b41b-20cf47701c5e"),
    (NAMESPACE_OID, "1.3.6.1", "1447fa61-5277-5fef-a9b3-fbc6e44f4af3"),
    (NAMESPACE_X500, "c=ca", "cc957dd1-a972-5349-98cd-874190002798"),
]


def thing(vector: dict[str, Any]) -> CanonicalKey:
    return CanonicalKey(Kind(vector["kind"]), vector["namespace"], tuple(vector["segments"]))


def test_the_root_of_all_ids_is_frozen() -> None:
    assert UUID("d6a36945-645d-4ac5-9ee1-ec690d0bebff") == NS_ROOT
    assert str(tenant_id("default")) == "232bda26-ed74-5dfb-b6ac-6545d0ec6aef"


def test_the_vectors_cover_what_they_should() -> None:
    assert len(VECTORS) >= 400
    assert len({vector["key"] for vector in VECTORS}) == len(VECTORS)
    assert len({entity for vector in VECTORS for entity in vector["ids"].values()}) == 2 * len(VECTORS)
    assert max(len(vector["key"]) for vector in VECTORS) == 1500


def test_every_vector() -> None:
    tenants = {slug: tenant_id(slug) for slug in ("default", "acme")}
    for vector in VECTORS:
        key = thing(vector)
        entities = {slug: Entity(tenant, key) for slug, tenant in tenants.items()}
        assert str(key) == vector["key"]
        assert CanonicalKey.parse(vector["key"]) == key
        assert {entity.key_sha256.hex() for entity in entities.values()} == {vector["sha256"]}
        assert {slug: str(entity.id) for slug, entity in entities.items()} == vector["ids"]


def test_children_and_digests_are_frozen() -> None:
    parent = Entity(tenant_id("default"), CanonicalKey.parse("mid1:dataset:jfk:flights/public/flights")).id
    assert str(child_id(parent, "column", "carrier")) == "dd39d090-17c7-56ee-854d-a334b0bd9cb6"
    assert str(child_id(parent, "column", "caf\u00e9")) == "01df392c-5efe-51a5-940f-3a265150dcd2"
    assert (
        sha256_of("a", b"a", None, "\u00e9").hex() == "0c5b048153932450734b94c94aabc074c531cb4340deca307e224ca89d0d628b"
    )


def test_uuidv5_is_the_one_of_the_rfc() -> None:
    for namespace, name, expected in PUBLISHED:
        assert uuid5(namespace, name) == UUID(expected)
