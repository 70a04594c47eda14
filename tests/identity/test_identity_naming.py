"""Connection URLs: the server comes out, and nothing else does."""

import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hostile_names import TOKENS, prop, slugs
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import InvalidUrl, MetadataError
from identity.idempotency import Intent
from identity.ids import Entity, tenant_id
from identity.keys import CanonicalKey, dataset_key, endpoint_key
from identity.naming import DEFAULT_PORTS, GLOBAL, LOCAL, Authority, authority, endpoint_slug

CORPUS = Path(__file__).resolve().parents[1] / "vectors/connection_urls.tsv"
URLS = [tuple(line.split("\t")) for line in CORPUS.read_text("utf-8").split("\n")[1:-1]]
CANARIES = ("kanari", "31337")  # every URL of the corpus holds one where a password or a parameter is


def leaks(*texts: object) -> list[str]:
    seen = [
        spelling.lower() for text in texts for spelling in (str(text), unquote(str(text)), unquote(unquote(str(text))))
    ]
    return [text for text in seen if any(canary in text for canary in CANARIES)]


def what_an_error_says(error: BaseException) -> Iterator[object]:
    yield from (error, repr(error), vars(error), pickle.dumps(error), "".join(traceback.format_exception(error)))
    yield from (vars(error.__context__) if error.__context__ else "", error.__context__ or "", error.__cause__ or "")


def test_the_corpus_is_large_and_every_url_in_it_is_planted() -> None:
    assert len(URLS) >= 100
    assert [url for url, _ in URLS if not leaks(url)] == []


@pytest.mark.parametrize(("url", "server"), [row for row in URLS if row[1] != "refused"])
def test_a_url_is_reduced_to_its_server(url: str, server: str) -> None:
    reduced = authority(url)
    assert f"{reduced.system} {reduced}" == server


@pytest.mark.parametrize("url", [url for url, server in URLS if server == "refused"])
def test_an_unparsable_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidUrl) as refusal:
        authority(url)
    assert refusal.value.reason
    assert refusal.value.fix
    assert refusal.value.exit_code == 2
    assert refusal.value.__context__ is None, "the error of a parser repeats what it could not parse"
    assert not leaks(*what_an_error_says(refusal.value))


def test_no_password_gets_into_a_key() -> None:
    for server in (authority(url) for url, expected in URLS if expected != "refused"):
        slug = endpoint_slug(server)
        entity = Entity(tenant_id("default"), dataset_key(slug, schema="public", table="flights"))
        assert not leaks(server, repr(server), slug, endpoint_key(slug), entity.key, repr(entity), pickle.dumps(entity))


@pytest.mark.parametrize("door", [endpoint_key, tenant_id, CanonicalKey.parse, Intent.parse])
def test_a_url_at_the_wrong_door_is_refused_without_repeating_it(door: Callable[[str], object]) -> None:
    for url, _ in URLS:
        for text in (url, quote(url, safe=""), f"mid1:dataset:jfk:~/~/{url}", f"mid1:dataset:{url}:~/~/t"):
            with pytest.raises(MetadataError) as refusal:
                door(text)
            assert not leaks(*what_an_error_says(refusal.value))


@prop
@given(
    st.sampled_from(["postgresql", "mysql+pymysql", "jdbc:sqlserver", "snowflake"]),
    st.lists(st.sampled_from([*TOKENS, "Kanari", "31337"]), max_size=8).map("".join),
    st.sampled_from(["db.example.com", "db:5433", "[::1]", ""]),
)
def test_no_password_however_badly_quoted_gets_out(system: str, secret: str, host: str) -> None:
    password = f"Kanari{secret}31337"
    for written in (password, f"31337{secret}Kanari", quote(password, safe="")):
        assert not leaks(*everything_known_of(f"{system}://sales:{written}@{host}/flights?password={written}"))


def test_a_password_that_is_quoted_is_never_a_reason_to_refuse() -> None:
    password = quote("".join(map(chr, range(1, 256))), safe="")
    assert str(authority(f"postgresql://sales:{password}@db:5433/x?password={password}")) == "db:5433"


def everything_known_of(url: str) -> list[object]:
    try:
        server = authority(url)
    except InvalidUrl as error:
        return list(what_an_error_says(error))
    return [server, repr(server), endpoint_slug(server)]


@prop
@given(st.text(max_size=60) | st.lists(st.sampled_from([*TOKENS, "jdbc:", "://", "[", "]", "1", "host="])).map("".join))
def test_any_text_is_a_server_or_refused(text: str) -> None:
    for url in (text, f"postgresql://{text}", f"postgresql:///{text}", f"postgresql:///?{text}"):
        try:
            server = authority(url)
        except InvalidUrl:
            continue
        if server.host not in (LOCAL, GLOBAL):  # no URL can say these
            assert authority(f"{server.system}://{server}") == server
        endpoint_key(endpoint_slug(server))


