"""Whether another type holds all that a column's type held: compared by what the systems write, nothing is asked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

TypeChange = Literal["widened", "narrowed", "changed"]

_WRITTEN: Final = re.compile(r"\s*([a-z_][a-z_0-9 ]*?)\s*(?:\(([^()]*)\))?\s*((?:with(?:out)? time zone|unsigned)?)\s*")

_INTEGERS: Final[Mapping[str, int]] = {
    "tinyint": 3,
    "int1": 3,
    "smallint": 5,
    "int2": 5,
    "mediumint": 7,
    "int": 10,
    "integer": 10,
    "int4": 10,
    "bigint": 19,
    "int8": 19,
    "hugeint": 39,
}
"""How many digits an integer can have."""
_FLOATS: Final[Mapping[str, int]] = {
    "real": 6,
    "float4": 6,
    "float": 6,
    "double precision": 15,
    "double": 15,
    "float8": 15,
}
"""How many digits are exact."""
_EXACT: Final = {"numeric", "decimal"}
_TEXTS: Final[Mapping[str, int | None]] = {
    "char": 1,
    "character": 1,
    "bpchar": 1,
    "varchar": None,
    "character varying": None,
    "nvarchar": None,
    "tinytext": 255,
    "text": None,
    "mediumtext": None,
    "longtext": None,
    "string": None,
}
"""How long without a length; None for as long as it likes."""
_BYTES: Final = {"binary": 1, "varbinary": None, "bytea": None, "tinyblob": 255, "blob": None}
_MOMENTS: Final = {"timestamp without time zone": 6, "datetime": 0, "timestamp": 0}
"""How many digits of a second without a number. What is only called `timestamp` may be MySQL's, which ends in 2038."""


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    numbers: tuple[int, ...]
    signed: bool
    values: frozenset[str] | None = None


def type_change(before: str, after: str) -> TypeChange:
    """What became of a type. One that is not known in both is `changed`: whether it holds the same nobody can say."""
    one, other = _parsed(before), _parsed(after)
    if one is None or other is None:
        return "changed"
    if _holds(other, one):
        return "widened"
    return "narrowed" if _holds(one, other) else "changed"


def _parsed(written: str) -> _Type | None:
    lowered = written.lower()
    if lowered.startswith("enum(") and lowered.endswith(")"):
        return _Type("enum", (), True, frozenset(re.findall(r"'((?:[^']|'')*)'", written)))
    found = _WRITTEN.fullmatch(lowered)
    if found is None:
        return None
    name, inside, behind = found.groups()
    numbers = _numbers(inside)
    if numbers is None:
        return None
    if behind == "unsigned" or name.endswith(" unsigned"):
        return _Type(name.removesuffix(" unsigned"), numbers, signed=False)
    return _Type(f"{name} {behind}".strip(), numbers, signed=True)


def _numbers(inside: str | None) -> tuple[int, ...] | None:
    parts: Sequence[str] = inside.split(",") if inside else ()
    texts = [part.strip() for part in parts]
    return tuple(map(int, texts)) if all(text.isdecimal() for text in texts) else None


def _holds(wide: _Type, narrow: _Type) -> bool:
    """Whether every value of the one is a value of the other."""
    if wide.values is not None and narrow.values is not None:
        return wide.values >= narrow.values
    if (wide.signed, narrow.signed) not in ((True, True), (False, False)):
        return wide.signed and _digits(wide) > _digits(narrow) > 0
    if _digits(narrow):
        return _holds_integers(wide, narrow)
    if narrow.name in _FLOATS:
        return wide.name in _FLOATS and _FLOATS[wide.name] >= _FLOATS[narrow.name]
    if narrow.name in _EXACT:
        return wide.name in _EXACT and _covers(wide.numbers, narrow.numbers)
    if narrow.name == "date":
        return wide.name in ("date", "datetime", "timestamp without time zone")
    if narrow.name in _MOMENTS:
        return wide.name == narrow.name and _precision(wide) >= _precision(narrow)
    return any(_is_longer(wide, narrow, kind) for kind in (_TEXTS, _BYTES))


def _precision(kind: _Type) -> int:
    """Digits of a second."""
    return kind.numbers[0] if kind.numbers else _MOMENTS[kind.name]


def _digits(kind: _Type) -> int:
    return _INTEGERS.get(kind.name, 0)


def _holds_integers(wide: _Type, narrow: _Type) -> bool:
    if wide.name in _EXACT:
        return not wide.numbers or wide.numbers[0] - sum(wide.numbers[1:]) >= _digits(narrow)
    return max(_digits(wide), _FLOATS.get(wide.name, 0)) >= _digits(narrow)


def _covers(wide: tuple[int, ...], narrow: tuple[int, ...]) -> bool:
    """Digits before the point and behind it; without a number there is no limit."""
    if not wide or not narrow:
        return not wide
    behind, other = sum(wide[1:]), sum(narrow[1:])
    return wide[0] - behind >= narrow[0] - other and behind >= other


def _is_longer(wide: _Type, narrow: _Type, kinds: Mapping[str, int | None]) -> bool:
    if wide.name not in kinds or narrow.name not in kinds:
        return False
    long, short = (one.numbers[0] if one.numbers else kinds[one.name] for one in (wide, narrow))
    if long is None or short is None:
        return long is None and (short is not None or _ORDER.get(wide.name, 1) >= _ORDER.get(narrow.name, 1))
    return long >= short


_ORDER: Final = {"mediumtext": 2, "longtext": 3}
"""MySQL's, each longer than the one before and than all others."""
