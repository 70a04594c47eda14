"""What breaks if a thing goes: what was really made from it counts, whatever the open edges say."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from graphs import Graph
from store_inputs import Lake

from resources.graph.given import InvalidInput
from resources.impacts import Impact
from resources.models import Read


def written(lake: Lake, name: str, partition: str | None, *reads: Read) -> UUID:
    """Materialize and publish a partition because of a new intent."""
    intent = f"{name} {partition} {len(lake.store.materializations(lake.key(name)))}"
    (one,) = lake.commit(lake.staged(name, partition, intent=intent), reads={partition: reads})
    lake.store.publish([one.materialization_id])
    return one.materialization_id


def read(lake: Lake, name: str, *partitions: str | None) -> Sequence[Read]:
    return [
        Read(asset=lake.entity(name), partition=one.partition, materialization_id=one.materialization_id, version=1)
        for one in lake.store.current(lake.key(name), partitions or [None])
    ]


def made(found: Impact) -> list[tuple[str, int, int]]:
    """The name of each, how many steps it is away, and how many of its partitions are made from the thing."""
    return [(one.key.table, one.steps, one.partitions_made) for one in found.made]


def test_what_was_made_from_it_is_told_when_the_edge_is_closed(lake: Lake) -> None:
    """`delays` does not read the weather any more; the month that readers get was made from one that did."""
    lake.datasets("weather", "flights", "delays", "month")
    written(lake, "weather", None)
    written(lake, "flights", None)
    written(lake, "delays", None, *read(lake, "weather"))
    written(lake, "month", None, *read(lake, "delays"))
    written(lake, "delays", None, *read(lake, "flights"))
    found = lake.store.impact(lake.key("weather"))
    assert Graph(lake).nodes("weather", "down") == {"weather"}
    stale = lake.store.stale() if lake.store.invalidate(lake.key("weather"), None, reason="r") else []
    ours = [one.key.table for one in stale if one.key.endpoint == lake.endpoint]
    assert sorted(ours) == ["month", "weather"]
    assert (made(found), found.readers, found.count, found.cut) == ([("month", 2, 1)], (), 1, ())


def test_who_reads_it_is_told_when_the_edge_is_closed_and_so_is_what_follows(lake: Lake) -> None:
    lake.datasets("weather", "delays")
    written(lake, "weather", None)
    written(lake, "delays", None, *read(lake, "weather"))
    graph = Graph(lake)
    graph.told("report<delays")
    scope = str(lake.entity("delays").id)
    graph.store.assert_edges([], producer="materialization", scope=scope, complete=True)
    found = lake.store.impact(lake.key("weather"))
    assert made(found) == [("delays", 1, 1), ("report", 2, 0)]
    assert [(one.key.table, one.partitions) for one in found.readers] == [("delays", 1)]


def test_partitions_are_looked_at_once_however_many_they_read(lake: Lake) -> None:
    days = [f"day {number}" for number in range(5)]
    lake.datasets("weather", "delays", "month")
    for day in days:
        written(lake, "weather", day)
    for day in days:
        written(lake, "delays", day, *read(lake, "weather", *days))
    written(lake, "month", None, *read(lake, "delays", *days))
    for within, of_delays, cut in ((5, 5, ()), (4, 5, ("partitions", "readers"))):
        found = lake.store.impact(lake.key("weather"), within=within)
        assert (made(found), found.cut) == ([("delays", 1, of_delays), ("month", 2, 1)], cut)
        assert [one.partitions for one in found.readers] == [5]
    with pytest.raises(InvalidInput, match="within"):
        lake.store.impact(lake.key("weather"), within=0)
