"""What a collection stores is what its plan says, however sources change."""

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.diff import diff
from resources.metadata.catalogs import current_catalog
from resources.metadata.planned import apply_plan
from resources.metadata.plans import KnownAsset, Plan
from resources.metadata_store import MetadataStore
from resources.models import Catalog, Edge, Endpoint
from tests.collection.test_collection_diff import applied, catalogs

_numbers = itertools.count()
STEPS = st.lists(catalogs, min_size=1, max_size=4)


@settings(max_examples=40)
@given(looks=STEPS)
def test_the_store_does_what_the_plan_says(store: MetadataStore, looks: list[Catalog]) -> None:
    """The SQL against the model of `applied`, and its count of rows against the plan's."""
    endpoint = f"e{next(_numbers)}"
    store.register_endpoints([Endpoint(slug=endpoint, system="postgres")])
    model: list[KnownAsset] = []
    for turn, look in enumerate(looks):
        with store.session() as session:
            plan = diff(current_catalog(session, endpoint), moved_to(endpoint, look, str(turn)))
            collected = apply_plan(session, plan)
            model = applied(model, plan)
            found = current_catalog(session, endpoint)
        assert sorted(found, key=name_of) == sorted(model, key=name_of)
        assert collected.rows_written == size_of(plan) + 1


def moved_to(endpoint: str, look: Catalog, fingerprint: str) -> Catalog:
    def moved(key: CanonicalKey) -> CanonicalKey:
        return dataset_key(endpoint, source=key.source, schema=key.schema, table=key.table)

    return Catalog(
        endpoint=endpoint,
        fingerprint=fingerprint,
        assets=tuple(replace(asset, key=moved(asset.key)) for asset in look.assets),
        edges=frozenset(Edge(moved(edge.source), moved(edge.target)) for edge in look.edges),
        gaps=look.gaps,
    )


def size_of(plan: Plan) -> int:
    parts = (plan.created, plan.changed, plan.reopened, plan.closed)
    columns = (plan.fields_created, plan.fields_changed, plan.fields_reopened, plan.fields_closed)
    return sum(map(len, parts)) + sum(map(len, columns))


def name_of(known: KnownAsset) -> str:
    return known.name
