"""What each dataset of a project is, as digests of its parts: two projects that agree in them mean the same."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from identity.ids import sha256_of
from identity.keys import CanonicalKey, short_name
from metadata_assets.spec.project import Dataset, Function, Project
from metadata_assets.spec.queries import Query

PARTS: Final = ("code", "inputs", "contract", "config")
_IN_OTHER_PARTS = frozenset(["key", "python", "sql", "code_version", "depends_on", "columns", "checks"])


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests of a dataset. code: its function or SELECT, with the modules of the project that the function imports.

    inputs: what it is made of, and how their partitions map. contract: columns and checks. config: everything else.
    """

    name: str
    parts: Mapping[str, str]


def fingerprints(project: Project) -> Mapping[CanonicalKey, Fingerprint]:
    """Of each dataset, from the files of the project; nothing is imported. No path of this machine goes into it."""
    sources = _Sources(project.folder)
    return {one.key: Fingerprint(short_name(one.key), _parts(one, sources)) for one in project.datasets}


def _parts(dataset: Dataset, sources: "_Sources") -> Mapping[str, str]:
    code = (sources.of(dataset.python), dataset.sql.written if dataset.sql else None, dataset.code_version)
    inputs = sorted((str(one.key), one.name, str(one.mapping), one.missing) for one in dataset.depends_on)
    checks = [(_plain(one), sources.of(one.python)) for one in dataset.checks]
    config = {one.name: _plain(getattr(dataset, one.name)) for one in fields(dataset) if one.compare}
    parts: dict[str, object] = {
        "code": (_plain(dataset.python), code),
        "inputs": inputs,
        "contract": ([_plain(one) for one in dataset.columns], checks),
        "config": {name: value for name, value in config.items() if name not in _IN_OTHER_PARTS},
    }
    return {name: sha256_of(repr(parts[name])).hex() for name in PARTS}


def _plain(value: Any) -> Any:
    """A value without the places where it stands in files."""
    if isinstance(value, Query):
        return value.written
    if is_dataclass(value) and not isinstance(value, CanonicalKey):
        return (
            type(value).__name__,
            [(one.name, _plain(getattr(value, one.name))) for one in fields(value) if one.compare],
        )
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | bool | None) else str(value)


class _Sources:
    """The text of modules of a project, with all that they import of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._texts: dict[Path, str] = {}

    def of(self, function: Function | None) -> list[tuple[str, str]]:
        if function is None:
            return []
        reached: dict[Path, str] = {}
        self._reach(self.folder / f"{function.module.replace('.', '/')}.py", reached)
        return sorted((path.relative_to(self.folder).as_posix(), text) for path, text in reached.items())

    def _reach(self, path: Path, reached: dict[Path, str]) -> None:
        if path in reached or not path.is_file():
            return
        if path not in self._texts:
            self._texts[path] = path.read_text(encoding="utf-8", errors="replace")
        reached[path] = self._texts[path]
        for imported in _imported(self._texts[path]):
            parents = path.parents[imported.level - 1] if imported.level else self.folder
            for names in imported.modules:
                below = parents / "/".join(names)
                self._reach(below.with_suffix(".py") if names else below / "__init__.py", reached)
                self._reach(below / "__init__.py", reached)


@dataclass(frozen=True, slots=True)
class _Import:
    level: int
    modules: list[list[str]]


def _imported(text: str) -> Iterator[_Import]:
    """Every import of a module's text; none where it is not valid Python, which its import will tell."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield _Import(0, [alias.name.split(".") for alias in node.names])
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            yield _Import(node.level, [module, *([*module, alias.name] for alias in node.names)])
