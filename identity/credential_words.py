"""What a credential is called, and what stands in its place without being one: a reference, a placeholder, a mask."""

import re
from typing import Final

SECRET: Final = r"""
    (?:passw(?:or)?d|passwort|kennwort|passphrase|passcode|passfile|pwd|secret|token|credential|signature
      |(?:api|access|account|secret|private|shared|storage|encryption|subscription|signing|master)[ _-]?key
      |(?<![a-z])(?:pass|psw|pw|sig)|(?-i:(?<=[a-z])P(?:ass|w)))
    (?:[_-]?(?:value|string|text|plain|base64|b64|json))?s?\d{0,2}
"""
FLAGS: Final = re.IGNORECASE | re.VERBOSE
_NAME: Final = re.compile(rf"[\w.\- ]*?{SECRET}\s*", FLAGS)

# A template is one only when it is written as its language writes it: a value in single braces is ODBC's.
_TEMPLATE: Final = re.compile(
    r"""env:[a-z_]\w* | \$\{[a-z_][\w.:-]*\} | \{\{\s*[a-z_][\w.]*\s*\}\} | \$\([a-z_][\w.-]*\) | \{\}
    | (?-i:\$[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+) | [$:]\d{1,2} | %[a-z] | \?
    | [*•.…_-]+ | x{3,} | null | none | nil | true | false""",
    FLAGS,
)
_CALLED_SO: Final = re.compile(r"[$:](\w+) | %\((\w+)\)s | \{([\w. -]+)\} | <([^<>]*)>", re.VERBOSE)
_SAID_TO_BE: Final = re.compile(r"\b(?:your|withheld|hidden|redacted|masked|removed|placeholder)\b", re.IGNORECASE)
_IN_A_URL: Final = re.compile(r"\*+ | \$\{[a-z_]\w*\} | env:[a-z_]\w*", FLAGS)


def is_secret_name(name: str) -> bool:
    """Whether what is called so is a credential: `password`, `db.sslPassword`, `AWS_SECRET_ACCESS_KEY`."""
    return len(name) <= 200 and _NAME.fullmatch(name) is not None


def is_no_secret(value: str) -> bool:
    """Whether a value only stands for a credential: `***`, `env:NAME`, `${NAME}`, `{password}`, nothing."""
    if not value or _TEMPLATE.fullmatch(value):
        return True
    called = _CALLED_SO.fullmatch(value)
    if called is None:
        return False
    name = next(filter(None, called.groups()), "")
    return is_secret_name(name) or bool(called[4] and _SAID_TO_BE.search(name))


def is_no_password(value: str) -> bool:
    """The same between a user and an @, where people write whatever a password can be."""
    return not value or _IN_A_URL.fullmatch(value) is not None
