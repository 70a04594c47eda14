"""The frozen files: what a key, its digest and its ids are, for every version of this package."""

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, NAMESPACE_OID, NAMESPACE_URL, NAMESPACE_X500, UUID, uuid5

import pytest

from identity.ids import NS_ROOT, Entity, child_id, sha256_of, tenant_id
from identity.keys import CanonicalKey, Kind

ROOT = Path(__file__).resolve().parents[2]
VECTORS = [json.loads(line) for line in (ROOT / "tests/vectors/keys.jsonl").read_text("ascii").splitlines()]
PUBLISHED = ROOT.parent / "shared/data/vectors/uuidv5.tsv"
NAMESPACES = {
    "NAMESPACE_DNS": NAMESPACE_DNS,
    "NAMESPACE_URL": NAMESPACE_URL,
    "NAMESPACE_OID": NAMESPACE_OID,
    "NAMESPACE_X500": NAMESPACE_X500,
}


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


def published() -> list[tuple[str, str, str]]:
    lines = PUBLISHED.read_text("utf-8").splitlines()[1:] if PUBLISHED.exists() else []
    return [(namespace, name, uuid) for namespace, name, uuid, _ in (line.split("\t") for line in lines)]


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published vectors are not beside this checkout")
def test_uuidv5_is_the_one_of_the_rfc() -> None:
    assert published()
    for namespace, name, expected in published():
        assert uuid5(NAMESPACES[namespace], name) == UUID(expected)
