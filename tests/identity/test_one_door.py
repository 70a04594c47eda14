"""One door for identity: nobody else hashes, builds keys or makes ids. Read from the source, with a written allow-list;
what a static look cannot see is refused at run time (tests/stores/test_refusals.py, test_forgeries.py)."""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from one_door import SQL_RULES, findings

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("identity", "resources", "metadata_assets", "examples")

ALLOWED = {
    "hashlib": {
        "identity/ids.py": "the only file that hashes what is identified",
        "resources/files/*.py": "the digests of files",
        "resources/tables/store.py": "the digests of tables and of what the registry says of them",
        "resources/postgres/release.py": "the digest of the SQL functions, to see that they changed",
        "resources/postgres/server/cluster.py": "a short name for the socket directory of one machine",
        "examples/flights/sources.py": "the digest of its SQL files, to see that they changed",
    },
    "uuid5": {"identity/ids.py": "ids are derived here"},
    "uuid4": {
        "metadata_assets/attempts.py": "an attempt is never repeated: what repeats is its intent",
        "resources/metadata/attempts.py": "an attempt is never repeated: what repeats is its intent",
        "resources/metadata/aliases.py": "a rename without a key is a request of its own",
        "resources/metadata/invalidations.py": "an invalidation without a key is a request of its own",
        "resources/metadata/publishing.py": "what a person publishes is a request of its own each time",
        "resources/metadata/legacy.py": "one batch of an import; what it names does not follow from it",
        "resources/graph/identities.py": "an identity node is whatever it leads to: nothing could derive its id",
        "resources/graph/collections.py": "a collection is found by its slug; ids of nodes as above",
        "resources/postgres/server/*.py": "names of processes' own files: no two processes share one",
        "examples/flights/showcase/*.py": "ids of Dagster runs",
    },
    "UUID(…)": {
        "identity/ids.py": "the root of all ids",
        "identity/nodes.py": "the id in `identity:<id>`",
        "resources/graph/held.py": "an id as our own table sends it, sixteen bytes",
        "resources/metadata/published.py": "the id of a publish, from the digest of what it publishes",
        "metadata_assets/mirror/materialized.py": "ids of a materialization and its attempt, as an event carries them",
        "metadata_assets/cli/choosing.py": "the id of a materialization, as a person writes it",
        "metadata_assets/cli/history.py": "the id of a materialization, as a person writes it",
        "metadata_assets/cli/reverting.py": "the id of a materialization, as a person writes it",
        "metadata_assets/cli/identifying.py": "the id of a merge, as a person writes it",
    },
    "our tables": {"resources/postgres/*.py": "the tables themselves, and the migrations that make them"},
    "writes our tables": {},
    "hash()": {},
    "key by hand": {
        "identity/keys.py": "the grammar",
        "identity/nodes.py": "the grammar of references",
        "resources/metadata/legacy_names.py": "what an id of an earlier catalog may not begin with",
        "resources/postgres/migrations/versions/*.py": "the grammar as the database checks it",
    },
    "reference by hand": {"resources/graph/*.py": "the nodes of our own table"},
    "scheme": {"resources/graph/loaders.py": "what the loader of identity nodes is registered under"},
    "changed key": {"identity/keys.py": "the same name at another endpoint"},
    "sealed id": {"identity/ids.py": "ids are made here"},
    "stored id": {
        "identity/ids.py": "defined here",
        "identity/idempotency.py": "a materialization is a child of its dataset",
        "metadata_assets/mirror/materialized.py": "an event's attempt: a child of its dataset",
        "resources/metadata/*.py": "the stores read our own tables and write columns, children of their dataset",
        "metadata_assets/exporters/openlineage.py": "what a try of a step is called in events: a child of its job",
    },
    "past the constructor": {
        "identity/keys.py": "the text of a frozen key, made once",
        "identity/ids.py": "what follows from a frozen entity, kept from when it is first asked for",
        "identity/errors.py": "errors that are pickled",
        "identity/credentials.py": "collections of whatever type, without their credentials",
        "resources/postgres/errors.py": "a driver's error of the same type, without values",
        "resources/models.py": "credentials are taken out of frozen records",
        "resources/runs.py": "credentials are taken out of frozen records",
        "resources/lineage_records.py": "credentials are taken out of frozen records",
        "resources/postgres/session.py": "the same, of the actor",
        "identity/naming/systems.py": "a rule of naming that fills in its own default",
    },
    "by name": {
        "identity/external/__init__.py": "the catalogs, loaded when somebody asks for one",
        "metadata_assets/__init__.py": "the public names, loaded when somebody asks for one",
        "metadata_assets/project_code.py": "the functions of a project, which its YAML names",
    },
    "writes tables": {
        "resources/metadata/*.py": "the nouns of the metadata store",
        "resources/graph/*.py": "the nouns of the graph store",
        "resources/postgres/*.py": "migrations and their tenants",
        "resources/tables/*.py": "the registry of the data plane, which is another database",
    },
    "asks tables": {
        "resources/*.py": "the stores",
        "examples/flights/showcase/*.py": "reads what the demo recorded, to count it by other means than its own",
    },
    "hash in SQL": {
        "metadata_assets/collection/queries.py": "the fingerprint of a source's catalog, to see that it changed",
        "resources/metadata/endpoint_aliases.py": "the id of a row that nobody names",
        "resources/graph/edges.py": "the number of an advisory lock, no id",
        "resources/postgres/tables/*.py": "ids of rows that nobody names: aliases, edges, items",
        "resources/postgres/migrations/versions/*.py": "the same, and the digest of a key beside it",
    },
}

