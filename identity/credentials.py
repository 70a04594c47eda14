"""Credentials in texts: found, hidden, refused. The only place that knows what one looks like.

Texts come from files, events, catalogs and people, who paste things: connection URLs, connection strings, headers.
Encodings (credential_encodings.py) are undone as often as they are found, up to six layers of them.
"""

import re
from collections.abc import Iterator, Mapping, Set
from itertools import combinations
from typing import Any, Final
from urllib.parse import unquote

from identity.credential_encodings import digits, logins, undone
from identity.credential_shapes import Span, plain_spans
from identity.credential_words import is_no_secret, is_secret_name
from identity.kept import kept

HIDDEN: Final = "***"

# Without one of these a text is no credential: a quick look, for names are looked at by the million.
_MARKS: Final = re.compile(
    r"[=:@%\\&<\uff01-\uff5e]|[A-Za-z0-9+/_-]{16}|--|(?i:bearer|identified|login|password)\s|-u "
    r"|(?:[0-9A-Fa-f]{2}[ ,;]{1,2}(?:0x)?){6}"
)
_SEPARATORS: Final = re.compile("[/@#]")
_MOST_PARTS: Final = 12
_LAYERS: Final = 6
_SHORTEST: Final = 4  # pw=x
_SHORTEST_ENCODED: Final = 10  # basic, a blank and four digits of base64


def spellings(text: str) -> list[str]:
    """The text and what it says when its percent-encoding is undone once, twice and so on, until nothing changes."""
    spelled = [text]
    while len(spelled) <= _LAYERS and (plainer := unquote(spelled[-1], errors="replace")) != spelled[-1]:
        spelled.append(plainer)
    return spelled


def holds_credential(text: str) -> bool:
    """Whether something in the text looks like a credential, in whatever encoding."""
    return len(text) >= _SHORTEST and _MARKS.search(text) is not None and not _is_clean(text)


def part_holds_credential(name: str) -> bool:
    """Whether a part of a name looks like a credential: one between slashes, at and number signs, or some in a row."""
    ends = [0, *(mark.start() for mark in _SEPARATORS.finditer(name)), len(name)]
    if len(ends) > _MOST_PARTS:
        return may_be_connection(name)
    return any(holds_credential(name[start:end].lstrip("/@#")) for start, end in combinations(ends, 2))


def may_be_connection(text: str) -> bool:
    """Whether the text holds a credential or has the marks of a connection URL, a DSN or a list of parameters.

    What is refused anyway is not repeated then: whoever typed a URL in place of a name may have written one that is
    broken, or whose secret is its path.
    """
    return any(mark in one for one in spellings(text) for mark in ("://", "@", "=", ";")) or holds_credential(text)


def scrub(text: str) -> str:
    """The text with *** for every credential in it. Scrubbing twice changes nothing; so does a text without one."""
    if not _MARKS.search(text) or _is_clean(text):
        return text
    parts, done = [], 0
    for start, end in _merged(text):
        parts += [text[done:start], HIDDEN]
        done = end
    return "".join([*parts, text[done:]]) if parts else text


def scrubbed(value: Any) -> Any:
    """A JSON-like value with every text in it scrubbed, names included, and all hidden that is called a secret."""
    match value:
        case str():
            return scrub(value) if type(value) is str else value  # an enum is ours
        case Mapping():
            return _members(value)
        case list():
            return [scrubbed(one) for one in value]
        case tuple() if type(value) is tuple:
            return tuple(scrubbed(one) for one in value)
        case Set():
            return type(value)(scrubbed(one) for one in value)  # type: ignore[call-arg]
    return value


def secrets_in(text: str) -> frozenset[str]:
    """The credentials themselves, as the text spells them once its encodings are undone."""
    return frozenset(layer[span.secret : span.end] for layer, span, _at in _found(text, depth=1))


def _members(value: Mapping[Any, Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, one in value.items():
        shown, is_secret = _shown(str(name)) if isinstance(name, str) else (name, False)
        while shown in found:  # two names with secrets may become one
            shown = f"{shown}*"
        found[shown] = _hidden(one, name) if is_secret else scrubbed(one)
    return found


def _shown(name: str) -> tuple[str, bool]:
    """A name as it may be shown, and whether what is called so is a credential."""
    try:
        return name, _is_secret(name)
    except _CarriesOne:
        return scrub(name), is_secret_name(name)


class _CarriesOne(Exception):
    """a text has a credential in it"""


def _is_clean(text: str) -> bool:
    try:
        _look_through(text)
    except _CarriesOne:
        return False
    return True


@kept(4096)  # a run and its steps are named in every record of theirs
def _look_through(text: str) -> None:
    """Raises _CarriesOne where the text has a credential: such a text is not kept."""
    if next(_spans(text), None) is not None:
        raise _CarriesOne


@kept(1024)  # the same few names are in every record
def _is_secret(name: str) -> bool:
    """Whether what is called so is a credential. Raises _CarriesOne: such a name is not kept."""
    if scrub(name) != name:
        raise _CarriesOne
    return is_secret_name(name)


def _hidden(value: Any, name: str) -> Any:
    match value:
        case str():
            return value if is_no_secret(value) else HIDDEN
        case Mapping():
            return {one: _hidden(each, name) for one, each in _members(value).items()}
        case list() | tuple():
            return [_hidden(one, name) for one in value]
        case int() | float() if not isinstance(value, bool) and "token" not in name.lower():
            return HIDDEN  # a token that is a number counts something
    return value


def _merged(text: str) -> Iterator[tuple[int, int]]:
    """The parts to hide, apart from each other and in order."""
    at, until = -1, -1
    for start, end in sorted(_spans(text)):
        if start >= until:
            if until > at:
                yield at, until
            at, until = start, end
        else:
            until = max(until, end)
    if until > at:
        yield at, until


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the text has a credential, in its own offsets."""
    for _layer, span, offsets in _found(text, depth=2):
        if offsets is None:
            yield span.start, span.end
        else:
            yield offsets[span.start], offsets[span.end]


def _found(text: str, *, depth: int) -> Iterator[tuple[str, Span, list[int] | None]]:
    """Each credential in the layer of encodings that shows it, and where that layer's characters are in the text."""
    layer, offsets = text, None
    for _ in range(_LAYERS + 1):
        for span in plain_spans(layer):
            yield layer, span, offsets
        for span in _encoded(layer, depth):
            yield layer, span, offsets
        plainer = undone(layer)
        if plainer is None:
            return
        layer, places = plainer
        offsets = places if offsets is None else [offsets[place] for place in places]


def _encoded(text: str, depth: int) -> Iterator[Span]:
    """Runs of base64 or hexadecimal digits that say a credential."""
    if len(text) < _SHORTEST_ENCODED:
        return
    for start, end in logins(text):
        yield Span(start, end, start)
    if depth:
        for start, end, said in digits(text):
            if holds(said, depth - 1):
                yield Span(start, end, start)


def holds(text: str, depth: int) -> bool:
    """`holds_credential`, in a text that was itself encoded."""
    return next(_found(text, depth=depth), None) is not None
