"""What imports write, read back."""

from collections.abc import Callable

import psycopg
import pytest

Edges = Callable[[], dict[str, set[tuple[str, str]]]]


@pytest.fixture
def edges(metadata_url: str) -> Edges:
    """A function that tells the open edges by scope, by names of tables."""
    query = """
    SELECT r.scope, s.name, t.name FROM metadata.relationship r
    JOIN metadata.asset s ON s.asset_id = r.source_asset_id JOIN metadata.asset t ON t.asset_id = r.target_asset_id
    WHERE r.producer = 'dbt' AND r.valid_to IS NULL
    """

    def found() -> dict[str, set[tuple[str, str]]]:
        open_: dict[str, set[tuple[str, str]]] = {}
        with psycopg.connect(metadata_url) as connection:
            for scope, reader, read in connection.execute(query):
                open_.setdefault(scope, set()).add((reader, read))
        return open_

    return found
