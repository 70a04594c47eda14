"""Selecting datasets as dbt users know it."""

import shutil
from pathlib import Path

import pytest

from identity.errors import MetadataError
from metadata_assets.spec import Project, load_project
from metadata_assets.spec.fingerprints import PARTS
from metadata_assets.spec.manifest import Manifest, ManifestUnusable, read_manifest
from metadata_assets.spec.selecting import NotASelection, NothingSelected, selected

METADATA = """name: shop
endpoints:
  crm: {system: postgres, database: crm}
  lake: {system: files}
"""
RAW = """datasets:
  - {name: customers, endpoint: lake, schema: raw, python: "code:f", depends_on: [crm/public/people], tags: [pii]}
  - {name: orders, endpoint: lake, schema: raw, python: "code:f", depends_on: [crm/public/orders], tags: [daily]}
  - {name: items, endpoint: lake, schema: raw, python: "other:f", depends_on: [crm/public/orders], tags: [daily, big]}
"""
MART = """datasets:
  - {name: bought, endpoint: lake, schema: mart, sql: bought.sql, group: sales, owners: [team:a]}
  - name: people
    endpoint: lake
    schema: mart
    group: sales
    python: code:f
    depends_on: [{dataset: lake/mart/bought, as: b}, {dataset: lake/raw/customers, as: c}]
  - {name: report, endpoint: lake, schema: mart, python: "code:f", depends_on: [{dataset: lake/mart/people, as: p}]}
"""
# orders ─┐
# items ──┴─ bought ─┐
# customers ─────────┴─ people ── report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "shop"
    (here / "datasets" / "mart").mkdir(parents=True)
    (here / "metadata.yml").write_text(METADATA)
    (here / "datasets" / "raw.yml").write_text(RAW)
    (here / "datasets" / "mart" / "mart.yml").write_text(MART)
    (here / "datasets" / "mart" / "bought.sql").write_text("SELECT * FROM {{ ref('orders') }}, {{ ref('items') }}")
    (here / "code.py").write_text("import helper\nfrom steps.more import thing\n\ndef f(): ...\n")
    (here / "other.py").write_text("def f(): ...\n")
    (here / "helper.py").write_text("N = 1\n")
    (here / "steps").mkdir()
    (here / "steps" / "more.py").write_text("from . import deep\nthing = 1\n")
    (here / "steps" / "deep.py").write_text("N = 1\n")
    return here


@pytest.fixture
def project(folder: Path) -> Project:
    return load_project(folder)


ALL = "bought customers items orders people report"


