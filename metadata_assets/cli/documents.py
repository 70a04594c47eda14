"""The shape of what each command prints with --json. Field names are a promise to scripts; tests hold them to it.

`{a, b: [{c}]}` is an object whose field `b` is a list of objects with the field `c`.
"""

_COUNTS = "{new, changed, reopened, closed, unchanged, renamed}"
_CURRENT = "{partition, version, materialization, location, rows, data_version}"
_MATERIALIZATION = (
    "id, name, key, partition, committed_at, rows, bytes, location, manifest_sha256, data_version, code_version, "
    "intent, run, step, attempt, actor, published_in, current, redeliveries, metadata"
)
_INPUT = "{name, key, partition, materialization, version, metadata}"

DEV = "{url, pid, project, home}"
DEMO = "what the project's demo prints"
BEGUN = "{project, name, written}"
VALIDATED = "{name, endpoints, datasets, selects, sources}"
COMPILED = (
    "[{name, key, computed_by, sql, code_version, publish, partitions, depends_on: [{name, key, partitions, missing}], "
    "columns: [{name, type, from: [{name, key, column}]}], problem}]"
)
SCHEMA = "the schema; with --write `{written}`"
RAN = (
    "{success, runs: [{run, success, partitions}], datasets: [{name, key, status, run, partitions, rows, seconds, "
    "failed_checks, not_published, reason}]}"
)
PARTITIONS_ADDED = "{name, added, datasets}"
PARTITIONS = "[{name, partitions, datasets}]"
COLLECT = (
    f"{{rows_written, endpoints: [{{endpoint, complete, rows_written, assets: {_COUNTS}, columns: {_COUNTS}, "
    "edges: {opened, closed}, changes: [{name, key, column, kind, breaking, before, after}], gaps: [{name, reason}], "
    "fingerprint, profiles: [{name, key, rows, sampled, columns: [{name, nulls, distinct, least, greatest}]}], "
    "not_profiled: [{name, reason}], error}]}"
)
DBT_IMPORTED = (
    "{dry_run, project, adapter, schema_version, endpoints: [{endpoint, scope}], assets, columns, tests, "
    "edges: {total, opened, closed}, taken_back, rows_written, complete, gaps: [{name, reason}]}"
)
EVENTS_IMPORTED = (
    "{dry_run, events, rows_written, runs, assets, datasets, facets, edges, columns, column_edges, cut, refused, "
    "first: [{place, error, reason}]}"
)
EVENTS_REFUSED = "[{id, place, error, reason, tries, first_at, last_at, characters, text}]"
EVENTS_EXPORTED = "[{eventType, eventTime, run, job, inputs, outputs, producer, schemaURL}]"
DATASETS = "[{name, key, type, publish, version, partitions, rows, materializations, updated_at}]"
DATASET = (
    "{name, key, type, description, metadata, columns: [{name, type, nullable, position, metadata}], closed_at, id, "
    f"name_taken, publish, version, kind, reason, release, restored, materializations, partitions: [{_CURRENT}], "
    "made_from, makes}"
)
MATERIALIZATIONS = f"[{{{_MATERIALIZATION}}}]"
MATERIALIZATION = f"{{start, materializations: [{{{_MATERIALIZATION}, inputs: [{_INPUT}]}}]}}"
VERSIONS = "[{version, published_at, partitions_changed, partitions, rows, actor, kind, reason, release, restored}]"
_PARTS = "datasets: [{name, key, version, published: [{partition, materialization}]}]"
_BEHIND = "behind: [{name, endpoint, message}]"
PUBLISHED = f"{{dry_run, {_PARTS}, refused: [{{name, partition, materialization, why, checks}}], {_BEHIND}}}"
RELEASED = f"{{dry_run, release, replayed, {_PARTS}, {_BEHIND}}}"
RELEASES = "[{release, versions: [{name, key, version}], reason, actor, released_at}]"
ROLLED_BACK = f"{{dry_run, name, key, was, version, restored, partitions_changed, replayed, {_BEHIND}}}"
RETRACTED = f"{{dry_run, materialization, name, key, partition, version, reason, actor, at, {_BEHIND}}}"
_PIN = (
    "name, state, versions: [{name, key, version}], reason, created_by, created_at, expires_at, removed_at, removed_by"
)
PINNED = f"{{dry_run, replayed, {_PIN}}}"
UNPINNED = "{dry_run, name, removed}"
PINS = f"[{{{_PIN}}}]"
_STALE = "name, key, partition, materialization, reason, actor, at, cause"
INVALIDATED = f"{{dry_run, invalidation, stale: [{{{_STALE}}}]}}"
STALE = f"[{{{_STALE}}}]"
_RUN = (
    "run, job, status, source, code_location, dag_version, started_at, ended_at, steps, attempts, failures, lost, "
    "failure_class, failure_reason, tags"
)
_ATTEMPT = (
    "id, attempt, status, owner, epoch, heartbeat_at, expires_at, started_at, ended_at, failure_class, failure_reason"
)
RUNS = f"[{{{_RUN}}}]"
RUN = f"{{{_RUN}, tasks: [{{step, attempts: [{{{_ATTEMPT}}}]}}]}}"
_PIN_FACTS = "{name, version, state, created_by, expires_at, reason}"
_VERSION_FACTS = "version, kind, by, at, reason, restored, release"
_SIBLINGS = "{count, more, first: [{name, partition, materialization}]}"
_EXPLAINED_RUN = (
    "{run, source, job, status, code_location, dag_version, dag_sha256, started_at, ended_at, failure_class, "
    "failure_reason, tags}"
)
_EXPLAINED_INPUT = (
    "{name, key, partition, materialization, version, metadata, is_current, current_materialization, current_version, "
    "retracted}"
)
_CHECKS = "{awaited, waiting, failed, latest: [{name, passed, blocking, severity, description, run, by, at, metadata}]}"
_HAD = f"{{since: {{{_VERSION_FACTS}}}, until: {{{_VERSION_FACTS}}}, replaced_by}}"
_STALE = "{name, partition, materialization, invalidation, cause, reason, by, at}"
_MADE = (
    f"{{{_MATERIALIZATION}, fenced, produced_by: {_EXPLAINED_RUN}, attempts: [{{{_ATTEMPT}}}], "
    f"inputs: {{count, changed, more, first: [{_EXPLAINED_INPUT}]}}, "
    f"outputs: {_SIBLINGS}, checks: {_CHECKS}, had: [{_HAD}], "
    f"retraction: {{version, reason, by, at}}, stale: [{_STALE}], collected, collected_at, pins: [{_PIN_FACTS}], "
    f"readers: {_SIBLINGS}}}"
)
_CHANGED = f"{{{_VERSION_FACTS}, is_present, partitions_changed, changed: [{{partition, now, before}}], "
EXPLAINED = (
    f"{{happened, name, key, partition, publish, present_version, made: {_MADE}, "
    f"version: {_CHANGED}pins: [{_PIN_FACTS}]}}, "
    "deliveries: [{materialization, run, committed_at, published_in, current, retracted, collected, failed, "
    "waiting, fenced}], "
    f"tried: [{{run, step, job, run_status, run_failure, partition, {_ATTEMPT}}}], steps, "
    "remedies: [{action, command, effect}], "
    "refused: [{action, version, why}], cut: [{what, shown}]}"
)
_NODES = "nodes: [{key, name, type, id, closed_at, name_taken}], edges: [{source, target}]"
LINEAGE = f"{{start, direction, more, next, {_NODES}}}"
PATHS = f"{{from, to, steps, paths, more, {_NODES}}}"
GRAPH = (
    "{assets, edges, circles, parts: [{assets, first}], longest_chain, unread: {count, first}, unmade: {count, first}, "
    "alone: {count, first}, gone, cut}"
)
LOCATIONS = "[{name, assets, edges, column_edges, changed_at}]"
LOCATION_CLOSED = "{dry_run, code_location, assets, assets_closed, edges_closed, column_edges_closed, version_retired}"
_AFFECTED = "name, key, type, steps, version, published_at, partitions, partitions_made"
IMPACT = (
    f"{{{_AFFECTED}, count, made: [{{{_AFFECTED}}}], readers: [{{name, key, partitions, read_at, run, job}}], "
    "pins: [{pin, name, key, version, state, created_by, created_at}], "
    "releases: [{release, name, key, version, actor, released_at}], "
    "collections: [{slug, title, reference, key}], cut}"
)
COLUMN_LINEAGE = "{start, columns, direction, nodes: [{key, name, dataset, column}], edges: [{source, target}]}"
COLUMN_IMPACT = "{name, key, gone, count, datasets: [{name, key}], made: [{name, key, dataset, column, steps}], cut}"
SEARCHED = "{hits: [{name, id, key, type, closed_at, name_taken}], next}"
SEARCHED_RUNS = "{hits: [{run, job, status, started_at, ended_at}], next}"
MIGRATE = "{before, after, changed, tenant}"
DOCTOR = "{healthy, findings: [{part, status, detail, fix}]}"
CLEAN = "{removed}"
GC = (
    "{dry_run, abandoned, replaced, runs, files, bytes, gone: [{why, location, files, bytes}], "
    "away: [{endpoint, message}], left: [{location, message}], history: {profiles, facets, refused_events}}"
)

