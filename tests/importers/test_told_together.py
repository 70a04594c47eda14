"""Many who tell where columns of one source go to: none waits for what another one only looks at, and none is lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from identity.keys import CanonicalKey, dataset_key
from resources.graph_store import GraphStore
from resources.lineage_records import MaterializedColumns
from resources.metadata import told_columns
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.session import Session

READERS = [f"out{number}" for number in range(4)]


def key(name: str) -> CanonicalKey:
    return dataset_key("dagster", table=name)


def note(name: str, *columns: str, of: str = "raw") -> MaterializedColumns:
    """A materialization whose columns come from those of another dataset that are called like them."""
    origins = {one: frozenset({(key(of), one)}) for one in columns}
    return MaterializedColumns(dataset=key(name), at=datetime.now(UTC), fields=None, origins=origins, text=str(columns))


@pytest.fixture
def told(store: MetadataStore) -> MetadataStore:
    store.register_assets([Asset(key=key(name), type=AssetType.DATASET) for name in ("raw", *READERS)])
    store.record_materialized_columns([note(name, "a", "b") for name in READERS])
    return store


def made_from(store: MetadataStore, name: str) -> set[str]:
    return {one.name for one, _of in GraphStore(store.sessions).column_lineage(store.entity(key(name)), "up").edges}


@pytest.mark.parametrize(
    ("held", "columns"),
    [
        pytest.param(("out1", "out2", "out3"), "a", id="others that read the same source"),
        pytest.param(("raw", "out0"), "ab", id="anybody, where it is as it was"),
    ],
)
def test_a_note_does_not_wait_for(told: MetadataStore, metadata_url: str, held: tuple[str, ...], columns: str) -> None:
    ids = [told.entity(key(name)).id.value for name in held]
    with psycopg.connect(metadata_url) as other, ThreadPoolExecutor(1) as beside:
        other.execute("SELECT 1 FROM metadata.asset WHERE asset_id = ANY (%s) FOR NO KEY UPDATE", (ids,))
        done = beside.submit(told.record_materialized_columns, [note("out0", *columns)])
        try:
            done.result(timeout=5)
        finally:
            other.rollback()
    assert made_from(told, "out0") == set(columns)


def test_notes_of_what_reads_one_source_do_not_stand_in_each_others_way(
    told: MetadataStore, open_store: Callable[..., MetadataStore], metadata_url: str
) -> None:
    def tell(name: str) -> None:
        mine = open_store()
        for columns in ("a", "ab", "ab", "b", "abc"):
            mine.record_materialized_columns([note(name, *columns)])
        mine.sessions.engine.dispose()

    with ThreadPoolExecutor(len(READERS)) as together:
        list(together.map(tell, READERS))
    assert [made_from(told, name) for name in READERS] == [set("abc")] * len(READERS)
    with psycopg.connect(metadata_url) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row == (0,)


def origins(store: MetadataStore, name: str) -> set[str]:
    found = GraphStore(store.sessions).column_lineage(store.entity(key(name)), "up").edges
    return {f"{of.dataset.table}.{of.name}" for _one, of in found}


def test_words_go_with_names_when_things_are_merged_and_back(told: MetadataStore) -> None:
    told.register_assets([Asset(key=key("twin"), type=AssetType.DATASET)])
    told.record_materialized_columns([note("out3", "a", of="twin")])
    raw, twin, out = (told.entity(key(name)) for name in ("raw", "twin", "out0"))
    merge = told.merge(raw, twin)
    assert (origins(told, "out0"), origins(told, "out3")) == ({"twin.a"}, {"twin.a"}), "b it has not"
    told.unmerge(merge)
    assert (origins(told, "out0"), origins(told, "out3")) == ({"raw.a", "raw.b"}, {"twin.a"})
    merge = told.merge(out, told.entity(key("out1")))
    up = GraphStore(told.sessions).column_lineage(out, "up").edges
    assert (up, origins(told, "out1")) == ((), {"raw.a", "raw.b"}), "what is gone has none"
    told.unmerge(merge)
    assert origins(told, "out0") == {"raw.a", "raw.b"}
    assert twin == told.entity(key("twin"))


def test_words_of_a_name_that_nothing_had_mean_what_is_renamed_to_it(told: MetadataStore) -> None:
    told.record_materialized_columns([note("out0", "a", of="later")])
    assert origins(told, "out0") == set()
    told.rename({key("raw"): key("later")})
    assert origins(told, "out0") == {"later.a"}


def test_names_that_nobody_has_are_held_before_any_row(told: MetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two that tell of such names at once would wait for one another."""
    hold, had_written = told_columns.hold_names, []

    def held(session: Session, *, exclusive: bool) -> None:
        (row,) = session.rows("SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS has_written")
        had_written.append(row["has_written"])
        hold(session, exclusive=exclusive)

    monkeypatch.setattr(told_columns, "hold_names", held)
    told.record_materialized_columns([note("out0", "a", of="nobody")])
    told.record_materialized_columns([note("out1", "a", of="raw")])
    assert had_written == [False]
    told.rename({key("raw"): key("nobody")})
    assert origins(told, "out0") == {"nobody.a"}
