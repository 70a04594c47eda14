"""Docs blocks: `{% docs name %} … {% enddocs %}` in Markdown, which a description names as `{{ doc('name') }}`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from identity.errors import shown
from metadata_assets.spec.problems import At, Problem, did_you_mean
from metadata_assets.spec.queries import place
from metadata_assets.spec.yaml_source import NO_PASSWORDS, PASSWORD_IN_URL

_TAG = re.compile(r"\{%-?\s*(?P<word>\w+)(?:\s+(?P<name>[^%]*?))?\s*-?%\}")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_REFERENCE = re.compile(r"""\s*\{\{-?\s*doc\(\s*(?:'([^']*)'|"([^"]*)")\s*\)\s*-?\}\}\s*""")


@dataclass(frozen=True, slots=True)
class Block:
    """A text in a file of Markdown."""

    name: str
    text: str
    at: At


def read_blocks(folder: Path, files: Iterator[Path]) -> Iterator[Block | Problem]:
    """The blocks of files of Markdown, and what is wrong with them."""
    for path in files:
        file = path.relative_to(folder).as_posix()
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            yield Problem(At(file), "", "it cannot be read as UTF-8", "save the file as UTF-8")
            continue
        yield from blocks_in(file, text)


def blocks_in(file: str, text: str) -> Iterator[Block | Problem]:
    begun: tuple[str, int, At] | None = None
    for tag in _TAG.finditer(text):
        at = place(file, text, tag.start())
        match tag["word"]:
            case "docs" if begun is not None:
                yield Problem(at, "", f"the block {shown(begun[0])} before it is not closed", "write {% enddocs %}")
                return
            case "docs" if not _NAME.fullmatch(tag["name"] or ""):
                yield Problem(at, "", "the block has no plain name", "write {% docs name %}, of letters, digits and _")
                return
            case "docs":
                begun = (tag["name"], tag.end(), at)
            case "enddocs" if begun is None:
                yield Problem(at, "", "no block is open here", "write {% docs name %} before it")
                return
            case "enddocs":
                assert begun is not None
                inside = text[begun[1] : tag.start()].strip()
                secret = PASSWORD_IN_URL.search(inside)
                if secret:
                    yield Problem(begun[2], "", "it holds a URL with a password", NO_PASSWORDS)
                else:
                    yield Block(begun[0], inside, begun[2])
                begun = None
    if begun is not None:
        yield Problem(begun[2], "", f"the block {shown(begun[0])} is not closed", "write {% enddocs %}")


Refusal = tuple[str, str]
"""A reason and its fix."""


def described(text: str | None, blocks: Mapping[str, Block], *, may_be_more: bool) -> str | Refusal | None:
    """A description, or the text of the block that stands in its place; or why there is none."""
    found = _REFERENCE.fullmatch(text or "")
    if found is None:
        return text
    name = found[1] or found[2] or ""
    if name in blocks:
        return blocks[name].text
    if may_be_more:
        return None
    fix = did_you_mean(name, list(blocks)) if blocks else f"write {{% docs {shown(name)} %}} … {{% enddocs %}} in a .md"
    return f"there is no docs block {shown(name)!r}", fix
