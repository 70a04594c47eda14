"""Run the benchmarks: `python -m benchmarks [--json] [NAME ...]`. Exit code 1 unless every gate is met for certain."""

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.report import Result

_COLOURS = {"ok": "green", "too slow": "red", "unclear": "yellow", "broken": "bold red"}


def main() -> int:
    """Run all benchmarks, or the named ones, and show what they found."""
    found = _benchmarks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios to limits of the same run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(found)}; all without one")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(found)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    results = [result for name in arguments.names or found for result in found[name]()]
    if arguments.json:
        print(json.dumps({"machine": _machine(), "results": [one.document() for one in results]}, indent=1))
    else:
        _show(results)
    return int(any(one.verdict != "ok" for one in results if one.at_most is not None or one.exact))


def _benchmarks() -> dict[str, Callable[[], list[Result]]]:
    """The modules of this package that can run, by name."""
    names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name: module.run for name, module in sorted(modules.items()) if hasattr(module, "run")}


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _show(results: list[Result]) -> None:
    machine = _machine()
    load = "/".join(map(str, machine["load"]))
    console = Console(width=max(Console().width, 130))
    table = Table(
        title="Benchmarks", caption=f"{machine['cpus']} CPUs, load {load}; medians of rounds, quartiles in []"
    )
    for column in ("case", "against"):
        table.add_column(column)
    for column in ("ms", "limit ms", "ratio", "passes at"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in results:
        low, high = one.quartiles
        table.add_row(
            f"{one.benchmark}: {one.case}",
            one.limit,
            f"{one.milliseconds:.2f}",
            f"{one.limit_milliseconds:.2f}",
            f"{one.ratio:.2f} \\[{low:.2f}..{high:.2f}]",
            "" if one.at_most is None else f"≤ {one.at_most:g}",
            f"[{_COLOURS[one.verdict]}]{one.verdict}",
        )
    console.print(table)
    for one in results:
        for count in one.exact:
            console.print(f"{one.benchmark}: {one.case}: {count.found} {count.what}, at most {count.at_most}")


if __name__ == "__main__":
    sys.exit(main())
