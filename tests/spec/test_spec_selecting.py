"""Selecting datasets as dbt users know it."""

import shutil
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from identity.errors import MetadataError
from identity.keys import dataset_key
from metadata_assets.spec import Project, load_project
from metadata_assets.spec.fingerprints import PARTS
from metadata_assets.spec.manifest import Manifest, ManifestUnusable, read_manifest
from metadata_assets.spec.partitions import Mapping
from metadata_assets.spec.problems import At
from metadata_assets.spec.project import Automation, Check, Column, Dataset, Dependency, Function, Keeping
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


AT = At("x.yml", 1, 1)
DAILY = Dependency(key=dataset_key("lake", schema="raw", table="items"), name="i", mapping=None, missing="fail", at=AT)
CHECK = Check(name="good", python=None, rule=None, blocking=True, warns=False, description=None)
CHANGES: list[tuple[str, str, object]] = [
    ("code", "python", Function(module="helper", name="f", at=AT)),
    ("code", "python", Function(module="code", name="g", at=AT)),
    ("code", "code_version", "2"),
    ("inputs", "depends_on", (DAILY,)),
    ("inputs", "depends_on", (replace(DAILY, name="j"),)),
    ("inputs", "depends_on", (replace(DAILY, mapping=Mapping("same")),)),
    ("inputs", "depends_on", (replace(DAILY, missing="skip"),)),
    ("contract", "columns", (Column(name="a", type="int", description=None),)),
    ("contract", "checks", (CHECK,)),
    ("contract", "checks", (replace(CHECK, blocking=False),)),
    ("contract", "checks", (replace(CHECK, warns=True),)),
    ("config", "description", "what it is"),
    ("config", "owners", ("team:b",)),
    ("config", "tags", ("x",)),
    ("config", "group", "other"),
    ("config", "partitions", "monthly"),
    ("config", "publish", "manually"),
    ("config", "automation", Automation(when="eager", cron=None, timezone="UTC")),
    ("config", "retention", Keeping(versions=3, time=timedelta(days=1))),
]


def test_each_field_of_a_dataset_counts_and_in_its_part(project: Project) -> None:
    """Each change differs from every other one of its field, too."""
    report = next(one for one in project.datasets if one.name == "report")
    before, seen = Manifest.of(project), set[str]()
    for part, name, value in CHANGES:
        changed = replace(report, **{name: value})  # type: ignore[arg-type]
        others = [changed if one == report else one for one in project.datasets]
        now = Manifest.of(replace(project, datasets=tuple(others)))
        assert now.changed(report.key, before) == {part}, (name, value)
        seen.add(now.datasets[report.key].parts[part])
    assert len(seen) == len(CHANGES)
    known = {one.name for one in fields(Dataset) if one.compare} - {"key", "sql"}
    assert {name for _, name, _ in CHANGES} == known, "a new field has to say where it counts"


def test_the_code_of_a_check_counts(folder: Path) -> None:
    def manifest(code: str) -> Manifest:
        (folder / "rules.py").write_text(code)
        project = load_project(folder)
        check = replace(CHECK, python=Function(module="rules", name="good", at=AT))
        datasets = [replace(one, checks=(check,)) if one.name == "report" else one for one in project.datasets]
        return Manifest.of(replace(project, datasets=tuple(datasets)))

    before = manifest("def good(): ...\n")
    now = manifest("def good(): return True\n")
    changed = {one.name: now.changed(key, before) for key, one in now.datasets.items() if now.changed(key, before)}
    assert changed == {"lake/mart/report": {"contract"}}


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
