"""What test_one_door looks for: code that hashes, builds keys, makes ids or writes our tables by itself.

A source is read as a syntax tree. Names are followed to what they were imported as, under whatever other name, and
through plain assignments within a module; texts that begin a key are followed through assignments, too.

No look at a source sees everything: names that are put together at run time, SQL that is, a key that comes out of a
loop over characters, a function that is handed from module to module. The database is the second line: it derives each
id anew, knows the grammar of keys and lets nobody else write what follows from them (tests/stores/test_forgeries.py).
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from resources.postgres.tables import METADATA

METADATA_TABLES = {table.name for table in METADATA.sorted_tables}
TYPE = {"type", "builtins.type"}
HASHING = {"hashlib", "_hashlib", "_sha1", "_sha2", "_md5", "_blake2", "hmac", "zlib", "binascii", "xxhash"}
GUARDED = HASHING | {"uuid", "secrets", "identity.ids", "identity.keys", "identity.nodes", "builtins"}
RANDOM = {
    "uuid1",
    "uuid4",
    "uuid6",
    "uuid7",
    "uuid8",
    "getrandbits",
    "randbytes",
    "token_hex",
    "token_bytes",
    "urandom",
}

OUR_TABLES = "resources.postgres.tables"
WRITES = {"insert", "update", "delete"}

# The rule of whatever is called so, by its own name, whether it is called, imported or handed on.
TOUCHED: Mapping[str, str] = {
    **dict.fromkeys(("uuid3", "uuid5"), "uuid5"),
    **dict.fromkeys(RANDOM, "uuid4"),
    **dict.fromkeys(("_SEAL", "_Seal", "_Birth"), "sealed id"),
    **dict.fromkeys(("from_database", "of_generation", "child_id", "digest_id"), "stored id"),
    **dict.fromkeys(("eval", "exec", "__import__", "import_module", "methodcaller", "attrgetter"), "by name"),
    **dict.fromkeys(("__new__", "__setattr__", "__replace__", "__reduce__"), "past the constructor"),
    "PREFIX": "key by hand",
    "SCHEME": "scheme",
}
# Classes: the rule of whoever calls them, or hands them to somebody who could.
MADE: Mapping[str, str] = {
    "CanonicalKey": "key by hand",
    "IdentityKey": "reference by hand",
    "EntityId": "sealed id",
    "TenantId": "sealed id",
    "UUID": "UUID(…)",
    "SafeUUID": "UUID(…)",
}
ASKS_ABOUT_TYPES = {"isinstance", "issubclass", "cast", "TypeVar", "TypeAdapter", "Mapped"}
FIELDS = {"kind", "namespace", "segments", "tenant", "birth", "seal", "key", None}
"""What `dataclasses.replace` may not set: fields of keys and entities; None is `**changes`."""

BUILDS = {
    "format",
    "format_map",
    "join",
    "replace",
    "translate",
    "ljust",
    "rjust",
    "center",
    "zfill",
    "__add__",
    "__mod__",
}
ASKS = {"rows", "count", "call", "execute", "executemany", "exec_driver_sql", "copy", "cursor"}
READS = {"startswith", "endswith", "removeprefix", "partition", "split", "find", "index", "count"}

_WHOLE = re.compile(r"mid1:(?!…)|^identity:(?!<|[0-9a-f]{8}-[0-9a-f-]{27}$)|identity:$")
_BARE = re.compile(r"mid1:?|mid1:(?:endpoint|dataset|job|dashboard):?|identity:")

_TABLES = r'(?:only\s+)?"?(?:metadata\b|\{\}\s*"?\.)'
_NAMES = "|".join(sorted(METADATA_TABLES))
SQL_RULES: Mapping[str, re.Pattern[str]] = {
    "writes tables": re.compile(
        rf"\b(?:insert\s+into|update|delete\s+from|merge\s+into|copy|truncate(?:\s+table)?)\s+{_TABLES}", re.IGNORECASE
    ),
    "writes our tables": re.compile(
        rf"\b(?:insert\s+into|delete\s+from|merge\s+into|copy|truncate\s+table)\s+(?:only\s+)?\"?(?:{_NAMES})\"?(?![\w.])"
        rf"|\bupdate\s+(?:only\s+)?\"?(?:{_NAMES})\"?\s+(?:(?:as\s+)?\w+\s+)?set\b",
        re.IGNORECASE,
    ),
    "hash in SQL": re.compile(
        r"\b(?:sha(?:1|224|256|384|512)|md5|digest|hmac|hashtext\w*|hash_\w+|uuid_generate_\w+|gen_random_\w+|uuidv\d)\s*\(",
        re.IGNORECASE,
    ),
    "key by hand": re.compile(
        r"'(?:mid1|identity):[^']*'\s*\|\||\|\|\s*'(?:mid1|identity):|(?:concat|format)\w*\([^)]*'mid1"
    ),
}


def findings(source: str) -> Iterator[tuple[str, int]]:
    """(rule, line) of everything in the source that needs to be on the allow-list."""
    tree = ast.parse(source)
    module = Module.of(tree)
    for node in ast.walk(tree):
        for rule in module.rules_touched(node):
            yield rule, getattr(node, "lineno", 0)


@dataclass(frozen=True)
class Module:
    """What names stand for in one module: the dotted origin of each, and those that hold the begin of a key."""

    origins: Mapping[str, str]
    prefixes: frozenset[str]
    read_only: frozenset[int]
    """Texts that are compared or documentation: nothing is built of them."""
    texts: Mapping[str, str]
    """The whole text that a name holds, where it holds one."""

    @classmethod
    def of(cls, tree: ast.AST) -> "Module":
        module = cls(dict(_imported(tree)), frozenset(), frozenset(map(id, _read_only(tree))), {})
        while True:  # until another look finds no other name for anything
            origins, prefixes, texts = dict(module.origins), set(module.prefixes), dict(module.texts)
            for name, value in _assigned(tree):
                if module.begins_key(value):
                    prefixes.add(name)
                if (text := module.said(value)) is not None:
                    texts.setdefault(name, text)
                if isinstance(value, ast.Name | ast.Attribute) and name != (origin := module.origin(value)):
                    origins.setdefault(name, origin)
            if (origins, prefixes, texts) == (module.origins, module.prefixes, module.texts):
                return module
            module = cls(origins, frozenset(prefixes), module.read_only, texts)

    def said(self, node: ast.AST) -> str | None:
        """The text that a node is, as far as it can be read here, with {} for the rest; None for what is no text."""
        match node:
            case ast.Constant(str(text)):
                return text
            case ast.Name(name):
                return self.texts.get(name)
            case ast.FormattedValue(value):
                return self.said(value)
            case ast.JoinedStr(parts):
                return "".join(self.said(part) or "{}" for part in parts)
            case ast.BinOp(left, ast.Add(), right):
                both = self.said(left), self.said(right)
                return None if both == (None, None) else "".join(one or "{}" for one in both)
            case ast.BinOp(left, ast.Mod(), right):
                text, given = self.said(left), right.elts if isinstance(right, ast.Tuple) else [right]
                for one in given if text is not None else ():
                    text = text.replace("%s", self.said(one) or "{}", 1)
                return text
            case ast.Call(ast.Attribute(value, "format"), given, named):
                text = self.said(value)
                for place, one in enumerate(given if text is not None else ()):
                    text = re.sub(rf"\{{{place}?\}}", lambda _, one=one: self.said(one) or "{}", text, count=1)
                for keyword in named if text is not None else ():
                    text = text.replace(f"{{{keyword.arg}}}", self.said(keyword.value) or "{}")
                return text
        return None

    def origin(self, node: ast.AST) -> str:
        """`uuid.uuid5` for whatever stands for it here; empty for what has no name."""
        match node:
            case ast.Name(name):
                return self.origins.get(name, name)
            case ast.Attribute(value, attribute):
                return f"{self.origin(value)}.{attribute}"
            case ast.Subscript(value):
                return self.origin(value)
        return ""

    def own_name(self, node: ast.AST) -> str:
        return self.origin(node).rpartition(".")[2]

    def begins_key(self, node: ast.AST) -> bool:
        """Whether a text, or a list of texts, has the begin of a key in it."""
        match node:
            case ast.Constant(str(text)):
                return id(node) not in self.read_only and bool(_WHOLE.search(text) or _BARE.fullmatch(text))
            case ast.Name(name):
                return name in self.prefixes or self.own_name(node) in {"PREFIX", "SCHEME", "_HEAD"}
            case ast.Attribute():
                return self.own_name(node) in {"PREFIX", "SCHEME", "_HEAD"}
            case ast.FormattedValue(value) | ast.Starred(value):
                return self.begins_key(value)
            case ast.List(parts) | ast.Tuple(parts) | ast.JoinedStr(parts):
                return any(map(self.begins_key, parts))
            case ast.BinOp(left, _, right):
                return self.begins_key(left) or self.begins_key(right)
            case ast.GeneratorExp() | ast.ListComp():
                return any(self.begins_key(part) for part in [node.elt, *(one.iter for one in node.generators)])
        return False

    def is_part(self, node: ast.AST) -> bool:
        """The same for a part of a text that is being put together."""
        return self.begins_key(node) or (isinstance(node, ast.Constant) and node.value in {"mid1", "identity"})

    def rules_touched(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names):
                yield from (rule for one in names for rule in _of_module(one.name))
            case ast.ClassDef(bases=bases):
                yield from (rule for one in bases for rule in self._made(one))
            case ast.ImportFrom(module=str(module), names=names):
                yield from _of_module(module)
                yield from ("our tables" for one in names if f"{module}.{one.name}" == OUR_TABLES)
                yield from (TOUCHED[one.name] for one in names if one.name in TOUCHED)
                yield from ("by name" for one in names if one.name == "*" and module in GUARDED)
            case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                yield from self._of_name(node)
            case ast.Call():
                yield from self._of_call(node)
            case ast.Constant(str(text)) if id(node) not in self.read_only:
                yield from (rule for rule, pattern in SQL_RULES.items() if pattern.search(text))
                yield from ["key by hand"] if _BARE.fullmatch(text) else []
            case ast.JoinedStr(parts):
                text = self.said(node) or ""
                yield from (rule for rule, pattern in SQL_RULES.items() if pattern.search(text))
                yield from ["key by hand"] if len(parts) > 1 and any(map(self.begins_key, parts)) else []
                yield from ["key by hand"] if re.search(r"(?:mid1|identity):\{\}", text) else []
            case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
                yield from self._of_text(node)
                yield from ["key by hand"] if self.is_part(left) or self.is_part(right) else []
            case ast.AugAssign(target=target, op=ast.Add() | ast.Mod(), value=value):
                yield from ["key by hand"] if self.is_part(target) or self.is_part(value) else []

    def _of_text(self, node: ast.AST) -> Iterator[str]:
        """Statements that are put together of texts that are known here."""
        text = self.said(node) or ""
        yield from (rule for rule in ("writes tables", "writes our tables") if SQL_RULES[rule].search(text))

    def _of_name(self, node: ast.expr) -> Iterator[str]:
        origin, own = self.origin(node), self.own_name(node)
        if isinstance(node, ast.Attribute) or origin != own or own.startswith("_") or own in {"eval", "exec"}:
            yield from [TOUCHED[own]] if own in TOUCHED else []
        if origin in {"hash", "builtins.hash"} or own == "__hash__":
            yield "hash()"
        if isinstance(node, ast.Attribute) and self.origin(node.value) in HASHING:
            yield "hashlib"

    def _of_call(self, node: ast.Call) -> Iterator[str]:
        called, own = self.origin(node.func), self.own_name(node.func)
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        yield from self._made(node.func)
        yield from self._of_text(node)
        if own == "__class__" or (isinstance(node.func, ast.Call) and self.origin(node.func.func) in TYPE):
            yield "past the constructor"  # type(key)(…), key.__class__(…)
        if own in WRITES and called.startswith(("sqlalchemy.", f"{OUR_TABLES}.")):
            yield "writes our tables"
        if own not in ASKS_ABOUT_TYPES:  # map(CanonicalKey, …), partial(EntityId, …)
            yield from (rule for one in given for rule in self._made(one))
        if called in {"getattr", "builtins.getattr", "vars", "globals"} and self._is_guarded(node.args):
            yield "by name"
        if called in {"dataclasses.replace", "copy.replace"} and FIELDS & {keyword.arg for keyword in node.keywords}:
            yield "changed key"
        if own == "Template" and any(map(self.begins_key, given)):
            yield "key by hand"
        if isinstance(node.func, ast.Attribute):
            yield from self._of_method(node.func, given)

    def _made(self, node: ast.expr) -> Iterator[str]:
        foreign = self.origin(node).startswith("sqlalchemy.")  # a column's type
        yield from [MADE[self.own_name(node)]] if self.own_name(node) in MADE and not foreign else []

    def _of_method(self, method: ast.Attribute, given: list[ast.expr]) -> Iterator[str]:
        if method.attr in BUILDS and self.begins_key(method.value):
            yield "key by hand"
        if method.attr in {"join", "replace", "sub", "format", "format_map"} and any(map(self._has_part, given)):
            yield "key by hand"
        on_session = "session" in self.origin(method.value).lower()
        if (method.attr in {"rows", "call"} and given) or (on_session and method.attr in ASKS):
            yield "asks tables"

    def _has_part(self, node: ast.expr) -> bool:
        return any(self.is_part(one) for one in ast.walk(node))

    def _is_guarded(self, arguments: Iterable[ast.expr]) -> bool:
        """Whether one is a module or a class that this check is about."""
        names = {self.origin(one) for one in arguments} | {self.own_name(one) for one in arguments}
        return bool(names & (GUARDED | MADE.keys() | {"Entity", "ids", "keys", "nodes"}))


def _of_module(name: str) -> Iterator[str]:
    if name == OUR_TABLES or name.startswith(f"{OUR_TABLES}."):
        yield "our tables"
    if name.partition(".")[0] in HASHING:
        yield "hashlib"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                for one in names:
                    yield (one.asname, one.name) if one.asname else (one.name.partition(".")[0],) * 2
            case ast.ImportFrom(module=module, names=names):
                yield from ((one.asname or one.name, f"{module or ''}.{one.name}") for one in names)


def _assigned(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
                for target in targets:  # K, _ = CanonicalKey, 1
                    if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
                        pairs = zip(target.elts, value.elts, strict=False)
                        yield from ((one.id, other) for one, other in pairs if isinstance(one, ast.Name))
            case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value) | ast.NamedExpr(ast.Name(name), value):
                yield name, value


def _read_only(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.Expr(ast.Constant() as text):
                yield text
            case ast.Compare(left, _, others):
                yield from (left, *others)
            case ast.MatchValue(value):
                yield value
            case ast.Call(ast.Attribute(attr=attribute), given) if attribute in READS:
                yield from given