_ALIAS = "name, key, kind, from, to, actor, reason, change"
IDENTITY = f"{{name, key, id, asked, as_of, closed_at, name_taken, names: [{{{_ALIAS}}}], similar}}"
REGISTERED = "{dry_run, slug, endpoint, is_new}"
UNREGISTERED = "{dry_run, slug, endpoint}"
RENAMED = "{dry_run, renamed: [{id, was, now, was_key, now_key}]}"
MERGED = "{dry_run, merge, loser, winner}"
UNMERGED = "{dry_run, merge, id, name}"
KEY = "{key, kind, endpoint, segments, id, key_sha256, names: {datahub, openmetadata, atlas}}"
NAMES = (
    "{catalog, names: [{name, key, type, there}], conflicts: [{keys, names: [{type, there}]}], "
    "refused: [{what, problem}], one_way}"
)
IMPORTED = (
    "{dry_run, linked, already, ambiguous: [{line, legacy_id, reference, candidates}], "
    "unknown: [{line, legacy_id, reference}], taken: [{line, legacy_id, meant}], refused: [{line, problem}]}"
)

_EDGES = "edges: {opened, closed}"
REFERENCE = "{reference, target}"
NODES = "[{reference, target, version, metadata, created_by, created_at, updated_at}]"
RETARGETED = f"{{reference, target, {_EDGES}}}"
RETYPED = f"{{old, new, identities, type_changed, {_EDGES}}}"
UNLINKED = f"{{source, target, type, removed, {_EDGES}}}"
LINKED = f"{{source, target, type, {_EDGES}}}"
_COLLECTION = "slug, name, kind, description, items, raw_keys, version, updated_at"
COLLECTION = f"{{{_COLLECTION}}}"
COLLECTIONS = f"[{COLLECTION}]"
COLLECTION_ITEMS = (
    "{slug, name, kind, description, items: [{reference, key, name, type, gone_since, same_as, problem}], raw_keys, "
    "version, updated_at}"
)
COLLECTION_CHANGED = "{slug, items}"
DELETED = "{deleted}"
