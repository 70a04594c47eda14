"""Searching facets: what has them all, by pages, of one's own tenant; and what is in the index is what is in facets."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from scratch_databases import ScratchDatabases

from resources.metadata.facets import FacetHit, NotAFacet, TooManyFacets, WantedFacet
from resources.metadata.history import History, Kept
from resources.metadata_store import MetadataStore
from tests.importers import lineage_events as told

_numbers = itertools.count()

INDEX = "SELECT word, subject, facet_id FROM metadata.facet_word ORDER BY 1, 2, 3"
WORDS = """
SELECT DISTINCT w.word, w.subject, f.facet_id
FROM metadata.facet f, metadata.words_of(f.asset_id, f.run_id, f.name, f.document) w ORDER BY 1, 2, 3
"""


@pytest.fixture
def metadata_url(migrated_databases: ScratchDatabases) -> Iterator[str]:
    """Not the one of all tests here: what is old is everybody's."""
    with migrated_databases.one() as url:
        yield url


def job(name: str, **facets: Any) -> dict[str, Any]:
    one = told.event(job=name, run=f"run-{name}")
    one["job"]["facets"] = facets
    return one


def names(found: list[FacetHit]) -> set[str]:
    return {str(one.key.segments[-1]) for one in found}


def search(store: MetadataStore, *texts: str) -> set[str]:
    return names(store.with_facets([WantedFacet.parse(one) for one in texts]))


