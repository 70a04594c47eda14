"""Searching 3 facets among those of 50,000 jobs: a rare one with two common ones, and a page of 100 of common ones.

Limits, in the same run: the raw SQL over a GIN index of the documents, as a superuser whom no policy holds back. The
hits are the same. And what words cost: recording 500 events of ten facets with seven values each, of new runs and again
of the same, against the same without the triggers that keep words.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from operator import ne
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.report import Exact, Result, measured
from identity.ids import sha256_of, tenant_id
from resources.lineage_records import Facet, LineageEvent
from resources.metadata.facets import WantedFacet
from resources.metadata_store import MetadataStore
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from resources.runs import RunFact

MANY = 50_000
TENANT = tenant_id("default")
PAGE = 100

# Job n has the facets a {k: n % 2, by: [{name: …}]}, b {k: n % 3} and c {k: n % 5000}.
_FILL = (
    """INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
    SELECT %(tenant)s, lpad(to_hex(n), 32, '0')::uuid, 'JOB', 'j' || n, 'mid1:job:bench:j' || n,
      decode(lpad(to_hex(n), 64, '0'), 'hex'), 'bench' FROM generate_series(1, %(many)s) n""",
    """INSERT INTO metadata.facet (tenant_id, about, asset_id, name, as_of, sha256, document)
    SELECT %(tenant)s, 'job', lpad(to_hex(n), 32, '0')::uuid, f.name, now(), decode(lpad('', 64, '0'), 'hex'),
      jsonb_build_object('k', n %% f.every, '_producer', 'https://example.com',
        'by', jsonb_build_array(jsonb_build_object('name', 'n' || n %% f.every)))
    FROM generate_series(1, %(many)s) n, (VALUES ('a', 2), ('b', 3), ('c', 5000)) f (name, every)""",
)
_RAW = """
SELECT f.asset_id, a.qualified_name, a.type, a.deleted_at FROM metadata.facet f
JOIN metadata.asset a ON a.tenant_id = f.tenant_id AND a.asset_id = f.asset_id
WHERE f.tenant_id = %s AND f.name = 'a' AND f.document @> %s
  AND EXISTS (SELECT FROM metadata.facet g WHERE g.tenant_id = f.tenant_id AND g.asset_id = f.asset_id AND g.name = 'b'
    AND g.document @> %s)
  AND EXISTS (SELECT FROM metadata.facet h WHERE h.tenant_id = f.tenant_id AND h.asset_id = f.asset_id AND h.name = 'c'
    AND h.document @> %s)
ORDER BY f.asset_id LIMIT 100
"""
Wanted = tuple[dict[str, Any], ...]
CASES: dict[str, Wanted] = {
    "one rare, two common": ({"k": 1}, {"k": 1}, {"k": 7}),
    "two common and a name": ({"k": 1}, {"k": 1}, {}),
}


def run() -> list[Result]:
    """The cases of the module's docstring."""
    with control_plane() as (_server, url):
        raw = psycopg.connect(url, autocommit=True)
        _fill(raw)
        engine = app_engine(url)
        store = MetadataStore(Sessions(engine, TENANT, "bench"))
        results = [_case(name, wanted, store, raw) for name, wanted in CASES.items()]
        results += _recording(store, raw)
        raw.close()
        engine.dispose()
        return results


def _fill(raw: psycopg.Connection[Any]) -> None:
    raw.execute("SELECT set_config('metadata.tenant', %s, false)", (str(TENANT),))
    raw.execute("SELECT set_config('metadata.actor', 'bench', false)")
    for statement in _FILL:
        raw.execute(statement.encode(), {"tenant": TENANT.value, "many": MANY})
    raw.execute("CREATE INDEX bare ON metadata.facet USING gin (document jsonb_path_ops)")
    raw.execute("VACUUM ANALYZE metadata.asset, metadata.facet, metadata.facet_word")


def _case(name: str, wanted: Wanted, store: MetadataStore, raw: psycopg.Connection[Any]) -> Result:
    asked = [WantedFacet(facet, tuple(one), *one.values()) for facet, one in zip("abc", wanted, strict=True)]
    given = (TENANT.value, *map(json.dumps, wanted))

    def ours() -> list[UUID]:
        return [one.id for one in store.with_facets(asked, limit=PAGE)]

    def bare() -> list[UUID]:
        return [one for one, *_ in raw.execute(_RAW.encode(), given).fetchall()]

    different = Exact(
        what="hits that differ", found=sum(map(ne, ours(), bare())) + abs(len(ours()) - len(bare())), at_most=0
    )
    case, limit = (
        f"3 facets of {MANY:,} jobs, {name}: {len(bare())} hits",
        "the raw SQL over a GIN index, past policies",
    )
    times = measured({case: lambda: ours, limit: lambda: bare})
    return times.result("facets", case, limit, at_most=2, exact=(different,))


EVENTS = 500
_BEGAN = datetime(2024, 5, 1, tzinfo=UTC)
_numbers = count()


def _recording(store: MetadataStore, raw: psycopg.Connection[Any]) -> list[Result]:
    def with_words(words: bool, *, again: bool) -> Callable[[], Callable[[], object]]:
        def prepared() -> Callable[[], object]:
            for trigger in ("words_create", "words_update"):
                change = f"ALTER TABLE metadata.facet {'ENABLE' if words else 'DISABLE'} TRIGGER {trigger}"
                raw.execute(change.encode())
            number = next(_numbers)
            if again:
                store.record_events(_events(number, _BEGAN))
            events = _events(number, _BEGAN + timedelta(hours=1))
            return lambda: store.record_events(events)

        return prepared

    found = []
    for case, again in (("new runs", False), ("the same runs again", True)):
        ours, limit = f"{EVENTS} events of {case}, ten facets each", "the same without words"
        times = measured(
            {ours: with_words(True, again=again), limit: with_words(False, again=again)}, rounds=7, calls=2
        )
        found.append(times.result("facets", ours, limit))
    return found


def _events(number: int, at: datetime) -> list[LineageEvent]:
    return [_event(f"{number}-{one}", at) for one in range(EVENTS)]


def _event(run: str, at: datetime) -> LineageEvent:
    documents = {
        f"f{one}": {f"v{part}": f"{run} {one}" if part < 4 else part for part in range(7)} for one in range(10)
    }
    facets = tuple(
        Facet(about="run", name=name, document=said, sha256=sha256_of(json.dumps(said)))
        for name, said in documents.items()
    )
    return LineageEvent(at=at, run=RunFact(run_id=run, name="load", as_of=at, status="running"), facets=facets)