@pytest.mark.parametrize("system", sorted(DEFAULT_PORTS))
def test_the_default_port_is_left_out(system: str) -> None:
    assert authority(f"{system}://db:{DEFAULT_PORTS[system]}").port is None
    assert authority(f"{system}://db:{DEFAULT_PORTS[system]}") == authority(f"{system}://db")
    assert str(authority(f"{system}+driver://db:1")) == "db:1"


@pytest.mark.parametrize(
    ("system", "host", "port"),
    [
        ("postgresql", "sales:Kanari@db", None),
        ("postgresql", "db/Kanari", None),
        ("postgresql", "db?password=Kanari", None),
        ("postgresql", "DB", None),
        ("postgresql", "[::1]", None),
        ("postgresql", "::0001", None),
        ("postgresql", "::ffff:10.0.0.7", None),
        ("postgresql", "fe80::1%eth0", None),
        ("postgresql", "", None),
        ("postgresql", ".", None),
        ("postgresql", "db.", None),
        ("postgresql", "db\n", None),
        ("postgresql", "a" * 254, None),
        ("mssql", "db\\A", None),
        ("mssql", "db\\a", 1444),
        ("mssql", "\\a", None),
        ("postgresql", "db\\a", None),
        ("postgresql", "db", 0),
        ("postgresql", "db", 65536),
        ("postgresql", "db", 5432),
        ("postgresql+psycopg", "db", None),
        ("Kanari:31337", "db", None),
        ("", "db", None),
    ],
)
def test_nothing_else_fits_into_an_authority(system: str, host: str, port: int | None) -> None:
    with pytest.raises(InvalidUrl) as refusal:
        Authority(system, host, port)
    assert not leaks(*what_an_error_says(refusal.value))


@pytest.mark.parametrize(
    ("url", "slug"),
    [
        ("postgresql://sales:Kanari@jfk/flights", "postgresql_jfk"),
        ("postgresql:///flights?host=/tmp", "postgresql_local"),
        ("snowflake://sales:Kanari@org-acct/db", "snowflake_org-acct"),
        ("postgresql://jfk:5433", "postgresql_jfk-5433-144f6875f7b23841d696"),
        ("postgresql://db.example.com:5433", "postgresql_db-example-com-5433-72b0846926267fd55b49"),
        ("postgresql://[2001:db8::1]", "postgresql_2001-db8-1-13b86b9327c6bccf07da"),
    ],
)
def test_slugs_are_frozen(url: str, slug: str) -> None:
    """They name endpoints until somebody does: a changed one would make every table of the endpoint a new one."""
    assert endpoint_slug(authority(url)) == slug


hosts = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,80}[a-z0-9_]", fullmatch=True) | st.ip_addresses(v=6).map(
    lambda address: str(address.ipv4_mapped or address)
)
near_hosts = st.sampled_from(["a", "b_a", "a-b", "a.b", "a_b", "a-5433", "a" * 253])
systems = st.sampled_from(["postgresql", "mysql", "a", "a-b", "a_b", "a.b", "x" * 63])
servers = st.builds(Authority, systems, hosts | near_hosts, st.none() | st.integers(1, 79))
near_servers = st.builds(Authority, st.sampled_from(["a", "a-b", "a_b"]), near_hosts, st.sampled_from([None, 1, 5433]))


@prop
@given(st.lists(near_servers, unique=True, min_size=8, max_size=24) | st.lists(servers, unique=True, max_size=4))
def test_different_servers_get_different_slugs(several: list[Authority]) -> None:
    assert len({endpoint_slug(server) for server in several}) == len(several)


@prop
@given(servers)
def test_a_slug_is_an_endpoint(server: Authority) -> None:
    assert endpoint_key(endpoint_slug(server)).endpoint == endpoint_slug(server)


def test_a_slug_cannot_pose_as_the_digest_of_another() -> None:
    digested = endpoint_slug(authority("postgresql://a.b"))
    posing = authority(f"postgresql://{digested.partition('_')[2]}")
    assert endpoint_slug(posing) != digested


def test_two_hosts_do_not_meet_by_forty_bits() -> None:
    """The digests of these two begin with the same ten digits, and their names with the same sixty characters."""
    one, other = (authority(f"postgresql://{'h' * 60}-{place}.example.com") for place in (92824, 1009785))
    assert endpoint_slug(one) != endpoint_slug(other)
    assert endpoint_slug(one)[:53] == endpoint_slug(other)[:53]


@prop
@given(slugs)
def test_every_slug_can_be_a_host(slug: str) -> None:
    if slug[-1] != "-":
        endpoint_key(endpoint_slug(authority(f"postgresql://{slug}")))
