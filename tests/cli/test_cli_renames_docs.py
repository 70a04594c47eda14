"""What docs/renames.md tells people to type works, in its order, on one store."""

import re
import shlex
from pathlib import Path
from uuid import UUID

import pytest
from cli_calls import JFK_WEATHER, Run

from identity.keys import dataset_key
from resources.metadata.assets import register
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "renames.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
(CSV,) = re.findall(r"```csv\n(.*?)```", TEXT, re.DOTALL)


def test_the_commands_of_the_page_do_what_it_says(
    run: Run, filled: dict[str, UUID], store: MetadataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filled
    replica = dataset_key("jfk-replica", source="jfk", schema="public", table="weather")
    seen = {"relation": "table", "object": "7000000000000000000/5/16385"}
    store.register_endpoints(Endpoint(slug=slug, system="postgres") for slug in ("jfk", "jfk-replica"))
    with store.session() as session:  # what two collections of one server saw
        register(session, [Asset(key=key, type=AssetType.TABLE, metadata=seen) for key in (replica, JFK_WEATHER)])
    monkeypatch.chdir(tmp_path)
    Path("old_catalog.csv").write_text(CSV, encoding="utf-8")
    identifier = run("identity", "show", "jfk/public/flights", "--json").json["id"]
    answers = {}
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "metadata-assets"
        answers[command] = run(*arguments)
    assert {command: answer.err for command, answer in answers.items() if answer.code} == {}
    assert "lake/reports/carrier_month" in answers["metadata-assets lineage lake/nyc/carrier_month --up"].out
    assert "lake/nyc/daily_delays" in answers["metadata-assets lineage delays --up"].out
    assert run("identity", "show", "jfk/public/departures", "--json").json["id"] == identifier
