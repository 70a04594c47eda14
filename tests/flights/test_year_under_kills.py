"""Some days of flights under kills, as `make year` does it for the year."""

import io
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flights_loads import ROOT, Loads
from rich.console import Console

sys.path.append(str(ROOT / "tests" / "dagster"))

from year_pool import Pool
from year_under_kills import days_of, middle_of, year

from metadata_assets.cli import surroundings
from resources.configurable import close_all
from resources.postgres.embedded import Server, ensure_databases
from resources.settings import Settings

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning"),  # Dagster's own
]


@pytest.fixture
def deployment(
    server: Server, loads: Loads, make_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """A home and a copy of the project, on the shared server and its sources."""
    assert loads.finished
    ensure_databases(server, ["dagster"])
    project = shutil.copytree(ROOT / "examples" / "flights", tmp_path / "project")
    variables = {
        "METADATA_HOME": str(tmp_path),
        "METADATA_PROJECT": str(project),
        "METADATA_TENANT": "default",
        "METADATA_DATABASE_URL": make_database(migrated=True),
        "DAGSTER_POSTGRES_URL": server.url("dagster"),
        "DATA_DATABASE_URL": server.url("postgres"),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    modules, path = set(sys.modules), list(sys.path)
    settings = Settings.from_env(variables, cwd=ROOT)
    surroundings.prepare(settings)
    yield settings
    close_all()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(project) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def test_days_are_backfilled_once_whoever_is_killed(deployment: Settings) -> None:
    quiet = Console(file=io.StringIO())
    found = year(deployment, 7, workers=2, seed=random.randrange(1_000_000), every=(1.0, 4.0), console=quiet)
    assert found.wrong == [], found.document


def test_the_middle_is_a_month_of_the_year() -> None:
    assert middle_of(days_of(365)) == days_of(365)[181:212]
    assert middle_of(days_of(7)) == ["2013-01-03", "2013-01-04", "2013-01-05"]


def test_a_worker_that_ended_by_itself_is_told(tmp_path: Path) -> None:
    """Without its environment it cannot even begin: nobody takes that for a kill."""
    pool = Pool(1, tmp_path / "log", random.Random(1), (60.0, 60.0))
    pool.give("no such run")
    try:
        with pytest.raises(AssertionError, match="ended by itself"):
            list(pool.ended())
    finally:
        pool.end()