def ask(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def test_what_has_all_of_the_facets_is_found(store: MetadataStore) -> None:
    told.imported(
        store,
        [
            job("one", sql={"query": "SELECT 1"}, owners={"owners": [{"name": "ann"}, {"name": "bob", "n": 1}]}),
            job("two", sql={"query": "SELECT 2", "_producer": "x"}, owners={"owners": [{"name": "bob", "n": 1.50}]}),
            job("three", owners={"owners": []}, odd={"a.b": {'c"': None, "d": [True, [7]]}}),
        ],
    )
    for asked, expected in (
        (["sql"], {"one", "two"}),
        (["sql.query"], {"one", "two"}),
        (["sql.nothing"], set()),
        (["sql.query=SELECT 1"], {"one"}),
        (['sql.query="SELECT 1"'], {"one"}),
        (["owners.owners.name=bob"], {"one", "two"}),
        (["owners.owners.name=ann", "owners.owners.n=1"], {"one"}),
        (["owners.owners.n=1.5"], {"two"}),
        (["owners.owners.n=1.0"], {"one"}),
        (['owners.owners.n="1"'], set()),
        (["owners=bob"], {"one", "two"}),
        (["owners", "sql.query=SELECT 2", "owners.owners.name=bob"], {"two"}),
        (['odd."a.b"."c\\""=null'], {"three"}),
        (['odd."a.b".d=true'], {"three"}),
        (["odd", "sql"], set()),
        (["nothing"], set()),
        (["sql._producer=x"], {"two"}),
        (["names"], set()),
    ):
        assert search(store, *asked) == expected, asked
    assert store.with_facets([]) == []


def test_pages_follow_each_other_and_another_tenant_has_its_own(
    store: MetadataStore, open_store: Callable[..., MetadataStore]
) -> None:
    events = [job(f"j{number}", kind={"of": number % 2}) for number in range(7)]
    told.imported(store, events)
    wanted = [WantedFacet("kind"), WantedFacet("kind", ("of",), 0)]
    whole = store.with_facets(wanted)
    assert len(whole) == 4
    pages, after = [], None
    while page := store.with_facets(wanted, after=after, limit=3):
        pages.append(page)
        after = page[-1].id
    assert [len(page) for page in pages] == [3, 1]
    assert [one for page in pages for one in page] == whole
    assert open_store("other").with_facets(wanted) == []


def test_runs_are_found_by_what_was_said_of_them_and_of_their_data(store: MetadataStore) -> None:
    read = told.dataset("airports")
    read["inputFacets"] = {"dataQualityMetrics": {"rowCount": 7}}
    told.imported(
        store,
        [
            told.event(run="r1", inputs=[read], facets={"nominalTime": {"start": "monday"}}),
            told.event(run="r2", facets={"nominalTime": {"start": "monday"}}),
        ],
    )
    monday, seven = WantedFacet.parse("nominalTime.start=monday"), WantedFacet.parse("dataQualityMetrics.rowCount=7")
    assert [one.run_id for one in store.runs_with_facets([monday])] == ["r1", "r2"]
    assert [one.run_id for one in store.runs_with_facets([monday], after="r1")] == ["r2"]
    assert [(one.run_id, one.status) for one in store.runs_with_facets([monday, seven])] == [("r1", "succeeded")]
    assert names(store.with_facets([seven])) == {"airports"}
    assert store.with_facets([monday]) == [], "a run is no asset"


def test_the_index_follows_facets(store: MetadataStore, metadata_url: str) -> None:
    told.imported(store, [job("one", sql={"query": "a", "n": [1, 2]}), told.event(facets={"f": {"x": 1}})])
    assert ask(metadata_url, INDEX) == ask(metadata_url, WORDS) != []
    later = job("one", sql={"query": "b", "n": [2, 3]})
    later["eventTime"] = "2024-06-01T00:00:00Z"
    before = {row[0] for row in ask(metadata_url, "SELECT xmin::text || ctid::text FROM metadata.facet_word")}
    told.imported(store, [{**job("one", sql={"query": "a", "n": [1, 2]}), "eventTime": "2024-05-02T00:00:00Z"}])
    assert {row[0] for row in ask(metadata_url, "SELECT xmin::text || ctid::text FROM metadata.facet_word")} == before
    told.imported(store, [later])
    assert (search(store, "sql.query=a"), search(store, "sql.query=b")) == (set(), {"one"})
    assert ask(metadata_url, INDEX) == ask(metadata_url, WORDS)
    History(store.sessions).forget(Kept(time=timedelta(0)))
    assert ask(metadata_url, INDEX) == ask(metadata_url, WORDS) != []
    assert store.runs_with_facets([WantedFacet("f")]) == []


def test_a_facet_with_very_many_parts_is_found_by_each_of_them(store: MetadataStore, metadata_url: str) -> None:
    told.imported(store, [job("wide", many={f"p{number}": number for number in range(400)}), job("slim", many={})])
    assert [search(store, f"many.p{number}={number}") for number in (0, 255, 256, 399)] == [{"wide"}] * 4
    assert search(store, "many.p0=1") == set()
    ((count,),) = ask(metadata_url, "SELECT count(*) FROM metadata.facet_word")
    assert count <= 256 + 10


def test_an_index_is_asked_behind_row_level_security(store: MetadataStore) -> None:
    """As it is asked for, that is: a policy keeps operators that are not leakproof from being index conditions."""
    told.imported(store, [job("one", sql={"query": "a"})])
    with store.session() as session:
        for other in ("seqscan", "bitmapscan", "sort"):  # a small table of a test would be read and sorted
            session.rows(f"SET LOCAL enable_{other} = off")
        (word,) = session.rows("SELECT metadata.word_of('asset', 'sql', '') AS word")
        plan = session.rows(
            "EXPLAIN SELECT subject FROM metadata.facet_word w WHERE w.tenant_id = %s AND w.word = ANY (%s) "
            "AND w.subject > '' ORDER BY w.subject",
            (session.tenant_value, [word["word"]]),
        )
    text = "\n".join(str(row["QUERY PLAN"]) for row in plan)
    assert "Index Only Scan using facet_word_pkey" in text
    (condition,) = [line for line in text.splitlines() if "Index Cond" in line]
    assert "word = ANY" in condition
    assert "subject >" in condition


def rows_read(store: MetadataStore, url: str, table: str = "facet_word") -> int:
    """How many rows of a table, or entries of its indexes, were read so far, by whoever."""
    with store.session() as session:  # the one connection of the pool, which tells by and by what it has read
        session.rows("SELECT pg_stat_force_next_flush()")
    statement = f"""SELECT t.seq_tup_read + sum(i.idx_tup_read) FROM pg_stat_all_tables t
      JOIN pg_stat_all_indexes i USING (relid) WHERE t.relid = 'metadata.{table}'::regclass GROUP BY t.seq_tup_read"""
    ((read,),) = ask(url, statement)
    return int(read)


def test_words_of_facets_that_change_or_go_are_looked_up(store: MetadataStore, metadata_url: str) -> None:
    """However many: what is read grows with them, and not with what stays."""

    def event(value: int, at: str) -> dict[str, Any]:
        return told.event(at=at, facets={f"f{number}": {"a": value, "b": number} for number in range(200)})

    told.imported(store, [job(f"j{number}", wide={f"p{n}": n for n in range(200)}) for number in range(20)])
    told.imported(store, [event(1, "2024-05-01T10:00:00Z")])
    with psycopg.connect(metadata_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE metadata.facet_word")
    before = rows_read(store, metadata_url)
    told.imported(store, [event(2, "2024-05-01T11:00:00Z")])
    changed = rows_read(store, metadata_url)
    assert History(store.sessions).forget(Kept(time=timedelta(0))).facets == 200
    forgotten = rows_read(store, metadata_url)
    assert (changed - before, forgotten - changed) == (200, 3 * 200)
    assert ask(metadata_url, INDEX) == ask(metadata_url, WORDS)


def test_a_plan_for_nothing_serves_for_many(store: MetadataStore, metadata_url: str) -> None:
    """Planned when nothing had changed, thousands of facets are not each looked for among all of them."""
    told.imported(store, [told.event(facets={f"f{number}": {"a": number} for number in range(300)})])
    plans: list[str] = []
    with psycopg.connect(metadata_url, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
        connection.execute("LOAD 'auto_explain'")
        for setting in ("min_duration = 0", "analyze = on", "nested_statements = on", "level = notice"):
            connection.execute(f"SET auto_explain.log_{setting}".encode())
        connection.execute("SELECT set_config('metadata.tenant', %s, false)", (str(store.sessions.tenant),))
        connection.execute("SELECT set_config('metadata.actor', 'test', false)")
        for which in ("false", "true"):
            plans.clear()
            connection.execute(f"UPDATE metadata.facet SET as_of = as_of + interval '1 s' WHERE {which}".encode())
    (joined,) = [plan for plan in plans if "FROM old_rows o JOIN new_rows n" in plan and "NOT EXISTS" in plan]
    thrown_away = sum(map(int, re.findall(r"Rows Removed by Join Filter: (\d+)", joined)))
    assert "(actual" in joined
    assert thrown_away <= 300


COMMON = [WantedFacet("a", ("k",), 1), WantedFacet("b", ("k",), 1), WantedFacet("c")]


def many_jobs(store: MetadataStore, count: int) -> None:
    """Each with facets a, b and c, of a few values or of one each, and every 50th with a rare one."""
    told.imported(
        store,
        [
            job(f"m{n}", a={"k": n % 2}, b={"k": n % 3}, c={"k": n}, **({"rare": {"k": 1}} if n % 50 == 25 else {}))
            for n in range(count)
        ],
    )
    store.with_facets(COMMON)  # planned once, for which the planner looks at some words, too


def test_a_page_costs_the_same_wherever_it_begins_and_no_document(store: MetadataStore, metadata_url: str) -> None:
    many_jobs(store, 600)
    after, found, costs = None, 0, []
    documents = rows_read(store, metadata_url, "facet")
    while True:
        before = rows_read(store, metadata_url)
        page = store.with_facets(COMMON, after=after, limit=10)
        costs.append(rows_read(store, metadata_url) - before)
        found += len(page)
        if len(page) < 10:
            break
        after = page[-1].id
    assert (found, len(costs)) == (100, 11)
    assert max(costs) <= 500, "3 words, 100 subjects of each, and whether those have the other words"
    assert rows_read(store, metadata_url, "facet") == documents


def test_what_is_rare_is_found_without_what_is_common(store: MetadataStore, metadata_url: str) -> None:
    """Wherever in the question it is: what is read grows with what is rare."""
    many_jobs(store, 1000)
    rare = WantedFacet("rare", ("k",), 1)
    for wanted in ([*COMMON, rare], [rare, *COMMON]):
        before = rows_read(store, metadata_url)
        assert len(store.with_facets(wanted, limit=5)) == 5
        assert rows_read(store, metadata_url) - before < 4 * 100 + 3 * 20


def test_a_dataset_that_very_many_runs_read_is_looked_at_once(store: MetadataStore, metadata_url: str) -> None:
    read = told.dataset("hot", owner={"name": "ann"})
    read["inputFacets"] = {"quality": {"rows": 7}}
    told.imported(store, [told.event(run=f"hot{number}", inputs=[read]) for number in range(500)])
    many_jobs(store, 1)
    quality, owner = WantedFacet("quality", ("rows",), 7), WantedFacet("owner", ("name",), "ann")
    before = rows_read(store, metadata_url)
    assert names(store.with_facets([owner, quality], limit=1)) == {"hot"}
    assert rows_read(store, metadata_url) - before < 600, "the entries of the one are read once"
    assert len(store.runs_with_facets([quality], limit=1000)) == 500


@pytest.mark.parametrize("text", ["", ".", "=x", "a.", ".a", "a..b", 'a"b', '"a', "a[0]", 'a."\\x"'])
def test_what_names_no_facet_is_refused(text: str) -> None:
    with pytest.raises(NotAFacet):
        WantedFacet.parse(text)


def test_a_number_that_no_number_is_as_large_as_is_a_text(store: MetadataStore) -> None:
    """As JSON it has a value, as a number of Python it is infinite, which JSON has not."""
    told.imported(store, [job("one", big={"n": "1e400"})])
    assert search(store, "big.n=1e400") == {"one"}
    assert search(store, "big=-1e400") == set()


def test_how_many_may_be_asked_for_is_bounded(store: MetadataStore) -> None:
    with pytest.raises(TooManyFacets, match=r"21 facets .* 20"):
        store.with_facets([WantedFacet("a")] * 21)


_LEAF = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "é"]))
_NODE = st.recursive(
    _LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b.c", "_p"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "b.c"]), _NODE, min_size=1, max_size=2))
@settings(max_examples=25)
def test_every_value_is_found_at_its_path(store: MetadataStore, document: dict[str, Any]) -> None:
    name = f"f{next(_numbers)}"
    told.imported(store, [job(name, **{name: document})])
    wanted = [WantedFacet(name, path, value) for path, value in leaves(document)]
    for one in wanted:
        assert names(store.with_facets([one, WantedFacet(name)])) == {name}, one
    assert not [one for one in wanted if store.with_facets([WantedFacet(name, one.path, "other")])]


_DEEP = st.recursive(
    st.sampled_from([None, True, 1, 1.5, "1", "x", 'a".k=1']),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["k", "a\x1fk", 'a"', "_k", "k.k"]), inner, max_size=2)
    ),
    max_leaves=6,
)
_ASKED = st.tuples(
    st.lists(st.sampled_from(["k", "a\x1fk", 'a"', "_k", "k.k"]), max_size=3).map(tuple),
    st.sampled_from([..., None, True, 1, 1.0, 1.50, "1", "x", 'a".k=1']),
)


