"""What an import costs: it grows with what the look says, and not with what it says times the endpoints it is about."""

from collections.abc import Iterator

from identity.keys import dataset_key
from resources.metadata.imports import Import
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Edge, Endpoint

ENDPOINTS = tuple(f"imported{number}" for number in range(20))


class Counted(frozenset[Edge]):
    """Edges that count how many of them were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[Edge]:
        for edge in super().__iter__():
            self.looked_at += 1
            yield edge


def test_each_edge_is_looked_at_once_however_many_endpoints_there_are(store: MetadataStore) -> None:
    tables = {one: [dataset_key(one, table=f"t{number}") for number in range(4)] for one in ENDPOINTS}
    edges = Counted(Edge(keys[0], key) for keys in tables.values() for key in keys[1:])
    look = Import(
        producer="counted",
        project="counted",
        endpoints=ENDPOINTS,
        assets=tuple(Asset(key=key, type=AssetType.TABLE) for keys in tables.values() for key in keys),
        described=frozenset(),
        edges=edges,
        new_endpoints=tuple(Endpoint(slug=one, system="postgres") for one in ENDPOINTS),
    )
    assert store.write_import(look).edges.opened == 3 * len(ENDPOINTS)
    assert edges.looked_at == len(edges)
    assert store.write_import(look).rows_written == 0
