"""What in a name can only be a credential. Names come from files, events and catalogs, where people paste things."""

import re
from typing import Final

from identity.errors import WITHHELD, InvalidKey, spellings

_CREDENTIAL: Final = re.compile(
    r"""
      ://[^/]*:.*@                                  # user:password before a host, even with a / in the password
    | ://[^/@]*@[^/@]*:                             # ... or with an @ in it
    | ^[^\s/:@]*:[^\s@]+@[\w.\[-]+(?::\d+)?(?:/|$)    # the same without its scheme
    | [^\s/@]/[^\s@]+@(?://[\w.-]+|[\w.-]+:\d)        # scott/tiger@db:1521, as Oracle writes it
    | (?:^|[\s;&?\#,{(\["'\\])[\\"']*                 # a parameter: password=…; "pwd": …
      (?:[\w-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|credential)[\w-]*
        |pwd|pass|sig|[\w-]*signature)
      [\\"']*\s*[=:]\s*[\\"'{]*\S
    | \bAKIA[0-9A-Z]{16}\b                          # the id of an access key of AWS
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.                # a JSON Web Token
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def refuse_credentials(text: str, error: type[InvalidKey]) -> None:
    """Raises the error, which does not repeat the text, when the text says a credential, percent-encoded or not."""
    if any(_CREDENTIAL.search(spelled) for spelled in set(spellings(text))):
        fix = "name the table, file, topic or job, not the connection to it"
        raise error(value=WITHHELD, reason="it looks like a connection with a credential", fix=fix)
