"""How a system spells the names that others say: the case that it writes, and how much of a name it keeps."""

from typing import Final, assert_never

from identity.naming.systems import Fold, Level, Limit, System

_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def folded(name: str, level: Level, rules: System, *, quoted: bool) -> str:
    """A name of a statement after what the engine does to its case."""
    if level not in rules.folded or (quoted and not rules.folds_quoted):
        return name
    return _in_case(name, rules.fold, rules)


def stored(name: str, level: Level, rules: System) -> str:
    """A name as the system has it, when somebody else says it: in the one case that it can have, cut to its length."""
    fold = dict(rules.one_case).get(level, Fold.EXACT)
    default = {"source": rules.default_source, "schema": rules.default_schema}.get(level)
    if level not in rules.folded and default and name.lower() == default.lower():  # Athena's own catalog
        return default
    return _cut(_in_case(name, fold, rules), level, rules.limit)


def too_long(name: str, level: Level, limit: Limit | None) -> bool:
    """Whether the system would refuse a name for its length."""
    return limit is not None and level in limit.levels and not limit.cuts and _length(name, limit) > limit.longest


def _cut(name: str, level: Level, limit: Limit | None) -> str:
    if limit is None or not limit.cuts or level not in limit.levels or _length(name, limit) <= limit.longest:
        return name
    if limit.of == "characters":
        return name[: limit.longest]
    return name.encode("utf-8", "surrogatepass")[: limit.longest].decode("utf-8", "ignore")


def _length(name: str, limit: Limit) -> int:
    return len(name.encode("utf-8", "surrogatepass")) if limit.of == "bytes" else len(name)


def _in_case(name: str, fold: Fold, rules: System) -> str:
    match fold:
        case Fold.LOWER:
            return name.translate(_LOWER) if rules.folds_ascii_only else name.lower()
        case Fold.UPPER:
            return name.upper() if name.isascii() else name  # how Oracle folds others is its character set's rule
        case Fold.EXACT | Fold.CASELESS | Fold.CONFIGURED:
            return name
    assert_never(fold)
