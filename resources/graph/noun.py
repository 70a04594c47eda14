"""What every noun of the graph store has: transactions of one tenant, and what it takes to follow references."""

from dataclasses import dataclass, field

from identity.nodes import DEFAULT_MAX_DEPTH, FARTHEST
from resources.graph.given import number
from resources.graph.loaders import KeyLoaders, default_loaders
from resources.postgres.session import Sessions


@dataclass(frozen=True, slots=True)
class GraphNoun:
    """A part of the graph store.

    `max_depth` is how many identity nodes a reference may lead through when it is read, 0 to 1,000; `loaders` know what
    is behind a key. Raises InvalidInput.
    """

    sessions: Sessions
    max_depth: int = DEFAULT_MAX_DEPTH
    loaders: KeyLoaders = field(default_factory=default_loaders)

    def __post_init__(self) -> None:
        number("max_depth", self.max_depth, least=0, most=FARTHEST)
