"""Hot reload: when the project's files changed and are valid, Dagster loads it anew; else it is told what is wrong."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Final

from metadata_assets.cli.commands import PROGRAM
from metadata_assets.cli.context import Cli
from metadata_assets.spec import Project

LOCATION: Final = "metadata_assets"
_SUFFIXES: Final = (".yml", ".yaml", ".sql", ".py", ".md")
_RELOAD: Final = f'mutation {{reloadRepositoryLocation(repositoryLocationName: "{LOCATION}") {{__typename}}}}'
Seen = Mapping[str, tuple[int, int]]


@dataclass(slots=True)
class Reloading:
    """Looks at the files of a project; asks the Dagster at `url` to load it anew when they changed and are valid."""

    cli: Cli
    url: str
    environment: Mapping[str, str]
    roots: Collection[Path] = ()
    """Where data is written to: no file there says anything about the project."""
    seen: Seen = field(default_factory=dict)
    _checking: "_Check | None" = None

    def begin(self) -> None:
        self.seen = seen_in(self.cli.settings.project, self.roots)

    def look(self) -> None:
        """One look, which waits for nothing but the reload: asked again and again."""
        now = seen_in(self.cli.settings.project, self.roots)
        if now != self.seen:
            self.seen = now
            self.end()
            self._checking = self._validate()
        elif self._checking is not None and self._checking.is_over:
            checked, self._checking = self._checking, None
            self._tell(checked.process.returncode, checked.said)

    def end(self) -> None:
        """A check that is on its way is not waited for."""
        if self._checking is not None:
            self._checking.end()
            self._checking = None

    def _validate(self) -> "_Check":
        """In a process of its own: modules of this one are loaded already."""
        command = [sys.executable, "-m", "metadata_assets.cli", "validate"]
        return _Check(
            subprocess.Popen(
                command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    def _tell(self, code: int, said: str) -> None:
        if code:
            self.cli.err.print(said.strip(), markup=False, soft_wrap=True)
            told = "Dagster keeps what it has loaded until that is corrected"
        else:
            reloaded = _asked(f"{self.url}/graphql")
            told = "loaded anew" if reloaded else f"Dagster did not load it anew; do that in its UI, at {self.url}"
        self.cli.err.print(f"{PROGRAM}: the project changed; {told}", markup=False, soft_wrap=True)


class _Check:
    """A check on its way. What it says is read while it runs: a pipe that is full would stop it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.said = process, ""
        self._reading = Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def is_over(self) -> bool:
        return not self._reading.is_alive()

    def end(self) -> None:
        self.process.kill()
        self._reading.join()

    def _read(self) -> None:
        _out, self.said = self.process.communicate()


def roots_of(project: Project, variables: Mapping[str, str]) -> frozenset[Path]:
    """The folders that datasets are written to."""
    named = [one.location.root for one in project.endpoints.values() if one.location.root]
    roots = [variables.get(one.removeprefix("env:"), "") if one.startswith("env:") else one for one in named]
    return frozenset(Path(project.folder, one).resolve() for one in roots if one and "://" not in one)


def seen_in(folder: Path, without: Collection[Path] = ()) -> Seen:
    """When each file that says something about the project changed, and its size.

    Hidden folders, venvs, and the folders `without` are none.
    """
    folder = folder.resolve()
    found: dict[str, tuple[int, int]] = {}
    for path, folders, files in os.walk(folder):
        folders[:] = [
            one for one in folders if one[0] != "." and one != "__pycache__" and Path(path, one) not in without
        ]
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        for name in files:
            if name.endswith(_SUFFIXES) and name[0] != ".":
                file = Path(path, name)
                try:
                    stat = file.stat()
                except OSError:  # it went while we looked
                    continue
                found[str(file)] = stat.st_mtime_ns, stat.st_size
    return found


def _asked(url: str) -> bool:
    body = json.dumps({"query": _RELOAD}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
    except (OSError, ValueError):
        return False
    return (
        "errors" not in answer and answer["data"]["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    )
