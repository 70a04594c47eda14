"""`graph locations` and `graph close-location`: which code locations are mirrored, and the end of one."""

from dataclasses import asdict

from metadata_assets.cli.context import Cli, person
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import facts, table
from metadata_assets.mirror.locations import close_location


def list_locations(cli: Cli) -> ExitCode:
    with cli.opened() as opened:
        found = opened.store.code_locations()
    rows = ([one.name, one.assets, one.edges, one.column_edges, one.changed_at] for one in found)
    columns = ["code location", "assets", "edges", "column edges", "last change"]
    human = table("Code locations", columns, rows) if found else "no code location is mirrored"
    cli.show([asdict(one) for one in found], human)
    return ExitCode.OK


def close(cli: Cli, name: str, *, dry_run: bool) -> ExitCode:
    with cli.opened(actor=person(), rehearsed=dry_run) as opened:
        closed = close_location(opened.store, opened.graph, name)
        others = [] if any(asdict(closed).values()) else [one.name for one in opened.store.code_locations()]
    answer = {"dry_run": dry_run, "code_location": name, **asdict(closed)}
    if not any(asdict(closed).values()):
        standing = f"; mirrored are {', '.join(others)}" if others else ""
        cli.show(answer, f"nothing of the code location {name} is open{standing}")
        return ExitCode.OK
    said = {
        "assets it spoke of": closed.assets,
        "closed, nobody else does": closed.assets_closed,
        "edges closed": closed.edges_closed,
        "column edges closed": closed.column_edges_closed,
        "active version": "retired" if closed.version_retired else None,
    }
    cli.show(answer, facts(f"{name}, would be closed" if dry_run else f"{name}, closed", said))
    return ExitCode.OK
