"""One door for identity: nobody else hashes, builds keys or makes ids. Read from the source, with a written allow-list;
what a static look cannot see is refused at run time (tests/stores/test_refusals.py)."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("identity", "resources", "metadata_assets", "examples")

ALLOWED = {
    "hashlib": {
        "identity/ids.py": "the only file that hashes what is identified",
        "resources/files/*.py": "the digests of files",
        "resources/postgres/migrate.py": "the digest of the SQL functions, to see that they changed",
        "resources/postgres/server/cluster.py": "a short name for the socket directory of one machine",
        "examples/flights/sources.py": "the digest of its SQL files, to see that they changed",
    },
    "uuid5": {"identity/ids.py": "ids are derived here"},
    "uuid4": {
        "metadata_assets/attempts.py": "an attempt is never repeated: what repeats is its intent",
        "resources/metadata/aliases.py": "a rename without a key is a request of its own",
        "resources/metadata/legacy.py": "one batch of an import; what it names does not follow from it",
        "resources/graph/identities.py": "an identity node is whatever it leads to: nothing could derive its id",
        "resources/graph/collections.py": "a collection is found by its slug; ids of nodes as above",
        "resources/postgres/server/*.py": "names of processes' own files: no two processes share one",
        "examples/flights/showcase/*.py": "ids of Dagster runs",
    },
    "UUID(…)": {
        "identity/ids.py": "the root of all ids",
        "identity/nodes.py": "the id in `identity:<id>`",
        "resources/metadata/versions.py": "the id of a publish, from the digest of what it publishes",
        "metadata_assets/cli/history.py": "the id of a materialization, as a person writes it",
        "metadata_assets/cli/identifying.py": "the id of a merge, as a person writes it",
    },
    "hash()": {},
    "key by hand": {"identity/keys.py": "the grammar"},
    "sealed id": {"identity/ids.py": "ids are made here"},
    "from_database": {"identity/ids.py": "defined here", "resources/*.py": "the stores read our own tables"},
}


RANDOM = {"uuid1", "uuid4", "uuid6", "uuid7", "uuid8", "getrandbits", "token_hex", "token_bytes"}

HASHES_IN_SQL = {
    "aliases.sql": "name_digest: what aliases are looked up by, as key_digest computes it",
    "reference_edges.sql": "edge_digests: what an edge between two references is told apart by, no id",
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
            yield from ["uuid4"] if imported & RANDOM else []
            yield from ["sealed id"] if imported & {"_SEAL", "_Seal"} else []
            yield from ["key by hand"] if module == "identity.keys" and "PREFIX" in imported else []
        case ast.Attribute(attr="uuid3" | "uuid5"):
            yield "uuid5"
        case ast.Attribute(attr=attribute) if attribute in RANDOM:
            yield "uuid4"
        case ast.Call(func=ast.Name("UUID") | ast.Attribute(attr="UUID")):
            yield "UUID(…)"
        case ast.Attribute(attr="__new__" | "__setattr__", value=ast.Name("EntityId" | "TenantId" | "Entity")):
            yield "sealed id"
        case ast.Call(func=ast.Name("CanonicalKey") | ast.Attribute(attr="CanonicalKey")):
            yield "key by hand"
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
        case ast.Call(func=ast.Attribute(attr="join"), args=[ast.List(parts) | ast.Tuple(parts)]) if any(
            is_prefix(part) or is_bare_prefix(part) for part in parts
        ):
            yield "key by hand"


def is_bare_prefix(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in ("mid1", "identity")


def is_prefix(node: ast.AST) -> bool:
    match node:
        case ast.Constant(str(text)):
            return "mid1:" in text or text.startswith("identity:")
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
        ("uuid4", "from uuid import uuid4"),
        ("uuid4", "import uuid\nasset_id = uuid.uuid4()"),
        ("uuid4", "import uuid\nmake = uuid.uuid1"),
        ("uuid4", "import secrets\nasset_id = secrets.token_hex(16)"),
        ("UUID(…)", "asset_id = UUID(digest[:32])"),
        ("UUID(…)", "asset_id = uuid.UUID(bytes=digest[:16])"),
        ("key by hand", 'f"mid1:dataset:{endpoint}:{schema}/{table}"'),
        ("key by hand", 'f"{a} is mid1:{b}"'),
        ("key by hand", 'key = "mid1:dataset:" + endpoint'),
        ("key by hand", '"mid1:dataset:%s" % endpoint'),
        ("key by hand", '"mid1:dataset:{}".format(endpoint)'),
        ("key by hand", "from identity.keys import PREFIX"),
        ("key by hand", 'f"{keys.PREFIX}:dataset:{endpoint}"'),
        ("key by hand", '":".join(["mid1", "dataset", endpoint])'),
        ("key by hand", '"/".join(("mid1:dataset:jfk:flights", schema, table))'),
        ("key by hand", "CanonicalKey(Kind.DATASET, endpoint, (None, None, table))"),
        ("key by hand", "keys.CanonicalKey(kind, endpoint, ())"),
        ("key by hand", 'f"identity:{identifier}"'),
        ("key by hand", '"identity:" + identifier'),
        ("sealed id", "EntityId.__new__(EntityId)"),
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
    assert not is_allowed(rule, "metadata_assets/collection/postgres.py")


@pytest.mark.parametrize(
    "source",
    [
        'if name.startswith("mid1:"):\n    pass',
        '"""For example mid1:dataset:jfk:flights/public/flights."""',
        "def __hash__(self):\n    return 1",
        "from uuid import UUID",
        "match value:\n    case UUID():\n        pass",
        "CanonicalKey.parse(text)",
        '":".join(["host", "port"])',
        "Entity(tenant_id(slug), key).id",
        'f"{spec.name}: {value}"',
    ],
)
def test_the_check_leaves_alone_what_is_harmless(source: str) -> None:
    assert list(findings(source)) == []


def test_every_permission_names_its_reason_and_is_used() -> None:
    assert all(reason for permissions in ALLOWED.values() for reason in permissions.values())
    used = {(rule, path) for path, source in sources() for rule, _ in findings(source)}
    for rule, permissions in ALLOWED.items():
        for pattern in permissions:
            assert any(found == rule and fnmatch(path, pattern) for found, path in used), (rule, pattern)


def test_sql_hashes_names_and_nothing_else() -> None:
    hashes = re.compile(
        r"\b(?:sha(?:224|256|384|512)|md5|digest|hashtext\w*|uuid_generate_\w+|gen_random_bytes)\(", re.IGNORECASE
    )
    folder = ROOT / "resources" / "postgres"
    found = {file.name for file in folder.rglob("*.sql") if hashes.search(file.read_text("utf-8"))}
    assert found == set(HASHES_IN_SQL)
    assert hashes.search("SELECT md5(name)::uuid")
    assert not hashes.search("metadata.name_digest(key)")
