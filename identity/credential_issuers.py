"""Keys and tokens that can be told by their own shape: the prefix of who issued them, their letters, their length.

The shapes are those of the issuers' documentation and of the public rules of gitleaks and GitHub's secret scanning.
Tables and columns may start with such a prefix as well (`npm_downloads_daily`): what follows it must look drawn by lot.
"""

import re
from collections.abc import Iterator
from typing import Final

_SHAPES: Final = re.compile(
    r"""(?<![\w-])
    (?: A(?:KIA|SIA)(?P<aws>[0-9A-Z]{16})                                # ids of access keys of AWS
      | eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?                          # JSON Web Tokens
      | dapi(?P<databricks>[0-9a-f]{32})(?:-\d)?
      | (?:gh[pousr]_|npm_)(?P<letters>[A-Za-z0-9]{36,255})
      | github_pat_(?P<fine>[A-Za-z0-9]{22}_[A-Za-z0-9]{59})
      | glpat-(?P<gitlab>[\w-]{20,300}(?:\.[0-9a-z]{2}\.?[0-9a-z]{7})?)
      | pypi-(?:AgEIcHlwaS5vcmc|AgENdGVzdC5weXBpLm9yZw)[\w-]{50,}         # pypi.org and test.pypi.org, in base64
      | hvs\.(?P<vault>[\w-]{24,})
      | ya29\.(?P<google>[\w-]{20,})
      | sk-(?:proj-|svcacct-|admin-|ant-(?:api|admin)\d\d-|or-v1-)?(?P<model>[\w-]{20,})  # OpenAI, Anthropic and others
      | [rs]k_live_(?P<stripe>[A-Za-z0-9]{16,})
      | xox[abeoprs]-(?P<slack>(?:\d{1,13}-){0,3}[\w-]{10,})
      | AIza(?P<cloud>[\w-]{35}) | GOCSPX-(?P<client>[\w-]{28})           # keys of Google
    )(?![A-Za-z0-9])
    """,
    re.VERBOSE,
)
_STARTS: Final = (
    *("akia", "asia", "eyj", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "npm_", "pypi-", "hvs."),
    *("dapi", "ya29.", "sk-", "k_live_", "xox", "aiza", "gocspx-"),
)
_SHORTEST: Final = 20
_RUN: Final = re.compile(r"[A-Za-z0-9]{8,}")
_WORDLIKE: Final = re.compile(r"[A-Z][a-z]{2,}|[a-z]{3,}|[A-Z]{3,}|\d{3,}")


def issued_keys(text: str, lower: str) -> Iterator[tuple[int, int]]:
    """Where a text, given in lower case as well, has a key that can be told by its shape."""
    if len(text) >= _SHORTEST and any(start in lower for start in _STARTS):
        for found in _SHAPES.finditer(text):
            kind = found.lastgroup
            if kind is None or _is_drawn_by_lot(found[kind], cased=kind not in ("aws", "databricks")):
                yield found.span()


def _is_drawn_by_lot(text: str, *, cased: bool) -> bool:
    """Whether some run of letters and digits is of no words: in names, digits stand at the end of a word."""
    if not cased:
        return any(one.isdigit() for one in text) and any(one.isalpha() for one in text)
    return any(_is_mixed(run[0]) for run in _RUN.finditer(text))


def _is_mixed(run: str) -> bool:
    if len(run) >= 32 and not run.isalpha() and re.fullmatch("[0-9a-f]+", run):
        return True
    kinds = sum(any(map(kind, run)) for kind in (str.isdigit, str.islower, str.isupper))
    strange = len(_WORDLIKE.sub("", run)) / len(run)
    return strange >= 0.2 if kinds == 3 else kinds == 2 and len(run) >= 10 and strange >= 0.6
