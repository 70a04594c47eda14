"""No password leaves through a message: not ours, not a driver's, not a traceback, not one of the environment's."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import unquote

from identity import credentials
from identity.credential_shapes import is_secret_name
from identity.credentials import HIDDEN, spellings

_FOLDERS = frozenset({"PWD", "OLDPWD"})  # called like a password, and the shell's folders in every environment
_SHORTEST = 3  # hiding every "a" of a message tells more than it hides


def scrub(text: str, variables: Mapping[str, str]) -> str:
    """The text without credentials: whatever looks like one, and every one that the environment holds."""
    text = credentials.scrub(text)
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
    named = (value for name, value in variables.items() if is_secret_name(name) and name not in _FOLDERS)
    found = chain(named, chain.from_iterable(map(_passwords, variables.values())))
    spelled = chain.from_iterable(map(spellings, found))
    return frozenset(one for one in spelled if len(one) >= _SHORTEST)


def _passwords(value: str) -> Iterator[str]:
    """The passwords of a connection URL or a connection string.

    One that is the user's or the database's name too is none that hiding it would hide: `postgres` stays readable.
    """
    for secret in credentials.secrets_in(value):
        rest = value.replace(secret, "", 1)
        if unquote(secret) not in {unquote(word) for word in re.split(r"[/:@?&=;\s]+", rest)}:
            yield secret
