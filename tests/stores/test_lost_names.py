"""Things that are gone, and whose own name another thing has: they are reached, and never taken for that one."""

import pytest
from reference_inputs import events, told
from store_inputs import Lake, Look

from identity.ids import Entity
from resources.graph_store import GraphStore
from resources.metadata import planned
from resources.metadata.assets import NameLost, UnknownKey
from resources.metadata.legacy_names import LegacyRow
from resources.metadata.plans import Plan
from resources.models import Endpoint
from resources.postgres.errors import RenameRefused


def replace(lake: Lake, name: str) -> Entity:
    """Evidence that what has this name is another thing by now; the one that it was."""
    was = lake.entity(name)
    lake.store.register_endpoints([Endpoint(slug=lake.endpoint, system="postgres")])
    key = lake.key(name)
    plan = Plan(endpoint=lake.endpoint, fingerprint="f", complete=True, replaced=(key,), created=(lake.asset(name),))
    with lake.store.session() as session:
        planned.apply_plan(session, plan)
    assert lake.entity(name).id != was.id
    return was


@pytest.fixture
def gone(lake: Lake) -> Entity:
    """A dataset with data that was renamed from `old` to `new`, after which another one became `new`."""
    lake.datasets("old")
    lake.commit(lake.staged("old"))
    lake.assets("source")
    lake.rename(old="new")
    lake.store.import_legacy([LegacyRow(1, f"id-{lake.endpoint}", f"{lake.endpoint}/nyc/new")])
    return replace(lake, "new")


def names(lake: Lake, thing: Entity) -> list[str]:
    return [
        f"{lake.endpoint}/nyc/old",
        str(lake.key("old")),
        f"id-{lake.endpoint}",
        str(thing.id),
        str(thing.id).upper(),
    ]


def test_old_names_and_ids_lead_to_what_is_gone(lake: Lake, gone: Entity) -> None:
    for name in names(lake, gone):
        found = lake.store.thing(name)
        assert (found.entity.id, found.entity.key, found.name_taken) == (gone.id, lake.key("new"), True), name
        assert found.closed_at is not None
        assert lake.store.entity(lake.store.resolve(name)).id != lake.entity("new").id, name
        assert lake.store.resolve(name) == lake.key("old"), "a key that leads there"
        assert len(lake.store.materializations(found.entity)) == 1
        assert len(lake.store.materializations(lake.store.resolve(name))) == 1
        assert lake.store.asset(found.entity).closed_at is not None
    assert lake.store.thing(f"{lake.endpoint}/nyc/new").entity.id == lake.entity("new").id
    assert not lake.store.thing(f"{lake.endpoint}/nyc/new").name_taken


def test_what_was_only_made_anew_is_reached_by_its_id(lake: Lake) -> None:
    lake.datasets("flights")
    lake.commit(lake.staged("flights"))
    was = replace(lake, "flights")
    found = lake.store.thing(str(was.id))
    assert (found.entity.id, found.key, found.name_taken) == (was.id, None, True)
    assert len(lake.store.materializations(found.entity)) == 1
    assert lake.store.versions(found.entity) == []
    assert GraphStore(lake.store.sessions).lineage(found.entity, "up").start == lake.key("flights")
    with pytest.raises(NameLost, match=f"another thing's now; read it by its id {was.id}"):
        lake.store.resolve(str(was.id))
    with pytest.raises(UnknownKey, match="no thing has this id"):
        lake.store.thing("00000000-0000-4000-8000-000000000000")


@pytest.mark.usefixtures("gone")
def test_a_reference_to_what_is_gone_leads_there(lake: Lake, look: Look) -> None:
    graph = GraphStore(lake.store.sessions)
    ours, others = graph.ensure_identity_key(lake.key("old")), graph.ensure_identity_key(lake.key("new"))
    assert ours != others
    assert graph.resolve_key(ours) == lake.key("old")
    assert graph.resolve_node(ours).deleted_at is not None
    assert graph.resolve_node(others).deleted_at is None
    assert [one.key for one in graph.find_by_target_key(lake.key("old"))] == [ours]
    assert graph.identities_of([lake.key("old")])[lake.key("old")] == (ours,)
    since = events(look)
    lake.assets("old")  # another thing takes the last name that led there
    assert ("identity.updated", "recreated") in [(topic, payload.get("reason")) for topic, payload in told(look, since)]


@pytest.mark.usefixtures("gone")
def test_what_is_gone_is_not_renamed_by_a_name_that_still_leads_there(lake: Lake) -> None:
    with pytest.raises(RenameRefused, match=r"is gone, and its name .* is another thing's now"):
        lake.rename(old="third")


def test_an_import_links_what_was_meant_while_names_change(lake: Lake) -> None:
    lake.assets("a", "c", "z")
    lake.rename(c="b")
    meant = lake.entity("b").id

    def swap(done: int, _of: int) -> None:
        if done == 1:
            lake.rename(a="b", b="a")

    rows = [
        LegacyRow(line, f"{name}-{lake.endpoint}", f"{lake.endpoint}/nyc/{name}") for line, name in enumerate("zc", 1)
    ]
    assert lake.store.import_legacy(rows, batch_size=1, progress=swap).linked == 2
    assert lake.store.thing(f"c-{lake.endpoint}").entity.id == meant
    assert lake.store.resolve(f"c-{lake.endpoint}") == lake.key("a")
