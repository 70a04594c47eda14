"""Every promise about versions, while backends, clients and the server are killed and acknowledgements get lost."""

import pytest
from burning import burn_down, report
from fire_run import Blaze
from fire_verdict import violations

pytestmark = pytest.mark.fire

SECONDS = 60.0


@pytest.mark.proof
def test_every_answer_is_kept_once_under_fire(capsys: pytest.CaptureFixture[str]) -> None:
    burnt = burn_down(Blaze(seconds=SECONDS))
    problems = violations(burnt.evidence)
    with capsys.disabled():
        print("\n" + report(burnt, problems))
    assert not problems, "\n".join(problems[:20])
    counts = burnt.counts()
    burning = ("backends terminated", "clients killed", "acknowledgements swallowed", "of these replayed", "pins")
    assert all(counts[what] > 10 for what in burning), "a fire that did not burn proves nothing"
    happened = ("servers crashed", "rollbacks", "releases", "retractions", "folders collected", "of these abandoned")
    assert all(counts[what] for what in happened)


def test_a_few_seconds_of_fire_break_no_promise() -> None:
    burnt = burn_down(Blaze(seconds=6.0, processes=2, seconds_between_crashes=3.0))
    problems = violations(burnt.evidence)
    assert not problems, "\n".join(problems[:20])
    counts = burnt.counts()
    burning = ("backends terminated", "clients killed", "servers crashed", "commits", "publishes")
    assert all(counts[what] for what in burning), "a fire that did not burn proves nothing"
