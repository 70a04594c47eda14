"""What credentials look like in plain text: where they start and end. Encodings are undone elsewhere (credentials.py).

Every rule takes time in proportion to the text: searches start at a word that is rare, loops do not go back.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from identity.credential_issuers import issued_keys
from identity.credential_words import FLAGS, SECRET, is_no_password, is_no_secret
from identity.credential_words import is_secret_name as is_secret_name


class Span(NamedTuple):
    """A part of a text that must not be repeated; the credential itself starts at `secret`, after a user's name."""

    start: int
    end: int
    secret: int


_NAMED: Final = re.compile(
    rf"""{SECRET} (?:[\\"'`\])]*+ \s*+ (?P<sign>=>|=(?![=>])|:=|:(?!:)) | (?P<space>[^\S\n]++))""", FLAGS
)
_VALUE: Final = re.compile(
    r"""
    [^\S\n]*+ (?:\n\s*+(?=["']))?
    (?: \\++["'`][^"'`\\]*+ | ""[^"]++"" | ''[^']++''
      | [a-z]{0,2}'(?:[^'\\]|\\.|'')*+'? | [a-z]{0,2}"(?:[^"\\]|\\.|"")*+"? | `[^`]*+`?
      | \{(?:[^}\n]|\}\}){0,300}+\}(?=\s*+(?:;|\Z))
      | \{(?:\{++[^{}]*+\}*+|[^{}]*+\}?)(?:[^\s;&"'`<>\\,)\]}]++)?
      | (?:[^\s;&"'`<>\\]|\\.|&(?![\w.%-]{1,60}=)|<(?!/))++
    )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_MORE_WORDS: Final = re.compile(r"""(?:[^\S\n]++[^\s;&"'`=:]++)++(?=;)""")
_IDENTIFIED: Final = re.compile(r"\bidentified\s+by\s+(?:values\s+)?(?=\S)", re.IGNORECASE)
_AUTHORIZATION: Final = re.compile(r"""authorization[\\"']*+\s*+[:=]\s*+[\\"']*+([^"'\\\n,;]++)""", re.IGNORECASE)
_BEARER: Final = re.compile(r"\bbearer[\s:]{1,9}([\w.~+/=-]{6,})", re.IGNORECASE)
_OPTION: Final = re.compile(r"(?<!\S)(?:-u|--user)[ =]([^\s:]{1,200}:)(\S++)")
_LOGIN: Final = re.compile(r"login\s{1,9}\S{1,80}\s{1,9}\Z")
_ELEMENT: Final = re.compile(
    rf"<[\w:.-]{{0,80}}?{SECRET}(?:\s[^<>]{{0,200}})?>\s*+(?:<!\[CDATA\[((?:[^\]]|\](?!\]>))++)|([^<]++))", FLAGS
)
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")

# One of these is in whatever the names of secrets find: a search for a word is faster than one for an expression.
_WORDS: Final = ("pass", "pwd", "secret", "token", "key", "credential", "kennwort", "sig", "psw", "pw", "identified")
# In sentences, types and other words.
_WORD: Final = re.compile(
    r"""yes|no|not|is|are|was|str|string|text|varchar|character|bytes|bytea|int|integer|bigint|bool|boolean|uuid|char|the|a
    |optional|required|hashed|hidden|secret|changed|expired|rotated|invalid|missing|wrong|passw(?:or)?d|token|strict""",
    FLAGS,
)
_FOLDER: Final = re.compile(r"[\w.~-]*/")
_COLUMN: Final = re.compile(r"""\(*[a-z_"]\w*"?\.[a-z_"]\w*"?[),;]*""", re.IGNORECASE)
_HOST: Final = re.compile(r"""(?:\[[\w:.]+\]|[\w.-]+)(?::\d+)?(?=[/"'`)\]}>,;.?&!\\]|\Z)""")
_PORT: Final = re.compile(r"""([\w.-]+):\d{1,5}(?:(["'`<>,;)\]}])|[/?\#])""", re.VERBOSE)
_LABELS: Final = frozenset(
    (
        "mailto",
        "mail",
        "email",
        "e-mail",
        "contact",
        "from",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "sip",
        "xmpp",
        "acct",
        "urn",
    )
)
_EDGES: Final = "\"'`([{<,=;"


def plain_spans(text: str) -> Iterator[Span]:
    """Every credential in a text that is not encoded, in no order; spans may overlap."""
    lower = text.lower()
    if any(word in lower for word in _WORDS):
        yield from _named(text, lower)
    if "@" in text:
        for word in re.finditer(r"\S++", text):
            if "@" in word[0]:
                yield from _user_info(word[0], word.start())
        yield from _split_by_spaces(text)
    yield from _headers(text, lower)
    for start, end in issued_keys(text, lower):
        yield Span(start, end, start)
    if "-----begin" in lower:
        for key in _PRIVATE_KEY.finditer(text):
            end = text.find("-----END", key.end())
            yield Span(key.end(), len(text) if end < 0 else end, key.end())
            if end < 0:
                break


def _named(text: str, lower: str) -> Iterator[Span]:
    """password=…, "pwd": "…", --token …, PASSWORD '…', IDENTIFIED BY …, <secret>…</secret>."""
    yield from _values_after(_NAMED, text)
    if "identified" in lower:
        yield from _values_after(_IDENTIFIED, text)
    if "<" in text:
        for found in _ELEMENT.finditer(text):
            yield from _unquoted(text, *found.span(1 if found[1] else 2))


def _values_after(names: re.Pattern[str], text: str) -> Iterator[Span]:
    place = 0
    while found := names.search(text, place):
        place = found.end()
        value = _VALUE.match(text, place)
        if value is None or (names is _NAMED and not _means_it(text, found, value[0].lstrip())):
            continue
        place = value.end()
        is_bare = names is _NAMED and found["sign"] and text[place - 1] not in "\"'`}"
        if is_bare and (more := _MORE_WORDS.match(text, place)):  # spaces are part of it in a list with ;
            place = more.end()
        yield from _unquoted(text, value.start(), place)


def _means_it(text: str, found: re.Match[str], value: str) -> bool:
    start = found.start()
    while start and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    before, name = text[start - 1 : start], text[start : found.end()].lower()
    sign = found["sign"]
    if sign is None:  # an option, SQL, .netrc; anything else is a sentence
        is_sql = value.startswith("'") and name.strip() == "password"
        return name.startswith("--") or is_sql or bool(_LOGIN.search(text[max(0, start - 200) : start]))
    if before == "/" and found[0].endswith("=") and _FOLDER.match(value):  # x/token=1/y: a partitioned table
        return False
    if value.isdecimal() and name.rstrip("\"' :=").endswith("s"):  # how many there are
        return False
    if "sig" in name and sign == ":" and '"' not in name and "'" not in name:
        return False
    spaced = found[0][-2:-1].isspace() or before == "."
    if (spaced or ":" in sign) and _WORD.fullmatch(value.strip("\"',.;)")):
        return False
    return not (sign == "=" and spaced and _COLUMN.fullmatch(value))


def _unquoted(text: str, start: int, end: int) -> Iterator[Span]:
    """The span of a value without its quotes, unless it is no secret."""
    while start < end and (text[start].isspace() or text[start] == "\\"):
        start += 1
    if is_no_secret(text[start:end]):
        return
    for quote in "'\"`":
        opening = text.find(quote, start, min(end, start + 3))
        if opening >= 0 and (opening == start or text[start:opening].isalpha()):
            start = opening
            while start < end and text[start] == quote:
                start += 1
            while end > start and text[end - 1] == quote:
                end -= 1
            break
    else:
        closing = {"{": 0, "(": 0}.get(text[start : start + 1], 1)
        while closing and end > start and text[end - 1] in "),.]}:!":
            end -= 1
    if not is_no_secret(text[start:end]):
        yield Span(start, end, start)


def _user_info(word: str, at: int) -> Iterator[Span]:
    """user:password@ of a word that has an @, with and without a scheme; user/password@ as Oracle writes it."""
    heads = word.split("://")
    place = len(heads[0]) + 3
    for head, rest in pairwise(heads):
        yield from _of_url(rest, at + place, is_web=bool(_WEB.search(head)))
        place += len(rest) + 3
    if len(heads) == 1:
        yield from _without_scheme(word, at)


def _of_url(rest: str, at: int, *, is_web: bool) -> Iterator[Span]:
    quoted = min((place for mark in "\"'`<>" if (place := rest.find(mark)) >= 0), default=len(rest))
    end = rest.rfind("@", 0, quoted)
    end = rest.rfind("@") if end < 0 else end
    colon = rest.find(":", 0, max(end, 0))
    if colon < 0:
        return
    port = _PORT.match(rest)
    if port and (port[2] or (is_web and _is_host(port[1]))):  # an @ in what comes next, or in the path of a page
        return
    if not is_no_password(rest[colon + 1 : end]):
        yield Span(at, at + end, at + colon + 1)


def _without_scheme(word: str, at: int) -> Iterator[Span]:
    slashes = len(word) - len(word.lstrip("/"))
    word, at = word[slashes:], at + slashes
    end = word.rfind("@")
    left, right = word[:end], word[end + 1 :]
    if _HOST.match(right):
        edge = max(left.rfind(mark) for mark in _EDGES) + 1
        before = left.partition(":")[0]  # a password may have such a mark in it
        for start in {0, edge, max(before.rfind(mark) for mark in _EDGES) + 1}:
            user, _, password = left[start:].partition(":")
            start, user = start + user.rfind("/") + 1, user[user.rfind("/") + 1 :]
            is_user = not set(user) & {"/", "@", *_EDGES} and user.lower() not in _LABELS
            if len(password) > 2 and is_user and not user.isdecimal() and not is_no_password(password):
                yield Span(at + start, at + end, at + start + len(user) + 1)
    slash = left.find("/")
    if slash > 0 and (right.startswith("//") or "oracle:" in left.lower() or re.match(r"[\w.-]{1,253}:\d", right)):
        start = slash + 1
        if left[start:] and not is_no_password(left[start:]):
            yield Span(at + start, at + end, at + start)


_WEB: Final = re.compile(r"(?:https?|wss?)\Z", re.IGNORECASE)
_BROKEN: Final = re.compile(
    r"""(https?|wss?)?://([^\s/:@"'`<>\[]{0,200}):([^\s/@"'`<>]{1,200})[^\S\n]""", re.IGNORECASE
)


def _is_host(name: str) -> bool:
    return "." in name or name == "localhost"


def _split_by_spaces(text: str) -> Iterator[Span]:
    """user:password@ of a URL whose password has a space in it, which nobody encoded."""
    for found in _BROKEN.finditer(text):
        web, user, word = found.groups()
        if word.isdecimal() and len(word) <= 5 and (web or _is_host(user)):  # a port, and a sentence that goes on
            continue
        line = text.find("\n", found.end(), found.end() + 200)
        end = text.rfind("@", found.end(), found.end() + 200 if line < 0 else line)
        if end >= 0:
            yield Span(found.start(2), end, found.start(3))


def _headers(text: str, lower: str) -> Iterator[Span]:
    """Authorization: …, Bearer …, curl's --user …."""
    if "authorization" in lower:
        for found in _AUTHORIZATION.finditer(text):
            if not is_no_secret(found[1].rpartition(" ")[2]):
                yield Span(*found.span(1), found.start(1))
    if "bearer" in lower:
        for found in _BEARER.finditer(text):
            if any(one.isdigit() for one in found[1]) or len(found[1]) >= 20:
                yield Span(*found.span(1), found.start(1))
    if "-u" in text:
        for found in _OPTION.finditer(text):
            if not is_no_secret(found[2]):
                yield Span(found.start(1), found.end(2), found.start(2))