@pytest.mark.parametrize(
    ("select", "exclude", "names"),
    [
        ([], [], ALL),
        (["orders"], [], "orders"),
        (["lake/raw/orders"], [], "orders"),
        (["mid1:dataset:lake:~/raw/orders"], [], "orders"),
        (["+bought"], [], "bought items orders"),
        (["bought+"], [], "bought people report"),
        (["bought+1"], [], "bought people"),
        (["1+people"], [], "bought customers people"),
        (["1+people+1"], [], "bought customers people report"),
        (["+people+"], [], ALL),
        (["@orders"], [], ALL),
        (["@customers"], ["report"], "bought customers items orders people"),
        (["orders customers"], [], "customers orders"),
        (["orders", "customers"], [], "customers orders"),
        (["tag:daily"], [], "items orders"),
        (["tag:daily,tag:big"], [], "items"),
        (["tag:pii tag:big"], [], "customers items"),
        (["+group:sales,tag:daily"], [], "items orders"),
        (["group:sales"], ["people+"], "bought"),
        (["kind:sql"], [], "bought"),
        (["kind:python,endpoint:lake"], ["tag:*"], "people report"),
        (["owner:team:a"], [], "bought"),
        (["path:datasets/mart"], [], "bought people report"),
        (["path:datasets/mart/bought.sql"], [], "bought"),
        (["*rder*"], [], "orders"),
        (["lake/raw/*"], [], "customers items orders"),
        (["source:crm/public/orders+1"], [], "items orders"),
        (["source:crm+"], [], ALL),
        (["name:report"], [], "report"),
        ([], ["+bought"], "customers people report"),
    ],
)
def test_what_is_selected(project: Project, select: list[str], exclude: list[str], names: str) -> None:
    found = selected(project, select, exclude)
    assert " ".join(sorted(one.name for one in found)) == names


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("ordes", "the project shop has no dataset ordes to select; did you mean orders?"),
        ("lake/raw/ordes", "the project shop has no dataset lake/raw/ordes to select; did you mean lake/raw/orders"),
        ("tag:dialy", "the project shop has no tag dialy to select; did you mean daily?"),
        ("group:x", "the project shop has no group x to select; known are sales"),
        ("source:crm/public/ordes", "has no source crm/public/ordes to select; did you mean crm/public/orders"),
        ("tags:daily", "'tags:daily' selects nothing: there is no method 'tags'; did you mean tag"),
        ("@orders+", " selects nothing: it is not understood; write name, +name, name+2"),
        ("orders,,items", "'' selects nothing: it is not understood"),
        ("state:modified", "state:modified selects nothing: nothing says what was before; name a manifest with"),
        ("state:modifed", "state:modifed selects nothing: there is no such state; did you mean modified"),
        ("state:modified.x", "state:modified.x selects nothing: there is no such state; did you mean modified"),
    ],
)
def test_what_means_nothing_is_told_with_the_nearest(project: Project, select: str, said: str) -> None:
    with pytest.raises((NotASelection, NothingSelected)) as refused:
        selected(project, [select])
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "modified", "parts"),
    [
        ("datasets/mart/bought.sql", "SELECT *", "SELECT 1", "bought", {"code"}),
        ("helper.py", "1", "2", "customers orders people report", {"code"}),
        ("steps/deep.py", "1", "2", "customers orders people report", {"code"}),
        ("other.py", "...", "return 1", "items", {"code"}),
        ("datasets/raw.yml", "[pii]", "[pii, eu]", "customers", {"config"}),
        ("datasets/raw.yml", "crm/public/people", "crm/public/persons", "customers", {"inputs"}),
        ("datasets/raw.yml", "tags: [pii]", "tags: [pii], columns: [{name: a, unique: true}]", "customers", None),
        ("datasets/raw.yml", "  - {name: c", "\n  # moved\n  - {name: c", "", None),
        ("datasets/raw.yml", "name: customers", "name: custom", None, None),
    ],
)
def test_what_is_modified_is_what_means_something_else(
    folder: Path, tmp_path: Path, file: str, old: str, new: str, modified: str | None, parts: set[str] | None
) -> None:
    """Against a manifest of the project as it was, in another folder."""
    shutil.copytree(folder, tmp_path / "elsewhere")
    manifest = tmp_path / "manifest.json"
    manifest.write_text(Manifest.of(load_project(tmp_path / "elsewhere")).text())
    before = read_manifest(manifest)
    assert selected(load_project(folder), ["state:modified"], state=before) == ()
    (folder / file).write_text((folder / file).read_text().replace(old, new, 1))
    if modified is None:
        (folder / "datasets" / "mart" / "mart.yml").write_text(MART.replace("raw/customers", "raw/custom"))
        project = load_project(folder)
        assert [one.name for one in selected(project, ["state:new"], state=before)] == ["custom"]
        assert {one.name for one in selected(project, ["state:modified"], state=before)} == {"custom", "people"}
        return
    project = load_project(folder)
    names = {one.name for one in selected(project, ["state:modified"], state=before)}
    assert names == set(modified.split())
    unmodified = {one.name for one in selected(project, ["state:unmodified"], state=before)}
    assert unmodified == set(ALL.split()) - names
    for part in PARTS if parts is not None else ():
        found = {one.name for one in selected(project, [f"state:modified.{part}"], state=before)}
        assert found == (names if part in (parts or ()) else set())
    if names == {"bought"}:
        downstream = selected(project, ["state:modified+"], state=before)
        assert {one.name for one in downstream} == {"bought", "people", "report"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file or directory"),
        ("{", "JSONDecodeError while reading it"),
        ("[]", "TypeError while reading it"),
        ('{"format": 9, "datasets": {}}', "it is of format 9, not 1"),
        ('{"format": 1, "project": "x", "datasets": {"a": {}}}', "while reading it"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ManifestUnusable, match=reason) as refused:
        read_manifest(path)
    assert isinstance(refused.value, MetadataError)
