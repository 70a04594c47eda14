"""No password that is planted into an argument of a store is in any table, answer, error or log afterwards."""

import types
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from inspect import getmembers, isfunction
from itertools import islice
from typing import Any

import psycopg
import pytest
from planted_secrets import SPELLINGS, leaks, said_by
from store_cases import CASES
from store_doings import World, new_number
from thorough import many

from resources.check_models import CheckEvaluation, CheckResult
from resources.graph_store import GraphStore
from resources.lineage_records import LineageEvent, MaterializedColumns, RefusedEvent
from resources.metadata.facets import WantedFacet
from resources.metadata.imports import Import
from resources.metadata.legacy_names import LegacyRow
from resources.metadata.profiles import Profile
from resources.metadata_store import MetadataStore
from resources.models import Asset, Attempt, Endpoint, Read, Staged
from resources.postgres.session import Sessions
from resources.runs import AttemptFact, Lease, RunFact

TEXTS = {
    *(
        str,
        Any,
        Asset,
        Attempt,
        AttemptFact,
        CheckEvaluation,
        CheckResult,
        Endpoint,
        Import,
        LegacyRow,
        Lease,
        Profile,
        LineageEvent,
        MaterializedColumns,
        Read,
        RefusedEvent,
        RunFact,
        WantedFacet,
    ),
    Staged,
}


def methods_by_case() -> list[list[str]]:
    """The methods of which one case takes care."""
    methods: dict[object, list[str]] = {}
    for method in sorted(CASES):
        methods.setdefault(CASES[method], []).append(method)
    return list(methods.values())


def takes_text(method: Callable[..., object]) -> bool:
    hints = typing.get_type_hints(method)
    return any(TEXTS & set(parts(hint)) for name, hint in hints.items() if name != "return")


def parts(hint: Any) -> Iterator[Any]:
    yield hint
    if typing.get_origin(hint) not in (typing.Literal, types.FunctionType):
        for part in typing.get_args(hint):
            yield from parts(part) if not isinstance(part, list) else ()


def test_every_method_with_a_text_has_a_case() -> None:
    found = {
        f"{store.__name__}.{name}"
        for store in (MetadataStore, GraphStore)
        for name, method in getmembers(store, isfunction)
        if not name.startswith("_") and takes_text(method)
    }
    assert found == set(CASES)


@pytest.fixture(scope="module")
def metadata_url(make_database: Callable[..., str]) -> str:
    return make_database(migrated=True)


@pytest.fixture
def world(store: MetadataStore) -> World:
    made = World(store, GraphStore(store.sessions), new_number())
    store.register_datasets([(made.asset(name), "manually") for name in ("one", "two")])
    return made


def stored(url: str) -> list[str]:
    """Every row of every table of the schema, as text."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'metadata'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
        assert len(tables) > 15
        every = " UNION ALL ".join(f"SELECT to_jsonb(t)::text FROM metadata.{name} t" for (name,) in tables)
        return [text for (text,) in connection.execute(every.encode())]


@pytest.mark.parametrize("methods", methods_by_case(), ids="+".join)
def test_a_planted_password_is_nowhere_afterwards(
    world: World, metadata_url: str, caplog: pytest.LogCaptureFixture, methods: list[str]
) -> None:
    """All spellings in a thorough run; usually a third for each, another one than for its neighbours."""
    step = many(1, usually=3)
    some = islice(SPELLINGS.items(), methods_by_case().index(methods) % step, None, step)
    case = CASES[methods[0]]
    said = {spelling: said_by(*case(world, text)) for spelling, (text, _piece) in some}
    assert {spelling: leaks(*told) for spelling, told in said.items() if leaks(*told)} == {}
    assert leaks(*stored(metadata_url), caplog.text) == []


def test_what_is_written_freely_is_kept_without_it(world: World) -> None:
    text = SPELLINGS["userinfo"][0]
    world.store.rename({world.key("one"): world.key("uno")}, reason=f"was at {text}")
    assert {one.reason for one in world.store.aliases_of(world.key("uno"))} == {None, "was at postgresql://***@db/x"}
    node = world.graph.create_identity(world.key("uno"), metadata={"url": text, "n": 7, "at": "jo@example.org"})
    assert node.metadata == {"url": "postgresql://***@db/x", "n": 7, "at": "jo@example.org"}
    made = world.graph.create_collection("kept", name="Kept", description=f"from {text}")
    assert made == world.graph.create_collection("kept", name="Kept", description=f"from {text}")
    assert made.description == "from postgresql://***@db/x"
    assert world.store.entity_at(world.key("uno"), datetime.now(UTC)).key == world.key("uno")


def test_an_actor_may_be_anything_but_a_secret(world: World, metadata_url: str) -> None:
    for text, _piece in SPELLINGS.values():
        sessions = Sessions(world.store.sessions.engine, world.store.tenant, text)
        MetadataStore(sessions).register_assets([world.asset(f"by{new_number()}")])
        assert leaks(sessions) == []
    assert leaks(*stored(metadata_url)) == []


def test_a_driver_tells_what_went_wrong_and_not_with_which_value(world: World) -> None:
    sessions = world.store.sessions
    (secret,) = {SPELLINGS["dsn"][0]}
    for statement, state in (
        ("SELECT %(text)s::uuid", "22P02"),
        ("SELECT %(text)s::jsonb", "22P02"),
        ("SELECT nothing(%(text)s::text)", "42883"),
    ):
        with pytest.raises(psycopg.Error, match=f"SQLSTATE {state}") as raised:
            sessions.call(statement, {"text": secret})
        assert raised.value.sqlstate == state
        with pytest.raises(psycopg.Error) as again, sessions.begin() as session:
            session.rows(statement, {"text": secret})
        assert leaks(*said_by(raised.value.add_note), *map(repr, (raised.value, again.value))) == []
        assert (raised.value.__context__, again.value.__context__) == (None, None)
