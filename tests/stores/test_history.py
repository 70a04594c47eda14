"""History that is kept for a time: what goes, what stays, in batches, of one's own tenant only."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scratch_databases import ScratchDatabases

from identity.ids import tenant_id
from identity.keys import CanonicalKey, dataset_key
from metadata_assets.importers.event_files import import_events, refused_before
from resources.lineage_records import RefusedEvent
from resources.metadata.history import Forgotten, History, Kept
from resources.metadata.profiles import ColumnProfile, Profile
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from tests.importers import lineage_events as told

A, B = (dataset_key("shop", source="shop", schema="public", table=name) for name in "ab")
DAY = timedelta(days=1)


@pytest.fixture
def metadata_url(migrated_databases: ScratchDatabases) -> Iterator[str]:
    """Not the one of all tests here: what is old is everybody's."""
    with migrated_databases.one() as url:
        yield url


@pytest.fixture
def profiled_url(store: MetadataStore, metadata_url: str) -> tuple[MetadataStore, str]:
    return profiled(store), metadata_url


def profile(key: CanonicalKey, rows: int) -> Profile:
    return Profile(key=key, rows=rows, sampled=rows, columns=(ColumnProfile(name="n", nulls=0.0, distinct=rows),))


def profiled(store: MetadataStore) -> MetadataStore:
    store.register_endpoints([Endpoint(slug="shop", system="postgres")])
    store.register_assets([Asset(key=key, type=AssetType.TABLE) for key in (A, B)])
    return store


