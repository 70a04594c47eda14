"""Credentials in texts: found, hidden, refused. The only place that knows what one looks like.

Texts come from files, events, catalogs and people, who paste things: connection URLs, connection strings, headers.
Encodings are undone as often as they are found: percent-encoding, escapes of JSON and HTML, base64, hexadecimal.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Set
from html import unescape
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

from identity.credential_shapes import Span, plain_spans
from identity.credential_words import is_no_secret, is_secret_name

HIDDEN: Final = "***"

# Without one of these a text is no credential: a quick look, for names are looked at by the million.
_MARKS: Final = re.compile(
    r"[=:@%\\&\uff01-\uff5e]|[A-Za-z0-9+/_-]{16}|--|(?i:bearer|identified|login|password)\s|-u |</"
)
_ESCAPES: Final = re.compile(
    r"""(?P<bytes>(?:%[0-9A-Fa-f]{2})+)
    | \\u(?P<unicode>[0-9A-Fa-f]{4}) | \\u\{(?P<braces>[0-9A-Fa-f]{1,6})\}
    | \\x(?P<hex>[0-9A-Fa-f]{2}) | \\(?P<escaped>["'\\/]) | (?P<blank>\\[tnr])
    | (?P<html>&(?:\#\d{2,7}|\#[xX][0-9A-Fa-f]{1,6}|quot|amp|apos|lt|gt|colon|commat|equals|semi|sol|lowbar);)
    | (?P<wide>[\uff01-\uff5e])""",
    re.VERBOSE,
)
_BLOB: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}+={0,2}")
_BASIC: Final = re.compile(r"\bbasic[\s:]{1,9}([A-Za-z0-9+/_-]{4,}={0,2})", re.IGNORECASE)
_PRINTABLE: Final = re.compile(r"[\x20-\x7e\s]+")
_LAYERS: Final = 3


def spellings(text: str) -> list[str]:
    """The text and what it says when its percent-encoding is undone once, twice and three times."""
    spelled = [text]
    for _ in range(3):
        spelled.append(unquote(spelled[-1], errors="replace"))
    return spelled


def holds_credential(text: str) -> bool:
    """Whether something in the text looks like a credential, in whatever encoding."""
    return _MARKS.search(text) is not None and next(_spans(text), None) is not None


def scrub(text: str) -> str:
    """The text with *** for every credential in it. Scrubbing twice changes nothing; so does a text without one."""
    if not _MARKS.search(text):
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
        is_text = isinstance(name, str)
        shown = scrub(name) if is_text else name
        while shown in found:  # two names with secrets may become one
            shown = f"{shown}*"
        found[shown] = _hidden(one, name) if is_text and is_secret_name(name) else scrubbed(one)
    return found


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
        undone = _undone(layer)
        if undone is None:
            return
        layer, places = undone
        offsets = places if offsets is None else [offsets[place] for place in places]


def _undone(text: str) -> tuple[str, list[int]] | None:
    """The text with one layer of escapes undone, and the place of each of its characters before; None without any."""
    parts: list[str] = []
    places: list[int] = []
    done = 0
    if "%" not in text and "\\" not in text and "&" not in text and text.isascii():
        return None
    for found in _ESCAPES.finditer(text):
        start, end = found.span()
        plain, width = _meant(found)
        parts += [text[done:start], plain]
        places += range(done, start)
        if width:  # escaped bytes: some characters are several
            for one in plain:
                places.append(start)
                start += width * (1 if "\udc80" <= one <= "\udcff" else len(one.encode()))
        else:
            places += [start] * len(plain)
        done = end
    if not done:
        return None
    places += range(done, len(text) + 1)
    return "".join([*parts, text[done:]]), places


def _meant(found: re.Match[str]) -> tuple[str, int]:
    """What an escape says; and how wide one byte of it is, if it spells bytes."""
    said = found[0]
    match found.lastgroup:
        case "bytes":
            return unquote_to_bytes(said).decode(errors="surrogateescape"), 3
        case "unicode" | "braces" | "hex" as kind:
            number = int(found[kind], 16)
            return (chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"), 0
        case "escaped":
            return found["escaped"], 0
        case "blank":
            return " ", 0
        case "html":
            return unescape(said), 0
    return chr(ord(said) - 0xFEE0), 0


def _encoded(text: str, depth: int) -> Iterator[Span]:
    """Runs of base64 or hexadecimal digits that say a credential."""
    for found in _BASIC.finditer(text) if "asic" in text.lower() else ():
        if ":" in _text_of(_bytes_of_base64(found[1])):
            yield Span(*found.span(1), found.start(1))
    if not depth:
        return
    for found in _BLOB.finditer(text):
        for start, end in _pieces(*found.span(), text):
            if any(said and holds(said, depth - 1) for said in _readings(text[start:end])):
                yield Span(start, end, start)


def holds(text: str, depth: int) -> bool:
    """`holds_credential`, in a text that was itself encoded."""
    return next(_found(text, depth=depth), None) is not None


def _pieces(start: int, end: int, text: str) -> Iterator[tuple[int, int]]:
    """A run of digits of base64, and its parts where it may be a path or several words."""
    yield start, end
    if not {"/", "-", "_"} & set(text[start:end]):
        return
    parts = list(re.finditer(r"[A-Za-z0-9+]{16,}={0,2}", text[start:end]))
    if len(parts) > 1 or (parts and parts[0].span() != (0, end - start)):
        yield from ((start + part.start(), start + part.end()) for part in parts)


def _readings(run: str) -> Iterator[str]:
    if run != run.lower():  # text is not spelled without a capital letter
        yield _text_of(_bytes_of_base64(run))
    if len(run) % 2 == 0 and re.fullmatch(r"[0-9A-Fa-f]+", run):
        yield _text_of(bytes.fromhex(run))


def _bytes_of_base64(run: str) -> bytes:
    digits = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(digits + "=" * (-len(digits) % 4))
    except (binascii.Error, ValueError):  # one digit too many
        return b64decode(digits[:-1])


def _text_of(found: bytes) -> str:
    """What bytes say, when they are text."""
    if not found.isascii():
        return ""
    text = found.decode()
    return text if _PRINTABLE.fullmatch(text) else ""
