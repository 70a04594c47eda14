"""What every command gets: the settings, where to print, and the stores when it opens them."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from metadata_assets.cli.output import console, document
from resources.settings import Settings

if TYPE_CHECKING:  # they cost half a second, which `--help` does not need
    from resources.graph_store import GraphStore
    from resources.metadata_store import MetadataStore
    from resources.postgres.databases import Databases

ACTOR = "cli"
"""Who asks and changes, in the audit."""


def person() -> str:
    """Who changes by hand, in the audit: this program and the login of whoever called it."""
    try:
        import pwd

        return f"{ACTOR}:{pwd.getpwuid(os.getuid()).pw_name}"
    except (ImportError, KeyError):  # Windows; a container whose user has no name
        return ACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The options that every command has, before its name or after it. None is not given."""

    json_output: bool = False
    debug: bool = False
    project: Path | None = None
    home: Path | None = None
    tenant: str | None = None

    def over(self, outer: "Common") -> "Common":
        """These, and those given before the command's name where these say nothing."""
        return Common(
            json_output=self.json_output or outer.json_output,
            debug=self.debug or outer.debug,
            project=self.project or outer.project,
            home=self.home or outer.home,
            tenant=self.tenant or outer.tenant,
        )

    def applied_to(self, settings: Settings, cwd: Path) -> Settings:
        """The settings of the environment, overruled by what the command line says."""
        return replace(
            settings,
            project=(cwd / self.project).resolve() if self.project else settings.project,
            home=(cwd / self.home).resolve() if self.home else settings.home,
            tenant_slug=self.tenant or settings.tenant_slug,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The stores of one tenant. The URLs may hold passwords."""

    store: "MetadataStore"
    graph: "GraphStore"
    databases: "Databases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cli:
    """One call of a command. `out` is for its answer, `err` for everything said on the way."""

    settings: Settings
    json_output: bool
    out: Console
    err: Console

    def show(self, answer: Mapping[str, object] | Sequence[object], *human: RenderableType) -> None:
        """Print the answer: the document with --json, else what people read."""
        if self.json_output:
            self.write(document(answer))
            return
        for part in human:
            if isinstance(part, str):
                self.out.print(part, markup=False, soft_wrap=True)
            else:
                self.out.print(part)

    def complain(self, text: str) -> None:
        """Say on stderr what did not work out; with --json the document says it."""
        if not self.json_output:
            self.err.print(text, markup=False, soft_wrap=True)

    def write(self, text: str) -> None:
        """Print text exactly as it is."""
        self.out.file.write(text)
        self.out.file.flush()

    @contextmanager
    def opened(self, *, actor: str = ACTOR, rehearsed: bool = False) -> Iterator[Opened]:
        """The stores of the settings' tenant, until the block ends; `rehearsed`, nothing that is written stays.

        Starts the embedded server where a database is on it. Raises DatabaseUnreachable, DatabaseTooOld,
        SchemaNotCurrent, TenantUnknown, EmbeddedServerError.
        """
        from resources.graph_store import GraphStore
        from resources.metadata_store import MetadataStore
        from resources.postgres.databases import Databases
        from resources.postgres.engine import app_engine
        from resources.postgres.rehearsal import Rehearsal
        from resources.postgres.session import Sessions

        databases = Databases(self.settings)
        engine = app_engine(databases.metadata)
        try:
            sessions = (Rehearsal if rehearsed else Sessions)(engine, self.settings.tenant, actor)
            yield Opened(store=MetadataStore(sessions), graph=GraphStore(sessions), databases=databases)
        finally:
            engine.dispose()


@dataclass(slots=True)
class Start:
    """Where a call begins: the environment, read once, and the options before the command's name."""

    environ: Mapping[str, str]
    cwd: Callable[[], Path]
    outer: Common = Common()

    def cli(self, inner: Common) -> Cli:
        cwd = self.cwd()
        common = inner.over(self.outer)
        return Cli(
            settings=common.applied_to(Settings.from_env(self.environ, cwd=cwd), cwd),
            json_output=common.json_output,
            out=console(sys.stdout),
            err=console(sys.stderr),
        )
