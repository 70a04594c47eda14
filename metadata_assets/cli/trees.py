"""A graph drawn as a tree, for people."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.text import Text
from rich.tree import Tree

N = TypeVar("N", bound=Hashable)

DEEPEST = 30
"""Levels drawn: deeper ones have no room on a screen."""


@dataclass(frozen=True, slots=True)
class Branch(Generic[N]):
    """What hangs below a node. Without a `node` nothing hangs below it in turn, and it may be there many times."""

    label: Text
    node: N | None = None


def draw(start: N, label: Text, below: Callable[[N], Iterable[Branch[N]]]) -> Tree:
    """The tree of everything that `below` leads to. A node is drawn in full the first time and referred to later.

    Ends for a graph with circles, and for a chain of any length.
    """
    tree = Tree(label, guide_style="dim")
    seen = {start}
    path = [(tree, iter(below(start)))]
    while path:
        parent, rest = path[-1]
        branch = next(rest, None)
        if branch is None:
            path.pop()
        elif branch.node is None:
            parent.add(branch.label)
        elif branch.node in seen:
            parent.add(branch.label.append("  (shown above)", style="dim not bold"))
        elif len(path) == DEEPEST:
            parent.add(branch.label.append("  … and deeper", style="dim not bold"))
        else:
            seen.add(branch.node)
            path.append((parent.add(branch.label), iter(below(branch.node))))
    return tree
