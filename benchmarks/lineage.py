"""Lineage over 100,000 assets and 275,700 open edges, beside as many that are over.

The limit, in the same run: the bare recursive statement that finds the ids, over one connection that is bound to its
tenant in a transaction. `reached` tells these ids; `lineage` also reads names, types and the edges between what it
found. As of a moment, the present walk. What is found is compared with what the bare statement finds.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from benchmarks.lineage_graph import SIZES, filled, key
from benchmarks.report import Exact, Result, measured
from identity.ids import Entity
from resources.models import Direction

THEN = datetime(2020, 7, 1, tzinfo=UTC)
IDS, PARTS, PAST = 1.5, 8, 2
"""The most that ids, named parts and parts of then may take of the bare statement, or of the present walk."""


def run() -> list[Result]:
    """Both directions of three sizes."""
    results: list[Result] = []
    with filled() as bench:
        for size, (first, count) in SIZES.items():
            ends: dict[Direction, Entity] = {
                "down": bench.store.entity(key(first)),
                "up": bench.store.entity(key(first + count - 1)),
            }
            for direction, start in ends.items():
                found = bench.graph.lineage(start, direction)
                then = bench.graph.lineage(start, direction, at=THEN)
                bare_ids = set(bench.bare(start, direction)())
                differing = bare_ids ^ found.things.keys()
                differing |= bare_ids ^ bench.graph.reached(start, direction)
                differing |= bare_ids ^ then.things.keys()
                assert found.pairs == then.pairs
                exact = (Exact(what="ids that the bare statement has not, or alone", found=len(differing), at_most=0),)
                name = f"{direction} from a {size} one"
                part, past = f"{name}: {len(found.things):,} assets, {len(found.pairs):,} edges", f"{name}, then"
                ids, bare = f"{name}, ids alone", "a bare recursive statement"
                cases = {
                    ids: partial(bench.graph.reached, start, direction),
                    part: bench.walked(start, direction),
                    past: bench.walked(start, direction, THEN),
                    bare: bench.bare(start, direction),
                }
                times = measured(
                    {name: partial(_same, call) for name, call in cases.items()},
                    rounds=9,
                    calls=1 if len(found.things) > 10_000 else 5,
                )
                results += [
                    times.result("lineage", ids, bare, at_most=IDS, exact=exact),
                    times.result("lineage", part, bare, at_most=PARTS),
                    times.result("lineage", past, part, at_most=PAST),
                ]
    return results


def _same(call: Callable[[], object]) -> Callable[[], object]:
    return call
