"""Collect an endpoint: look at the source, decide what changed, write that."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from metadata_assets.collection.collectors import looking_at
from metadata_assets.collection.diff import diff, reestimated
from metadata_assets.collection.errors import EndpointMoving
from metadata_assets.collection.evidence import object_of
from metadata_assets.collection.look import Look
from metadata_assets.collection.rows import Name
from metadata_assets.collection.scope import EVERYTHING, Scope
from resources.locations import EndpointLocation
from resources.metadata.catalogs import CatalogOvertaken, compared_catalog, lock_catalog
from resources.metadata.planned import apply_plan
from resources.metadata.plans import Collected, Known, Plan, outcome
from resources.metadata_store import MetadataStore
from resources.models import Catalog, Endpoint, Gap
from resources.postgres.databases import Databases
from resources.postgres.session import Session

LOOKS: Final = 3
"""How often to look again when the source moves, or somebody else's collection is faster."""


def collect_endpoint(
    store: MetadataStore,
    location: EndpointLocation,
    databases: Databases,
    *,
    scope: Scope = EVERYTHING,
) -> Collected:
    """Bring what is stored of an endpoint up to date with its source, in one transaction of the store.

    An unchanged source writes no row, and only its fingerprint and row estimates are read. What this login may not
    read is a gap, and then nothing is closed. Every error leaves the store as it was: a SourceError,
    CatalogOvertaken, or one about the location's URL.
    """
    endpoint = Endpoint(slug=location.slug, system=location.system, attributes=location.attributes())
    server = location.server(databases)
    store.register_endpoints([endpoint], servers={location.slug: server} if server else {})
    for _ in range(LOOKS - 1):
        try:
            return _collect_once(store, location, databases, scope)
        except (EndpointMoving, CatalogOvertaken):
            continue
    return _collect_once(store, location, databases, scope)


def endpoint_fingerprint(location: EndpointLocation, databases: Databases, *, scope: Scope = EVERYTHING) -> str:
    """The fingerprint that a collection of the endpoint would store now. Raises what `collect_endpoint` does."""
    with looking_at(location, databases, scope) as look:
        return look.fingerprint()


def _collect_once(store: MetadataStore, location: EndpointLocation, databases: Databases, scope: Scope) -> Collected:
    before = store.catalog_fingerprint(location.slug)
    with looking_at(location, databases, scope) as look, ThreadPoolExecutor(1) as beside:
        estimates, asked = beside.submit(look.estimates), beside.submit(_short_look, look, before)
        known = replace(store.known_catalog(location.slug), fingerprint=before)  # while the source computes
        look.names.keys(estimates.result())  # and so are the keys made, that are asked for below
        fingerprint, short = asked.result()
        seen = (short and _estimates_only(store, look, known, fingerprint, short)) or look.catalog(fingerprint)
    return _store(store, known, seen)


@dataclass(frozen=True, slots=True)
class _Short:
    """All that can have changed of a source whose fingerprint is as it was."""

    estimates: Mapping[Name, int | None]
    gaps: Sequence[Gap]


def _short_look(look: Look, before: str | None) -> tuple[str, _Short | None]:
    """The fingerprint; with the rest where it is as it was."""
    fingerprint = look.fingerprint()
    return fingerprint, _Short(look.estimates(), look.gaps()) if fingerprint == before else None


def _estimates_only(store: MetadataStore, look: Look, known: Known, fingerprint: str, short: _Short) -> Plan | None:
    """The plan for a source that is as it was; None when the store no longer says what it said."""
    estimates = short.estimates
    keys, unnamable = look.names.keys(estimates)
    by_key = {str(key): estimates[name] for name, key in keys.items()}
    here = {asset.name for asset in known.assets.values() if asset.collected}
    others = {key for key in keys.values() if str(key) not in here}
    joined = store.joined(look.names.endpoint, others, place=look.place) if others else {}
    if unnamable or len(by_key) != len(here) + len(joined) or others != joined.keys():
        return None
    gaps = tuple(short.gaps)
    endpoint = look.names.endpoint
    return reestimated(
        known, by_key, endpoint=endpoint, fingerprint=fingerprint, gaps=gaps, joined=sorted(joined.items())
    )


def _store(store: MetadataStore, known: Known, seen: Catalog | Plan) -> Collected:
    if isinstance(seen, Plan) and not seen.changed:
        return outcome(seen)

    def work(session: Session) -> Collected:
        lock_catalog(session, seen.endpoint, expected=known.fingerprint)
        return apply_plan(session, seen if isinstance(seen, Plan) else _compared(session, seen))

    return store.sessions.perform(work)


def _compared(session: Session, seen: Catalog) -> Plan:
    known = compared_catalog(session, seen.endpoint, {asset.key: object_of(asset) for asset in seen.assets})
    return replace(diff(known.current, seen, known.joined), joined_anew=known.renamed)
