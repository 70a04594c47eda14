"""Encodings that texts arrive in, undone: escapes one layer at a time, and runs of digits that spell another text.

Escapes are those of URLs, JSON, programs, shells, HTML and mail; digits are hexadecimal and base64, UTF-16 included.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from html import unescape
from typing import Final
from urllib.parse import unquote_to_bytes

_ESCAPES: Final = re.compile(
    r"""(?P<bytes>(?:%[0-9A-Fa-f]{2})+)
    | (?P<printable>(?:=[0-9A-F]{2}){3,} | =(?:3D|3A|40|2F|3B|22))       # quoted-printable
    | (?P<folded>=\r?\n)
    | \\u(?P<unicode>[0-9A-Fa-f]{4}) | \\u\{(?P<braces>[0-9A-Fa-f]{1,6})\} | \\U(?P<long>[0-9A-Fa-f]{8})
    | \\x(?P<hex>[0-9A-Fa-f]{2}) | \\(?P<octal>[0-3][0-7]{2})
    | \\(?P<escaped>["'\\/]) | (?P<blank>\\[tnr])
    | (?P<html>&(?:\#\d{2,7};?|\#[xX][0-9A-Fa-f]{1,6};?|(?:quot|amp|apos|lt|gt|colon|commat|equals|semi|sol|lowbar);))
    | (?P<wide>[\uff01-\uff5e])""",
    re.VERBOSE,
)
_ESCAPED: Final = re.compile(r"[%\\&=\uff01-\uff5e]")
_BLOB: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}+={0,2}")
_SPACED: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:0x)?[0-9A-Fa-f]{2}(?:[ :,;_-]{1,2}(?:0x)?[0-9A-Fa-f]{2}){7,}(?![0-9A-Za-z])"
)
_BASIC: Final = re.compile(r"\bbasic[\s:]{1,9}([A-Za-z0-9+/_-]{4,}={0,2})", re.IGNORECASE)
_LOGIN: Final = re.compile(
    r"""\b(?:\w{0,30}[_-])?(?:auth|basic_?auth|authentication|login|logon|user_?pass|userinfo)
    ["'\\\s]{0,9}[:=][\s"'\\]{0,9}([A-Za-z0-9+/_-]{6,}={0,2})""",
    re.IGNORECASE | re.VERBOSE,
)
_PAIR: Final = re.compile(r"[^\s:]+:\S.*")


def undone(text: str) -> tuple[str, list[int]] | None:
    """The text with one layer of escapes undone, and the place of each of its characters before; None without any."""
    parts: list[str] = []
    places: list[int] = []
    done = 0
    if not _ESCAPED.search(text):
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
        case "bytes" | "printable":
            return unquote_to_bytes(said.replace("=", "%")).decode(errors="surrogateescape"), 3
        case "unicode" | "braces" | "long" | "hex" as kind:
            number = int(found[kind], 16)
            return (chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"), 0
        case "octal":
            return chr(int(found["octal"], 8)), 0
        case "escaped":
            return found["escaped"], 0
        case "blank":
            return " ", 0
        case "folded":
            return "", 0
        case "html":
            return unescape(said), 0
    return chr(ord(said) - 0xFEE0), 0


def logins(text: str) -> Iterator[tuple[int, int]]:
    """Where a user and a password stand in base64, after a word that says so."""
    lower = text.lower()
    for found in _BASIC.finditer(text) if "basic" in lower else ():
        if ":" in _text_of(_bytes_of_base64(found[1])):
            yield found.span(1)
    if any(word in lower for word in ("auth", "log", "user")):
        for found in _LOGIN.finditer(text):
            if _PAIR.fullmatch(_text_of(_bytes_of_base64(found[1]))):
                yield found.span(1)


def digits(text: str) -> Iterator[tuple[int, int, str]]:
    """The runs of digits of base64 or hexadecimal that spell a text, and what they spell."""
    for found in _BLOB.finditer(text):
        for start, end in _pieces(*found.span(), text):
            yield from ((start, end, said) for said in _readings(text[start:end]) if said)
    for found in _SPACED.finditer(text):
        if said := _text_of(bytes.fromhex(re.sub("0x|[^0-9A-Fa-f]", "", found[0]))):
            yield *found.span(), said


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
    hexadecimal = run[2:] if run[:2] in ("0x", "0X") else run
    if len(hexadecimal) % 2 == 0 and re.fullmatch(r"[0-9A-Fa-f]+", hexadecimal):
        yield _text_of(bytes.fromhex(hexadecimal))


def _bytes_of_base64(run: str) -> bytes:
    code = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(code + "=" * (-len(code) % 4))
    except ValueError:  # one digit too many
        return b64decode(code[:-1])


def _text_of(found: bytes) -> str:
    """What bytes say, when they are text."""
    coding = "utf-8"
    if b"\0" in found:  # PowerShell and SQL Server write UTF-16
        coding = "utf-16-be" if found[:1] == b"\0" else "utf-16-le"
        found = found[: len(found) // 2 * 2].removeprefix(b"\xff\xfe")
    try:
        text = found.decode(coding)
    except UnicodeDecodeError:
        return ""
    return text if all(one.isprintable() or one.isspace() for one in text) else ""
