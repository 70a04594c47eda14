"""Names as hostile as they come: nothing collides, nothing gets lost, and no door lets a password in."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from external_catalogs import CATALOGS, READ, SERVERS, SYSTEMS
from hostile_names import TOKENS, hostile_tuples, names, optional_names, prop, quoted, recut
from hypothesis import given
from hypothesis import strategies as st
from test_identity_naming import leaks, what_an_error_says
from thorough import many

from identity.errors import MetadataError
from identity.external import Catalog, DataHub, InvalidName, NotExpressible, OpenLineage, keys_of, names_of
from identity.ids import Entity, tenant_id
from identity.keys import CanonicalKey, Kind, dataset_key
from identity.naming import Authority, Fold, location_key, openlineage_key, openlineage_pair, reference_key, system
from identity.naming.rules import ALL

pytestmark = pytest.mark.proof

URLS = [
    line.split("\t")[0]
    for line in (Path(__file__).resolve().parents[1] / "vectors/connection_urls.tsv")
    .read_text("utf-8")
    .split("\n")[1:-1]
]


@pytest.mark.parametrize("catalog", sorted(CATALOGS))
def test_no_two_hostile_keys_have_one_external_name(catalog: str) -> None:
    """Every name that is given leads back, hence no two keys can share one; and enough are given to mean something."""
    ours, given = CATALOGS[catalog], {}
    for slug in SYSTEMS:
        for source, schema, table in hostile_tuples(len(slug), many(700, usually=150)):
            flat = (None, None, table) if len(system_levels(slug)) == 1 else (source, schema, table)
            key = CanonicalKey(Kind.DATASET, slug, flat)
            try:
                name = ours.name_of(key)
            except NotExpressible:
                continue
            assert ours.key_of(name) == key
            assert given.setdefault(name, key) == key
    assert len(given) > many(300, usually=65)


def system_levels(slug: str) -> tuple[str, ...]:
    try:
        return system(SYSTEMS[slug]).used
    except MetadataError:
        return ("table",)


KEEPING = [
    rules
    for rules in ALL
    if rules.quotes and not rules.dots_in_quotes and not (rules.folds_quoted and rules.fold.value != "exact")
]


@pytest.mark.parametrize("rules", KEEPING, ids=lambda rules: rules.name)
def test_a_quoted_reference_is_the_name_whatever_is_in_it(rules: Any) -> None:
    for source, schema, table in hostile_tuples(3, many(400, usually=100)):
        if not (source or "").isascii() and rules.one_case:
            continue  # an engine folds what is not ASCII by its own character set, and we leave it
        parts = {"source": source, "schema": schema, "table": table}
        said = [parts[level] or "t" for level in rules.used]
        reference = ".".join(quoted(name, rules.quotes[0], not rules.backslash) for name in said)
        key = reference_key(reference, of=rules, endpoint="e")
        one_case = dict(rules.one_case)
        assert [name for name in key.segments if name is not None] == [
            name if level not in one_case else name.lower() if one_case[level] is Fold.LOWER else name.upper()
            for level, name in zip(rules.used, said, strict=True)
        ]


@prop
@given(recut(3))
def test_where_a_quoted_name_ends_is_part_of_the_reference(pair: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    keys = [
        reference_key(".".join(quoted(name or "t", '""', True) for name in names_), of="postgres", endpoint="e")
        for names_ in pair
        if all(names_)
    ]
    assert len(set(keys)) == len(keys)


@prop
@given(st.sampled_from([rules for rules in ALL if rules.namespace]), optional_names, optional_names, names)
def test_a_pair_of_openlineage_leads_back_or_is_refused(
    rules: Any, source: str | None, schema: str | None, table: str
) -> None:
    given_ = {"source": source, "schema": schema, "table": table}
    key = CanonicalKey(
        Kind.DATASET,
        "e",
        tuple(given_[level] if level in rules.used else None for level in given_),
    )
    host = {"glue": "us-east-1.123456789012", "bigquery": "global", "pubsub": "global"}.get(rules.scheme, "h")
    server = Authority(rules.scheme, host, None)
    try:
        pair = openlineage_pair(key, server)
    except MetadataError:
        return
    assert openlineage_key(*pair, {server: "e"}) == key


@prop
@given(st.text(max_size=30), st.lists(st.sampled_from([*TOKENS, "s3://", "file", "@", "arn:aws:glue:"])).map("".join))
def test_any_text_is_a_key_or_refused(one: str, other: str) -> None:
    doors: list[Callable[[], CanonicalKey]] = [
        lambda: openlineage_key(one, other),
        lambda: openlineage_key(other, one),
        lambda: openlineage_key(f"postgres://{one}", other),
        lambda: location_key(other),
        lambda: location_key(f"s3://{one}/{other}"),
        *(lambda rules=rules: reference_key(other, of=rules, endpoint="e") for rules in ALL),
        *(lambda slug=slug: CATALOGS["datahub"].key_of(f"urn:li:dataset:({slug},{one},PROD)") for slug in SYSTEMS),
        lambda: CATALOGS["openmetadata"].key_of(READ["openmetadata"](("table", f"jfk.{other}"))),
        lambda: CATALOGS["atlas"].key_of(READ["atlas"](("rdbms_table", f"{other}@jfk"))),
        lambda: CATALOGS["dagster"].key_of((one, other)),
    ]
    for door in doors:
        try:
            key = door()
        except MetadataError:
            continue
        assert CanonicalKey.parse(str(key)) == key


@prop
@given(
    st.lists(st.sampled_from([token for token in TOKENS if not set(token) & set("?#;@:%=")]), min_size=1, max_size=6)
)
def test_a_location_and_a_pair_of_openlineage_are_one_thing(tokens: list[str]) -> None:
    name = "".join(tokens)
    for namespace in ("s3://bucket", "gs://bucket", "wasbs://c@h", "kafka://h"):
        assert location_key(f"{namespace}/{name}") == openlineage_key(namespace, name)
    if ".." not in name.split("/") and set(name.split("/")) - {"", "."}:
        lake = "abfss://c@h.dfs.core.windows.net"
        assert location_key(f"{lake}/{name}") == openlineage_key(lake, name)
        assert location_key(f"{lake}//{name}/") == openlineage_key(lake, f"/./{name}")
    for namespace in ("file", "file://nas", "hdfs://namenode:9000", "dbfs://workspace"):
        url = f"{namespace}{':' if '://' not in namespace else ''}/{name.lstrip('/')}"
        if ".." not in name.split("/"):
            assert location_key(url) == openlineage_key(namespace, f"/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "passwords",
        "api_tokens",
        "auth.token",
        "user@example.com",
        "a:b",
        "mail/bob@example.com/inbox",
        "dt=2013-01-01/x",
        "x/token=1/part-0.parquet",
        "secret sauce",
        "100%",
        "C:\\data\\x.csv",
        "s3://bucket/a:b.parquet",
        "(pass)",
        "[pwd]",
    ],
)
def test_what_only_sounds_like_a_credential_is_a_name(name: str) -> None:
    assert reference_key(name, of="kafka", endpoint="bus").table == name
    assert openlineage_key("kafka://h", name).table == name


PASSWORD = "Kanari/31337"
ENCODINGS: dict[str, Callable[[str], str]] = {
    "userinfo": lambda secret: f"postgresql://sales:{secret}@db/x",
    "userinfo, encoded": lambda secret: f"postgresql://sales:{quote(secret, safe='')}@db/x",
    "userinfo, encoded twice": lambda secret: quote(f"postgresql://sales:{quote(secret, safe='')}@db", safe=""),
    "query": lambda secret: f"postgresql://db/x?password={secret}",
    "query, plus": lambda secret: f"mysql://db/x?user=a&pwd={quote_plus(secret)}",
    "jdbc": lambda secret: f"jdbc:sqlserver://db;user=sa;password={secret}",
    "odbc": lambda secret: f"Driver={{SQL Server}};Server=db;Uid=sa;Pwd={secret};",
    "odbc in a url": lambda secret: f"mssql+pyodbc:///?odbc_connect={quote_plus(f'Server=db;PWD={secret}')}",
    "dsn": lambda secret: f"host=db user=sales password={secret}",
    "dsn, quoted": lambda secret: f"host=db password = '{secret}'",
    "json": lambda secret: json.dumps({"host": "db", "password": secret}),
    "yaml": lambda secret: f"host: db, secret_key: {secret}",
    "oracle": lambda secret: f"scott/{secret}@//db:1521/ORCL",
    "no scheme": lambda secret: f"sales:{secret}@db:5432/x",
    "token": lambda secret: f"https://token:{secret}@example.com/repo",
    "signature": lambda secret: f"s3://bucket/key?X-Amz-Signature={secret}",
    "object store": lambda secret: f"s3://AKID:{secret}@bucket/key",
    "fragment": lambda secret: f"https://example.com/x#access_token={secret}",
    "azure": lambda secret: f"DefaultEndpointsProtocol=https;AccountKey={secret};EndpointSuffix=x",
    "jwt": lambda secret: "eyJhbGciOiJIUzI1NiJ9." + "eyJ" + base64.urlsafe_b64encode(secret.encode()).decode() + ".sig",
}


def doors_for(text: str) -> Iterator[Callable[[], object]]:
    """Everything that turns a text into a key or a name."""
    for of in ("postgres", "mssql", "mysql", "bigquery", "s3", "kafka", "file", "dagster"):
        for written in (text, quoted(text, '""', True), f"[{text}]", f"`{text}`", f"/{text}", json.dumps([text, "x"])):
            yield lambda of=of, written=written: reference_key(written, of=of, endpoint="e", source="d", schema="s")
    yield lambda: location_key(text)
    yield lambda: location_key(f"s3://bucket/{text}")
    for namespace in (text, "kafka://h", "postgres://h", "s3://bucket", "words"):
        yield lambda namespace=namespace: openlineage_key(namespace, text)
        yield lambda namespace=namespace: openlineage_key(namespace, f"d.s.{text}")
        yield lambda namespace=namespace: CATALOGS["openlineage"].key_of(READ["openlineage"](("job", namespace, text)))
    for body in (text, quote(text, safe="")):
        yield lambda body=body: CATALOGS["datahub"].key_of(
            f"urn:li:dataset:(urn:li:dataPlatform:kafka,bus.{body},PROD)"
        )
        yield lambda body=body: CATALOGS["datahub"].key_of(f"urn:li:dashboard:(looker,bi.{body})")
        yield lambda body=body: CATALOGS["openmetadata"].key_of(READ["openmetadata"](("topic", f'bus."{body}"')))
        yield lambda body=body: CATALOGS["atlas"].key_of(READ["atlas"](("kafka_topic", f"{body}@bus")))
        yield lambda body=body: CATALOGS["dagster"].key_of((body,))
        yield lambda body=body: CATALOGS["dagster"].key_of((body, "x"))


def everything_said(door: Callable[[], object]) -> list[object]:
    try:
        key = door()
    except MetadataError as error:
        return list(what_an_error_says(error))
    assert isinstance(key, CanonicalKey)
    said = [key, repr(key), Entity(tenant_id("default"), key)]
    for catalog in CATALOGS.values():
        try:
            said.append(catalog.name_of(key))
        except MetadataError as error:
            said.extend(what_an_error_says(error))
    return said


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_a_planted_password_gets_through_no_door(encoding: str) -> None:
    text = ENCODINGS[encoding](PASSWORD)
    jwt = "eyJS2FuYXJpLzMxMzM3"  # the password, in a token
    for door in doors_for(text):
        said = everything_said(door)
        assert not leaks(*said)
        assert not [one for one in said if jwt[3:] in str(one)]


def test_no_url_of_the_corpus_gets_through_a_door_for_names() -> None:
    for url in URLS:
        for door in (
            lambda url=url: openlineage_key(url, "d.s.t"),
            lambda url=url: openlineage_key(url, "t"),
            lambda url=url: location_key(url),
            lambda url=url: reference_key(url, of="postgres", endpoint="e"),
        ):
            assert not leaks(*everything_said(door))


def test_what_would_become_one_is_a_conflict_and_nothing_is_merged() -> None:
    lineage = OpenLineage(SERVERS)
    same = [READ["openlineage"](("dataset", at, "d.s.t")) for at in ("postgres://db:5432", "postgres://DB")]
    other = READ["openlineage"](("dataset", "postgres://db:5432", "d.s.T"))
    mapped = keys_of([*same, other, other], lineage)
    assert [conflict.names for conflict in mapped.conflicts] == [tuple(same)]
    assert mapped.keys == {other: dataset_key("jfk", source="d", schema="s", table="T")}


def test_folded_names_are_told_and_two_of_them_are_a_conflict() -> None:
    hub = DataHub(systems=SYSTEMS, lowercase=True)
    upper, lower, plain = (dataset_key("snow", source="db", schema="s", table=table) for table in ("T", "t", "u"))
    alone = dataset_key("snow", source="db", schema="s", table="Alone")
    mapped = names_of([upper, lower, plain, alone], hub)
    assert [conflict.keys for conflict in mapped.conflicts] == [(upper, lower)]
    assert mapped.names[alone] == "urn:li:dataset:(urn:li:dataPlatform:snowflake,snow.db.s.alone,PROD)"
    assert alone in mapped.folded
    assert mapped.keys[mapped.names[alone]] == alone
    with pytest.raises(InvalidName, match="case was folded"):
        hub.key_of(mapped.names[plain])


def test_what_has_no_counterpart_is_told_by_its_place() -> None:
    keys = [dataset_key("jfk", source="d", schema="s", table=table) for table in ("t", "a.b", "u")]
    mapped = names_of(keys, CATALOGS["datahub"])
    assert [refused.position for refused in mapped.refused] == [1]
    assert [key for key, _ in mapped.pairs] == [keys[0], keys[2]]
    assert isinstance(mapped.refused[0].error, NotExpressible)
    secret = keys_of(
        ["urn:li:dataset:(urn:li:dataPlatform:kafka,bus.x;password=Kanari31337,PROD)"], CATALOGS["datahub"]
    )
    assert not leaks(secret, *what_an_error_says(secret.refused[0].error))


@pytest.mark.parametrize(
    "mapping",
    [
        lambda: DataHub(systems={"a": "kafka", "b": "kafka"}, prefixes={"a": "", "b": ""}),
        lambda: OpenLineage({"a": SERVERS["jfk"], "b": SERVERS["jfk"]}),
        lambda: type(CATALOGS["openmetadata"])(systems={"a": "kafka", "b": "mysql"}, services={"a": "b"}),
        lambda: type(CATALOGS["atlas"])(systems={"a": "kafka", "b": "mysql"}, namespaces={"a": "b"}),
    ],
)
def test_two_endpoints_cannot_be_one_on_the_other_side(mapping: Callable[[], Catalog[Any]]) -> None:
    with pytest.raises(InvalidName, match="two endpoints"):
        mapping()


def test_the_longest_prefix_says_which_endpoint() -> None:
    hub = DataHub(systems={"all": "kafka", "jfk": "kafka"}, prefixes={"all": ""})
    urn = hub.name_of(dataset_key("jfk", table="x"))
    assert hub.key_of(urn).endpoint == "jfk"
    with pytest.raises(NotExpressible):
        hub.name_of(dataset_key("all", table="jfk.x"))
