"""Graphs as text: pure functions, on graphs that are awkward."""

import io
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from rich.console import RenderableType

from identity.keys import CanonicalKey, dataset_key, short_name
from metadata_assets.cli.diagrams import dot, mermaid
from metadata_assets.cli.lineage import described, drawn
from metadata_assets.cli.output import console, document, plain, printable, table
from resources.graph.walk import Lineage, Node
from resources.models import AssetType, Direction

_NODE = re.compile(r'  n\d+(\["[^"\[\]]*"\]|\[\("[^"\[\]]*"\)\])')
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
_EDGE = re.compile(r"  n\d+ --> n\d+")


def key(name: str) -> CanonicalKey:
    return dataset_key("lake", schema="nyc", table=name)


def graph(*edges: tuple[str, str], start: str = "a", direction: Direction = "up") -> Lineage:
    """Each edge: the first is made from the second. A name in capitals is a source table.

    A name that ends in "+" is of what is gone; in "++", of what is gone and has lost its name.
    """
    names = sorted({start, *(name for edge in edges for name in edge)}, key=lambda name: (name.rstrip("+"), name))
    ids = {name: UUID(int=number) for number, name in enumerate(names)}
    return Lineage(
        start=key(start),
        start_id=ids[start],
        direction=direction,
        things={
            ids[name]: Node(
                ids[name],
                str(key(name.rstrip("+"))),
                AssetType.TABLE if name.isupper() else AssetType.DATASET,
                closed_at=MOMENT if name.endswith("+") else None,
                name_taken=name.endswith("++"),
            )
            for name in names
        },
        pairs=tuple(sorted((ids[made], ids[source]) for made, source in edges)),
    )


def lines(what: RenderableType) -> list[str]:
    stream = io.StringIO()
    console(stream).print(what)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_shared_node_is_drawn_once_and_referred_to() -> None:
    diamond = graph(("a", "b"), ("a", "c"), ("b", "D"), ("c", "D"), ("D", "E"))
    assert lines(drawn(diamond)) == [
        "lake/nyc/a  dataset",
        "├── lake/nyc/b  dataset",
        "│   └── lake/nyc/D  table",
        "│       └── lake/nyc/E  table",
        "└── lake/nyc/c  dataset",
        "    └── lake/nyc/D  table  (shown above)",
    ]


def test_down_follows_the_edges_the_other_way() -> None:
    found = graph(("a", "b"), ("b", "C"), start="C", direction="down")
    assert lines(drawn(found)) == ["lake/nyc/C  table", "└── lake/nyc/b  dataset", "    └── lake/nyc/a  dataset"]


def test_a_circle_ends() -> None:
    assert lines(drawn(graph(("a", "b"), ("b", "a")))) == [
        "lake/nyc/a  dataset",
        "└── lake/nyc/b  dataset",
        "    └── lake/nyc/a  dataset  (shown above)",
    ]


def test_a_chain_of_any_length_is_drawn_as_far_as_there_is_room() -> None:
    chain = graph(*((f"n{i:04}", f"n{i + 1:04}") for i in range(3000)), start="n0000")
    drawing = lines(drawn(chain))
    assert len(drawing) == 31
    assert drawing[-1].endswith("… and deeper")


def test_alone_is_a_tree_too() -> None:
    assert lines(drawn(graph())) == ["lake/nyc/a  dataset"]


def test_mermaid_draws_data_flowing_to_what_is_made_from_it() -> None:
    assert mermaid(graph(("a", "B"))).splitlines() == [
        "flowchart LR",
        '  n0[("lake/nyc/B")]',
        '  n1["lake/nyc/a"]',
        "  n0 --> n1",
        "  style n1 stroke-width:3px",
    ]


