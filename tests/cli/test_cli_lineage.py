"""Questions to the graph on the command line: as of a moment, why connected, the whole graph, what breaks."""

import json
import sys
from datetime import UTC, datetime
from uuid import UUID
from xml.etree import ElementTree

import pytest
from cli_calls import DAYS, DELAYS, FLIGHTS, JFK_FLIGHTS, MONTH, WEATHER, Run, Writer
from test_cli_surface import shape

from identity.keys import short_name
from metadata_assets.cli import documents
from metadata_assets.cli.diagrams import TooMuchToDraw, dot_string, svg
from resources.graph.edges import Link
from resources.graph_store import GraphStore

SVG = "{http://www.w3.org/2000/svg}"


def test_lineage_as_of_a_moment(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    then = datetime.now(UTC).isoformat()
    assert run("identity", "rename", "lake/nyc/flights", "flown").code == 0
    now = run("lineage", "lake/nyc/daily_delays").out
    was = run("lineage", "lake/nyc/daily_delays", "--as-of", then)
    assert ("lake/nyc/flown" in now, "lake/nyc/flown" in was.out) == (True, False)
    assert "lake/nyc/flights" in was.out
    document = run("lineage", "lake/nyc/flown", "--as-of", then, "--json").json
    assert (document["start"], document["as_of"]) == (str(FLIGHTS), then)
    assert run("lineage", "lake/nyc/flights", "--down", "--as-of", then, "--json").json["start"] == str(FLIGHTS)
    before = run("lineage", "lake/nyc/daily_delays", "--as-of", "2013-01-01", "--json").json
    assert before["edges"] == []


@pytest.mark.parametrize("asked", [["--as-of", "yesterday"], ["--as-of", "2013-01-01", "--show-identities"]])
def test_a_moment_that_nobody_understands(run: Run, filled: dict[str, UUID], asked: list[str]) -> None:
    assert filled
    assert run("lineage", "lake/nyc/flights", *asked).code == 2


def test_a_name_that_something_else_has_by_now_is_what_had_it_then(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    then = datetime.now(UTC).isoformat()
    swapped = ["lake/nyc/flights", "weather", "lake/nyc/weather", "flights"]
    assert run("identity", "rename", *swapped).code == 0
    now = run("lineage", "lake/nyc/flights", "--json").json
    was = run("lineage", "lake/nyc/flights", "--as-of", then, "--json").json
    assert {one["name"] for one in now["nodes"]} == {"lake/nyc/flights", "jfk/public/weather"}
    assert {one["name"] for one in was["nodes"]} == {"lake/nyc/flights", "jfk/public/flights"}


def test_of_much_the_nearest_is_told_and_how_much_is_left_out(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    asked = ["lineage", "jfk/public/flights", "--down"]
    whole = run(*asked, "--json").json
    assert (len(whole["nodes"]), whole["more"], whole["next"]) == (4, 0, None)
    near = run(*asked, "--limit", "2", "--json").json
    assert {one["name"] for one in near["nodes"]} == {"jfk/public/flights", "lake/nyc/flights"}
    assert (near["more"], len(near["edges"])) == (2, 1)
    assert run(*asked, "--limit", "2").out.splitlines()[-1] == "… and 2 more: --all"
    for form, said in (("mermaid", 'more["… and 2 more"]'), ("dot", 'more [label="… and 2 more" shape=plaintext]')):
        assert said in run(*asked, "--limit", "2", "--format", form).out
    assert run(*asked, "--limit", "2", "--depth", "2", "--json").json["more"] == 1
    assert run(*asked, "--all", "--json").json == whole
    assert "more" not in run(*asked).out


def test_pages_have_everything_once(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    asked = ["lineage", "lake/nyc/carrier_month", "--json"]
    whole = run(*asked).json
    nodes, edges, after, left = [], [], "", len(whole["nodes"])
    while after is not None:
        page = run(*asked, "--limit", "2", "--after", after).json
        left -= len(page["nodes"])
        assert page["more"] == left
        nodes += page["nodes"]
        edges += page["edges"]
        after = page["next"]
    assert (nodes, edges) == (whole["nodes"], whole["edges"])
    assert len(nodes) > 4


def boxes(picture: str) -> set[str]:
    """What is written in the nodes of an SVG."""
    nodes = [one for one in ElementTree.fromstring(picture).iter(f"{SVG}g") if one.get("class") == "node"]
    return {"".join(text.text or "" for text in one.iter(f"{SVG}text")) for one in nodes}


def test_a_picture_shows_what_the_graph_has(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    for command in (["lineage", "lake/nyc/carrier_month"], ["lineage", "jfk/public/flights", "--down"]):
        assert boxes(run(*command, "--format", "svg").out) == {
            one["name"] for one in run(*command, "--json").json["nodes"]
        }


def test_a_picture_repeats_no_markup_of_a_name() -> None:
    name = '<script>alert("x")</script> &amp; \\N'
    assert boxes(svg(f"digraph {{ a [label={dot_string(name)}] }}", 1)) == {name}


def test_what_cannot_be_drawn_is_refused(run: Run, filled: dict[str, UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled
    with pytest.raises(TooMuchToDraw, match="1001 things and their edges are no picture any more, 1000 are the most"):
        svg("digraph { }", 1001)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    refused = run("lineage", "lake/nyc/carrier_month", "--format", "svg")
    assert (refused.code, refused.out) == (2, "")
    assert "pip install 'metadata-assets[svg]'" in refused.err


def test_why_two_things_are_connected(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    between = ["lineage", "--from", "jfk/public/flights", "--to", "lake/nyc/carrier_month"]
    found = run(*between, "--json").json
    assert (found["steps"], found["more"]) == (3, False)
    assert found["paths"] == [[str(key) for key in (JFK_FLIGHTS, FLIGHTS, DELAYS, MONTH)]]
    drawing = run(*between).out
    assert "1 shortest path from jfk/public/flights to lake/nyc/carrier_month, 3 steps" in drawing
    assert "lake/nyc/daily_delays" in drawing
    assert run(*between, "--format", "mermaid").out.startswith("flowchart LR\n")
    assert run(*between, "--format", "dot").out.startswith("digraph lineage {\n")
    assert boxes(run(*between, "--format", "svg").out) == {
        short_name(key) for key in (JFK_FLIGHTS, FLIGHTS, DELAYS, MONTH)
    }
    assert json.loads(run(*between, "--all", "--format", "json").out)["paths"] == found["paths"]
    assert run(*between, "--as-of", "2013-01-01").code == 3


def test_a_limit_is_told_when_it_cuts(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    assert filled
    around = [Link(writer.store.entity(MONTH), writer.store.entity(FLIGHTS))]
    GraphStore(writer.store.sessions).assert_edges(around, producer="more", scope="more", complete=True)
    between = ["lineage", "--from", "lake/nyc/flights", "--to", "lake/nyc/carrier_month", "--all"]
    assert "2 paths" in run(*between).out
    cut = run(*between, "--limit", "1")
    assert "only the first 1 are shown" in cut.out
    assert run(*between, "--limit", "1", "--json").json["more"]


def test_where_no_path_is_it_is_said_and_so_is_the_one_the_other_way_round(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    back = run("lineage", "--from", "lake/nyc/carrier_month", "--to", "jfk/public/flights")
    assert (back.code, back.out) == (3, "")
    assert "but the other way round there is a path of 3 steps; swap --from and --to" in back.err
    apart = run("lineage", "--from", "lake/nyc/weather", "--to", "lake/nyc/flights", "--json")
    assert (apart.code, apart.error["error"]) == (3, "NotConnected")
    near = run("lineage", "--from", "jfk/public/flights", "--to", "lake/nyc/carrier_month", "--depth", "2")
    assert (near.code, "within 2 steps" in near.err) == (3, True)


@pytest.mark.parametrize(
    "asked",
    [
        ["--from", "lake/nyc/flights"],
        ["--to", "lake/nyc/flights"],
        ["lake/nyc/flights", "--from", "lake/nyc/flights", "--to", "lake/nyc/flights"],
        ["--down", "--from", "lake/nyc/flights", "--to", "lake/nyc/flights"],
        ["lake/nyc/flights", "--columns", "--all"],
        ["lake/nyc/flights", "--columns", "--limit", "3"],
        ["lake/nyc/flights", "--after", ""],
        ["lake/nyc/flights", "--json", "--after", "00000000-0000-0000-0000-000000000000"],
        ["--from", "lake/nyc/flights", "--to", "lake/nyc/flights", "--after", ""],
    ],
)
def test_questions_that_do_not_fit_together(run: Run, filled: dict[str, UUID], asked: list[str]) -> None:
    assert filled
    assert run("lineage", *asked).code == 2


def test_the_whole_graph_is_looked_at(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    assert filled
    round_about = [Link(*map(writer.store.entity, pair)) for pair in ((WEATHER, DELAYS), (FLIGHTS, FLIGHTS))]
    GraphStore(writer.store.sessions).assert_edges(round_about, producer="circle", scope="circle", complete=True)
    found = run("graph", "check", "--json").json
    assert shape(found) == documents.GRAPH
    assert (found["assets"], found["edges"]) == (6, 7)
    assert found["circles"] == [[str(DELAYS), str(WEATHER)], [str(FLIGHTS)]]
    assert found["longest_chain"] == [str(key) for key in (JFK_FLIGHTS, FLIGHTS, DELAYS, MONTH)]
    assert (found["unread"]["first"], found["unmade"]["count"]) == ([str(MONTH)], 2)
    said = run("graph", "check", "--limit", "1").out
    assert "lake/nyc/daily_delays → lake/nyc/weather → lake/nyc/daily_delays" in said
    assert "only the first 1 of each are shown" in said
    assert run("graph", "check", "--as-of", "2013-01-01", "--json").json["edges"] == 0


def test_what_breaks_if_a_thing_goes(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    writer.store.pin("board-meeting", {DELAYS: 2})
    writer.store.pin("long-ago", {MONTH: 1}, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
    again = writer.write(FLIGHTS, DAYS[1], publish=False)
    writer.store.release("spring", [again])
    assert run("collection", "create", "report").code == 0
    assert run("collection", "add", "report", "lake/nyc/carrier_month").code == 0
    found = run("impact", "lake/nyc/flights", "--json").json
    assert shape(found) == documents.IMPACT
    assert (found["name"], found["version"], found["steps"]) == ("lake/nyc/flights", 3, 0)
    made = [(one["name"], one["steps"], one["version"], one["partitions_made"]) for one in found["made"]]
    assert made == [("lake/nyc/daily_delays", 1, 2, 2), ("lake/nyc/carrier_month", 2, 1, 1)]
    assert [(one["name"], one["partitions"]) for one in found["readers"]] == [("lake/nyc/daily_delays", 2)]
    assert [(one["pin"], one["name"], one["state"]) for one in found["pins"]] == [
        ("board-meeting", "lake/nyc/daily_delays", "open"),
        ("long-ago", "lake/nyc/carrier_month", "open"),
    ]
    assert [(one["release"], one["version"]) for one in found["releases"]] == [("spring", 3)]
    (held,) = found["collections"]
    assert (held["slug"], held["key"]) == ("report", str(MONTH))
    assert (found["count"], found["cut"]) == (2, [])
    page = run("impact", "lake/nyc/flights").out
    for words in ("If lake/nyc/flights goes", "lake/nyc/carrier_month", "board-meeting", "spring", "report"):
        assert words in page
    cut = run("impact", "lake/nyc/flights", "--limit", "1", "--json").json
    assert (cut["cut"], len(cut["made"]), cut["count"]) == (["made", "pins"], 1, 2)
    assert str(filled["month"])


def test_impact_counts_what_readers_get_now(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    """Not what was replaced, not partitions that read something else, not pins that were removed."""
    assert filled
    writer.store.pin("gone", {DELAYS: 1})
    writer.store.unpin("gone")
    writer.write(DELAYS, DAYS[0], writer.read(WEATHER, DAYS[0]))
    writer.write(MONTH, "2013-01", writer.read(DELAYS, DAYS[1]))
    found = run("impact", "lake/nyc/flights", "--json").json
    assert [one["partitions_made"] for one in found["made"]] == [1, 1]
    assert [one["partitions"] for one in found["readers"]] == [1]
    assert found["pins"] == []


def test_what_was_stale_by_invalidation_is_what_impact_counts(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    stale = run("invalidate", "lake/nyc/flights", "--reason", "r", "--dry-run", "--json").json["stale"]
    found = run("impact", "lake/nyc/flights", "--json").json
    below = [one["name"] for one in stale if one["name"] != "lake/nyc/flights"]
    assert {one["name"]: one["partitions_made"] for one in found["made"]} == {name: below.count(name) for name in below}


def test_a_source_table_has_an_impact_and_what_nothing_reads_has_none(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    found = run("impact", "jfk/public/flights", "--json").json
    assert (found["version"], [one["name"] for one in found["readers"]]) == (None, ["lake/nyc/flights"])
    assert [one["partitions_made"] for one in found["made"]] == [2, 2, 1]
    assert "nothing is made from it" in run("impact", "lake/nyc/carrier_month").out
    assert run("impact", "lake/nyc/nothing").code == 3


def test_a_code_location_is_listed_and_closed(run: Run, writer: Writer, filled: dict[str, UUID]) -> None:
    assert filled
    assert "no code location is mirrored" in run("graph", "locations").out
    link = Link(writer.store.entity(MONTH), writer.store.entity(WEATHER))
    GraphStore(writer.store.sessions).assert_edges([link], producer="dagster", scope="shop", complete=True)
    (listed,) = run("graph", "locations", "--json").json
    assert (shape([listed]), listed["edges"]) == (documents.LOCATIONS, 1)
    assert "shop" in run("graph", "locations").out

    wrong = run("graph", "close-location", "shp")
    assert (wrong.code, "nothing of the code location shp is open; mirrored are shop" in wrong.out) == (0, True)
    rehearsed = run("graph", "close-location", "shop", "--dry-run", "--json").json
    assert (shape(rehearsed), rehearsed["dry_run"], rehearsed["edges_closed"]) == (documents.LOCATION_CLOSED, True, 1)
    assert len(run("graph", "locations", "--json").json) == 1, "nothing was closed"
    assert "shop, closed" in run("graph", "close-location", "shop").out
    assert run("graph", "locations", "--json").json == []
    again = run("graph", "close-location", "shop", "--json")
    assert (again.code, again.json["edges_closed"]) == (0, 0)
