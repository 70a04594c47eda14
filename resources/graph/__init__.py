"""The nouns of the graph store: edges with a validity interval, and walks over them."""