HOSTILE = [
    '"]; click n0 "x',
    "end",
    "a]b[c",
    "`code`",
    "50% <b>&amp;",
    "#35;",
    "line\nbreak",
    "café ☕",
    "graph TD",
    "--> n9",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_out_of_mermaid(name: str) -> None:
    first, *middle, _style = mermaid(graph((name, "T"), start=name)).splitlines()
    assert first == "flowchart LR"
    assert sum(bool(_NODE.fullmatch(line)) for line in middle) == 2
    assert sum(bool(_EDGE.fullmatch(line)) for line in middle) == 1
    assert len(middle) == 3


_STRING = r'"(?:[^"\\]|\\["\\])*"'
_DOT_NODE = re.compile(rf"  n\d+ \[label={_STRING}( shape=cylinder)?( penwidth=3)?\]")


@pytest.mark.parametrize("name", [*HOSTILE, "a\\", 'a\\"] n9 [label="', "\x1b[31m", "\\N\\G"])
def test_no_name_breaks_out_of_dot(name: str) -> None:
    drawing = dot(graph((name, "T"), start=name)).splitlines()
    assert drawing[:3] == ["digraph lineage {", "  rankdir=LR", "  node [shape=box]"]
    assert [bool(_DOT_NODE.fullmatch(line)) for line in drawing[3:5]] == [True, True]
    assert re.fullmatch(r"  n\d -> n\d", drawing[5])
    assert drawing[6:] == ["}"]


def test_dot_draws_data_flowing_to_what_is_made_from_it() -> None:
    assert dot(graph(("a", "B"))).splitlines()[3:] == [
        '  n0 [label="lake/nyc/B" shape=cylinder]',
        '  n1 [label="lake/nyc/a" penwidth=3]',
        "  n0 -> n1",
        "}",
    ]


@pytest.mark.parametrize("name", [*HOSTILE, "[red]markup[/red]", "\x1b[31mred\x1b[0m", "\u202eltr", ":smile:"])
def test_no_name_speaks_to_the_terminal(name: str) -> None:
    shown = "\n".join(lines(drawn(graph((name, "T"), start=name)))[:1])
    assert printable(short_name(key(name))) in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert printable(name) in "\n".join(lines(table("", ["a"], [[name]])))


def test_the_document_says_who_is_made_from_whom() -> None:
    assert plain(described(graph(("a", "B")))) == {
        "start": "mid1:dataset:lake:~/nyc/a",
        "direction": "up",
        "more": 0,
        "next": None,
        "nodes": [
            {
                "key": f"mid1:dataset:lake:~/nyc/{name}",
                "name": f"lake/nyc/{name}",
                "type": kind,
                "id": str(UUID(int=number)),
                "closed_at": None,
                "name_taken": False,
            }
            for number, (name, kind) in enumerate([("B", "TABLE"), ("a", "DATASET")])
        ],
        "edges": [{"source": "mid1:dataset:lake:~/nyc/a", "target": "mid1:dataset:lake:~/nyc/B"}],
    }


def test_what_is_gone_is_marked_and_told_apart_from_what_has_its_name() -> None:
    found = graph(("a", "b"), ("b", "b++"), ("b++", "c+"))
    old = UUID(int=2)
    assert lines(drawn(found)) == [
        "lake/nyc/a  dataset",
        "└── lake/nyc/b  dataset",
        f"    └── lake/nyc/b (gone, {old})  dataset",
        "        └── lake/nyc/c (gone)  dataset",
    ]
    edges = [
        (one["source"].rpartition("/")[2], one["target"].rpartition("/")[2]) for one in plain(described(found)["edges"])
    ]
    assert edges == [("a", "b"), ("b", str(old)), (str(old), "c")]
    for drawing in (mermaid(found), dot(found)):
        assert (
            f"lake/nyc/b #40;gone, {old}#41;".replace(", ", "#44; ") in drawing
            or f"lake/nyc/b (gone, {old})" in drawing
        )
        assert "lake/nyc/c #40;gone#41;" in drawing or "lake/nyc/c (gone)" in drawing
    assert (set(found.nodes), len(found.edges)) == ({key("a"), key("b"), key("c")}, 1), "what has no name has no key"


def test_a_document_holds_no_number_that_json_has_not() -> None:
    with pytest.raises(ValueError, match="JSON"):
        document({"mean": float("nan")})