def ends(node: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """All paths to a value, the places in lists left out, in however many lists it is."""
    match node:
        case dict():
            return [end for key, inner in node.items() for end in ends(inner, (*path, key))]
        case list():
            return [end for inner in node for end in ends(inner, path)]
    return [(path, node)]


@given(
    st.dictionaries(st.sampled_from(["k", 'a"', "_k"]), _DEEP, max_size=2).flatmap(
        lambda one: st.tuples(st.just(one), (st.sampled_from(ends(one)) | _ASKED) if ends(one) else _ASKED)
    )
)
@settings(max_examples=100)
@example(({"k": [[1]]}, (("k",), 1)))
@example(({"k": [[[1]]]}, (("k",), 1)))
@example(({"k": [{"k": 1}]}, (("k", "k"), 1)))
@example(({"k": [[{"k": 1}]]}, (("k", "k"), 1)))
@example(({'a"': {'a".k=1': "x"}}, (('a"', "a"), "x")))
def test_words_find_what_documents_say(
    store: MetadataStore, metadata_url: str, given_: tuple[dict[str, Any], tuple[tuple[str, ...], Any]]
) -> None:
    """Words are as good as a path of JSON: quotes, dots, lists of lists, numbers of several forms and all."""
    document, (path, value) = given_
    name = f"f{next(_numbers)}"
    told.imported(store, [job(name, **{name: document})])
    way = "lax $" + "".join(f".{json.dumps(part)}" for part in path)
    way = way if value is ... else ("lax $.**" if not path else way) + " ? (@ == $value)"
    with psycopg.connect(metadata_url) as connection:
        ((said,),) = connection.execute(
            "SELECT jsonb_path_exists(document, %s::jsonpath, %s) FROM metadata.facet WHERE name = %s",
            (way, Jsonb({"value": None if value is ... else value}), name),
        ).fetchall()
    assert names(store.with_facets([WantedFacet(name, path, value)])) == ({name} if said else set())


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Those that are in no list of lists."""
    match node:
        case dict():
            for key, inner in node.items():
                yield from leaves(inner, (*path, key))
        case list():
            for inner in node:
                yield from leaves(inner, path) if not isinstance(inner, list) else ()
        case _:
            yield path, node
