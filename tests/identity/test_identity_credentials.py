"""Credentials in texts: what is hidden, and what is left as it is."""

import pytest

from identity.credentials import holds_credential, scrub, scrubbed
from tests.secrets.planted_secrets import SECRET, SPELLINGS, URL

PLAIN = [
    "password_hash",
    "token_count",
    "the password policy changed",
    "jo@example.org",
    "mail to data@example.com",
    "s3://bucket/jo@example.org/x.parquet",
    "x/token=1/part-0.parquet",
    "token_count=5",
    "auth.token",
    "SELECT a.token = b.token AS same FROM a JOIN b USING (id)",
    "time 10:30 @ noon",
    "a secret ballot",
    "see https://example.com/docs?x=1",
    "mid1:dataset:jfk:a/b/c",
    "urn:li:corpuser:jo@example.org",
    "repo:tag@sha256:0123abcd",
    "git@github.com:org/repo.git",
    "2013-01-14T00:00:00+00:00",
    "env:SHOP_URL",
    "password: env:PW",
    "password=***",
    "password=${DB_PASSWORD}",
    "PWD={{ db_password }};SERVER=db",
    "password=$DB_PASSWORD",
    "password=$PGPASSWORD",
    "password={password}",
    "password: {{ password }}",
    "SET password = :password, token = %(token)s",
    "PWD={};UID={}",
    "password='<your password>'",
    "postgresql://jo:${DB_PASSWORD}@db/x",
    "postgresql://jo:***@db/x",
    "http://ci.example.org:8080/job/@latest",
    "https://example.org:8443/u/jo@example.org",
    "postgresql://ann@db/x",
    "postgresql://ann@db:5432/x",
    "see http://127.0.0.1:3000/runs",
    "SELECT u.password, u.token FROM users u",
    "C:\\data\\x.csv",
    "password::text",
    "primary key (id)",
    "compass: north",
    "bypass=1",
    "carrier_month_delays_2013_from_the_source",
    "3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10",
    "Basic information: see the docs",
    "basic knowledge",
    "bearer of news",
    "signature: f(x) -> y",
    "tokens: 5 of them",
    "the source calls it so: it is the same object there",
    "max_tokens",
    "access key management",
    "pass: the checks",
    '{"http": "http://h:80","mail":"jo@x.org"}',
    "its name looks like a URL with a password",
    "run the password rotation --dry-run",
    "hunter2",
    "mid1:dataset:lake:~/nyc/x",
    "pypi.org",
    "identity:8c1f4b8e-0000-4000-8000-000000000000",
    "a->b: x@y",
    "it wants a password and the URL has none",
    "secret sauce",
    "user/jo@example.org",
    "nyc/flights@2013-01-01",
    "Owner: data@example.org, Password policy: strict",
    "a" * 64,
    "0123456789abcdef" * 4,
]
LONG = [
    "://" * 30000,
    "a:" * 50000,
    "@" * 100000,
    "a@" * 50000,
    "://a:" * 20000,
    "://a:a@" * 15000,
    "password" * 12000,
    "password=" * 11000,
    "password " * 11000,
    "token:a " * 12000,
    "pwd='" * 20000,
    "-" * 100000,
    "%25" * 33000,
    "%" * 100000,
    "\\" * 100000,
    "\\u0025" * 16000,
    "A" * 100000,
    "QUFB" * 25000,
    "eyJ-" * 25000,
    "/" * 100000,
    "a/" * 50000,
    "{" * 100000,
    "<password " * 9000,
    "<" * 100000,
    "=a:" * 33000,
    "bearer " * 14000,
    "basic " * 16000,
    "authorization:" * 7000,
    "-u a" * 25000,
    " " * 100000,
    "password" + " " * 100000,
    "x@y:1/" * 16000,
    "&#x41;" * 16000,
    "login a password " * 6000,
    "pwd=a b c d " * 9000,
    "://a:b " * 14000,
    "'" * 100000,
    "sk-" * 33000,
    "-----BEGIN PRIVATE KEY-----" * 3700,
    "<" + "a" * 100000,
    "<a.password" * 9000,
    "password{" * 11000,
    "token=\\'" * 12000,
    "://a@b:c " * 11000,
    "identified by " * 7000,
    "(?<!" * 20000,
    "0" * 100000,
    "ab_" * 33000,
    "a" * 15 + "/" * 100000,
    "abcdefghijklmnop-" * 6000,
    ":" * 100000,
    "a.b@c:1:" * 12000,
    "p=" * 50000,
    "dbPw" * 25000,
]


@pytest.mark.parametrize("spelling", sorted(SPELLINGS))
def test_a_credential_is_hidden_and_hiding_it_twice_changes_nothing(spelling: str) -> None:
    text, piece = SPELLINGS[spelling]
    clean = scrub(f"before {text} after")
    assert piece not in clean
    assert "***" in clean
    assert scrub(clean) == clean
    assert holds_credential(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_credential_is_left_as_it_is(text: str) -> None:
    assert scrub(text) == text
    assert not holds_credential(text)


def test_a_document_keeps_all_but_its_secrets() -> None:
    given = {"a": {"password": "x1", "notes": [URL, 17]}, "token": 17, "pw": SECRET, "rows": 3, URL: True}
    clean = scrubbed(given)
    assert SECRET not in repr(clean)
    assert (clean["rows"], clean["a"]["notes"][1]) == (3, 17)
    assert clean["a"]["password"] == clean["pw"] == "***"


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_a_hostile_text_of_100_kb_is_read_to_its_end(text: str) -> None:
    clean = scrub(text)
    assert scrub(clean) == clean
