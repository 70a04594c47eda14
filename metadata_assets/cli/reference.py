"""docs/cli.md, made from the commands themselves: `python -m metadata_assets.cli.reference > docs/cli.md`."""

import sys
from collections.abc import Iterator
from typing import Any

import typer

from metadata_assets.cli.app import app
from metadata_assets.cli.commands import DOCUMENT, PANEL, PROGRAM
from metadata_assets.cli.exit_codes import ExitCode

_INTRODUCTION = """\
# The command line

<!-- Made by `python -m metadata_assets.cli.reference > docs/cli.md`. Change the commands, not this file. -->

`metadata-assets` works on the databases that its environment names, else on the PostgreSQL that comes along
([where](operate.md)). Without a project of your own it works on `examples/flights` when it is called at the top of this
repository.

- `KEY` is `endpoint/schema/table`, such as `lake/nyc/flights`, or a full key `mid1:…`. An unknown one is answered with
  the nearest ones.
- Answers go to stdout, everything else to stderr. With `--json` stdout has one JSON document and nothing else; times in
  it are ISO 8601 in UTC. An error is then a JSON document on stderr: `error` (its type), `message`, `exit_code` and the
  facts of that error.
- The shape of each document is written as `{a, b: [{c}]}`: an object whose field `b` is a list of objects.
- No message holds a password. An unexpected error is one line; `--debug` adds the traceback, scrubbed.
"""


def reference() -> str:
    """The whole document."""
    group: Any = typer.main.get_command(app)
    parts = [_INTRODUCTION, _exit_codes(), _common(group)]
    parts += [_section(name, command) for name, command in sorted(commands(group))]
    return "\n".join(parts)


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below a group by its full name, `dataset show`."""
    for name, command in group.commands.items():
        full = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, full)
        else:
            yield full, command


def own_parameters(command: Any) -> list[Any]:
    """The parameters of a command that not every command has."""
    return [each for each in command.params if getattr(each, "rich_help_panel", None) != PANEL and each.name != "help"]


def _exit_codes() -> str:
    rows = [f"| {code.value} | {code.meaning} |" for code in ExitCode]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *rows, ""])


def _common(group: Any) -> str:
    rows = [_row(each) for each in group.params if getattr(each, "rich_help_panel", None) == PANEL]
    return "\n".join(
        ["## Options of every command", "", "Before the command's name or after it.", "", *_table(rows), ""]
    )


def _section(name: str, command: Any) -> str:
    own = own_parameters(command)
    arguments = "".join(f" {each.metavar}" for each in own if each.param_type_name == "argument")
    rows = [_row(each) for each in own]
    *examples, document = command.epilog.split("\n\n")[1:]
    lines = [f"## {PROGRAM} {name}{arguments}", "", command.help, ""]
    lines += [*_table(rows), ""] if rows else []
    lines += ["```sh", *(example.strip() for example in examples), "```", ""]
    shape = document.removeprefix(DOCUMENT)
    return "\n".join([*lines, f"{DOCUMENT}`{shape}`" if shape[0] in "[{" else document, ""])


def _table(rows: list[str]) -> list[str]:
    return ["| parameter | meaning |", "|---|---|", *rows]


def _row(parameter: Any) -> str:
    named = parameter.metavar or ""
    if parameter.param_type_name == "option":
        named = f"{', '.join([*parameter.opts, *parameter.secondary_opts])} {named}".strip()
    named = named.replace("|", "\\|")  # in a table of Markdown
    return f"| `{named}` | {parameter.help}{_default(parameter)} |"


def _default(parameter: Any) -> str:
    """What holds without the option; nothing for switches and for options that may be left out."""
    if parameter.default in (None, False, True):
        return ""
    return f" Without it: {parameter.default}."


if __name__ == "__main__":
    sys.stdout.write(reference())
