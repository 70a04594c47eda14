"""What the command line publishes or takes back in a database: its view follows, or it is told what keeps it behind."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from dying_steps import TableProject
from psycopg.errors import UndefinedTable
from warehouse import Warehouse, flights

from metadata_assets.cli import main
from resources.models import Endpoint

Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def command(project: TableProject, capsys: pytest.CaptureFixture[str]) -> Command:
    def called(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main([*arguments, "--json"], {**os.environ, "METADATA_PROJECT": str(project.folder)})
        out = capsys.readouterr().out
        return code, json.loads(out) if out else {}

    return called


@pytest.mark.parametrize("registered", [False, True])
def test_views_follow_what_people_decide(command: Command, shop: Warehouse, *, registered: bool) -> None:
    if registered:
        shop.store.register_endpoints([Endpoint(slug=shop.endpoint, system="postgres")])
    name = f"warehouse/{shop.schema}/flights"
    shop.show(flights(1))
    second = shop.commit(flights(2))
    assert command("publish", name, "--dry-run")[0] == 0
    assert [row[0] for row in shop.rows()] == [1]
    assert command("publish", name)[1]["behind"] == []
    assert [row[0] for row in shop.rows()] == [2]
    assert command("rollback", name, "--to", "1", "--expect", "2")[0] == 0
    assert [row[0] for row in shop.rows()] == [1]
    assert command("release", f"spring {shop.schema}", str(second))[0] == 0
    assert [row[0] for row in shop.rows()] == [2]
    assert command("retract", str(second), "--reason", "bad")[0] == 0
    assert shop.rows() == []


def test_the_view_of_what_was_renamed_is_told_and_renamed(command: Command, shop: Warehouse) -> None:
    shop.show(flights(1))
    shop.ask(f"GRANT SELECT ON {shop.view()} TO PUBLIC")
    old, new = (f"warehouse/{shop.schema}/{name}" for name in ("flights", "trips"))
    assert command("identity", "rename", old, new, "--reason", "because")[0] == 0
    told = [one["detail"] for one in command("doctor")[1]["findings"] if one["part"] == "endpoint warehouse"]
    assert told[1:] == [f"{shop.schema}.flights is the view of {new}, and called as that was before"]
    assert shop.settle().switched == (), "nobody looks at names all the time"
    told = [one["detail"] for one in command("doctor", "--fix")[1]["findings"] if one["part"] == "endpoint warehouse"]
    assert told[1:] == []
    assert [row[0] for row in shop.rows("trips")] == [1]
    with pytest.raises(UndefinedTable):
        shop.rows()
    assert shop.ask(f"SELECT has_table_privilege('metadata_app', '{shop.view('trips')}', 'SELECT')") == [(True,)]


def test_who_comes_late_with_an_old_name_renames_nothing_back(shop: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.show(flights(1))
    late = shop.store.published_after({shop.entity().id.value: 0})
    shop.store.rename({shop.key("flights"): shop.key("trips")}, reason="because")
    assert [one.view for one in shop.settle(names=True).switched] == [f"{shop.schema}.trips"]
    monkeypatch.setattr("resources.tables.switching.called_otherwise", lambda _tables, _shown: late)
    assert shop.settle(names=True).switched == ()
    assert [row[0] for row in shop.rows("trips")] == [1]


def test_it_is_published_and_told_what_keeps_the_view_behind(
    command: Command, shop: Warehouse, project: TableProject, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"warehouse/{shop.schema}/flights"
    shop.show(flights(1, delay=1))
    shop.ask(f"CREATE VIEW {shop.view('mine')} AS SELECT delay FROM {shop.view()}")
    shop.commit(flights(2))
    code, answer = command("publish", name)
    assert (code, shop.store.version_at(shop.key("flights"))) == (5, 2)
    (behind,) = answer["behind"]
    assert (list(behind), behind["name"], behind["endpoint"]) == (["name", "endpoint", "message"], name, "warehouse")
    assert "mine" in behind["message"]
    assert [row[0] for row in shop.rows()] == [1]
    shop.ask(f"DROP VIEW {shop.view('mine')}")
    elsewhere = {"METADATA_PROJECT": str(project.folder), "DATA_DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    for environ, why in ((elsewhere, "nothing listens there"), ({}, "does not say where the database")):
        assert main(["publish", str(shop.commit(flights(3)))], {**os.environ, **environ}) == 5
        told = capsys.readouterr().err
        assert f"{name} is published, and its view on warehouse is behind: " in told
        assert why in told
