"""Two names that turn out to be one thing: merged, and taken back."""

import pytest
from store_inputs import Counts, Lake, Look, attempt, database_time

from identity.ids import EntityId, column_id
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.postgres.errors import MergeRefused, UnknownName


def link(lake: Lake, source: str, target: str, scope: str = "s") -> None:
    links = [Link(lake.entity(source), lake.entity(target))]
    GraphStore(lake.store.sessions).assert_edges(links, producer="test", scope=scope, complete=False)


def neighbours(lake: Lake, name: str) -> set[tuple[str, str]]:
    graph = GraphStore(lake.store.sessions)
    edges = {edge for way in ("up", "down") for edge in graph.lineage(lake.entity(name), way, depth=1).edges}
    return {(edge.source.table, edge.target.table) for edge in edges}


def test_a_merge_gives_names_and_edges_to_the_winner_and_can_be_taken_back(lake: Lake, look: Look) -> None:
    lake.assets("stage", "table", "source", "report")
    loser, winner = lake.entity("stage"), lake.entity("table")
    lake.rename(stage="staged")
    link(lake, "staged", "source")
    link(lake, "report", "staged")
    link(lake, "report", "table")
    before = database_time(look)
    merge = lake.store.merge(loser, winner, reason="the same table")
    assert {lake.entity(name).id for name in ("stage", "staged", "table")} == {winner.id}
    assert neighbours(lake, "table") == {("table", "source"), ("report", "table")}
    assert lake.store.resolve(f"{lake.endpoint}/nyc/staged") == lake.key("table")
    assert lake.store.entity_at(lake.key("staged"), before).id == loser.id
    lake.assets("staged")
    assert lake.entity("staged").id == winner.id, "declaring it again says nothing new"

    between = database_time(look)
    assert lake.store.unmerge(merge, reason="they are two") == loser.id
    assert {lake.entity(name).id for name in ("stage", "staged")} == {loser.id}
    assert (lake.name_of(loser), lake.name_of(winner)) == ("staged", "table")
    assert neighbours(lake, "table") == {("report", "table")}
    assert neighbours(lake, "staged") == {("staged", "source"), ("report", "staged")}
    assert lake.store.entity_at(lake.key("staged"), between).id == winner.id
    topics = [row["topic"] for row in look("SELECT topic FROM metadata.outbox WHERE payload ->> 'entity_id' = %s "
                                           "ORDER BY seq", str(loser.id))]  # fmt: skip
    assert topics == ["entity.merged", "entity.unmerged"]
    with pytest.raises(UnknownName, match=r"no merge .* is in force"):
        lake.store.unmerge(merge)


def test_merges_are_taken_back_the_way_they_came(lake: Lake) -> None:
    lake.assets("a", "b", "c")
    a, b, c = (lake.entity(name) for name in "abc")
    first = lake.store.merge(a, b)
    second = lake.store.merge(b, c)
    assert {lake.entity(name).id for name in "abc"} == {c.id}
    with pytest.raises(MergeRefused, match="was merged since"):
        lake.store.unmerge(first)
    lake.store.unmerge(second)
    assert [lake.entity(name).id for name in "abc"] == [b.id, b.id, c.id]
    lake.store.unmerge(first)
    assert [lake.entity(name) for name in "abc"] == [a, b, c]


def test_a_circle_of_merges_is_refused(lake: Lake) -> None:
    lake.assets("a", "b", "c")
    a, b, c = (lake.entity(name) for name in "abc")
    lake.store.merge(a, b)
    lake.store.merge(b, c)
    for loser, winner in ((c, a), (c, b), (a, c)):
        with pytest.raises(MergeRefused, match="has been merged into another thing; nothing"):
            lake.store.merge(loser, winner)
    with pytest.raises(MergeRefused, match="is one thing already"):
        lake.store.merge(lake.entity("a"), lake.entity("c"))


