"""What docs/versions.md tells people to type works, in its order, on one store."""

import re
import shlex
from pathlib import Path

from cli_calls import Run, Writer

from identity.keys import dataset_key

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "versions.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
AN_ID = "3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10"


def test_the_commands_of_the_page_do_what_it_says(run: Run, writer: Writer) -> None:
    delays, carriers = (dataset_key("lake", schema="nyc", table=name) for name in ("delays", "carriers"))
    for key in (delays, carriers):
        writer.dataset(key, "manually")
    writer.write(carriers, None)
    for _ in range(3):
        bad = writer.write(delays, "2013-01-15", writer.read(carriers, None), metadata={"model": "b7"})
    writer.store.pin("board-meeting", {delays: 2})
    waiting = writer.write(delays, "2013-01-14", publish=False)
    answers = {}
    for command in COMMANDS:
        program, *arguments = shlex.split(command.replace(AN_ID, str(bad)))
        assert program == "metadata-assets"
        if arguments[0] == "release":
            for key, partition in ((delays, "2013-01-16"), (carriers, None)):
                writer.write(key, partition, publish=False)
        answers[command] = run(*arguments)
    assert {command: answer.err for command, answer in answers.items() if answer.code} == {}
    kinds = [one.kind for one in reversed(writer.store.versions(delays))]
    assert kinds == ["publish"] * 4 + ["rollback"] * 2 + ["retract", "publish"]
    assert str(waiting) in {str(one.materialization_id) for one in writer.store.current(delays)}
    assert [one.key for one in writer.store.stale()] == [carriers]
