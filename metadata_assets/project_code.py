"""The Python functions of a project, imported from its folder.

A project's modules live under a package of their own, so that two projects in one process never share a module. While
one is imported, the folder is also searched for absolute imports (`import helpers`); afterwards sys.path and
sys.modules are as before, so an import inside a function is written relative (`from . import helpers`).
"""

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from identity.errors import shown
from identity.ids import sha256_of
from metadata_assets.spec import Function, Problem
from metadata_assets.spec.problems import did_you_mean

_siblings: dict[Path, dict[str, ModuleType]] = {}
"""Modules that a project imported absolutely, by its folder."""


def load_function(folder: Path, function: Function) -> Callable[..., Any] | Problem:
    """The function that a `python:` line names, or what is wrong with it."""
    module = _module(folder, function)
    if isinstance(module, Problem):
        return module
    found = getattr(module, function.name, None)
    if callable(found):
        loaded: Callable[..., Any] = found
        return loaded
    if found is not None:
        return _problem(function, f"{function} is not a function", "name a function of this module")
    functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    return _problem(
        function, f"{function.module} has no function {function.name}", did_you_mean(function.name, functions)
    )


def _module(folder: Path, function: Function) -> ModuleType | Problem:
    package = _package(folder)
    try:
        with _importing_from(folder), redirect_stdout(sys.stderr):  # stdout is for the answers of commands
            return importlib.import_module(f"{package}.{function.module}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(package):
            file = function.module.replace(".", "/") + ".py"
            return _problem(
                function, f"there is no module {file}", f"create {file} in the project, or correct the name"
            )
        return _failed(folder, function, error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 a module may raise anything while it is imported
        return _failed(folder, function, error)


def _package(folder: Path) -> str:
    name = f"metadata_project_{sha256_of(str(folder)).hex()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Absolute imports find the project's own modules inside this block, and only there."""
    own = _siblings.setdefault(folder, {})
    hidden = {name: sys.modules[name] for name in own if name in sys.modules}
    before = set(sys.modules) - set(own)
    sys.modules.update(own)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        package = _package(folder)
        for name in set(sys.modules) - before:
            if _is_below(folder, sys.modules[name]) and not name.startswith(package):
                own[name] = sys.modules.pop(name)
        sys.modules.update(hidden)


def _is_below(folder: Path, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)


def _failed(folder: Path, function: Function, error: BaseException) -> Problem:
    reason = f"importing {function.module} failed{_where(folder, error)}: {told(error)}"
    return _problem(function, reason, "correct that module")


def told(error: BaseException) -> str:
    """Type and first line of an exception of the project's code, without what may be a credential."""
    message = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {shown(message)}" if message else type(error).__name__


def _where(folder: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(folder):
        return f" at {Path(error.filename).relative_to(folder)}:{error.lineno}"
    return where_in(folder, error)


def where_in(folder: Path, error: BaseException) -> str:
    """` at delays.py:12`, the last line of the project that an exception came through."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)
    ]
    return f" at {Path(frames[-1].filename).relative_to(folder)}:{frames[-1].lineno}" if frames else ""


def _problem(function: Function, reason: str, fix: str) -> Problem:
    return Problem(function.at, "python", reason, fix)
