"""Credentials in texts: what is hidden, and what is left as it is."""

import pytest

from identity.credentials import holds_credential, scrub, scrubbed
from identity.errors import InvalidKey
from identity.keys import check_name
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
    "connect to postgresql://db.example.com:5432 as jo@example.org",
    "auth: required",
    "login=administrator",
    "authentication: kerberos5forall",
    "de:ad:be:ef:00:11:22:33:44:55",
    "2013 11 12 13 14 15 16 17 18 19",
    "C:\\data\\160\\x.csv",
    "year=2024/hour=22/x@y",
    "AT&T&#38;Co",
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
NAMES_WITH_A_PREFIX = [
    "npm_package_downloads_daily",
    "npm_weekly_downloads_by_scope_2024",
    "npm_registry_mirror_status",
    "npm_PackageDownloads2024",
    "npm_packagedownloadsbycountryandregiondaily",
    "sk-learn-model-training-v2",
    "sk-preprocessing-pipeline_v1",
    "sk-Dataset-Monthly-Report-2024",
    "sk-SalesByCountryAndYear2024",
    "sk-bratislava-region-2024-01-31",
    "sk-proj-kickoff-2024-notes",
    "dapi_endpoints_usage_metrics",
    "dapiusagemetricsdaily01",
    "dapi_v2_requests_by_customer",
    "pypi-downloads-by-country-2024",
    "pypi-package-metadata-snapshot",
    "pypi-AgentDownloads2024ByRegion",
    "glpat-geologic-patterns-of-alps",
    "glpat-patient-visits-2023",
    "xoxo-campaign-results-2024",
    "xoxb-bot-messages-per-channel-q3",
    "hvs.heat_vulnerability_survey_2024",
    "ya29.yearly_average_temperature",
    "sk_live_streams_by_region",
    "rk_live_rankings_by_country2024",
    "ghp_green_house_project_emissions",
    "gho_global_health_observatory_2023",
    "ghs_groundhandling_services_daily",
    "ghr_guest_house_reservations_2024",
    "github_pat_patterns_by_repository_and_year_2024",
    "ASIAPACIFICSALESDATA",
    "AKIATERRITORYTABLES",
    "AIzawaDataPlatformUsageByCountryAndYears",
    "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2024",
]
ISSUED = [
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdEFGH1234_Zx9Yw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe9Dc8Ba7Zy6Xw5Vu4Ts3Rq2Po1Nm",
    "glpat-x7Rk2_Lm9QpZ4vT8sYwB",
    "npm_k3Xz9PqR7vLm2NtY8wBc4HdJ6fGs1aUe5iOx",
    "pypi-AgEIcHlwaS5vcmcCJDZkY2Y1ZTY5LTU2ZDItNDQ3ZS1hNzYzLWU4YjY0ZTZhYjI3YQACKlszLCJk",
    "hvs.CAESIJ5kXqR8w3ZtPbYv7Lm2NcHd9KfGs4aUe1iOx6TzQrWy",
    "dapi0123456789abcdef0123456789abcdef",
    "dapi8f2e4a6c0b1d3e5f7a9c8b6d4e2f0a1c-2",
    "ya29.a0AfH6SMBx7Rk2Lm9QpZ4vT8sYwBc3HdJ6fGs1aUe5iOx",
    "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",
    "sk-proj-x7Rk2Lm9QpZ4vT8sYwBc3Hd_J6fGs1aUe5iOx-T3BlbkFJk3Xz9PqR7",
    "sk-ant-api03-x7Rk2Lm9QpZ4vT8sYwBc3Hd_J6fGs1aUe5iOx-k3Xz9PqR7vLm2NtY8wBc4HdJ6fGsAA",
    "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "xoxb-123456789012-1234567890123-x7Rk2Lm9QpZ4vT8sYwBc3HdJ",
    "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "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",
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
    "password={" * 11000,
    "pwd={{" * 16000,
    "00 " * 33000,
    "ab_z" * 25000,
    "=3D" * 33000,
    "=\n" * 50000,
    "auth_" * 20000,
    "auth: " * 16000,
    "<password><![CDATA[]" * 5000,
    "glpat-" * 16000,
    "npm_a1B" * 14000,
    "{" * 100000 + "password=",
]


@pytest.mark.parametrize("spelling", sorted(SPELLINGS))
def test_a_credential_is_hidden_and_hiding_it_twice_changes_nothing(spelling: str) -> None:
    text, piece = SPELLINGS[spelling]
    clean = scrub(f"before {text} after")
    assert piece not in clean
    assert "***" in clean
    assert scrub(clean) == clean
    assert holds_credential(text)


@pytest.mark.parametrize(
    "text",
    [
        *(text for text, _ in SPELLINGS.values()),
        *PLAIN,
        "http://ci.example.org:8080/x:y@z",
        "s3://a:b@c/d",
        "kafka://h.x:1/t@2",
    ],
)
def test_what_is_refused_in_a_name_is_what_is_hidden_in_a_text(text: str) -> None:
    try:
        check_name(text)
    except InvalidKey:
        assert scrub(text) != text
    else:
        assert scrub(text) == text


@pytest.mark.parametrize("key", ISSUED)
def test_a_key_is_told_by_the_shape_that_its_issuer_gave_it(key: str) -> None:
    assert holds_credential(key)
    assert scrub(f"with {key}, said he") == "with ***, said he"


@pytest.mark.parametrize("text", [*PLAIN, *NAMES_WITH_A_PREFIX])
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
