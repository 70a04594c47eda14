"""What only all datasets together can get wrong: circles, and names that Dagster could not tell apart."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from identity.keys import CanonicalKey, short_name
from metadata_assets.spec.entries import Entry, Known
from metadata_assets.spec.problems import Problem
from metadata_assets.spec.project import Dataset, asset_key

if TYPE_CHECKING:
    import networkx as nx


def one_name_each(datasets: Iterable[Dataset], known: Known) -> Iterator[Problem]:
    """Dagster names a dataset by endpoint, schema and table; an input must not share that name with another dataset."""
    first: dict[str, CanonicalKey] = {asset_key(key).to_user_string(): key for key in known.keys}
    for dataset in datasets:
        for dependency in dataset.depends_on:
            other = first.setdefault(asset_key(dependency.key).to_user_string(), dependency.key)
            if other != dependency.key:
                reason = f"{dependency.key} would have the same name in Dagster as {other}"
                yield Problem(dependency.at, "depends_on", reason, "rename one of the tables, or depend on a view")


def circles(datasets: Mapping[CanonicalKey, Dataset], known: Known) -> Iterator[Problem]:
    """Datasets that need themselves."""
    needed = {
        dataset.key: [dependency.key for dependency in dataset.depends_on if dependency.key in datasets]
        for dataset in datasets.values()
    }
    try:
        TopologicalSorter(needed).prepare()
    except CycleError:
        yield from _circles(needed, known)


def _circles(needed: Mapping[CanonicalKey, Collection[CanonicalKey]], known: Known) -> Iterator[Problem]:
    import networkx as nx  # whoever has no circle need not wait for it

    graph = nx.DiGraph((key, dependency) for key, dependencies in needed.items() for dependency in dependencies)
    for circle in nx.strongly_connected_components(graph):
        start = min(circle)
        if len(circle) > 1 or graph.has_edge(start, start):
            yield _circle_problem(known.keys[start], _around(graph.subgraph(circle), start))


def _around(graph: "nx.DiGraph[CanonicalKey]", start: CanonicalKey) -> list[CanonicalKey]:
    """The shortest way from start back to start."""
    import networkx as nx

    ways = [nx.shortest_path(graph, follower, start) for follower in sorted(graph.successors(start))]
    return [start, *min(ways, key=len)]


def _circle_problem(entry: Entry, way: Sequence[CanonicalKey]) -> Problem:
    names = " -> ".join(short_name(key) for key in way)
    return entry.problem(("depends_on",), f"it depends on itself: {names}", "take one of these dependencies out")
