"""Identity nodes and collections on the command line, and where lineage shows them."""

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
from cli_calls import FLIGHTS, WEATHER, Run, Writer
from test_cli_surface import shape

from metadata_assets.cli import documents
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore

Named = Callable[[str], str]


@pytest.fixture
def node(run: Run, filled: dict[str, UUID]) -> Named:
    """The identity node of a key."""
    assert filled
    return lambda name: str(run("identity", "ensure", name, "--json").json["reference"])


def test_a_reference_stays_while_what_it_leads_to_changes(run: Run, node: Named) -> None:
    flights = node("lake/nyc/flights")
    assert node("lake/nyc/flights") == flights
    assert run("identity", "ensure", "lake/nyc/flights").out.strip() == flights
    shown = run("identity", "show", flights, "--json").json
    assert (shown["key"], shown["path"], shown["problem"]) == (str(FLIGHTS), [flights, str(FLIGHTS)], None)
    done = run("identity", "retarget", flights, "lake/nyc/weather", "--json").json
    assert (done["reference"], done["target"], shape(done)) == (flights, str(WEATHER), documents.RETARGETED)
    assert "leads to  lake/nyc/weather" in run("identity", "show", flights).out
    stale = run("identity", "retarget", flights, "lake/nyc/flights", "--version", "1", "--json")
    assert (stale.code, stale.error["error"]) == (1, "IdentityChanged")
    assert shape(run("identity", "list", "--json").json) == documents.NODES


def test_a_chain_is_shown_and_a_circle_refused_with_its_path(run: Run, node: Named) -> None:
    one = node("lake/nyc/flights")
    two = str(run("identity", "create", one, "--json").json["reference"])
    assert run("identity", "show", two, "--json").json["path"] == [two, one, str(FLIGHTS)]
    assert [each["reference"] for each in run("identity", "list", "--target", one, "--json").json] == [two]
    circle = run("identity", "retarget", one, two, "--json")
    assert (circle.code, circle.error["error"]) == (3, "IdentityCycle")
    assert {one, two} <= set(circle.error["path"])
    run("identity", "delete", one)
    broken = run("identity", "show", two, "--json").json
    assert (broken["key"], broken["problem"] is None) == (None, False)
    assert run("identity", "delete", one, "--json").error["error"] == "UnknownIdentity"


def test_edges_between_references_follow(run: Run, node: Named) -> None:
    month = node("lake/nyc/carrier_month")
    linked = run("identity", "link", month, "lake/nyc/weather", "--json").json
    assert linked["edges"] == {"opened": 1, "closed": 0}
    assert "lake/nyc/carrier_month" in run("lineage", "lake/nyc/weather", "--down", "--depth", "1").out
    moved = run("identity", "retarget", month, "lake/nyc/flights", "--json").json
    assert moved["edges"] == {"opened": 1, "closed": 1}
    (edge,) = run("identity", "show", month, "--json").json["edges"]
    assert (edge["target"], edge["resolved"]) == (str(WEATHER), True)
    gone = run("identity", "unlink", month, "lake/nyc/weather", "--json").json
    assert (gone["removed"], gone["edges"], shape(gone)) == (1, {"opened": 0, "closed": 1}, documents.UNLINKED)
    run("identity", "link", month, "jfk/public/flights")
    again = run("identity", "unlink", month, "lake/nyc/weather", "--json")
    assert (again.code, again.error["error"]) == (3, "NotLinked")
    assert "DEPENDS_ON jfk/public/flights" in again.error["hint"]
    assert run("identity", "link", month, "lake/nyc/weather", "--type", "LIKES").code == 2


def test_an_edge_given_by_an_old_name_is_forgotten_by_the_new_one(run: Run, node: Named) -> None:
    month = node("lake/nyc/carrier_month")
    run("identity", "link", month, "lake/nyc/weather")
    run("identity", "rename", "lake/nyc/weather", "climate")
    assert run("identity", "unlink", month, "lake/nyc/climate", "--json").json["removed"] == 1
    assert "none" in run("identity", "unlink", month, "lake/nyc/climate").err


def test_what_is_gone_says_since_when(run: Run, node: Named, store: MetadataStore, metadata_url: str) -> None:
    flights = node("lake/nyc/flights")
    run("collection", "create", "gone")
    run("collection", "add", "gone", "lake/nyc/flights", str(run("identity", "create", "lake/nyc/flights").out.strip()))
    with psycopg.connect(metadata_url, autocommit=True) as superuser:  # as a collection that no longer finds it
        superuser.execute("SELECT set_config('metadata.actor', 'old', false)")
        superuser.execute("SELECT set_config('metadata.tenant', %s, false)", [str(store.tenant)])
        superuser.execute(
            "UPDATE metadata.asset SET deleted_at = '2026-03-01T00:00Z' WHERE qualified_name = %s", [str(FLIGHTS)]
        )
    assert run("identity", "show", flights, "--json").json["gone_since"] == "2026-03-01T00:00:00+00:00"
    assert "gone since 2026-03-01" in run("identity", "show", flights).out
    shown = run("collection", "show", "gone", "--json").json["items"]
    assert [one["gone_since"] for one in shown] == ["2026-03-01T00:00:00+00:00"] * 2
    assert [one["same_as"] for one in shown] == [None, flights]
    assert "there already" in " ".join(run("collection", "show", "gone").out.split())


