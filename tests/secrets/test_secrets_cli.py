"""No password that is planted into an argument of the command line is printed, in whatever form it answers."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from planted_secrets import SPELLINGS, leaks

from identity.keys import dataset_key
from metadata_assets.cli import main
from metadata_assets.cli.app import app
from metadata_assets.cli.reference import commands, own_parameters
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType

COMMANDS = dict(commands(typer.main.get_command(app)))
FORMS = (["--json"], [], ["--json", "--debug"])
EACH = 2
"""How many spellings each argument is tried with; which ones goes round."""

# What the other arguments of a command are while one of them has the password.
OTHERWISE: Mapping[str, list[str]] = {
    "names": ["lake/nyc/one", "lake/nyc/uno"],
    "keys": ["lake/nyc/one"],
    "to": ["lake/etc"],
    "reference": ["identity:3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10"],
    "slug": ["punctuality"],
    "name": ["lake/nyc/one"],
    "file": ["nowhere.csv"],
    "target": ["lake/nyc/two"],
    "new": ["lake/nyc/two"],
    "winner": ["lake/nyc/two"],
}
COMMON = ("--tenant", "--project", "--home")
UNREACHED = {"dev": "it would serve", "demo": "it would run a project", "clean": "it takes no text"}


def plantable() -> list[tuple[str, str]]:
    own = [
        (name, str(parameter.name))
        for name, command in sorted(COMMANDS.items())
        for parameter in own_parameters(command)
        if name not in UNREACHED and not getattr(parameter, "is_flag", False)
    ]
    return [*own, *(("datasets", option) for option in COMMON), ("", "command"), ("datasets", "--nonsense")]


def call_with(name: str, planted: str, text: str) -> list[str]:
    """The words of a call of a command with the text in one of its arguments."""
    if planted == "command":
        return [text]
    if planted.startswith("--"):
        return [name, planted, text] if planted in COMMON else [name, f"--{text}"]
    words: list[str] = []
    arguments: list[str] = []
    for parameter in own_parameters(COMMANDS[name]):
        here = [text] if parameter.name == planted else OTHERWISE.get(str(parameter.name), ["lake/nyc/one"])
        if not parameter.opts[0].startswith("-"):
            arguments += here
        elif parameter.name == planted:
            words.append(f"{parameter.opts[0]}={text}")
        elif parameter.required:
            words += [parameter.opts[0], "1" if parameter.metavar == "N" else here[0]]
    return [*name.split(), *words, "--", *arguments]


@pytest.fixture(scope="module")
def metadata_url(make_database: Callable[..., str]) -> str:
    return make_database(migrated=True)


@pytest.fixture
def environ(metadata_url: str, store: MetadataStore, tmp_path: Path) -> dict[str, str]:
    """A deployment with two datasets and an empty project."""
    keys = [dataset_key("lake", schema="nyc", table=name) for name in ("one", "two")]
    store.register_datasets([(Asset(key=key, type=AssetType.DATASET), "manually") for key in keys])
    urls = dict.fromkeys(("METADATA_DATABASE_URL", "DATA_DATABASE_URL", "DAGSTER_POSTGRES_URL"), metadata_url)
    return {"METADATA_HOME": str(tmp_path / "home"), "METADATA_PROJECT": str(tmp_path), **urls}


@pytest.mark.proof
def test_every_text_of_the_command_line(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    spellings = itertools.cycle(SPELLINGS.items())
    forms = itertools.cycle(FORMS)
    told: list[Any] = []
    for name, planted in plantable():
        for spelling, (text, _piece) in itertools.islice(spellings, EACH):
            form = next(forms)
            code = main([*form, *call_with(name, planted, text)], environ)
            captured = capsys.readouterr()
            if found := leaks(captured.out, captured.err):
                told.append((name, planted, spelling, form, code, found))
    assert told == []


@pytest.mark.proof
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_where_it_hurts_most(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], spelling: str
) -> None:
    text, _piece = SPELLINGS[spelling]
    calls = [
        ["identity", "create", text],
        ["collection", "create", "good", f"--name={text}"],
        ["identity", "rename", "lake/nyc/one", text],
        ["dataset", "show", f"lake/nyc/one@{text}"],
        ["versions", f"{text}#x"],
        ["release", "good", f"lake/{text}/one"],
    ]
    codes = [main([*form, *call], environ) for call, form in zip(calls, itertools.cycle(FORMS), strict=False)]
    captured = capsys.readouterr()
    assert leaks(captured.out, captured.err) == []
    assert 0 not in codes
