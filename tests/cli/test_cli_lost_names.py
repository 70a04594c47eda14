"""Commands, asked by names of things that are gone and whose own name another thing has, and by ids."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cli_calls import WEATHER, Run

from identity.keys import dataset_key
from resources.metadata import planned
from resources.metadata.plans import Plan
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint

RAIN = dataset_key("lake", schema="nyc", table="rain")
LEGACY = "5f1d3b7e-98c2-4f4e-9a51-0d4c3c9a7e21"


@pytest.fixture
def gone(run: Run, filled: dict[str, UUID], store: MetadataStore, tmp_path: Path) -> str:
    """The id of what was `weather`, then `rain`, and is gone: another thing is `rain` now."""
    file = tmp_path / "old.csv"
    file.write_text(f"legacy_id,reference\n{LEGACY},lake/nyc/weather\n")
    assert run("identity", "import", str(file)).code == 0
    store.register_endpoints([Endpoint(slug="lake", system="duckdb")])
    assert run("identity", "rename", "lake/nyc/weather", "rain").code == 0
    was = str(store.entity(RAIN).id)
    new = Asset(key=RAIN, type=AssetType.TABLE)
    plan = Plan(endpoint="lake", fingerprint="f", complete=True, replaced=(RAIN,), created=(new,))
    with store.session() as session:
        planned.apply_plan(session, plan)
    assert filled["weather"]
    return was


@pytest.mark.parametrize("by", ["lake/nyc/weather", str(WEATHER), LEGACY, "id"])
def test_what_reads_reaches_it_by_every_name_that_it_has_left(run: Run, gone: str, by: str) -> None:
    name = gone if by == "id" else by
    shown = run("identity", "show", name, "--json").json
    assert (shown["id"], shown["key"], shown["name_taken"]) == (gone, str(RAIN), True)
    assert "another thing's now" in run("identity", "show", name).out
    assert len(run("materializations", name, "--json").json) == 2
    assert run("materialization", "show", name, "--partition", "2013-01-15", "--json").code == 0
    assert len(run("versions", name, "--json").json) == 2
    found = run("dataset", "show", name, "--json").json
    assert (found["id"], found["name_taken"], found["makes"]) == (gone, True, ["lake/nyc/daily_delays"])
    assert "another thing's now" in run("dataset", "show", name).out
    assert "mid1:dataset:lake:~/nyc/daily_delays" in {
        one["key"] for one in run("lineage", name, "--down", "--json").json["nodes"]
    }


@pytest.mark.parametrize("by", ["lake/nyc/weather", str(WEATHER), LEGACY, "id"])
def test_what_writes_never_takes_the_other_one_for_it(run: Run, gone: str, store: MetadataStore, by: str) -> None:
    name = gone if by == "id" else by
    for command in (("rename", name, "snow"), ("move", name, "--to", "lake/other")):
        refused = run("identity", *command, "--json")
        assert (refused.code, refused.error["error"]) == (3, "NameLost"), command
    assert store.thing("lake/nyc/rain").entity.id == store.entity(RAIN).id != gone
    merged = run("identity", "merge", name, "lake/nyc/daily_delays", "--json")
    assert merged.error["error"] == "MergeRefused", "it has data, the other one has none"
    reference = run("identity", "ensure", name, "--json").json["reference"]
    assert reference != run("identity", "ensure", "lake/nyc/rain", "--json").json["reference"]
    assert "gone since" in run("identity", "show", reference).out


def test_what_it_was_called_then_leads_to_its_id(run: Run, filled: dict[str, UUID], store: MetadataStore) -> None:
    """Only made anew, never renamed: no name is left, so the way is the id that it had then."""
    store.register_endpoints([Endpoint(slug="lake", system="duckdb")])
    was = str(store.entity(WEATHER).id)
    new = Asset(key=WEATHER, type=AssetType.TABLE)
    plan = Plan(endpoint="lake", fingerprint="f", complete=True, replaced=(WEATHER,), created=(new,))
    then = run("identity", "show", "lake/nyc/weather", "--json").json["names"][0]["from"]
    with store.session() as session:
        planned.apply_plan(session, plan)
    assert run("identity", "show", "lake/nyc/weather", "--as-of", then, "--json").json["id"] == was
    assert len(run("versions", was, "--json").json) == 2
    assert len(run("lineage", was, "--down", "--json").json["nodes"]) > 1
    assert run("identity", "ensure", was, "--json").error["error"] == "NameLost"
    assert filled["weather"]


def test_an_id_is_a_materialization_or_an_old_id_or_an_id(run: Run, filled: dict[str, UUID], gone: str) -> None:
    assert run("materialization", "show", str(filled["flights"]), "--json").code == 0
    by_old_id = run("materialization", "show", LEGACY, "--partition", "2013-01-15", "--json").json
    assert by_old_id == run("materialization", "show", gone, "--partition", "2013-01-15", "--json").json
    assert run("materialization", "show", str(uuid4()), "--json").code == 3


def test_a_merge_is_taken_back_by_every_name_of_what_it_closed(run: Run, store: MetadataStore, tmp_path: Path) -> None:
    keys = [dataset_key("lake", schema="nyc", table=name) for name in "ab"]
    store.register_assets(Asset(key=key, type=AssetType.DATASET) for key in keys)
    a, b = (f"lake/nyc/{name}" for name in "ab")
    closed = str(store.entity(keys[0]).id)
    file = tmp_path / "old.csv"
    file.write_text(f"legacy_id,reference\n{LEGACY},{a}\n")
    run("identity", "import", str(file))
    for name in (a, closed, LEGACY):
        merge = run("identity", "merge", a, b, "--json").json["merge"]
        run("identity", "rename", b, a)
        run("identity", "rename", a, b)
        assert run("identity", "unmerge", b, "--json").error["error"] == "NotMerged"
        back = run("identity", "unmerge", name, "--json")
        assert (back.code, back.json["merge"], back.json["id"]) == (0, merge, closed), back.err
    again = run("identity", "unmerge", merge, "--json")
    assert (again.code, again.error["error"]) == (3, "UnknownName")
    assert "nothing was renamed" not in again.err