def test_a_merge_that_would_lose_something_is_refused(lake: Lake, counts: Counts) -> None:
    lake.datasets("written", "leased", "a", "b", "upstream")
    lake.committed("written", intent="first")
    by = attempt()
    lake.lease(by, [("leased", lake.staged("leased", location="lake:somewhere"))])
    link(lake, "a", "upstream")
    before = counts()
    for loser, winner, text in (
        ("written", "a", "/written has data of its own; merge .*/a into .*/written instead"),
        ("leased", "a", "/leased has data of its own; merge .*/a into .*/leased instead"),
        ("written", "leased", "neither .*/written and .*/leased both have data of their own; keep both, .*retype"),
        ("a", "upstream", "made from the other"),
        ("upstream", "a", "made from the other"),
    ):
        with pytest.raises(MergeRefused, match=text):
            lake.store.merge(lake.entity(loser), lake.entity(winner))
    with pytest.raises(UnknownName):
        lake.store.merge(lake.entity("a"), lake.entity("nobody"))
    assert counts() == before


def test_a_merge_whose_name_went_on_is_not_taken_back(lake: Lake, counts: Counts) -> None:
    lake.assets("a", "b", "c")
    merge = lake.store.merge(lake.entity("a"), lake.entity("b"))
    lake.rename(c="a")
    before = counts()
    with pytest.raises(MergeRefused, match="/a is the name of something else"):
        lake.store.unmerge(merge)
    assert counts() == before


def test_a_merge_is_taken_back_although_the_winner_used_the_name_for_a_while(lake: Lake) -> None:
    lake.assets("a", "b")
    a, b = lake.entity("a"), lake.entity("b")
    lake.rename(a="first")
    merge = lake.store.merge(a, b)
    lake.rename(b="first")
    with pytest.raises(MergeRefused, match="/first is the name of something else"):
        lake.store.unmerge(merge)
    lake.rename(first="b")
    assert lake.store.unmerge(merge) == a.id
    assert [lake.entity(name).id for name in ("a", "first", "b")] == [a.id, a.id, b.id]
    assert (lake.name_of(a), lake.name_of(b)) == ("first", "b")


def test_an_edge_that_ended_while_merged_does_not_come_back(lake: Lake) -> None:
    lake.assets("loser", "winner", "gone", "back", "stays", "both")
    link(lake, "loser", "stays", scope="other")
    link(lake, "loser", "both", scope="other")
    link(lake, "winner", "both", scope="other")
    for target in ("gone", "back"):
        link(lake, "loser", target)
    loser = lake.entity("loser")
    merge = lake.store.merge(loser, lake.entity("winner"))
    GraphStore(lake.store.sessions).assert_edges([], producer="test", scope="s", complete=True)
    link(lake, "winner", "back")
    lake.store.unmerge(merge)
    assert neighbours(lake, "loser") == {("loser", "stays"), ("loser", "both")}
    assert neighbours(lake, "winner") == {("winner", "both"), ("winner", "back")}, "the last is what was said since"


def test_an_edge_that_the_winner_was_given_and_that_is_asserted_since_stays(lake: Lake) -> None:
    lake.assets("loser", "winner", "target", "other")
    link(lake, "loser", "target")
    link(lake, "loser", "other")
    merge = lake.store.merge(lake.entity("loser"), lake.entity("winner"))
    link(lake, "winner", "target")
    lake.store.unmerge(merge)
    assert neighbours(lake, "winner") == {("winner", "target")}, "said of it, not only brought along"
    assert neighbours(lake, "loser") == {("loser", "target"), ("loser", "other")}


def test_merges_of_two_that_are_linked_are_taken_back_the_way_they_came(lake: Lake) -> None:
    lake.assets("a", "b", "source", "origin")
    link(lake, "a", "source")
    first = lake.store.merge(lake.entity("a"), lake.entity("b"))
    second = lake.store.merge(lake.entity("source"), lake.entity("origin"))
    assert neighbours(lake, "b") == {("b", "origin")}
    with pytest.raises(MergeRefused, match="/source was merged since: take that back first"):
        lake.store.unmerge(first)
    lake.store.unmerge(second)
    lake.store.unmerge(first)
    assert neighbours(lake, "a") == {("a", "source")}
    assert neighbours(lake, "b") == set()