KEYS_IN_SQL = {
    "births.sql": "the key of an endpoint, whose id is compared",
    "endpoint_aliases.sql": "key_at: a stored key below another endpoint, as identity.keys.key_at has it",
    "following.sql": "references to rows of its own table",
    "identity_nodes.sql": "references to rows of its own table",
}
HASHES_IN_SQL = {
    "facets.sql": "words of an index, which the document itself confirms",
    "aliases.sql": "name_digest: what aliases are looked up by, as key_digest computes it",
    "births.sql": "ids once more, to compare them with those that identity/ derived",
    "endpoint_aliases.sql": "holders: the same as name_digest, without a call for each key",
    "reference_edges.sql": "edge_digests: what an edge between two references is told apart by, no id",
}


def is_allowed(rule: str, path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in ALLOWED[rule])


def sources() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), file.read_text("utf-8")


@cache
def touched() -> tuple[tuple[str, str, int], ...]:
    """(rule, path, line) of all that is found in the packages."""
    return tuple((rule, path, line) for path, source in sources() for rule, line in findings(source))


def test_nobody_hashes_or_builds_keys_by_hand() -> None:
    assert [f"{path}:{line}: {rule}" for rule, path, line in touched() if not is_allowed(rule, path)] == []


def test_the_packages_were_read() -> None:
    seen = {(rule, path) for rule, path, _ in touched()}
    for rule in ("hashlib", "uuid5", "sealed id"):
        assert (rule, "identity/ids.py") in seen
    assert ("writes tables", "resources/metadata/assets.py") in seen


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
        ("stored id", "EntityId.from_database(uuid)"),
        ("stored id", "Link(Entity.from_database(tenant, key, any_uuid, b'x' * 32), other)"),
        ("stored id", "from identity.ids import Entity as E\nE.of_generation(tenant, key, 2)"),
        ("stored id", "read = Entity.from_database"),
        ("stored id", "from identity.ids import child_id as c"),
        ("stored id", "ids.child_id(parent, kind, name)"),
        ("stored id", "ids.digest_id(parent, kind, digest)"),
        # under another name
        ("key by hand", "from identity.keys import CanonicalKey as C\nC(kind, endpoint, ())"),
        ("key by hand", "import identity.keys as k\nk.CanonicalKey(kind, endpoint, ())"),
        ("key by hand", "from identity import keys as k\nC = k.CanonicalKey\nC(kind, endpoint, ())"),
        ("key by hand", "map(CanonicalKey, kinds, endpoints, segments)"),
        ("key by hand", "from functools import partial\nmake = partial(keys.CanonicalKey, Kind.DATASET)"),
        ("sealed id", "from identity.ids import EntityId as Id\nId(value)"),
        ("sealed id", "from identity.ids import TenantId as T\nT(value)"),
        ("sealed id", "from identity.ids import _SEAL as s"),
        ("sealed id", "Entity(tenant, key, ids._Birth(identifier, digest))"),
        ("UUID(…)", "from uuid import UUID as U\nU(digest[:32])"),
        ("UUID(…)", "import uuid as u\nasset = u.UUID(int=7)"),
        ("UUID(…)", "U = UUID\nU(int=7)"),
        ("uuid5", "from uuid import uuid5 as derive\nderive(ns, name)"),
        ("uuid5", "import uuid as u\nu.uuid5(ns, name)"),
        ("uuid4", "import os\nos.urandom(16)"),
        ("hash()", "import builtins\nbuiltins.hash(key)"),
        ("hash()", "from builtins import hash as h\nh(key)"),
        ("hash()", "h = hash\nh(key)"),
        ("hash()", "key.__hash__()"),
        ("hashlib", "import zlib\nzlib.crc32(key)"),
        ("hashlib", "from zlib import adler32"),
        ("hashlib", "from binascii import crc32"),
        # by its name
        ("by name", "import uuid\ngetattr(uuid, 'uuid5')(ns, name)"),
        ("by name", "import uuid as u\ngetattr(u, name)"),
        ("by name", "getattr(EntityId, 'from_' + 'database')"),
        ("by name", "from identity import ids\nvars(ids)['_SEAL']"),
        ("by name", "import importlib\nimportlib.import_module('hashlib')"),
        ("by name", "from importlib import import_module as load\nload('hashlib')"),
        ("by name", "__import__('hashlib')"),
        ("by name", "eval('hash')"),
        ("by name", "from operator import methodcaller"),
        ("by name", "from uuid import *"),
        ("by name", "from identity.ids import *"),
        # past the constructor
        ("past the constructor", "object.__new__(EntityId)"),
        ("past the constructor", "new = object.__new__\nnew(EntityId)"),
        ("past the constructor", "object.__setattr__(entity_id, 'value', other)"),
        ("past the constructor", "key.__replace__(namespace='other')"),
        ("changed key", "import dataclasses\ndataclasses.replace(key, segments=(None, None, table))"),
        ("changed key", "from dataclasses import replace as r\nr(entity, birth=other.birth)"),
        ("changed key", "from dataclasses import replace\nreplace(entity, key=other)"),
        ("changed key", "from dataclasses import replace\nreplace(key, **changes)"),
        ("changed key", "import copy\ncopy.replace(key, namespace='other')"),
        # texts
        ("key by hand", 'P = "mid1"\nf"{P}:dataset:{endpoint}"'),
        ("key by hand", 'P = "mid1:dataset:jfk:x/y/"\nP + table'),
        ("key by hand", 'P = "mid1:dataset:jfk:x/y/"\nQ = P\nf"{Q}{table}"'),
        ("key by hand", "f\"{'mid1'}:dataset\""),
        ("key by hand", '"mid1:dataset:E:~/~/T".replace("T", table)'),
        ("key by hand", 'template.replace("PREFIX", "mid1:dataset")'),
        ("key by hand", 'key = "mid1:dataset:jfk:~/~/"\nkey += table'),
        ("key by hand", 'text += ":mid1:"'),
        ("key by hand", '":".join(part for part in ("mid1", "dataset", endpoint))'),
        ("key by hand", 'parts = ["mid1:dataset:jfk", endpoint]\n":".join(parts)'),
        ("key by hand", 'parts = ["mid1"]\nparts.append(endpoint)\n":".join(parts)'),
        ("key by hand", 'from string import Template\nTemplate("mid1:dataset:$e").substitute(e=endpoint)'),
        ("key by hand", 'import string\nT = "mid1:dataset:$e"\nstring.Template(T)'),
        ("key by hand", 'import identity.keys as k\nf"{k.PREFIX}:dataset:{endpoint}"'),
        ("key by hand", "from identity import keys as k\np = k.PREFIX"),
        ("key by hand", 'f"see identity:{i}"'),
        ("scheme", 'from identity import nodes\nnodes.SCHEME + ":" + identifier'),
        ("scheme", "from identity.nodes import SCHEME as s"),
        ("reference by hand", "IdentityKey(identifier)"),
        ("reference by hand", "from identity.nodes import IdentityKey as I\nI(identifier)"),
        ("reference by hand", "map(nodes.IdentityKey, ids)"),
        # SQL in Python
        ("writes tables", 'session.rows("INSERT INTO metadata.asset (tenant_id) VALUES (%s)", [tenant])'),
        ("writes tables", 'Q = "insert  into\\n metadata.alias SELECT 1"'),
        ("writes tables", 'Q = "UPDATE ONLY metadata.asset SET name = 1"'),
        ("writes tables", 'Q = "DELETE FROM \\"metadata\\".relationship"'),
        ("writes tables", 'Q = "MERGE INTO metadata.asset USING x"'),
        ("writes tables", 'Q = "COPY metadata.asset FROM STDIN"'),
        ("writes tables", 'Q = "WITH n AS (SELECT 1) INSERT INTO metadata.asset SELECT 1"'),
        ("writes tables", 'f"INSERT INTO {schema}.asset VALUES (1)"'),
        ("writes tables", 'f"INSERT INTO metadata.{table} VALUES (1)"'),
        ("writes tables", 'Q = "INSERT INTO metadata" + ".asset VALUES (1)"'),
        ("writes tables", 'T = "metadata.asset"\nf"INSERT INTO {T} VALUES (1)"'),
        ("writes tables", 'T = "metadata.asset"\nQ = "INSERT INTO " + T'),
        ("writes tables", 'S = "metadata"\nT = f"{S}.asset"\nQ = f"UPDATE {T} SET name = 1"'),
        ("writes tables", 'T = "metadata.asset"\nQ = "DELETE FROM %s WHERE 1" % T'),
        ("writes tables", 'T = "metadata.asset"\nQ = "INSERT INTO {} VALUES (1)".format(T)'),
        ("writes tables", 'Q = "INSERT INTO {t} VALUES (1)".format(t="metadata.asset")'),
        ("writes our tables", 'Q = "INSERT INTO asset VALUES (1)"'),
        ("writes our tables", "Q = 'delete from \"alias\" where true'"),
        ("writes our tables", 'Q = "UPDATE relationship r SET type = 1"'),
        ("writes our tables", 'T = "asset"\nf"INSERT INTO {T} (name) VALUES (1)"'),
        ("our tables", "from resources.postgres.tables import asset"),
        ("our tables", "from resources.postgres.tables.catalog import asset as a"),
        ("our tables", "from resources.postgres import tables"),
        ("our tables", "import resources.postgres.tables.catalog as c"),
        ("writes our tables", "import sqlalchemy as sa\nsa.insert(table)"),
        ("writes our tables", "from sqlalchemy import update as u\nu(table).values(name=1)"),
        ("writes our tables", "from sqlalchemy.dialects.postgresql import insert\ninsert(table)"),
        ("writes our tables", "from resources.postgres.tables import asset\nasset.update().values(name=1)"),
        ("writes our tables", "from resources.postgres.tables import catalog as c\nt = c.asset\nt.delete()"),
        ("past the constructor", "type(key)(kind, endpoint, segments)"),
        ("past the constructor", "key.__class__(kind, endpoint, segments)"),
        ("past the constructor", "K = key.__class__\nK(kind, endpoint, segments)"),
        ("key by hand", "class Key(CanonicalKey):\n    pass"),
        ("key by hand", "from identity import keys as k\nclass Key(k.CanonicalKey):\n    pass"),
        ("sealed id", "class Id(EntityId):\n    pass"),
        ("key by hand", "K, _ = CanonicalKey, 1\nK(kind, endpoint, ())"),
        ("key by hand", "[K, *_] = [CanonicalKey, 1]\nK(kind, endpoint, ())"),
        ("hash in SQL", 'Q = "SELECT md5(%(t)s)::uuid"'),
        ("hash in SQL", 'Q = "SELECT gen_random_uuid()"'),
        ("hash in SQL", "Q = \"SELECT sha256('x')\""),
        ("key by hand", "Q = \"SELECT 'mid1:dataset:' || %(t)s\""),
        ("key by hand", "Q = \"SELECT concat('mid1:dataset:', %(t)s)\""),
        ("asks tables", "session.rows(STATEMENT, parameters)"),
        ("asks tables", "session.count(STATEMENT, parameters)"),
        ("asks tables", "store.sessions.call(STATEMENT, parameters)"),
        ("asks tables", "session.connection.execute(STATEMENT)"),
        ("asks tables", "with store.session() as s:\n    s.rows(STATEMENT)"),
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
        "from sqlalchemy.dialects.postgresql import UUID\nColumn(UUID)\nUUID(as_uuid=True)",
        "isinstance(thing, CanonicalKey)",
        "Reference = CanonicalKey | IdentityKey",
        "from dataclasses import replace\nreplace(asset, name=name)",
        "getattr(settings, name)",
        'HELP = "a key is mid1:… or identity:<id>"\nf"{HELP}, see the manual"',
        "text.count(',')",
        "frame.rows()",
        'Q = "SELECT 1 FROM metadata.asset WHERE updated_at > now()"',
        'Q = "INSERT INTO public.orders VALUES (1)"',
        'T = "public.asset"\nf"INSERT INTO {T} VALUES (1)"',
        'HELP = "update version 3 of a dataset"',
        "from collections import OrderedDict as d\nd().update(a=1)",
        "type(key) is CanonicalKey",
        'f"INSERT INTO {table} VALUES (1)"',
    ],
)
def test_the_check_leaves_alone_what_is_harmless(source: str) -> None:
    assert list(findings(source)) == []


