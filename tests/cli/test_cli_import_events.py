"""`import openlineage`, `import refused` and `import retry` as people call them."""

import json
from pathlib import Path

import pytest
from cli_calls import Run, shape

from metadata_assets.cli import documents
from resources.metadata_store import MetadataStore
from tests.importers.lineage_events import dataset, event

GOOD = event(inputs=[dataset("a", "x")], outputs=[dataset("b", "y", origins={"y": [("a", "x")]})])
BAD = event("DONE", run="r2")
FORMS = {
    "lines": "\n".join(["", json.dumps(GOOD), json.dumps(GOOD), ""]),
    "a list": json.dumps([GOOD, GOOD], indent=1),
    "one alone": json.dumps(GOOD, indent=2),
    "one behind the other": json.dumps(GOOD, indent=2) * 2,
}


@pytest.mark.parametrize("form", FORMS)
def test_events_come_in_several_forms(run: Run, tmp_path: Path, form: str) -> None:
    file = tmp_path / "events.json"
    file.write_text(FORMS[form])
    dry = run("import", "openlineage", str(file), "--dry-run", "--json").json
    first = run("import", "openlineage", str(file), "--json").json
    assert shape(first)[:-1] in documents.EVENTS_IMPORTED
    assert (first["events"], first["refused"]) == (1 if form == "one alone" else 2, 0)
    assert {**dry, "dry_run": False} == first
    assert "nothing is new" in run("import", "openlineage", str(file)).out
    assert "openlineage_db/a" in run("lineage", "openlineage_db/b").out


def test_what_cannot_be_read_is_kept_aside_shown_and_tried_again(
    run: Run, tmp_path: Path, store: MetadataStore
) -> None:
    cut = tmp_path / "cut.ndjson"
    cut.write_text("\n".join([json.dumps(GOOD), json.dumps(BAD), '{"eventType": "COMP', json.dumps(GOOD)]))
    answer = run("import", "openlineage", str(cut))
    assert (answer.code, answer.err.count("aside: ")) == (5, 2)
    assert "aside: cut.ndjson:2: eventType: there is no DONE; use one of START" in answer.err
    assert "aside: cut.ndjson:3: event: it is no JSON, line 1 column" in answer.err
    listed = run("import", "refused", "--json")
    assert shape(listed.json) == documents.EVENTS_REFUSED
    assert {one["text"] for one in listed.json} == {json.dumps(BAD), '{"eventType": "COMP'}
    assert "DONE" in run("import", "refused").out
    again = run("import", "retry", "--json")
    assert (again.code, again.json["refused"], len(again.json["first"])) == (5, 2, 2)
    assert shape(again.json) == documents.EVENTS_IMPORTED
    store.accept_events({one.sha256 for one in store.refused_events()})
    assert "no event is kept aside" in run("import", "refused").out


def test_what_cannot_be_read_of_a_file_costs_no_line_that_can(run: Run, tmp_path: Path) -> None:
    """The first line is cut off, or behind a byte order mark; one of a list is deeper than anybody reads."""
    lines = tmp_path / "lines.ndjson"
    lines.write_text("\n".join(['{"eventType": "COMP', json.dumps(GOOD), json.dumps(GOOD)]))
    answer = run("import", "openlineage", str(lines), "--json", "--dry-run")
    assert (answer.code, answer.json["events"], answer.json["refused"]) == (5, 3, 1)
    assert answer.json["first"][0]["place"] == "lines.ndjson:1"
    lines.write_text("\ufeff" + "\n".join([json.dumps(GOOD)] * 2))
    answer = run("import", "openlineage", str(lines), "--json", "--dry-run")
    assert (answer.code, answer.json["events"], answer.json["refused"]) == (0, 2, 0)
    lines.write_text(f"[{json.dumps(GOOD)}, {'[' * 900}{']' * 900}]")
    answer = run("import", "openlineage", str(lines), "--json", "--dry-run")
    assert (answer.code, answer.json["events"], answer.json["refused"]) == (5, 2, 1)


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    answer = run("import", "openlineage", str(tmp_path / "nowhere.json"))
    assert (answer.code, "nowhere.json cannot be read, no such file" in answer.err) == (2, True)
    (tmp_path / "cut.json").write_text('[{"eventType": "START"},')
    assert run("import", "openlineage", str(tmp_path / "cut.json")).code == 5


@pytest.mark.parametrize("system", ["mysql", "mariadb"])
def test_tables_of_a_server_of_the_project_are_called_after_its_endpoint(
    run: Run, environ: dict[str, str], tmp_path: Path, system: str
) -> None:
    project = Path(environ["METADATA_PROJECT"]) / "metadata.yml"
    project.write_text(f"name: shop\nendpoints:\n  erp: {{system: {system}, url: env:ERP_URL}}\n")
    table = {**dataset("shop.orders", "id"), "namespace": f"{system}://db.example.com:3306"}
    file = tmp_path / "events.json"
    file.write_text(json.dumps(event(inputs=[table], outputs=[dataset("b")])))
    url = f"{system}://reader:hunter2@db.example.com/"
    assert run("import", "openlineage", str(file), "--json", ERP_URL=url).code == 0
    assert "erp/shop/orders" in run("lineage", "openlineage_db/b").out
