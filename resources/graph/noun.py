"""What every noun of the graph store has: transactions of one tenant, and what it takes to follow references."""

from dataclasses import dataclass, field

from identity.nodes import DEFAULT_MAX_DEPTH
from resources.graph.loaders import KeyLoaders, default_loaders
from resources.postgres.session import Sessions


@dataclass(frozen=True, slots=True)
class GraphNoun:
    """A part of the graph store.

    `max_depth` is how many identity nodes a reference may lead through; `loaders` know what is behind a key.
    """

    sessions: Sessions
    max_depth: int = DEFAULT_MAX_DEPTH
    loaders: KeyLoaders = field(default_factory=default_loaders)