def test_every_permission_names_its_reason_and_is_used() -> None:
    assert all(reason for permissions in ALLOWED.values() for reason in permissions.values())
    used = {(rule, path) for rule, path, _ in touched()}
    for rule, permissions in ALLOWED.items():
        for pattern in permissions:
            assert any(found == rule and fnmatch(path, pattern) for found, path in used), (rule, pattern)


def test_sql_hashes_names_and_nothing_else() -> None:
    hashes = re.compile(
        r"\b(?:sha(?:1|224|256|384|512)|md5|digest|hashtext\w*|uuid_generate_\w+|gen_random_bytes)\(", re.IGNORECASE
    )
    folder = ROOT / "resources" / "postgres"
    found = {file.name for file in folder.rglob("*.sql") if hashes.search(file.read_text("utf-8"))}
    assert found == set(HASHES_IN_SQL)
    assert hashes.search("SELECT md5(name)::uuid")
    assert not hashes.search("metadata.name_digest(key)")


def test_sql_builds_the_names_of_rows_and_nothing_else() -> None:
    folder = ROOT / "resources" / "postgres"
    built = SQL_RULES["key by hand"]
    assert {file.name for file in folder.rglob("*.sql") if built.search(file.read_text("utf-8"))} == set(KEYS_IN_SQL)