def aged(url: str, table: str, column: str, days: float, where: str = "true") -> None:
    """Make rows older: nobody but a superuser can."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        change = f"UPDATE metadata.{table} SET {column} = {column} - interval '{days} days' WHERE {where}"
        connection.execute(change.encode())


def left(store: MetadataStore, key: CanonicalKey) -> list[int | None]:
    return [one.rows for one in store.profiles(store.entity(key), limit=1000)]


def test_a_profile_that_says_nothing_new_is_not_kept(store: MetadataStore) -> None:
    profiled(store)
    assert store.record_profiles([profile(A, 1), profile(B, 1)]) == 2
    (first,) = store.profiles(store.entity(A))
    assert store.record_profiles([profile(A, 1), profile(B, 2)]) == 1
    assert store.profiles(store.entity(A)) == [first]
    assert store.record_profiles([replace(profile(A, 1), rows=None)]) == 1
    assert store.record_profiles([replace(profile(A, 1), rows=None)]) == 0
    assert store.record_profiles([profile(A, 1)]) == 1, "what was so before is news when it comes back"
    assert left(store, A) == [1, None, 1]


def test_the_newest_profile_stays_and_the_others_for_a_time_and_up_to_a_number(
    store: MetadataStore, open_store: Callable[..., MetadataStore], metadata_url: str
) -> None:
    for one in (store, open_store("other")):
        profiled(one)
        for rows in range(6):
            one.record_profiles([profile(A, rows), profile(B, rows)][: 2 if rows < 3 else 1])
    mine = f"tenant_id = '{tenant_id('default')}' AND row_count < 3"
    aged(metadata_url, "profile", "at", 100, mine)
    history = History(store.sessions)
    told_before = history.forget(Kept(), rehearsed=True)
    assert told_before == Forgotten(profiles=3 + 2)
    assert (left(store, A), left(store, B)) == ([5, 4, 3, 2, 1, 0], [2, 1, 0])
    assert history.forget(Kept(), batch=2) == told_before
    assert (left(store, A), left(store, B)) == ([5, 4, 3], [2]), "the newest one, however old it is"
    assert history.forget(Kept(profiles=2), batch=1) == Forgotten(profiles=1)
    assert left(store, A) == [5, 4]
    assert history.forget(Kept(time=timedelta(0)), batch=1) == Forgotten(profiles=1)
    assert (left(store, A), left(store, B)) == ([5], [2])
    assert history.forget(Kept(time=timedelta(0))) == Forgotten()
    assert left(open_store("other"), A) == [5, 4, 3, 2, 1, 0]


def test_each_transaction_takes_a_bounded_number_of_rows_and_tells_it(store: MetadataStore, metadata_url: str) -> None:
    profiled(store)
    for rows in range(7):
        store.record_profiles([profile(A, rows), profile(B, rows)])
    assert History(store.sessions).forget(Kept(profiles=1), batch=5) == Forgotten(profiles=12)
    with psycopg.connect(metadata_url) as connection:
        found = connection.execute(
            "SELECT (before_state ->> 'count')::int, actor FROM metadata.audit "
            "WHERE entity_type = 'PROFILE' ORDER BY audit_id"
        ).fetchall()
    assert sum(count for count, _ in found) == 12
    assert max(count for count, _ in found) <= 5
    assert {actor for _, actor in found} == {"test"}


def test_facets_of_runs_and_refused_events_go_and_what_jobs_and_datasets_have_stays(
    store: MetadataStore, metadata_url: str
) -> None:
    dataset: dict[str, Any] = told.dataset("public", "a", {"a": "int"})
    said = {**told.event(inputs=[dataset])}
    said["run"] = {**said["run"], "facets": {"nominalTime": {"nominalStartTime": "2026-01-01T00:00:00Z"}}}
    said["inputs"][0]["inputFacets"] = {"dataQualityMetrics": {"rowCount": 7}}
    told.imported(store, [said, "no event"])
    other = RefusedEvent(place="x:1", text="{", characters=1, sha256=b"x" * 32, error="E", reason="torn")
    store.refuse_events([other])
    store.accept_events([other.sha256])

    def kept() -> tuple[list[str], int, int]:
        with psycopg.connect(metadata_url) as connection:
            about = connection.execute("SELECT about FROM metadata.facet ORDER BY 1").fetchall()
            (refused,) = connection.execute("SELECT count(*) FROM metadata.refused_event").fetchone() or (0,)
            (read,) = connection.execute("SELECT count(*) FROM metadata.run_dataset").fetchone() or (0,)
        return [one for (one,) in about], refused, read

    history = History(store.sessions)
    before = kept()
    assert {"run", "input", "dataset"} <= set(before[0])
    assert before[1:] == (2, 1)
    assert history.forget(Kept()) == Forgotten()
    assert kept() == before
    aged(metadata_url, "facet", "updated_at", 91)
    aged(metadata_url, "refused_event", "last_at", 91)
    of_runs = [one for one in before[0] if one in {"run", "input", "output"}]
    expected = Forgotten(facets=len(of_runs), refused_events=2)
    assert history.forget(Kept(), rehearsed=True) == expected
    assert kept() == before
    assert history.forget(Kept(), batch=1) == expected
    assert kept() == ([one for one in before[0] if one not in of_runs], 0, 1)
    told.imported(store, [said, "no event"])
    assert kept()[0] == before[0], "told again, it is kept again"


def test_an_event_that_is_tried_again_in_vain_is_kept_for_as_long_again(
    store: MetadataStore, metadata_url: str
) -> None:
    """And one that comes again each minute is written once a day."""
    told.imported(store, ["no event", "none either"])
    aged(metadata_url, "refused_event", "last_at", 91)
    waiting = store.refused_events()
    assert [one.tries for one in waiting] == [1, 1]
    list(import_events(store, refused_before(waiting[:1])))
    list(import_events(store, refused_before(waiting[:1])))
    assert History(store.sessions).forget(Kept()) == Forgotten(refused_events=1)
    (left_over,) = store.refused_events()
    assert (left_over.text, left_over.reason, left_over.tries) == (waiting[0].text, waiting[0].reason, 2)


@given(days=st.lists(st.integers(0, 40), min_size=1, max_size=8), keep=st.integers(1, 5), time=st.integers(0, 40))
def test_whatever_is_asked_for(profiled_url: tuple[MetadataStore, str], days: list[int], keep: int, time: int) -> None:
    """As one would say it in Python."""
    store, url = profiled_url
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM metadata.profile")
        connection.cursor().executemany(
            "INSERT INTO metadata.profile (tenant_id, asset_id, at, row_count, sampled, columns, actor) "
            "VALUES (%s, %s, now() - make_interval(days => %s, mins => %s), %s, 0, '[]', 'x')",
            [
                (store.tenant.value, store.entity(A).id.value, day, number + 1, number)
                for number, day in enumerate(days)
            ],
        )
    newest_first = sorted(range(len(days)), key=lambda number: (days[number], number))
    expected = [n for place, n in enumerate(newest_first) if place == 0 or (place < keep and days[n] < time)]
    gone = History(store.sessions).forget(Kept(time=time * DAY, profiles=keep), batch=2)
    assert left(store, A) == expected
    assert gone.profiles == len(days) - len(expected)
