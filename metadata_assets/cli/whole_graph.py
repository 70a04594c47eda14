"""`graph check`: what can be said of the whole graph."""

from collections.abc import Mapping, Sequence

from rich.console import RenderableType

from identity.keys import CanonicalKey, short_name
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.moments import moment
from metadata_assets.cli.output import facts, table
from resources.graph.whole import WholeGraph


def check_graph(cli: Cli, *, limit: int, as_of: str | None) -> ExitCode:
    at = None if as_of is None else moment(as_of)
    with cli.opened() as opened:
        whole = opened.graph.whole(at=at)
    answer, human = checked(whole, limit)
    cli.show(answer, *human)
    return ExitCode.OK


def checked(whole: WholeGraph, limit: int) -> tuple[dict[str, object], list[RenderableType]]:
    """The answer as a document, and as people read it."""
    circles, parts, chain = whole.circles(), whole.parts(), whole.longest_chain()
    ends = {"unread": whole.unread(), "unmade": whole.unmade(), "alone": whole.alone()}
    lists: dict[str, Sequence[object]] = {"circles": circles, "parts": parts, **ends}
    answer: dict[str, object] = {
        "assets": len(whole.nodes),
        "edges": len(whole.edges),
        **({} if whole.at is None else {"as_of": whole.at}),
        "circles": circles[:limit],
        "parts": [{"assets": len(part), "first": part[:limit]} for part in parts[:limit]],
        "longest_chain": chain,
        **{name: {"count": len(keys), "first": keys[:limit]} for name, keys in ends.items()},
        "gone": _gone(whole, [*circles[:limit], chain, *(part[:limit] for part in parts[:limit])], ends, limit),
        "cut": [name for name, found in lists.items() if len(found) > limit],
    }
    said = {
        "assets": len(whole.nodes),
        "edges": len(whole.edges),
        "as of": whole.at,
        "circles": len(circles),
        "connected parts": len(parts),
        "longest chain": f"{max(len(chain) - 1, 0):,} steps",
        **{_MEANINGS[name]: len(keys) for name, keys in ends.items()},
    }
    human: list[RenderableType] = [facts("The whole graph", said)]
    if circles:
        human += [
            "",
            table("Circles", ["each made from the one before"], ([_way(whole, [*c, c[0]])] for c in circles[:limit])),
        ]
    if parts:
        rows = ([len(part), _named(whole, part[0])] for part in parts[:limit])
        human += ["", table("Connected parts", ["assets", "the first of them"], rows)]
    if chain:
        human += [
            "",
            table("Longest chain", ["each made from the one before"], ([_named(whole, key)] for key in chain)),
        ]
    for name, keys in ends.items():
        if keys:
            rows = ([_named(whole, key), whole.nodes[key].lower().replace("_", " ")] for key in keys[:limit])
            human += ["", table(_MEANINGS[name].capitalize(), ["name", "type"], rows)]
    if answer["cut"]:
        human += ["", f"only the first {limit:,} of each are shown: --limit {limit * 10}"]
    return answer, human


_MEANINGS = {"unread": "nobody reads", "unmade": "made from nothing known", "alone": "without an edge"}


def _gone(whole: WholeGraph, told: Sequence[Sequence[str]], ends: Mapping[str, Sequence[str]], limit: int) -> list[str]:
    """Which of all that is listed is gone."""
    listed = {one for some in (*told, *(found[:limit] for found in ends.values())) for one in some}
    return sorted(listed & whole.gone.keys())


def _named(whole: WholeGraph, reference: str) -> str:
    key = whole.gone.get(reference, reference)
    name = short_name(CanonicalKey.parse(key))
    return (
        name if reference not in whole.gone else f"{name} (gone)" if key == reference else f"{name} (gone, {reference})"
    )


def _way(whole: WholeGraph, references: Sequence[str]) -> str:
    return " → ".join(_named(whole, one) for one in references)
