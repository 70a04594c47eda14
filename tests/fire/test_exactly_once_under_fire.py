"""Exactly once, while backends are terminated, writers are killed and acknowledgements get lost."""

from collections.abc import Callable

import pytest
from fire_mutants import claiming_and_reading_at_once, without_unique_keys
from fire_run import Blaze, Burnt, burn
from fire_verdict import violations
from fire_writers import register
from sqlalchemy.engine import make_url

from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server

pytestmark = pytest.mark.fire

SECONDS = 30.0
MUTANT_SECONDS = 4.0


@pytest.fixture
def fire(server: Server, metadata_url: str, store: MetadataStore) -> Callable[[Blaze], Burnt]:
    """A function that sets a fresh, registered control plane on fire."""
    register(store)
    name = str(make_url(metadata_url).database)

    def set_on_fire(blaze: Blaze) -> Burnt:
        urls = (server.url(name, user=user) for user in ("postgres", "metadata_app", "metadata_relay"))
        return burn(*urls, blaze)

    return set_on_fire


def test_every_answer_is_kept_once_under_fire(
    fire: Callable[[Blaze], Burnt], capsys: pytest.CaptureFixture[str]
) -> None:
    burnt = fire(Blaze(seconds=SECONDS))
    counts = burnt.counts()
    with capsys.disabled():
        print("\n" + "\n".join(f"{count:>8} {what}" for what, count in counts.items()))
    problems = violations(burnt.evidence)
    assert not problems, "\n".join(problems[:20])
    burning = ("backends terminated", "writers killed", "acknowledgements swallowed", "of these replayed")
    assert all(counts[what] > 10 for what in burning), "a fire that did not burn proves nothing"


# Callers that meet are enough for these: without the deaths more of them meet.
CROWD = Blaze(seconds=MUTANT_SECONDS, seconds_between_terminations=0, seconds_between_kills=0, swallowed_share=0)


@pytest.mark.parametrize(
    ("mutate", "found"), [(without_unique_keys, "duplicated"), (claiming_and_reading_at_once, "lost")]
)
def test_a_mutant_of_the_functions_is_found_out(
    fire: Callable[[Blaze], Burnt], metadata_url: str, mutate: Callable[[str], None], found: str
) -> None:
    mutate(metadata_url)
    problems = violations(fire(CROWD).evidence)
    assert any(problem.startswith(found) for problem in problems)


def test_a_client_that_takes_a_fresh_key_for_each_retry_is_found_out(fire: Callable[[Blaze], Burnt]) -> None:
    problems = violations(fire(Blaze(seconds=MUTANT_SECONDS, swallowed_share=0.2, fresh_keys=True)).evidence)
    assert any(problem.startswith("duplicated") for problem in problems)
