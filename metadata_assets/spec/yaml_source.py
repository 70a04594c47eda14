"""A YAML file as plain text values that know where they stand.

Every scalar stays the text that its author wrote: `code_version: 1.10` is "1.10" and the airport `NO` is no boolean.
What a text means is decided by the model of its field. Only an empty value, `null` and `~` are None.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from metadata_assets.spec.problems import At, Path, Problem, field_name

_TYPE_OF_TEXT = re.compile(r"tag:yaml\.org,2002:(str|int|float|bool|timestamp)")
Value = Any
"""None, a str, a list of values or a dict of values by str."""

MOST_VALUES = 100_000
NO_PASSWORDS = "write env:NAME and put the value into that environment variable"
PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:[^\s@]+@")


@dataclass(frozen=True, slots=True)
class Source:
    """The value of one file, and where each part of it stands."""

    file: str
    value: Value
    values_at: Mapping[Path, At]
    keys_at: Mapping[Path, At]

    def at(self, path: Path) -> At:
        """Where the value stands; for one that is not written, the nearest one around it."""
        while path not in self.values_at and path:
            path = path[:-1]
        return self.values_at.get(path, At(self.file))

    def key_at(self, path: Path) -> At:
        """Where the name of the field stands."""
        return self.keys_at.get(path) or self.at(path)


def read_source(path: FilePath, file: str) -> tuple[Source | None, list[Problem]]:
    """The YAML file at `path`, called `file` in messages; None when it cannot be read at all."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, [Problem(At(file), "", f"byte {error.start} is not UTF-8", "save the file as UTF-8")]
    except OSError as error:
        return None, [Problem(At(file), "", f"it cannot be read ({error.strerror})", "make it a readable file")]
    return parse_source(text, file)


def parse_source(text: str, file: str) -> tuple[Source | None, list[Problem]]:
    """The same for a text in memory."""
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        return None, [_syntax_problem(error, file)]
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return None, [Problem(At(file, line), "", "a control character is in this line", "remove it")]
    except RecursionError:
        return None, [Problem(At(file), "", "it is nested too deep", "write it flatter")]
    walk = _Walk(file)
    value = walk.value_of(node, (), ()) if node else None
    return Source(file, value, walk.values_at, walk.keys_at), walk.problems


def _syntax_problem(error: MarkedYAMLError, file: str) -> Problem:
    """The parser's problem without its excerpt of the file, which may hold anything."""
    mark = error.problem_mark or error.context_mark
    at = At(file, mark.line + 1, mark.column + 1) if mark else At(file)
    problem = (error.problem or "it cannot be parsed").splitlines()[0]
    if re.search("alias|anchor|tag|directive", problem):
        problem = "an alias, anchor or tag in this line has no meaning here"
    inside = f" ({error.context}, line {error.context_mark.line + 1})" if error.context and error.context_mark else ""
    fix = next((fix for start, fix in _SYNTAX_FIXES.items() if problem.startswith(start)), _CORRECT)
    return Problem(at, "", f"not valid YAML: {problem}{inside}", fix)


_CORRECT = "correct the indentation, quotes or brackets there"
_SYNTAX_FIXES = {
    "mapping values are not allowed": "put quotes around a text with a colon in it",
    "found character '\\t'": "indent with blanks, not with tabs",
    "found character": "put quotes around a text that begins with it",
    "but found another document": "make it one file for each document, or take the line --- out",
}


@dataclass(slots=True)
class _Walk:
    """From nodes to values, with everything found on the way."""

    file: str
    values_at: dict[Path, At] = field(default_factory=dict)
    keys_at: dict[Path, At] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def value_of(self, node: Node, path: Path, around: tuple[int, ...]) -> Value:
        at = self._at(node)
        if len(self.values_at) >= MOST_VALUES:
            return self._report_too_large()
        self.values_at[path] = at
        if id(node) in around:
            return self._report(at, path, "an alias contains itself", "write the value out")
        match node:
            case ScalarNode():
                return self._text_of(node, path)
            case SequenceNode():
                return [self.value_of(item, (*path, i), (*around, id(node))) for i, item in enumerate(node.value)]
            case MappingNode():
                items = self._items(node, path)
                return {name: self.value_of(item, (*path, name), (*around, id(node))) for name, item in items}
        raise TypeError(f"unknown kind of YAML node: {type(node).__name__}")

    def _text_of(self, node: ScalarNode, path: Path) -> str | None:
        if node.tag == "tag:yaml.org,2002:null":
            return None
        if not _TYPE_OF_TEXT.fullmatch(node.tag or ""):
            self._report(self._at(node), path, "tags (!…) are not used here", "write the plain value")
        if PASSWORD_IN_URL.search(node.value):
            self._report(self._at(node), path, "it holds a URL with a password", NO_PASSWORDS)
        return str(node.value)

    def _items(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Node]]:
        seen: dict[str, int] = {}
        for key, item in node.value:
            at = self._at(key)
            name = key.value
            if not isinstance(key, ScalarNode) or key.tag == "tag:yaml.org,2002:null":
                self._report(at, path, "a field has no plain name", "put quotes around a text that starts with { or [")
            elif PASSWORD_IN_URL.search(name):
                self._report(at, path, "it holds a URL with a password", NO_PASSWORDS)
            elif name == "<<":
                self._report(at, path, "merge keys (<<) are not used here", "write the fields out")
            elif name in seen:
                fix = f"keep one of them, the other is in line {seen[name]}"
                self._report(at, (*path, name), "it is there twice", fix)
            else:
                seen[name] = at.line
                self.keys_at[(*path, name)] = at
                yield name, item

    def _report_too_large(self) -> None:
        problem = Problem(At(self.file), "", f"it holds more than {MOST_VALUES:,} values", "split it, or alias less")
        if problem not in self.problems[-1:]:
            self.problems.append(problem)

    def _at(self, node: Node) -> At:
        return At(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _report(self, at: At, path: Path, reason: str, fix: str) -> None:
        self.problems.append(Problem(at, field_name(path), reason, fix))
