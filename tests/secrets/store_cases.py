"""What is done to a store with a text that has a password in it, for every method that takes a text."""

import uuid
from collections.abc import Callable, Iterator, Mapping

from store_doings import (
    HOUR,
    Doing,
    World,
    assets,
    collections,
    columns_materialized,
    columns_told,
    commits,
    edges,
    endpoint,
    evaluations,
    explanations,
    facets_wanted,
    files,
    imports,
    invalidations,
    known,
    lease,
    leases,
    lineage,
    merges,
    new_number,
    nodes_changed,
    nodes_made,
    pins,
    profiles,
    ran,
    renames,
    results,
    stagings,
    versions,
    waits,
)

from resources.metadata.legacy_names import LegacyRow
from resources.models import AssetType, Endpoint

CASES: Mapping[str, Callable[[World, str], Iterator[Doing]]] = {
    "MetadataStore.commit": commits,
    "MetadataStore.commit_and_publish": commits,
    "MetadataStore.open_staging": stagings,
    "MetadataStore.lease": stagings,
    "MetadataStore.begin_step_reading": lambda w, text: iter(
        [lambda: w.store.begin_step_reading([], {w.key("one"): [text]})]
    ),
    "MetadataStore.stored_last": lambda w, text: iter(
        [lambda: w.store.stored_last([text], [], w.store.entity(w.key("one")), [text])]
    ),
    "MetadataStore.take_back": lambda w, text: iter([lambda: w.store.take_back(text, [])]),
    "MetadataStore.begin_step": lambda w, text: iter([lambda: w.store.begin_step([], w.key("one"), [text])]),
    "MetadataStore.read": lambda w, text: iter(
        [lambda: w.store.read(w.key("one"), storages=files, partitions=[text]),
         lambda: w.store.read(w.key("one"), storages=files, at=text), lambda: w.store.read(text, storages=files)]
    ),
    "MetadataStore.record_checks": results,
    "MetadataStore.settle_checks": evaluations,
    "MetadataStore.await_checks": waits,
    "MetadataStore.examined": waits,
    "MetadataStore.rename": renames,
    "MetadataStore.merge": merges,
    "MetadataStore.unmerge": merges,
    "MetadataStore.publish": lambda w, text: iter([lambda: w.store.publish([uuid.uuid4()], key=text)]),
    "MetadataStore.register_assets": lambda w, text: iter([lambda: w.store.register_assets(assets(w, text))]),
    "MetadataStore.write_import": imports,
    "MetadataStore.record_columns": columns_told,
    "MetadataStore.record_materialized_columns": columns_materialized,
    "MetadataStore.record_events": lineage,
    "MetadataStore.refuse_events": lineage,
    "MetadataStore.with_facets": facets_wanted,
    "MetadataStore.runs_with_facets": facets_wanted,
    "MetadataStore.told_runs": lambda w, text: iter([lambda: list(w.store.told_runs(runs=[text]))]),
    "MetadataStore.register_datasets": lambda w, text: iter(
        [lambda: w.store.register_datasets([(one, "manually") for one in assets(w, text)])]
    ),
    "MetadataStore.record_profiles": lambda w, text: iter([lambda: w.store.record_profiles(profiles(w, text))]),
    "MetadataStore.register_endpoints": lambda w, text: iter(
        [
            lambda: w.store.register_endpoints([Endpoint(slug="shop", system=text, attributes={"root": text})]),
            lambda: w.store.register_endpoints([Endpoint(slug=text, system="postgres")]),
            lambda: w.store.endpoints(),
        ]
    ),
    "MetadataStore.endpoint": lambda w, text: iter([lambda: w.store.endpoint(text)]),
    "MetadataStore.catalog_fingerprint": lambda w, text: iter([lambda: w.store.catalog_fingerprint(text)]),
    "MetadataStore.known_catalog": lambda w, text: iter([lambda: w.store.known_catalog(text)]),
    "MetadataStore.resolve": lambda w, text: iter(
        [lambda: w.store.resolve(text), lambda: w.store.resolve(f"e/{text}"), lambda: w.store.resolve(f"mid1:{text}")]
    ),
    "MetadataStore.thing": lambda w, text: iter(
        [lambda: w.store.thing(text), lambda: w.store.thing(f"e/{text}"), lambda: w.store.thing(f"mid1:{text}")]
    ),
    "MetadataStore.check_destination": lambda w, text: iter([lambda: w.store.check_destination(text)]),
    "MetadataStore.sources_at": lambda w, text: iter([lambda: w.store.sources_at(text)]),
    "MetadataStore.current": lambda w, text: iter([lambda: w.store.current(w.key("one"), [text])]),
    "MetadataStore.rollback": versions,
    "MetadataStore.retract": versions,
    "MetadataStore.release": versions,
    "MetadataStore.publish_by_hand": versions,
    "MetadataStore.unpublished": versions,
    "MetadataStore.released_in": versions,
    "MetadataStore.version_at": versions,
    "MetadataStore.pin": pins,
    "MetadataStore.unpin": pins,
    "MetadataStore.read_at_pin": pins,
    "MetadataStore.invalidate": invalidations,
    "MetadataStore.why_stale": invalidations,
    "MetadataStore.explain_partition": explanations,
    "MetadataStore.explain_version": explanations,
    "MetadataStore.materializations_with": lambda w, text: iter(
        [lambda: w.store.materializations_with(text), lambda: w.store.materializations_with("note", text),
         lambda: w.store.materializations_with("note", dataset=w.key("one"), partition=text)]
    ),
    "MetadataStore.materializations": lambda w, text: iter(
        [lambda: w.store.materializations(w.key("one"), partition=text)]
    ),
    "MetadataStore.import_legacy": lambda w, text: iter(
        [lambda: w.store.import_legacy([LegacyRow(1, text, "s.one")]).refused[0].error.facts,
         lambda: w.store.import_legacy([LegacyRow(1, f"7-{new_number()}", text)]).refused[0].error.facts,
         lambda: w.store.import_legacy([LegacyRow(1, f"8-{new_number()}", str(w.key("two")))], reason=text)]
    ),
    "MetadataStore.register_endpoint_as": lambda w, text: iter(
        [lambda: w.store.register_endpoint_as(text, "jfk"), lambda: w.store.register_endpoint_as("provisional", text),
         lambda: w.store.register_endpoint_as(f"postgresql_p{new_number()}", endpoint(w), reason=text)]
    ),
    "MetadataStore.start_attempt": leases,
    "MetadataStore.heartbeat": lambda w, text: iter([lambda: w.store.heartbeat(lease(w, text), HOUR)]),
    "MetadataStore.complete": lambda w, text: iter([lambda: w.store.complete(lease(w, text), [w.staged()], {})]),
    "MetadataStore.fail": lambda w, text: iter([lambda: w.store.fail(lease(w, text), text, text)]),
    "MetadataStore.record_runs": ran,
    "MetadataStore.mirror_position": lambda w, text: iter([lambda: w.store.mirror_position(text)]),
    "MetadataStore.unfinished_runs": lambda w, text: iter([lambda: w.store.unfinished_runs(text)]),
    "MetadataStore.run": lambda w, text: iter([lambda: w.store.run(text)]),
    "MetadataStore.retire_dag": lambda w, text: iter([lambda: w.store.retire_dag(text)]),
    "MetadataStore.activate_dag": lambda w, text: iter([lambda: w.store.activate_dag(text, b"x" * 32, {text: text})]),
    "MetadataStore.dag_versions": lambda w, text: iter([lambda: w.store.dag_versions(text)]),
    "MetadataStore.unregister_endpoint_as": lambda w, text: iter(
        [lambda: w.store.unregister_endpoint_as(text), lambda: w.store.unregister_endpoint_as(known(w), reason=text)]
    ),
    "MetadataStore.registered_endpoint": lambda w, text: iter([lambda: w.store.registered_endpoint(text)]),
    "MetadataStore.joined": lambda w, text: iter([lambda: w.store.joined(text, [w.key("one")], place=text)]),
    "MetadataStore.check_lease": lambda w, text: iter(
        [lambda: w.store.check_lease(w.store.entity(w.key("one")).id, text, uuid.uuid4(), "lake:a/b"),
         lambda: w.store.check_lease(w.store.entity(w.key("one")).id, None, uuid.uuid4(), text)]
    ),
    "MetadataStore.located_on": lambda w, text: iter([lambda: w.store.located_on(text)]),
    "MetadataStore.located_lately": lambda w, text: iter([lambda: w.store.located_lately(text)]),
    "MetadataStore.names": lambda w, text: iter([lambda: w.store.names([text])]),
    "GraphStore.create_identity": nodes_made,
    "GraphStore.update_identity": nodes_changed,
    "GraphStore.retype": lambda w, text: iter(
        [lambda: w.graph.retype(w.key("one"), w.key("two"), reason=text),
         lambda: w.graph.retype(w.key("two"), w.key("one"), new_type=AssetType.VIEW, reason=text)]
    ),
    "GraphStore.create_collection": collections,
    "GraphStore.collection": lambda w, text: iter([lambda: w.graph.collection(text)]),
    "GraphStore.delete_collection": lambda w, text: iter([lambda: w.graph.delete_collection(text)]),
    "GraphStore.items": lambda w, text: iter([lambda: w.graph.items(text)]),
    "GraphStore.preview_collection": lambda w, text: iter([lambda: w.graph.preview_collection(text)]),
    "GraphStore.add_items": lambda w, text: iter([lambda: w.graph.add_items(text, [w.key("one")])]),
    "GraphStore.remove_items": lambda w, text: iter([lambda: w.graph.remove_items(text, [w.key("one")])]),
    "GraphStore.move_item": lambda w, text: iter([lambda: w.graph.move_item(text, w.key("one"), 0)]),
    "GraphStore.assert_edges": edges,
}  # fmt: skip
