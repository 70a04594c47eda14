"""The frozen names that other catalogs have for our things, and what neither side can say."""

import json
from pathlib import Path
from typing import Any

import pytest
from external_catalogs import CATALOGS, READ, written

from identity.errors import InvalidKey
from identity.keys import CanonicalKey

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).resolve().parents[1] / "vectors/external_names.jsonl").read_text("ascii").splitlines()
]


def test_there_are_vectors_for_every_catalog() -> None:
    assert {vector["catalog"] for vector in VECTORS} == set(CATALOGS)
    assert len(VECTORS) >= 100


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "refused" not in vector], ids=str)
def test_a_key_has_its_name_and_the_name_leads_back(vector: dict[str, Any]) -> None:
    catalog, key = CATALOGS[vector["catalog"]], CanonicalKey.parse(vector["key"])
    assert written(catalog.name_of(key)) == vector["name"]
    assert catalog.key_of(READ[vector["catalog"]](vector["name"])) == key


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if "refused" in vector], ids=str)
def test_what_the_other_side_cannot_say_is_refused(vector: dict[str, Any]) -> None:
    catalog = CATALOGS[vector["catalog"]]
    translate, given = (
        (catalog.name_of, CanonicalKey.parse(vector["key"]))
        if "key" in vector
        else (catalog.key_of, READ[vector["catalog"]](vector["name"]))
    )
    with pytest.raises(InvalidKey) as refusal:
        translate(given)
    assert vector["refused"] in refusal.value.reason
    assert refusal.value.fix
    assert refusal.value.exit_code == 2
