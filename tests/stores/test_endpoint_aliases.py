"""A provisional endpoint that is registered later: every key below it follows, and nothing below it is written."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from store_inputs import Counts, Lake, Look, names_read

from identity.errors import InvalidUrl
from identity.keys import CanonicalKey, dataset_key, job_key
from identity.naming import authority, endpoint_of
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore
from resources.metadata.assets import UnknownKey
from resources.metadata.endpoint_aliases import NotProvisional, NotRegisteredAs, UnknownEndpoint, provisional_slug
from resources.metadata.legacy_names import LegacyRow
from resources.metadata.resolution import HOLDER, asked
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from resources.postgres.errors import EndpointAliasRefused, NameTaken
from resources.postgres.rehearsal import Rehearsal


@pytest.fixture
def host(lake: Lake) -> str:
    return f"{lake.endpoint}.example.com"


@pytest.fixture
def slug(host: str) -> str:
    """The provisional endpoint of a server that nobody registered."""
    return endpoint_of(authority(f"postgresql://{host}:5433/shop"))


@pytest.fixture
def jfk(lake: Lake) -> str:
    """A registered endpoint of that server, that says nothing of where it is."""
    return f"jfk-{lake.endpoint}"


def key(endpoint: str, table: str = "orders") -> CanonicalKey:
    return dataset_key(endpoint, source="shop", schema="sales", table=table)


def born(store: MetadataStore, *keys: CanonicalKey) -> None:
    store.register_datasets((Asset(key=one, type=AssetType.TABLE), "manually") for one in keys)


def registered(store: MetadataStore, slug: str, endpoint: str) -> None:
    store.register_endpoints([Endpoint(slug=endpoint, system="postgres")])
    assert store.register_endpoint_as(slug, endpoint, reason="we named it")


def test_every_key_below_it_follows_and_no_row_of_a_dataset_is_touched(
    lake: Lake, slug: str, jfk: str, look: Look, counts: Counts
) -> None:
    store, tables = lake.store, [f"t{number}" for number in range(50)]
    born(store, *(key(slug, table) for table in tables))
    store.register_assets([Asset(key=job_key(slug, "nightly"), type=AssetType.DATASET)])
    before = store.entities([key(slug, table) for table in tables])
    kept = {
        name: look(f"SELECT xmin::text, to_jsonb(t) AS row FROM metadata.{name} t ORDER BY ctid")
        for name in ("asset", "alias", "dataset")
    }
    store.register_endpoints([Endpoint(slug=jfk, system="postgres")])
    rows = counts()
    assert store.register_endpoint_as(slug, jfk, reason="we named it")
    after = counts()
    noted = "graph_change"  # one more, or some less: what nobody has to compare with any more goes now and then
    assert {name: after[name] - rows[name] for name in rows if after[name] != rows[name] and name != noted} == {
        "endpoint_alias": 1,
        "audit": 1,
        "outbox": 1,
    }
    for name, was in kept.items():
        assert look(f"SELECT xmin::text, to_jsonb(t) AS row FROM metadata.{name} t ORDER BY ctid") == was
    for table in tables:
        asked = before[key(slug, table)].id
        assert store.entity(key(jfk, table)).id == store.entity(key(slug, table)).id == asked
    for name in (str(key(slug)), str(key(jfk)), f"{slug}/sales/t7", f"{jfk}/sales/t7", str(job_key(jfk, "nightly"))):
        if name.endswith("orders"):
            continue
        assert store.resolve(name).endpoint == jfk
    assert store.asset(key(slug, "t7")).key == store.asset(key(jfk, "t7")).key == key(jfk, "t7")
    assert not store.register_endpoint_as(slug, jfk), "may be repeated"
    (told,) = look(
        "SELECT payload FROM metadata.outbox WHERE topic = 'endpoint.registered_as' AND payload ->> 'slug' = %s", slug
    )
    assert (told["payload"]["endpoint"], told["payload"]["reason"], told["payload"]["actor"]) == (
        jfk,
        "we named it",
        "test",
    )
    (audited,) = look(
        "SELECT actor, after_state FROM metadata.audit WHERE entity_type = 'ENDPOINT_ALIAS' "
        "AND after_state ->> 'slug' = %s",
        slug,
    )
    assert (audited["actor"], audited["after_state"]["valid_to"]) == ("test", None)


def test_a_look_up_by_either_key_is_as_many_index_hits_as_there_are_slugs(
    lake: Lake, slug: str, jfk: str, look: Look
) -> None:
    born(lake.store, *(key(slug, f"t{number}") for number in range(500)))
    registered(lake.store, slug, jfk)
    look("ANALYZE metadata.alias")
    for one in (key(slug, "t7"), key(jfk, "t7")):
        with lake.store.session() as session:
            before = names_read(session)
            session.rows(f"SELECT {HOLDER}", asked(one))
            assert names_read(session) - before == {"idx_scan": 2, "idx_tup_fetch": 1}


def test_what_is_born_afterwards_is_one_thing_by_either_key(lake: Lake, slug: str, jfk: str) -> None:
    store = lake.store
    born(store, key(slug, "old"))
    registered(store, slug, jfk)
    born(store, key(slug, "new"))
    assert store.register_assets([Asset(key=key(jfk, "new"), type=AssetType.TABLE)]) == 0
    assert store.register_assets([Asset(key=key(slug, "old"), type=AssetType.TABLE)]) == 0
    assert store.register_assets([Asset(key=key(jfk, "old"), type=AssetType.TABLE)]) == 0
    assert store.entity(key(jfk, "new")).id == store.entity(key(slug, "new")).id
    assert store.entity(key(slug, "never")).id == store.entity(key(jfk, "never")).id, "what would be born, too"
    assert [one.key for one in store.aliases_of(key(slug, "new"))] == [key(jfk, "new")], "told as the registered one"
    mine = [one.key for one in store.datasets() if one.key.endpoint in (slug, jfk)]
    assert sorted(mine) == [key(jfk, "new"), key(jfk, "old")]


def test_data_lineage_and_references_answer_by_both(lake: Lake, slug: str, jfk: str) -> None:
    store, graph = lake.store, GraphStore(lake.store.sessions)
    born(store, key(slug), key(slug, "sums"))
    node = graph.create_identity(key(slug))
    registered(store, slug, jfk)
    assert graph.resolve_node(node.key).key == key(jfk)
    assert graph.ensure_identity_key(key(jfk)) == graph.ensure_identity_key(key(slug)) == node.key
    assert store.materializations(key(jfk)) == store.materializations(key(slug)) == []
    done = store.import_legacy(
        [LegacyRow(1, f"old-{slug}", f"{jfk}/sales/orders"), LegacyRow(2, f"older-{slug}", str(key(slug)))]
    )
    assert done.linked == 2
    assert store.resolve(f"old-{slug}") == store.resolve(f"older-{slug}") == key(jfk)


def test_renames_by_either_key_are_of_the_one_thing(lake: Lake, slug: str, jfk: str) -> None:
    store = lake.store
    born(store, key(slug, "a"), key(slug, "b"), key(slug, "c"))
    ids = {name: store.entity(key(slug, name)).id for name in "abc"}
    registered(store, slug, jfk)
    assert store.rename({key(jfk, "c"): key(jfk, "c"), key(slug, "b"): key(jfk, "b")}) == [], "all are called so"
    (done,) = store.rename({key(jfk, "a"): key(jfk, "z")})
    assert (done.was, done.now, done.entity) == (key(jfk, "a"), key(jfk, "z"), ids["a"])
    assert {store.entity(key(end, name)).id for end in (slug, jfk) for name in "az"} == {ids["a"]}
    with pytest.raises(NameTaken):
        store.rename({key(jfk, "z"): key(jfk, "b")})
    store.rename({key(jfk, "b"): key(jfk, "c"), key(slug, "c"): key(slug, "b")})
    assert [store.entity(key(jfk, name)).id for name in "bc"] == [ids["c"], ids["b"]]
    store.rename({key(slug, "b"): key(jfk, "a")})
    assert store.entity(key(slug, "a")).id == store.entity(key(jfk, "a")).id == ids["c"], "something took the name"


def test_things_of_both_with_one_name_are_refused_and_named(lake: Lake, slug: str, jfk: str, counts: Counts) -> None:
    store = lake.store
    store.register_endpoints([Endpoint(slug=jfk, system="postgres")])
    born(store, key(slug), key(jfk), key(slug, "mine"))
    before = counts()
    with pytest.raises(EndpointAliasRefused, match=f"a thing of the same name each, merge them first: {key(slug)}"):
        store.register_endpoint_as(slug, jfk)
    assert counts() == before
    store.merge(store.entity(key(slug)), store.entity(key(jfk)))
    assert store.register_endpoint_as(slug, jfk)
    assert store.entity(key(slug)).id == store.entity(key(jfk)).id


def test_what_cannot_be_is_refused_with_what_is_known(lake: Lake, slug: str, jfk: str) -> None:
    store = lake.store
    born(store, key(slug))
    with pytest.raises(UnknownEndpoint, match="no endpoint is registered as nowhere"):
        store.register_endpoint_as(slug, "nowhere")
    registered(store, slug, jfk)
    other = f"postgresql_lga-{lake.endpoint}"
    store.register_endpoints([Endpoint(slug=other, system="postgres")])
    with pytest.raises(EndpointAliasRefused, match=f"{slug} is {jfk} already"):
        store.register_endpoint_as(slug, other)
    with pytest.raises(EndpointAliasRefused, match=f"{other} is a registered endpoint itself"):
        store.register_endpoint_as(other, jfk)
    with pytest.raises(NotProvisional):
        store.register_endpoint_as("legacy", jfk)
    with pytest.raises(EndpointAliasRefused, match=f"{slug} is {jfk} already"):
        store.register_endpoints([Endpoint(slug=slug, system="postgres")])


def test_an_endpoint_on_the_server_is_followed_by_itself(lake: Lake, host: str, slug: str, jfk: str) -> None:
    store = lake.store
    system = f"postgres-{lake.endpoint}"  # of whom no other test has an endpoint
    mine = endpoint_of(authority(f"{system}://{host}:5433"))
    here = Endpoint(slug=jfk, system=system, attributes={"host": host, "port": 5433})
    born(store, key(mine), key(slug))
    assert store.register_endpoints([here]) == 2
    assert store.entity(key(jfk)).id == store.entity(key(mine)).id != store.entity(key(slug)).id
    assert store.register_endpoints([here]) == 0


@pytest.mark.parametrize("other", [{"host": "{host}", "port": "5433"}, {}])
def test_where_it_could_be_another_one_nothing_is_followed(lake: Lake, host: str, other: dict[str, str]) -> None:
    store, system = lake.store, f"postgres-{lake.endpoint}"
    mine = endpoint_of(authority(f"{system}://{host}:5433"))
    born(store, key(mine))
    store.register_endpoints(
        [
            Endpoint(slug=f"a-{lake.endpoint}", system=system, attributes={"host": host, "port": 5433}),
            Endpoint(
                slug=f"b-{lake.endpoint}",
                system=system,
                attributes={name: value.format(host=host) for name, value in other.items()},
            ),
        ]
    )
    assert store.resolve(str(key(mine))) == key(mine)


def test_a_rehearsal_leaves_everything_as_it_was(lake: Lake, slug: str, jfk: str, counts: Counts) -> None:
    born(lake.store, key(slug))
    lake.store.register_endpoints([Endpoint(slug=jfk, system="postgres")])
    before = counts()
    rehearsed = MetadataStore(Rehearsal(lake.store.sessions.engine, lake.store.tenant, "test"))
    assert rehearsed.register_endpoint_as(slug, jfk)
    assert counts() == before
    with pytest.raises(UnknownKey):
        lake.store.resolve(str(key(jfk)))


def test_another_tenant_knows_nothing_of_it(
    lake: Lake, slug: str, jfk: str, open_store: Callable[..., MetadataStore]
) -> None:
    registered(lake.store, slug, jfk)
    other = open_store("other")
    born(other, key(slug))
    with pytest.raises(UnknownKey):
        other.resolve(str(key(jfk)))
    assert other.resolve(str(key(slug))) == key(slug)


def test_births_by_both_keys_while_it_is_registered_make_one_thing_each(
    lake: Lake, slug: str, jfk: str, open_store: Callable[..., MetadataStore], look: Look
) -> None:
    lake.store.register_endpoints([Endpoint(slug=jfk, system="postgres")])
    stores, together = [open_store() for _ in range(5)], Barrier(5)

    def act(number: int) -> None:
        together.wait(timeout=60)
        if number == 4:
            lake.store.register_endpoint_as(slug, jfk)
            return
        for table in range(40):
            endpoint = slug if number % 2 else jfk
            # Before it is registered the two are two: each writer has tables of its own until then.
            registered = lake.store.entity(key(slug, "never born")).key.endpoint == jfk
            own = f"t{table}" if registered else f"{endpoint}-{table}"
            born(stores[number], key(endpoint, own))

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(act, range(5)))
    for table in range(40):
        for name in (f"t{table}", f"{slug}-{table}", f"{jfk}-{table}"):
            ids = {lake.store.entity(key(end, name)).id for end in (slug, jfk)}
            assert len(ids) == 1
            rows = look(
                "SELECT count(DISTINCT entity_id) AS n FROM metadata.alias WHERE valid_to IS NULL AND key = ANY (%s)",
                [str(key(slug, name)), str(key(jfk, name))],
            )
            assert rows[0]["n"] <= 1


@pytest.mark.parametrize(
    ("where", "slug"),
    [
        ("db.example.com:5433", "postgresql_db-example-com-5433-72b0846926267fd55b49"),
        ("postgresql://ann:secret@db.example.com:5433/shop?x=1", "postgresql_db-example-com-5433-72b0846926267fd55b49"),
        ("postgresql_db-example-com-5433-72b0846926267fd55b49", "postgresql_db-example-com-5433-72b0846926267fd55b49"),
        ("localhost", "postgresql_localhost"),
        ("postgresql_localhost", "postgresql_localhost"),
    ],
)
def test_a_provisional_endpoint_is_named_by_where_it_is(where: str, slug: str) -> None:
    assert provisional_slug(where, Endpoint(slug="jfk", system="postgres")) == slug


@pytest.mark.parametrize("where", ["", " ", "h;PWD={x}", "kafka://zzz", "jfk", "my_lake", "a b", "/tmp/x"])
def test_what_is_no_server_of_the_system_is_refused(where: str) -> None:
    with pytest.raises((InvalidUrl, NotProvisional)):
        provisional_slug(where, Endpoint(slug="jfk", system="postgres"))


def test_a_slug_of_another_system_is_refused_and_nothing_is_written(lake: Lake, jfk: str, counts: Counts) -> None:
    lake.store.register_endpoints([Endpoint(slug=jfk, system="postgres")])
    before = counts()
    with pytest.raises(NotProvisional, match="servers are below postgresql_"):
        lake.store.register_endpoint_as(f"kafka_{lake.endpoint}", jfk)
    assert counts() == before


def test_a_registration_is_taken_back(lake: Lake, slug: str, jfk: str, look: Look) -> None:
    """What was named by either is called so again, and nothing below was written."""
    graph = GraphStore(lake.store.sessions)
    born(lake.store, key(slug, "old"))
    registered(lake.store, slug, jfk)
    born(lake.store, key(jfk, "new"))
    old, new = lake.store.entity(key(slug, "old")).id, lake.store.entity(key(jfk, "new")).id
    nodes = [graph.create_identity(key(jfk, name)) for name in ("old", "new", "never")]
    ends = [ReferenceEdge(nodes[0].key, nodes[1].key), ReferenceEdge(key(jfk, "old"), key(jfk, "new"))]
    graph.add_reference_edges(ends)
    kept = look("SELECT xmin::text, to_jsonb(t) AS row FROM metadata.asset t ORDER BY ctid")
    assert lake.store.unregister_endpoint_as(slug, reason="another server") == jfk
    assert look("SELECT xmin::text, to_jsonb(t) AS row FROM metadata.asset t ORDER BY ctid") == kept
    assert lake.store.entity(key(slug, "old")).id == old
    assert lake.store.entity(key(jfk, "new")).id == new
    assert lake.store.entity(key(jfk, "old")).id != old
    assert lake.store.entity(key(slug, "new")).id != new
    assert lake.store.resolve(str(key(slug, "old"))) == key(slug, "old")
    assert graph.resolve_key(nodes[0].key) == key(slug, "old"), "a node stays with its thing"
    assert [graph.resolve_key(node.key) for node in nodes[1:]] == [key(jfk, "new"), key(jfk, "never")]
    open_edges = look(
        """SELECT source_asset_id AS source, target_asset_id AS target FROM metadata.relationship
        WHERE producer = 'reference' AND valid_to IS NULL AND %s IN (source_asset_id, target_asset_id)""",
        new.value,
    )
    assert [(row["source"], row["target"]) for row in open_edges] == [(old.value, new.value)], "the nodes' edge alone"
    with pytest.raises(NotRegisteredAs):
        lake.store.unregister_endpoint_as(slug)
    assert lake.store.register_endpoint_as(slug, jfk), "and it can be said again"
    assert lake.store.entity(key(jfk, "old")).id == old


def test_ids_stay_what_they_were_born_as(lake: Lake, slug: str, jfk: str) -> None:
    born(lake.store, key(slug))
    first = lake.store.entity(key(slug))
    registered(lake.store, slug, jfk)
    assert isinstance(first.id.value, uuid.UUID)
    assert lake.store.entity(key(jfk)).key_sha256 == first.key_sha256
