"""Below a provisional endpoint that is registered a name has two spellings: it is one name, whoever changes what."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from reference_inputs import events, told
from store_inputs import Counts, Lake, Look, waits

from identity.ids import EntityId
from identity.keys import CanonicalKey, dataset_key
from resources.graph.edges import EdgeChanges
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore
from resources.metadata.planned import apply_plan
from resources.metadata.plans import Plan
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from resources.postgres.errors import MergeRefused, NameTaken, RenameRefused


@pytest.fixture
def slug(lake: Lake) -> str:
    """A provisional endpoint."""
    return f"postgresql_{lake.endpoint}-example-com"


@pytest.fixture
def jfk(lake: Lake) -> str:
    """A registered endpoint, which the provisional one turns out to be."""
    slug = f"jfk-{lake.endpoint}"
    lake.store.register_endpoints([Endpoint(slug=slug, system="postgres")])
    return slug


def key(endpoint: str, table: str) -> CanonicalKey:
    return dataset_key(endpoint, source="shop", schema="sales", table=table)


def born(store: MetadataStore, *keys: CanonicalKey) -> list[EntityId]:
    store.register_assets(Asset(key=one, type=AssetType.TABLE) for one in keys)
    return [store.entity(one).id for one in keys]


def called(look: Look, *endpoints: str) -> list[str]:
    """The own names of what is open below these."""
    rows = look("SELECT qualified_name FROM metadata.asset WHERE deleted_at IS NULL ORDER BY qualified_name")
    names = [CanonicalKey.parse(row["qualified_name"]) for row in rows]
    return [str(one.table) for one in names if one.endpoint in endpoints]


def test_a_merge_whose_names_became_one_is_not_taken_back(
    lake: Lake, slug: str, jfk: str, look: Look, counts: Counts
) -> None:
    loser, winner = born(lake.store, key(slug, "x"), key(jfk, "x"))
    merge = lake.store.merge(lake.store.entity(key(slug, "x")), lake.store.entity(key(jfk, "x")))
    lake.store.register_endpoint_as(slug, jfk)
    before = counts()
    with pytest.raises(MergeRefused, match=f"{jfk}.*/x is the name of something else by now"):
        lake.store.unmerge(merge)
    assert counts() == before
    lake.store.rename({key(jfk, "x"): key(jfk, "z")})
    assert lake.store.unmerge(merge) == loser
    assert {lake.store.entity(key(end, "x")).id for end in (slug, jfk)} == {loser}
    assert lake.store.entity(key(jfk, "z")).id == winner
    assert called(look, slug, jfk) == ["z", "x"]


def test_two_spellings_of_one_name_are_not_given_to_two_things(lake: Lake, slug: str, jfk: str, counts: Counts) -> None:
    born(lake.store, key(slug, "old"), key(jfk, "a"), key(jfk, "b"))
    lake.store.register_endpoint_as(slug, jfk)
    before = counts()
    with pytest.raises(RenameRefused, match=f"several things are to be called .*{jfk}.*/n"):
        lake.store.rename({key(jfk, "a"): key(slug, "n"), key(jfk, "b"): key(jfk, "n")})
    with pytest.raises(RenameRefused, match="is renamed twice"):
        lake.store.rename({key(jfk, "a"): key(jfk, "n"), key(slug, "a"): key(jfk, "m")})
    assert counts() == before


def test_a_rename_that_waited_for_a_registration_sees_the_names_that_it_brings(
    lake: Lake, slug: str, jfk: str, look: Look, open_store: Callable[..., MetadataStore]
) -> None:
    born(lake.store, key(slug, "x"), key(jfk, "a"))
    other = open_store()
    with ThreadPoolExecutor(1) as pool:
        with lake.store.session() as session:
            session.rows("SELECT metadata.alias_endpoint(gen_random_uuid(), %(s)s, %(e)s, 'r')", {"s": slug, "e": jfk})
            renaming = pool.submit(other.rename, {key(jfk, "a"): key(jfk, "x")})
            assert waits(look, renaming)
        with pytest.raises(NameTaken, match=f"{jfk}.*/x"):
            renaming.result(timeout=30)


def test_what_is_new_is_named_below_the_registered_endpoint_and_told_so(
    lake: Lake, slug: str, jfk: str, look: Look
) -> None:
    thing, _other = born(lake.store, key(slug, "x"), key(jfk, "y"))
    lake.store.register_endpoint_as(slug, jfk)
    (done,) = lake.store.rename({key(slug, "x"): key(slug, "z")})
    assert (done.was, done.now) == (key(jfk, "x"), key(jfk, "z"))
    (event,) = look(
        "SELECT payload -> 'renames' AS renames FROM metadata.outbox WHERE topic = 'entity.renamed'"
        " AND payload::text LIKE %s", f"%{thing}%"
    )  # fmt: skip
    assert event["renames"] == [
        {"entity_id": str(thing), "was": str(key(jfk, "x")), "now": str(key(jfk, "z"))},
    ]
    (row,) = look("SELECT qualified_name, endpoint_id FROM metadata.asset WHERE asset_id = %s", thing.value)
    assert row["qualified_name"] == str(key(jfk, "z"))
    assert row["endpoint_id"] is not None
    lake.store.register_assets([Asset(key=key(slug, "loser"), type=AssetType.TABLE)])
    with pytest.raises(MergeRefused, match=f"{jfk}.*/z is one thing already"):
        lake.store.merge(lake.store.entity(key(slug, "z")), lake.store.entity(key(jfk, "x")))


def test_references_to_what_is_not_registered_yet_are_of_the_one_name(lake: Lake, slug: str, jfk: str) -> None:
    born(lake.store, key(slug, "other"), key(jfk, "down"))
    lake.store.register_endpoint_as(slug, jfk)
    graph = GraphStore(lake.store.sessions)
    node = graph.ensure_identity_key(key(slug, "new"))
    assert node == graph.ensure_identity_key(key(jfk, "new"))
    assert graph.identity(node).target == key(jfk, "new")
    down = key(jfk, "down")
    raw = ReferenceEdge(down, key(slug, "raw"))
    graph.add_reference_edges([ReferenceEdge(down, node), raw])
    born(lake.store, key(jfk, "new"), key(slug, "raw"))
    assert [edge.resolved for edge in graph.reference_edges(down)] == [True, True]
    assert graph.refresh_reference_edges() == EdgeChanges(opened=0, closed=0)
    graph.add_reference_edges([ReferenceEdge(down, key(slug, "never"))])
    assert graph.remove_reference_edges([ReferenceEdge(down, key(jfk, "never"))]).removed == 1


def test_what_takes_a_name_in_the_other_spelling_is_told_as_recreated(
    lake: Lake, slug: str, jfk: str, look: Look
) -> None:
    (was,) = born(lake.store, key(slug, "x"))
    lake.store.register_endpoint_as(slug, jfk)
    graph = GraphStore(lake.store.sessions)
    node, after = graph.ensure_identity_key(key(jfk, "x")), events(look)
    anew = Asset(key=key(jfk, "x"), type=AssetType.TABLE)
    plan = Plan(endpoint=jfk, fingerprint="f", complete=True, replaced=(anew.key,), created=(anew,))
    with lake.store.session() as session:
        apply_plan(session, plan)
    assert lake.store.entity(key(slug, "x")).id != was
    ((topic, payload),) = told(look, after)
    assert (topic, payload["key"], payload["reason"]) == ("identity.updated", str(node), "recreated")
