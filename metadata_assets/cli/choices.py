"""Which datasets of a project a command is about: names, --select, --exclude, --state."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metadata_assets.spec import Dataset, Project

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Which datasets, as --select has them; all.", show_default=False),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        metavar="WHICH",
        help="Which datasets: +orders, orders+2, @orders, tag:x, group:x, kind:sql, owner:x, path:x, source:x, "
        "state:modified+; blanks join, commas intersect.",
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="WHICH", help="Which of these not, in the same words.", show_default=False),
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="FILE", help="A manifest to compare with, for state:….", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says about which datasets."""

    names: Sequence[str] | None
    select: Sequence[str] | None
    exclude: Sequence[str] | None
    state: Path | None

    def of(self, project: "Project") -> "tuple[Dataset, ...]":
        """The datasets of the project. Raises NotASelection, NothingSelected, ManifestUnusable."""
        from metadata_assets.spec.manifest import read_manifest
        from metadata_assets.spec.selecting import selected

        before = read_manifest(self.state) if self.state is not None else None
        return selected(project, [*(self.names or ()), *(self.select or ())], self.exclude or (), before)
