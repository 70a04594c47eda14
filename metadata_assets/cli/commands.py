"""How a command is declared: its own parameters, plus those that every command has, plus an example."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from metadata_assets.cli.context import Common, Start

B = TypeVar("B", bound=Callable[..., int])

PROGRAM = "metadata-assets"
DOCUMENT = "With --json: "
PANEL = "Options of every command"


def common_options(
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.", rich_help_panel=PANEL)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=PANEL)
    ] = False,
    project: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Folder of the project, instead of METADATA_PROJECT.", rich_help_panel=PANEL),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Folder of local data, instead of METADATA_HOME.", rich_help_panel=PANEL),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tenant, instead of METADATA_TENANT.", rich_help_panel=PANEL)
    ] = None,
) -> Common:
    """What `metadata-assets` and each of its commands accept."""
    return Common(json_output=json_output, debug=debug, project=project, home=home, tenant=tenant)


def _by_name(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)


_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
_COMMON = [_by_name(parameter) for parameter in inspect.signature(common_options).parameters.values()]
_NAMES = [field.name for field in fields(Common)]


def accept_before_commands(app: typer.Typer) -> None:
    """Let the options that every command has stand before its name too."""

    def before(ctx: typer.Context, **given: Any) -> None:
        start: Start = ctx.obj
        start.outer = Common(**given)

    before.__signature__ = inspect.Signature([_CONTEXT, *_COMMON])  # type: ignore[attr-defined]
    app.callback()(before)


def command(app: typer.Typer, name: str, *, examples: Sequence[str], document: str) -> Callable[[B], B]:
    """Register a function of a Cli and of its own parameters; what it returns is the exit code.

    The docstring is the help; `examples` are what to type after `metadata-assets`, and
    `document` is the shape of what --json prints: field names, nested where it is.
    """

    def register(body: B) -> B:
        @functools.wraps(body)
        def run(ctx: typer.Context, **given: Any) -> int:
            common = Common(**{name: given.pop(name) for name in _NAMES})
            start: Start = ctx.obj
            return body(start.cli(common), **given)

        own = list(inspect.signature(body).parameters.values())[1:]
        run.__signature__ = inspect.Signature([_CONTEXT, *map(_by_name, own), *_COMMON])  # type: ignore[attr-defined]
        app.command(name, help=inspect.getdoc(body), epilog=epilog(examples, document))(run)
        return body

    return register


def epilog(examples: Sequence[str], document: str) -> str:
    """The end of a command's help. Each paragraph stays a line of its own."""
    title = "Examples:" if len(examples) > 1 else "Example:"
    return "\n\n".join([title, *(f"  {PROGRAM} {example}" for example in examples), f"{DOCUMENT}{document}"])
