"""init: a new project that is valid as it is, and nothing overwritten."""

import json
from pathlib import Path

import pytest
from cli_calls import Run

from metadata_assets.beginning import FILES
from metadata_assets.spec.schema import FILES as SCHEMAS


def test_a_new_project_is_valid(run: Run, tmp_path: Path) -> None:
    begun = run("init", str(tmp_path / "shop"), "--json")
    assert begun.code == 0
    assert begun.json == {"project": str(tmp_path / "shop"), "name": "shop", "written": [*FILES, *SCHEMAS.values()]}
    found = run("validate", "--project", str(tmp_path / "shop"), "--json")
    assert found.json == {"name": "shop", "endpoints": 1, "datasets": 3, "selects": 1, "sources": 0}


def test_again_it_adds_what_is_missing_and_nothing_else(run: Run, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    run("init", str(shop))
    (shop / "pipeline.py").unlink()
    assert run("init", str(shop), "--json").json["written"] == ["pipeline.py"]
    assert "has all of it already" in run("init", str(shop)).out


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "pipeline.py").write_text("mine = True\n")
    refused = run("init", str(shop))
    assert refused.code == 2
    assert refused.err.strip() == (
        f"{shop} has these files already, with other contents: pipeline.py; choose another name, or move them away"
    )
    assert [path.name for path in shop.iterdir()] == ["pipeline.py"]


@pytest.mark.parametrize("name", ["my shop", "shöp", "a:b", "/", "-", "null"])
def test_what_is_no_name_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    refused = run("init", str(tmp_path / name))
    assert (refused.code, "is not the name of a project" in refused.err) == (2, True)
    assert not (tmp_path / name).exists() or name == "/"


def test_schemas_of_another_release_are_brought_up_to_date(run: Run, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    run("init", str(shop))
    (shop / ".schema" / "project.json").write_text("{}")
    assert run("init", str(shop), "--json").json["written"] == [".schema/project.json"]
    (shop / ".schema" / "project.json").write_text("{}")
    assert run("schema", "--write", "--project", str(shop), "--json").json == {"written": [".schema/project.json"]}
    assert run("schema", "project").json == json.loads((shop / ".schema" / "project.json").read_text())
    for file, schema in (("metadata.yml", "project"), ("datasets/sales.yml", "datasets")):
        named = (shop / file).read_text().partition("\n")[0].rpartition("=")[2]
        assert (shop / file).parent.joinpath(named).resolve() == shop / SCHEMAS[schema]
