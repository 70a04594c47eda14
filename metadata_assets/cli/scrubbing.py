"""No password leaves through a message: not ours, not a driver's, not a traceback."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import unquote

from identity.errors import spellings

HIDDEN = "***"
_SHORTEST = 3  # hiding every "a" of a message tells more than it hides

_URL = re.compile(r"://(?P<user>[^/\s:@]*):(?P<password>[^\s]*)@(?P<rest>[^\s]*)")
_PARAMETER = re.compile(r"(?:^|[?&\s])(?:ssl)?password\s*=\s*'?([^&#\s']*)")
_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]*:[^\s'\"]*@")
_NAMED = re.compile(
    r"(?i)\b((?:ssl)?passw(?:or)?d|passfile|secret|token)\b(\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s&'\",)]+)"
)
_SECRET_VARIABLE = re.compile(r"(?i)passw(or)?d$|secret|token|api_?key")


def scrub(text: str, variables: Mapping[str, str]) -> str:
    """The text without passwords: those of URLs and `password=…` in it, and every one that the environment holds."""
    text = _NAMED.sub(rf"\1\2{HIDDEN}", _USERINFO.sub(f"{HIDDEN}@", text))
    for secret in sorted(secrets_in(variables), key=lambda one: (-len(one), one)):
        text = text.replace(secret, HIDDEN)
    return text


def scrub_all(value: Any, variables: Mapping[str, str]) -> Any:
    """A JSON value with every text in it scrubbed."""
    match value:
        case str():
            return scrub(value, variables)
        case list():
            return [scrub_all(item, variables) for item in value]
        case dict():
            return {name: scrub_all(item, variables) for name, item in value.items()}
    return value


def secrets_in(variables: Mapping[str, str]) -> frozenset[str]:
    """The passwords in an environment's URLs, in every spelling, and the values of variables named like secrets."""
    named = (value for name, value in variables.items() if _SECRET_VARIABLE.search(name))
    found = chain(named, chain.from_iterable(map(_passwords, variables.values())))
    spelled = chain.from_iterable(map(spellings, found))
    return frozenset(one for one in spelled if len(one) >= _SHORTEST)


def _passwords(value: str) -> Iterator[str]:
    """The passwords of a connection URL or a connection string.

    One that is the user's or the database's name too is none that hiding it would hide: `postgres` stays readable.
    """
    yield from (match[1] for match in _PARAMETER.finditer(value) if match[1])
    for match in _URL.finditer(value):
        public = {unquote(match["user"]), *map(unquote, match["rest"].partition("?")[0].split("/")), ""}
        if unquote(match["password"]) not in public:
            yield match["password"]
