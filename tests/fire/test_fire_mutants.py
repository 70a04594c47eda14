"""Each mechanism taken out once, in a small crowd that does little else: the verdict must find it out."""

from collections.abc import Callable, Mapping

import pytest
from fire_mutants import (
    claiming_and_reading_at_once,
    condemning_in_one_statement,
    condemning_slowly,
    holding_whoever_asks,
    pinning_without_sharing_the_row,
    publishing_whoever_is_last,
    publishing_without_the_row,
    reaping_without_marking,
    rolling_back_whatever_is_there,
    without_unique_keys,
)
from fire_plan import TENANT, register
from fire_run import Blaze, Urls, burn
from fire_verdict import violations
from sqlalchemy.engine import make_url
from thorough import many

from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions

pytestmark = [pytest.mark.fire, pytest.mark.proof]

SECONDS = 1.0
CROWDS = 40
Crowd = Callable[..., list[str]]

DELIVERING = {"deliver": 1.0}
GOING_BACK = {"deliver": 1.0, "roll_back": 3.0}
COLLECTING = {"overtake": 3.0, "collect": 2.0}
RELEASING = {"release": 2.0, "keep": 3.0}
PINNING = {"overtake": 4.0, "keep": 4.0, "collect": 2.0}
GIVING_WAY = {"give_way": 1.0}
HOLDING = {"hold": 1.0}
COMING_LATE = {"come_late": 4.0, "collect": 1.0}


def nothing(url: str) -> None:
    """Everything is left as it is."""


@pytest.fixture
def crowd(server: Server, make_database: Callable[..., str]) -> Crowd:
    """What is found out when a few clients do only this, and nobody dies: then more of them meet."""

    def gather_a_crowd(
        acts: Mapping[str, float],
        mutate: Callable[[str], None] = nothing,
        *,
        mutant: str = "",
        swallowed: float = 0,
        datasets: int = 1,
    ) -> list[str]:
        url = make_database(migrated=True)
        engine = app_engine(url)
        register(MetadataStore(Sessions(engine, TENANT, "fire")))
        engine.dispose()
        mutate(url)
        name = str(make_url(url).database)
        urls = Urls(admin=url, app=server.url(name, user="metadata_app"), relay=server.url(name, user="metadata_relay"))
        blaze = Blaze(
            seconds=SECONDS,
            seconds_between_terminations=0,
            seconds_between_kills=0,
            swallowed_share=swallowed,
            acts=acts,
            processes=2,
            datasets=datasets,
            keep_versions=1,
            mutant=mutant,
        )
        return violations(burn(urls, blaze).evidence)

    return gather_a_crowd


def found_out(gather: Callable[[], list[str]], what: str | tuple[str, ...]) -> bool:
    """Whether one of a few crowds met it: a machine that is busy with something else may need more than one."""
    return any(problem.startswith(what) for _crowd in range(CROWDS) for problem in gather())


@pytest.mark.parametrize(
    ("mutate", "acts", "found"),
    [
        (without_unique_keys, DELIVERING, "duplicated"),
        (claiming_and_reading_at_once, DELIVERING, "lost"),
        (rolling_back_whatever_is_there, GOING_BACK, "contradicting: a rollback"),
        (publishing_without_the_row, COLLECTING, "condemned"),
        (condemning_in_one_statement, COLLECTING, "condemned"),
        (pinning_without_sharing_the_row, PINNING, ("condemned", "collected")),
        (publishing_whoever_is_last, GIVING_WAY, "contradicting: an earlier attempt replaced a later one"),
        (holding_whoever_asks, HOLDING, "contradicting: attempt"),
        (reaping_without_marking, COMING_LATE, "collected"),
    ],
)
def test_a_mutant_of_the_functions_is_found_out(
    crowd: Crowd, mutate: Callable[[str], None], acts: Mapping[str, float], found: str | tuple[str, ...]
) -> None:
    assert found_out(lambda: crowd(acts, mutate), found)


def test_a_client_that_takes_a_fresh_key_for_each_retry_is_found_out(crowd: Crowd) -> None:
    assert found_out(lambda: crowd(DELIVERING, mutant="fresh keys", swallowed=0.2), "duplicated")


def test_a_release_of_one_dataset_after_the_other_is_found_out(crowd: Crowd) -> None:
    assert found_out(lambda: crowd(RELEASING, mutant="two releases", datasets=2), "torn")


EVERYTHING = {**GOING_BACK, **COLLECTING, **PINNING, **RELEASING, **COMING_LATE, **GIVING_WAY, **HOLDING}


@pytest.mark.parametrize("acts", [EVERYTHING, COLLECTING, PINNING, RELEASING, COMING_LATE, GIVING_WAY, HOLDING])
def test_without_a_mutant_nothing_is_found(crowd: Crowd, acts: Mapping[str, float]) -> None:
    """Neither in what everybody does together nor in a crowd like that of a mutant; a thorough run gathers ten."""
    for _crowd in range(many(10, usually=1)):
        assert crowd(acts, condemning_slowly, datasets=2) == []
