"""What the sources have: read their catalogs, find what changed, tell the store."""
