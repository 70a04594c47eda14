"""The whole graph in memory, 100,000 assets and 275,700 edges.

Limits, in the same run: the bare recursive statement over 20,000 of them; rustworkx in memory, which has the graph
already, as numbers.
"""

from collections.abc import Callable, Iterator
from functools import partial

import rustworkx

from benchmarks.lineage_graph import ASSETS, SIZES, Bench, filled, key
from benchmarks.report import Exact, Result, measured
from resources.graph.whole import WholeGraph
from resources.graph_store import GraphStore
from resources.models import Direction

BARE = "a bare recursive statement over 20,000"
RUST = "rustworkx in memory"
ROUNDS = 9
LOAD, HELD, WARM, IN_MEMORY = 5, 0.3, 0.3, 2
"""The most that loading, having it held and a closure in memory may take of the bare statement; what is asked in memory
of rustworkx, which tells numbers and no names. Of few assets, giving them their names takes as long as finding them."""


def run() -> list[Result]:
    """Loading and asking it; closures in memory; the mirror."""
    with filled() as bench:
        whole = bench.graph.whole()
        assert len(whole.nodes) == ASSETS
        return [*_asked(bench, whole), *_closures(bench, whole)]


def _asked(bench: Bench, whole: WholeGraph) -> Iterator[Result]:
    start = bench.store.entity(key(SIZES["huge"][0]))
    numbers = {name: number for number, name in enumerate(whole.nodes)}
    rust = _rust(whole, numbers)

    def fresh() -> Callable[[], object]:
        return partial(_everything, WholeGraph(whole.references, whole.types, whole.pairs))

    def rust_asked(graph: "rustworkx.PyDiGraph[int, None]") -> object:
        return (
            rustworkx.strongly_connected_components(graph),
            rustworkx.weakly_connected_components(graph),
            rustworkx.dag_longest_path(graph),
        )

    wrong = abs(len(whole.longest_chain()) - 1 - rustworkx.dag_longest_path_length(rust))
    exact = (Exact(what="steps of the longest chain more or less than rustworkx finds", found=wrong, at_most=0),)
    load, first, again = "load the whole graph", "ask it everything, the first time", "ask the same one again"
    held, made = "have it while nothing changes", "rustworkx in memory, made of the edges first"
    times = measured(
        {
            load: lambda: GraphStore(bench.store.sessions).whole,
            held: lambda: bench.graph.whole,
            first: fresh,
            again: lambda: partial(_everything, whole),
            BARE: lambda: bench.bare(start, "down"),
            RUST: lambda: partial(rust_asked, rust),
            made: lambda: lambda: rust_asked(_rust(whole, numbers)),
        },
        rounds=ROUNDS,
        calls=1,
    )
    yield times.result("whole_graph", load, BARE, at_most=LOAD)
    yield times.result("whole_graph", held, BARE, at_most=HELD)
    yield times.result("whole_graph", first, BARE)
    yield times.result("whole_graph", again, BARE)
    yield times.result("whole_graph", first, made, at_most=IN_MEMORY, exact=exact)
    yield times.result("whole_graph", first, RUST)
    yield times.result("whole_graph", again, RUST, at_most=IN_MEMORY)


def _everything(whole: WholeGraph) -> object:
    return (whole.circles(), whole.parts(), whole.longest_chain(), whole.unread(), whole.unmade(), whole.alone())


def _closures(bench: Bench, whole: WholeGraph) -> Iterator[Result]:
    """What is reached in the graph that is held, of each size; against the database, and against rustworkx."""
    names = list(whole.nodes)
    numbers = {name: number for number, name in enumerate(names)}
    rust = _rust(whole, numbers)
    for size, (first, count) in SIZES.items():
        ends: dict[Direction, int] = {"down": first, "up": first + count - 1}
        for direction, number in ends.items():
            name, entity = str(key(number)), bench.store.entity(key(number))
            find = rustworkx.descendants if direction == "down" else rustworkx.ancestors
            found = whole.reached(name, direction)
            theirs = {names[one] for one in find(rust, numbers[name])} | {name}
            ids = {node.id for node in bench.graph.lineage(entity, direction).things.values()}
            wrong = len(found ^ theirs) + abs(len(found) - len(ids)) + len(ids ^ set(bench.bare(entity, direction)()))
            case, bare = f"{direction} from a {size} one, in memory", "a bare recursive statement"
            times = measured(
                {
                    case: partial(_same, partial(whole.reached, name, direction)),
                    bare: partial(_same, bench.bare(entity, direction)),
                    RUST: partial(_same, partial(find, rust, numbers[name])),
                },
                rounds=ROUNDS,
                calls=3,
            )
            exact = (Exact(what="assets that another one finds, or not", found=wrong, at_most=0),)
            yield times.result("whole_graph", case, bare, at_most=WARM, exact=exact)
            yield times.result("whole_graph", case, RUST, at_most=None if len(found) < 100 else IN_MEMORY)


def _rust(whole: WholeGraph, numbers: dict[str, int]) -> "rustworkx.PyDiGraph[int, None]":
    graph: rustworkx.PyDiGraph[int, None] = rustworkx.PyDiGraph()
    graph.add_nodes_from(range(len(numbers)))
    graph.add_edges_from_no_data([(numbers[source], numbers[made]) for source, made in whole.edges])
    return graph


def _same(call: Callable[[], object]) -> Callable[[], object]:
    return call