def test_what_has_columns_is_not_merged_into_what_has_none(lake: Lake) -> None:
    """Both are one object in a source, and only one look was allowed to see columns."""
    lake.assets("seen", "named")
    seen = lake.entity("seen").id
    with lake.store.session() as session:
        session.count(
            """UPDATE metadata.asset SET metadata = '{"relation": "table", "object": "1/2/3"}'
            WHERE qualified_name IN (%(seen)s, %(named)s)""",
            {name: str(lake.key(name)) for name in ("seen", "named")},
        )
        session.count(
            """INSERT INTO metadata.schema_field
              (tenant_id, field_id, asset_id, name, type, nullable, position)
            VALUES (%(tenant)s, %(id)s, %(asset)s, 'id', 'int', true, 1)""",
            {"tenant": session.tenant_value, "id": column_id(seen, "id"), "asset": seen.value},
        )
    with pytest.raises(MergeRefused, match=r"only .*/seen has known columns; merge .*/named into .*/seen instead"):
        lake.store.merge(lake.entity("seen"), lake.entity("named"))
    lake.store.merge(lake.entity("named"), lake.entity("seen"))


def test_what_is_gone_wins_nothing(lake: Lake) -> None:
    lake.assets("gone", "too", "here")
    with lake.store.session() as session:
        session.count("UPDATE metadata.asset SET deleted_at = clock_timestamp() WHERE qualified_name = ANY (%(names)s)",
                      {"names": [str(lake.key(name)) for name in ("gone", "too")]})  # fmt: skip
    with pytest.raises(MergeRefused, match=r"/gone is gone; merge .*/gone into .*/here instead"):
        lake.store.merge(lake.entity("here"), lake.entity("gone"))
    with pytest.raises(MergeRefused, match=r"neither .*/too and .*/gone are both gone; collect or declare one"):
        lake.store.merge(lake.entity("too"), lake.entity("gone"))
    lake.store.merge(lake.entity("gone"), lake.entity("here"))


def test_what_its_source_has_wins_over_what_is_only_declared(lake: Lake) -> None:
    lake.assets("seen", "said")
    with lake.store.session() as session:
        session.count("""UPDATE metadata.asset SET metadata = '{"relation": "table", "object": "1/2/3"}'
          WHERE qualified_name = %(name)s""", {"name": str(lake.key("seen"))})  # fmt: skip
    with pytest.raises(MergeRefused, match=r"/seen is there in its source; merge .*/said into .*/seen instead"):
        lake.store.merge(lake.entity("seen"), lake.entity("said"))
    lake.store.merge(lake.entity("said"), lake.entity("seen"))


def test_a_merge_is_done_once(lake: Lake) -> None:
    lake.assets("a", "b")
    a, b = lake.entity("a"), lake.entity("b")
    merges = {lake.store.merge(a, b, key=f"merge {lake.endpoint}") for _ in range(3)}
    assert len(merges) == 1
    undone: set[EntityId] = {lake.store.unmerge(*merges, key=f"undo {lake.endpoint}") for _ in range(3)}
    assert undone == {a.id}


def test_a_merge_is_found_by_index_however_many_assets_there_are(lake: Lake) -> None:
    """Behind row-level security only what cannot leak may be asked of an index: the tenant, of the few in it."""
    with lake.store.session() as session:
        session.rows("SET LOCAL enable_seqscan = off")  # a small table of a test would be read whole
        for fact in ("merged", "moved_from"):
            plan = session.rows(
                f"EXPLAIN SELECT 1 FROM metadata.asset a WHERE a.tenant_id = %(tenant)s AND a.metadata ? '{fact}'"
                f" AND a.metadata ->> '{fact}' = 'x'",
                {"tenant": session.tenant_value},
            )
            used = " ".join(row["QUERY PLAN"] for row in plan)
            assert f"asset_{fact.removesuffix('_from')}_idx" in used, used
