"""One door for identity: no package hashes or builds keys by hand. Read from the source, with a written allow-list."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("identity", "resources", "metadata_assets")

ALLOWED = {
    "hashlib": {
        "identity/ids.py": "the only file that hashes what is identified",
        "resources/files/*.py": "the digests of files",
        "resources/postgres/migrate.py": "the digest of the SQL functions, to see that they changed",
        "resources/postgres/server/cluster.py": "a short name for the socket directory of one machine",
    },
    "uuid5": {"identity/ids.py": "ids are derived here"},
    "hash()": {},
    "key by hand": {},
    "sealed id": {"identity/ids.py": "ids are made here"},
    "from_database": {"identity/ids.py": "defined here", "resources/*.py": "the stores read our own tables"},
}


def findings(source: str) -> Iterator[tuple[str, int]]:
    """(rule, line) of everything in the source that needs to be on the allow-list."""
    for node in ast.walk(ast.parse(source)):
        for rule in rules_touched(node):
            yield rule, getattr(node, "lineno", 0)


def rules_touched(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names) | ast.ImportFrom(names=names):
            module = getattr(node, "module", None)
            imported = {module, *(alias.name for alias in names)}
            yield from ["hashlib"] if imported & {"hashlib", "_hashlib", "hmac"} else []
            yield from ["uuid5"] if imported & {"uuid3", "uuid5"} else []
            yield from ["sealed id"] if imported & {"_SEAL", "_Seal"} else []
            yield from ["key by hand"] if module == "identity.keys" and "PREFIX" in imported else []
        case ast.Attribute(attr="uuid3" | "uuid5"):
            yield "uuid5"
        case ast.Attribute(attr="from_database"):
            yield "from_database"
        case ast.Attribute(attr="_SEAL" | "_Seal") | ast.Call(func=ast.Name("EntityId" | "TenantId")):
            yield "sealed id"
        case ast.Call(func=ast.Attribute(attr="EntityId" | "TenantId")):
            yield "sealed id"
        case ast.Call(func=ast.Name("hash")):
            yield "hash()"
        case ast.JoinedStr(values) if any(is_prefix(value) for value in values):
            yield "key by hand"
        case ast.BinOp(left=left, right=right, op=ast.Add() | ast.Mod()) if is_prefix(left) or is_prefix(right):
            yield "key by hand"
        case ast.Call(func=ast.Attribute(value=text, attr="format" | "join" | "format_map")) if is_prefix(text):
            yield "key by hand"


def is_prefix(node: ast.AST) -> bool:
    match node:
        case ast.Constant(str(text)):
            return "mid1:" in text
        case ast.FormattedValue(value):
            return is_prefix(value)
        case ast.Attribute(attr="PREFIX"):
            return isinstance(node.value, ast.Name) and node.value.id == "keys"
    return False


def is_allowed(rule: str, path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in ALLOWED[rule])


def sources() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), file.read_text("utf-8")


def test_nobody_hashes_or_builds_keys_by_hand() -> None:
    found = [
        f"{path}:{line}: {rule}"
        for path, source in sources()
        for rule, line in findings(source)
        if not is_allowed(rule, path)
    ]
    assert found == []


def test_the_packages_were_read() -> None:
    seen = {(rule, path) for path, source in sources() for rule, _ in findings(source)}
    assert ("hashlib", "identity/ids.py") in seen
    assert ("uuid5", "identity/ids.py") in seen
    assert ("sealed id", "identity/ids.py") in seen


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("hashlib", "import hashlib"),
        ("hashlib", "import os, hashlib as h"),
        ("hashlib", "from hashlib import sha256"),
        ("hashlib", "def f():\n    import hmac"),
        ("uuid5", "from uuid import UUID, uuid5 as derive"),
        ("uuid5", "import uuid\nuuid.uuid5(ns, name)"),
        ("uuid5", "import uuid\nf = uuid.uuid3"),
        ("hash()", "bucket = hash(key) % 8"),
        ("key by hand", 'f"mid1:dataset:{endpoint}:{schema}/{table}"'),
        ("key by hand", 'f"{a} is mid1:{b}"'),
        ("key by hand", 'key = "mid1:dataset:" + endpoint'),
        ("key by hand", '"mid1:dataset:%s" % endpoint'),
        ("key by hand", '"mid1:dataset:{}".format(endpoint)'),
        ("key by hand", "from identity.keys import PREFIX"),
        ("key by hand", 'f"{keys.PREFIX}:dataset:{endpoint}"'),
        ("sealed id", "EntityId(value)"),
        ("sealed id", "ids.TenantId(value, seal)"),
        ("sealed id", "from identity.ids import _SEAL"),
        ("sealed id", "ids._SEAL"),
        ("from_database", "EntityId.from_database(uuid)"),
    ],
)
def test_the_check_can_fail(rule: str, source: str) -> None:
    assert rule in {found for found, _ in findings(source)}
    assert not is_allowed(rule, "metadata_assets/io_manager.py")


@pytest.mark.parametrize(
    "source",
    [
        'if name.startswith("mid1:"):\n    pass',
        '"""For example mid1:dataset:jfk:flights/public/flights."""',
        "def __hash__(self):\n    return 1",
        "from uuid import UUID, uuid4",
        "Entity(tenant_id(slug), key).id",
        'f"{spec.name}: {value}"',
    ],
)
def test_the_check_leaves_alone_what_is_harmless(source: str) -> None:
    assert list(findings(source)) == []


def test_every_permission_names_its_reason() -> None:
    assert all(reason for permissions in ALLOWED.values() for reason in permissions.values())
