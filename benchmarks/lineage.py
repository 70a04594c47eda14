"""Lineage over 100,000 assets and 275,700 open edges, beside as many that are over.

The limits, in the same run, over one connection that is bound to its tenant in a transaction. Of `reached`: the bare
recursive statement that finds the ids. Of `lineage`, which also reads names, types and the edges between what it found:
one statement by hand that answers the same, as rows; and, for comparison, the bare one. As of a moment, the present
walk. What is found is compared with what these statements find.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from benchmarks.lineage_graph import SIZES, filled, key
from benchmarks.report import Exact, Result, measured
from identity.ids import Entity
from resources.models import Direction

THEN = datetime(2020, 7, 1, tzinfo=UTC)
IDS, PARTS, BARE_PARTS, PAST = 1.5, 1.5, 5, 2
"""The most that ids may take of the bare statement, named parts of the one by hand and of the bare one, and parts of
then of the present walk."""
LIMIT = 1_000


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
                rows = bench.by_hand(start, direction)()
                assert {(row[0], row[3]) for row in rows if row[3]} == set(found.pairs)
                assert {(row[0], row[1]) for row in rows} == {(one.id, one.text) for one in found.things.values()}
                exact = (Exact(what="ids that the bare statement has not, or alone", found=len(differing), at_most=0),)
                name = f"{direction} from a {size} one"
                part, past = f"{name}: {len(found.things):,} assets, {len(found.pairs):,} edges", f"{name}, then"
                ids, bare = f"{name}, ids alone", "a bare recursive statement"
                hand, cut = "one statement by hand, names and edges", f"{name}, the nearest {LIMIT:,}"
                cases = {
                    ids: partial(bench.graph.reached, start, direction),
                    part: bench.walked(start, direction),
                    past: bench.walked(start, direction, THEN),
                    cut: partial(bench.graph.lineage, start, direction, limit=LIMIT),
                    bare: bench.bare(start, direction),
                    hand: bench.by_hand(start, direction),
                }
                times = measured(
                    {name: partial(_same, call) for name, call in cases.items()},
                    rounds=9,
                    calls=1 if len(found.things) > 10_000 else 5,
                )
                results += [
                    times.result("lineage", ids, bare, at_most=IDS, exact=exact),
                    times.result("lineage", part, hand, at_most=PARTS),
                    times.result("lineage", part, bare, at_most=BARE_PARTS),
                    *([times.result("lineage", cut, bare)] if len(found.things) > LIMIT else []),
                    times.result("lineage", past, part, at_most=PAST),
                ]
    return results


def _same(call: Callable[[], object]) -> Callable[[], object]:
    return call
