"""What is no usable manifest is refused with its file, node, field and the way out."""

import json
from pathlib import Path
from typing import Any

import pytest

from identity.errors import MetadataError
from metadata_assets.importers.dbt import read_project
from metadata_assets.importers.dbt_manifest import read_manifest
from metadata_assets.importers.errors import InvalidManifest, InvalidNode
from tests.importers.dbt_projects import Entry, catalog, manifest, node, source, written


def without(entry: Entry, *path: str) -> Entry:
    """The entry without what is there."""
    inside = entry
    for step in path[:-1]:
        inside = inside[step]
    del inside[path[-1]]
    return entry


def schema(text: object) -> Entry:
    document = manifest()
    document["metadata"]["dbt_schema_version"] = text
    return document


def adapter(name: object) -> Entry:
    return manifest(adapter=name)  # type: ignore[arg-type]


NO_MANIFEST: dict[str, tuple[Any, str]] = {
    "a list": (
        [],
        "it is not a dbt manifest, it has no metadata; run `dbt compile`, and give its target/manifest.json",
    ),
    "another document": ({"nodes": {}}, "it has no metadata"),
    "run results": (
        {"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v4.json"}},
        "it is not a dbt manifest, its metadata has no dbt_schema_version of one; give a manifest.json",
    ),
    "too old": (manifest(version=3), "it is of schema v3, and v4 to v12 can be read; compile the project with dbt 1.0"),
    "too new": (manifest(version=13), "v13, and v4 to v12 can be read; use a release of metadata-assets that knows it"),
    "no version": (schema(None), "dbt_schema_version"),
    "a strange version": (schema("https://schemas.getdbt.com/dbt/manifest/v²x.json"), "dbt_schema_version"),
    "no adapter": (without(manifest(), "metadata", "adapter_type"), "no adapter_type"),
    "a number as adapter": (adapter(7), "no adapter_type"),
    "an adapter nobody knows": (adapter("abacus"), "the names of the adapter abacus; the known ones are athena, "),
    "no nodes": (without(manifest(), "nodes"), "it has no nodes; it was cut or changed: compile it again"),
    "a list of sources": (manifest() | {"sources": []}, "it has no sources"),
    "no project": (manifest(project=None), "which of its packages is the project (it has none); say it with --name"),
    "a password as project": (manifest(project="postgresql://me:pw@db/x"), "its project: it looks like a connection"),
}


@pytest.mark.parametrize("case", NO_MANIFEST)
def test_what_is_no_manifest(tmp_path: Path, case: str) -> None:
    document, said = NO_MANIFEST[case]
    with pytest.raises(InvalidManifest) as raised:
        read_project(written(tmp_path, document))
    assert str(raised.value).startswith("manifest.json cannot be imported: ")
    assert said in str(raised.value)
    assert (raised.value.exit_code, "pw" in str(raised.value)) == (2, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "it is not JSON, line 1"),
        (b"\xff\xfe{}", "it is not JSON"),
        (b'{"metadata": NaN}', "it is not JSON"),
        (b"[" * 200_000, "it is not JSON"),
        (None, "it cannot be read, no such file or directory"),
    ],
)
def test_what_is_no_json(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidManifest, match=said):
        read_project(path)


def nodes_with(**facts: Any) -> Entry:
    return manifest(node("model", "orders", **facts))


BAD_NODES: dict[str, tuple[Entry, str]] = {
    "no name": (manifest(without(node("model", "orders"), "name")), "model.shop.orders: name: it is missing"),
    "no alias": (nodes_with(alias=None), "model.shop.orders: alias: it is missing"),
    "no identifier": (manifest(source("raw", identifier=None)), "source.shop.raw: identifier: it is missing"),
    "no schema": (manifest(without(node("model", "orders"), "schema")), "model.shop.orders: schema: it is missing"),
    "no package": (manifest(without(node("seed", "c"), "package_name")), "seed.shop.c: package_name: it is missing"),
    "a number as schema": (nodes_with(schema=7), "model.shop.orders: schema: input should be a valid string"),
    "columns in a list": (nodes_with(columns=[1]), "model.shop.orders: columns: input should be a valid dictionary"),
    "a column without name": (nodes_with(columns={"id": {}}), "model.shop.orders: columns.id.name: it is missing"),
    "no object": (manifest() | {"nodes": {"model.shop.x": 1}}, "model.shop.x: nodes: it is no object"),
    "no kind": (manifest() | {"nodes": {"model.shop.x": {}}}, "model.shop.x: resource_type: it is missing"),
    "another id": (
        manifest() | {"nodes": {"model.shop.x": node("model", "y")}},
        "model.shop.x: unique_id: it is another",
    ),
    "a test without name": (
        manifest() | {"nodes": {"test.shop.t": {"resource_type": "test", "unique_id": "test.shop.t"}}},
        "test.shop.t: name: it is missing",
    ),
}


@pytest.mark.parametrize("case", BAD_NODES)
def test_a_node_that_cannot_be_read(tmp_path: Path, case: str) -> None:
    document, said = BAD_NODES[case]
    with pytest.raises(InvalidNode) as raised:
        read_project(written(tmp_path, document))
    assert str(raised.value).startswith(f"manifest.json cannot be imported: {said}")
    assert str(raised.value).endswith("; compile the project again, or correct the file")


def test_a_catalog_is_checked_too(tmp_path: Path) -> None:
    good = written(tmp_path, manifest())
    with pytest.raises(InvalidManifest, match=r"catalog\.json cannot be imported: it is not a dbt catalog"):
        read_project(good, written(tmp_path, manifest(), "catalog.json"))
    bad = without(catalog({"model.shop.x": {"id": "int"}}), "nodes", "model.shop.x", "columns", "id", "type")
    with pytest.raises(MetadataError, match=r"catalog\.json.*model\.shop\.x: columns\.id\.type: it is missing"):
        read_project(good, written(tmp_path, bad, "catalog.json"))


@pytest.mark.parametrize("version", range(4, 13))
def test_every_version_is_read_with_what_it_leaves_out(tmp_path: Path, version: int) -> None:
    """Old ones have no relation names and no groups; nulls stand where others have lists."""
    facts: Entry = {"tags": None, "meta": None, "columns": None, "depends_on": None, "relation_name": None}
    document = manifest(
        node("seed", "c", **facts), {"resource_type": "analysis"} | node("analysis", "a"), version=version
    )
    read = read_manifest(written(tmp_path, json.loads(json.dumps(document))))
    assert (read.version, list(read.nodes)) == (version, ["seed.shop.c"])