def test_retype_takes_all_references_along(run: Run, node: Named) -> None:
    flights = node("lake/nyc/flights")
    done = run("identity", "retype", "lake/nyc/flights", "lake/nyc/weather", "--reason", "merged", "--json").json
    assert (done["identities"], done["type_changed"]) == ([flights], False)
    assert run("identity", "show", flights, "--json").json["key"] == str(WEATHER)
    done = run("identity", "retype", "jfk/public/flights", "jfk/public/flights", "--type", "view", "--json").json
    assert done["type_changed"]
    assert run("dataset", "show", "jfk/public/flights", "--json").json["type"] == "VIEW"
    assert run("identity", "retype", "jfk/public/flights", "jfk/public/flights", "--type", "chair").code == 2
    nowhere = run("identity", "retype", "lake/nyc/weather", "mid1:dataset:x:~/~/later", "--type", "view", "--json")
    assert (nowhere.code, nowhere.error["error"]) == (3, "NothingToRetype")


def test_lineage_hides_identity_nodes_unless_asked(run: Run, node: Named) -> None:
    flights = node("lake/nyc/flights")
    for arguments in ([], ["--json"], ["--format", "mermaid"]):
        hidden = run("lineage", "lake/nyc/daily_delays", *arguments)
        shown = run("lineage", "lake/nyc/daily_delays", "--show-identities", *arguments)
        assert (hidden.code, shown.code) == (0, 0)
        assert flights[9:17] not in hidden.out
        assert flights[9:17] in shown.out
    found = run("lineage", "lake/nyc/daily_delays", "--show-identities", "--json").json
    assert found["identities"][str(FLIGHTS)] == [flights]


def test_a_collection_is_a_list_that_stays_right(run: Run, node: Named, writer: Writer) -> None:
    create = ["collection", "create", "punctuality", "--name", "How late", "--kind", "report"]
    assert run(*create, "--json").json["kind"] == "report"
    assert run(*create).code == 0, "safe to repeat"
    added = run(
        "collection", "add", "punctuality", "lake/nyc/flights", "lake/nyc/weather", "lake/nyc/flights", "--json"
    )
    assert added.json["items"] == [node("lake/nyc/flights"), node("lake/nyc/weather")]
    moved = run("collection", "move", "punctuality", "lake/nyc/weather", "--to", "1", "--json").json
    assert moved["items"] == [node("lake/nyc/weather"), node("lake/nyc/flights")]
    run("identity", "rename", "lake/nyc/flights", "flown")
    shown = run("collection", "show", "punctuality", "--json")
    assert shape(shown.json) == documents.COLLECTION_ITEMS
    assert [one["name"] for one in shown.json["items"]] == ["lake/nyc/weather", "lake/nyc/flown"]
    assert "identity:" not in run("collection", "show", "punctuality").out
    assert "identity:" in run("collection", "show", "punctuality", "--show-identities").out
    assert run("collection", "show", "punctuality", "--show-identities", "--json").json["items"][0]["path"]
    assert shape(run("collection", "list", "--json").json) == documents.COLLECTIONS
    gone = run("collection", "remove", "punctuality", "lake/nyc/flown", "lake/nyc/carrier_month", "--json").json
    assert gone["items"] == [node("lake/nyc/weather")]
    run("identity", "delete", node("lake/nyc/weather"))
    broken = run("collection", "show", "punctuality", "--json")
    assert (broken.code, broken.json["items"][0]["problem"] is None) == (5, False)
    assert run("collection", "delete", "punctuality", "--json").json == {"deleted": "punctuality"}
    assert run("collection", "show", "punctuality").code == 3
    assert run("collection", "create", "x", "--kind", "heap").code == 2
    assert writer.store.asset(WEATHER).key == WEATHER


def test_migrate_identities_once(run: Run, filled: dict[str, UUID], store: MetadataStore, metadata_url: str) -> None:
    assert filled
    graph = GraphStore(store.sessions)
    graph.create_collection("old", name="old")
    graph.add_items("old", [WEATHER])
    graph.add_reference_edges([ReferenceEdge(FLIGHTS, WEATHER)])
    with psycopg.connect(metadata_url, autocommit=True) as superuser:  # as an earlier release stored it
        superuser.execute("SELECT set_config('metadata.actor', 'old', false)")
        superuser.execute("SELECT set_config('metadata.tenant', %s, false)", [str(store.tenant)])
        superuser.execute("UPDATE metadata.collection_item SET reference = %s", [str(FLIGHTS)])
        superuser.execute("UPDATE metadata.relationship SET valid_to = now() WHERE producer = 'reference'")
    dry = run("migrate", "identities", "--dry-run", "--json").json
    assert dry["edges"] == {"opened": 1, "closed": 0}, "what it would do, and does not"
    assert dry["collections"] == [{"slug": "old", "wrapped": [{"key": str(FLIGHTS), "reference": None}], "dropped": []}]
    assert graph.items("old") == [FLIGHTS]
    done = run("migrate", "identities", "--json").json
    assert done["edges"] == dry["edges"]
    assert [str(one) for one in graph.items("old")] == [done["collections"][0]["wrapped"][0]["reference"]]
    again = run("migrate", "identities", "--json").json
    assert again == {"dry_run": False, "collections": [], "edges": {"opened": 0, "closed": 0}}
    assert "0 keys in 0 collections" in run("migrate", "identities").out
    assert run("migrate", "--dry-run").code == 2
    assert run("migrate", "everything").code == 2
