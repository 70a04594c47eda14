"""What must not be said is not said, and the rest still is."""

import pytest

from metadata_assets.cli.scrubbing import scrub, secrets_in


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("postgresql://ann:s3cr3t@db/x", "postgresql://***@db/x"),
        (
            "postgresql+psycopg://ann:a%40b@db:5432/x?sslmode=require",
            "postgresql+psycopg://***@db:5432/x?sslmode=require",
        ),
        ("two: http://a:b@c and http://d:e@f", "two: http://***@c and http://***@f"),
        ("postgresql://ann:p@ss@db/x", "postgresql://***@db/x"),
        ("host=db password=s3cr3t user=ann", "host=db password=*** user=ann"),
        ("password='two words' user=ann", "password='***' user=ann"),
        ("?user=ann&password=s3cr3t&sslmode=x", "?user=ann&password=***&sslmode=x"),
        ("see http://127.0.0.1:3000/runs", "see http://127.0.0.1:3000/runs"),
        ("postgresql://ann@db/x", "postgresql://ann@db/x"),
        ("the password is wrong", "the password is wrong"),
        ("mid1:dataset:jfk:jfk/public/flights", "mid1:dataset:jfk:jfk/public/flights"),
    ],
)
def test_the_shapes_in_which_passwords_come(text: str, scrubbed: str) -> None:
    assert scrub(text, {}) == scrubbed


@pytest.mark.parametrize(
    "variables",
    [
        {"METADATA_DATABASE_URL": "postgresql://ann:tr%40p%2Fd%25r@db/x"},
        {"ANY_NAME": "postgresql://ann:tr@p/d%r@db/x"},
        {"CRM": "postgresql://db/x?user=ann&password=tr%40p%2Fd%25r"},
        {"CRM": "host=db password=tr@p/d%r"},
        {"PGPASSWORD": "tr@p/d%r"},
        {"SERVICE_TOKEN": "tr@p/d%r"},
    ],
)
def test_what_the_environment_holds_is_hidden_wherever_it_turns_up(variables: dict[str, str]) -> None:
    said = "cannot log in with tr@p/d%r, and that is that"
    assert scrub(said, variables) == "cannot log in with ***, and that is that"


def test_a_password_that_everybody_can_see_anyway_stays_readable() -> None:
    variables = {"METADATA_DATABASE_URL": "postgresql://postgres:postgres@localhost/metadata"}
    assert scrub("the embedded postgresql", variables) == "the embedded postgresql"
    assert secrets_in(variables) == frozenset()
