"""What the command line publishes or takes back in a database: its view follows, or it is told what keeps it behind."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from dying_steps import TableProject
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
