"""What docs/lineage.md tells people to type and to write works, on one store."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cli_calls import EDGES, Run, Writer

from metadata_assets.cli.lineage_commands import LineageFormat

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "lineage.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_commands_of_the_page_answer(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    answers = {}
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "metadata-assets"
        answers[command] = run(*arguments)
    assert {command: answer.err for command, answer in answers.items() if answer.code} == {}
    before, later = (answer.out for command, answer in answers.items() if "--as-of" in command and "lineage" in command)
    assert ("lake/nyc/daily_delays" in before, "lake/nyc/daily_delays" in later) == (False, True)


def test_the_code_of_the_page_does_what_it_says(writer: Writer, filled: dict[str, UUID]) -> None:
    assert filled
    names: dict[str, Any] = {"store": writer.store, "last_week": datetime.now(UTC) - timedelta(days=7)}
    for block in BLOCKS:
        exec(block, names)
    assert len(names["new"]) == len(EDGES)
    assert names["steps"] == [["flights", "flights", "daily_delays", "carrier_month"]]
    assert len(names["longest"]) == 4


def test_the_page_names_every_format() -> None:
    (sentence,) = re.findall(r"`--format` is (.*?)\. Names", TEXT, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == {str(one) for one in LineageFormat}
