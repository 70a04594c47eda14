"""What can be done to a store with a text that has a password in it."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from upath import UPath

from identity.idempotency import Delivery, Intent
from identity.keys import CanonicalKey, dataset_key
from resources.check_models import CheckEvaluation, CheckResult
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.lineage_records import MaterializedColumns, RefusedEvent
from resources.metadata.facets import WantedFacet
from resources.metadata.imports import Import
from resources.metadata.profiles import ColumnProfile, Profile
from resources.metadata.told_columns import ToldColumns
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Endpoint, Field, Read, Staged
from resources.runs import AttemptFact, Lease, RunFact
from resources.storage import FileStorage
from tests.importers.lineage_events import dataset, event, imported

Doing = Callable[[], object]
_numbers = itertools.count()


def files(endpoint: str) -> FileStorage:
    """Where nothing is."""
    return FileStorage(endpoint, UPath(endpoint))


def new_number() -> int:
    """A number that nothing has yet."""
    return next(_numbers)


@dataclass(frozen=True, slots=True)
class World:
    """A store with two things in it that no other case knows."""

    store: MetadataStore
    graph: GraphStore
    number: int

    def key(self, name: str) -> CanonicalKey:
        return dataset_key(f"e{self.number}", schema="s", table=name)

    def asset(self, name: str, **facts: Any) -> Asset:
        return Asset(key=self.key(name), type=AssetType.DATASET, **facts)

    def attempt(self, **facts: Any) -> Attempt:
        plain = Attempt(id=uuid.uuid4(), run_id="run", step_key="step", retry_number=0, fencing_token=1)
        return replace(plain, **facts)

    def staged(self, *, intent: str | None = None, partition: str | None = None, **facts: Any) -> Staged:
        entity = self.store.entity(self.key("one"))
        delivery = Delivery(entity.tenant, entity.id, partition, Intent("key", intent or str(new_number())), "result")
        plain = Staged(
            delivery=delivery, location=None, manifest_sha256=None, row_count=1, byte_count=1, data_version="1"
        )
        return replace(plain, **facts)


def commits(w: World, text: str) -> Iterator[Doing]:
    for commit in (w.store.commit, w.store.commit_and_publish):
        yield from commits_by(commit, w, text)


def commits_by(commit: Callable[..., object], w: World, text: str) -> Iterator[Doing]:
    for facts in ({"run_id": text}, {"step_key": text}):
        yield lambda facts=facts: commit(w.attempt(**facts), [w.staged()], {})
    for facts in (
        {"metadata": {"note": text, text: [text, {"url": text}]}},
        {"code_version": text},
        {"data_version": text},
        {"location": text},
        {"partition": text},
        {"intent": text},
    ):
        yield lambda facts=facts: commit(w.attempt(), [w.staged(**facts)], {})
    for facts in ({"metadata": {"note": text}}, {"partition": text}):
        yield lambda facts=facts: commit(
            w.attempt(), [w.staged()], {None: [Read(asset=w.store.entity(w.key("two")), **facts)]}
        )


def committed(w: World) -> uuid.UUID:
    (one,) = w.store.commit(w.attempt(), [w.staged()], {})
    return one.materialization_id


def found(text: str) -> list[CheckResult]:
    plain = CheckResult(name="c", run_id="run", evaluation=1, passed=True, blocking=True)
    documents: list[dict[str, Any]] = [{"run_id": text}, {"description": text}, {"metadata": {"x": text, text: 1}}]
    return [replace(plain, evaluation=new_number(), **facts) for facts in documents]


def results(w: World, text: str) -> Iterator[Doing]:
    one = committed(w)
    yield lambda: w.store.record_checks([one], found(text))
    yield lambda: w.store.checks_of(one)
    yield lambda: w.store.record_checks([one], [replace(found("x")[0], name=text)])


def evaluations(w: World, text: str) -> Iterator[Doing]:
    plain = CheckEvaluation(dataset=w.store.entity(w.key("one")).id, result=found("x")[0], target_run_id="run")
    committed(w)
    for facts in (*({"result": one} for one in found(text)), {"partition": text}, {"target_run_id": text}):
        yield lambda facts=facts: w.store.settle_checks([replace(plain, **facts)])
    yield lambda: w.store.settle_checks(runs=[text])


def waits(w: World, text: str) -> Iterator[Doing]:
    one, entity = committed(w), w.store.entity(w.key("one"))
    for run_id, names in ((text, ["c"]), ("run", [text])):
        yield lambda run_id=run_id, names=names: w.store.await_checks(run_id, [one], names)
        yield lambda run_id=run_id, names=names: w.store.examined(run_id, entity, None, names)
    yield lambda: w.store.examined("run", entity, [text], None)


def stagings(w: World, text: str) -> Iterator[Doing]:
    entity = w.store.entity(w.key("one"))
    hour = timedelta(hours=1)
    for partition, location in ((text, "lake:a/b"), (None, text), (None, f"lake:{text}")):
        yield lambda at={(entity, partition): location}: w.store.open_staging(w.attempt(), at, ttl=hour)
        yield lambda at={partition: location}: w.store.lease(w.attempt(), entity, at, ttl=hour)
    yield lambda: w.store.open_staging(w.attempt(run_id=text, step_key=text), {(entity, None): "lake:a/c"}, ttl=hour)


def assets(w: World, text: str) -> list[Asset]:
    field = Field(name="c", type=text, nullable=True, position=1, metadata={"comment": text})
    facts: list[dict[str, Any]] = [
        {"description": text},
        {"metadata": {"comment": text, text: 1}},
        {"fields": (field,)},
    ]
    return [w.asset(f"a{new_number()}", **fact) for fact in facts]


def imports(w: World, text: str) -> Iterator[Doing]:
    here = {"endpoints": (f"e{w.number}",), "described": frozenset(), "edges": frozenset()}
    for one in assets(w, text):
        yield lambda one=one: w.store.write_import(Import(producer="p", project="x", assets=(one,), **here))
    for said in ({"producer": text, "project": "x"}, {"producer": "p", "project": text}):
        yield lambda said=said: w.store.write_import(Import(assets=(w.asset("one"),), **said, **here))


def lineage(w: World, text: str) -> Iterator[Doing]:
    """Events as a file has them, so that reading them is looked at too."""
    plain = event(run=f"r{new_number()}", outputs=[dataset(f"d{w.number}")])
    named = {"namespace": "db", "name": text}
    facet = {"url": text, text: {"deep": [text]}}
    failed = {"f": facet, "errorMessage": {"message": text}}
    origins = {text: [("o", text)], "plain": [(text, "a")]}
    for one in (
        {**plain, "run": {"runId": text}},
        {**plain, "run": {**plain["run"], "facets": failed}, "eventType": "FAIL"},
        {**plain, "run": {**plain["run"], "facets": {text: facet}}},
        {**plain, "job": {"namespace": "shop", "name": text}},
        {**plain, "job": {"namespace": text, "name": "j"}},
        {**plain, "inputs": [named]},
        {**plain, "inputs": [{"namespace": text, "name": "t"}]},
        {**plain, "outputs": [dataset(f"d{w.number}", text, "plain", origins=origins)]},
        {**plain, "outputs": [dataset(f"d{w.number}", documentation={"description": text})]},
        {**plain, "eventType": text},
        {**plain, "eventTime": text},
    ):
        yield lambda one=one: imported(w.store, [one])
    facts = {"place": text, "text": text, "characters": 1, "error": text, "reason": text}
    kept = RefusedEvent(sha256=bytes(31) + bytes([w.number % 256]), **facts)
    yield lambda: (kept, w.store.refuse_events([kept]), w.store.refused_events())


def facets_wanted(w: World, text: str) -> Iterator[Doing]:
    for ask in (w.store.with_facets, w.store.runs_with_facets):
        for make in (
            lambda: WantedFacet(text),
            lambda: WantedFacet("f", (text,), text),
            lambda: WantedFacet.parse(text),
        ):
            yield lambda ask=ask, make=make: ask([make()])
    yield lambda: w.store.runs_with_facets([WantedFacet("f")], after=text)


def columns_told(w: World, text: str) -> Iterator[Doing]:
    plain = Field(name="c", type="int", nullable=True, position=1)
    for one in (plain, replace(plain, name=text), replace(plain, type=text, metadata={"comment": text, text: 1})):
        told = ToldColumns(fields=(one,), origins={"s": {one.name: frozenset({(w.key("two"), text)})}})
        yield lambda told=told: w.store.record_columns({w.key("one"): told}, producer="p", scope="s")
    told = {w.key("one"): ToldColumns(fields=(plain,))}
    yield lambda: w.store.record_columns(told, producer=text, scope="s")
    yield lambda: w.store.record_columns(told, producer="p", scope=text)


def columns_materialized(w: World, text: str) -> Iterator[Doing]:
    plain = Field(name="c", type="int", nullable=True, position=1)
    for fields, name, origin in (
        ((plain,), "c", "d"),
        ((replace(plain, type=text, metadata={"comment": text}),), "c", "d"),
        (None, text, "d"),
        (None, "c", text),
    ):
        told = MaterializedColumns(
            dataset=w.key("one"),
            at=datetime.now(UTC),
            fields=fields,
            origins={name: frozenset({(w.key("two"), origin)})},
            text=text,
        )
        yield lambda told=told: w.store.record_materialized_columns([told])


def renames(w: World, text: str) -> Iterator[Doing]:
    yield lambda: w.store.rename({w.key("one"): w.key("uno")}, reason=text)
    yield lambda: w.store.rename({w.key("uno"): w.key("one")}, reason=text, key=text)
    yield lambda: w.store.rename({w.key("one"): w.key(text)})
    yield lambda: w.store.rename({w.key("uno"): w.key("one")})


def merges(w: World, text: str) -> Iterator[Doing]:
    name = f"m{new_number()}"
    w.store.register_assets([w.asset(name)])
    gone, stays = w.store.entity(w.key(name)), w.store.entity(w.key("two"))
    yield lambda: w.store.merge(gone, stays, reason=text, key=text)
    yield lambda: w.store.unmerge(w.store.merge(gone, stays, reason=text), reason=text)
    yield lambda: w.store.unmerge(uuid.uuid4(), reason=text, key=text)


def nodes_made(w: World, text: str) -> Iterator[Doing]:
    for metadata in documents(text):
        yield lambda metadata=metadata: w.graph.create_identity(w.key("one"), metadata=metadata)


def nodes_changed(w: World, text: str) -> Iterator[Doing]:
    node = w.graph.create_identity(w.key("one")).key
    for metadata in documents(text):
        yield lambda metadata=metadata: w.graph.update_identity(node, expected_version=1, metadata=metadata)


def documents(text: str) -> list[dict[str, Any]]:
    return [{"text": text, "x": float("nan")}, {"url": text, text: text, "list": [text, {"deep": text}]}]


def profiles(w: World, text: str) -> list[Profile]:
    w.store.register_assets([Asset(key=w.key("one"), type=AssetType.TABLE)])
    column = ColumnProfile(name=text, nulls=0.5, distinct=1, least=text, greatest=text)
    return [Profile(key=w.key("one"), rows=1, sampled=1, columns=(column,))]


def endpoint(w: World) -> str:
    w.store.register_endpoints([Endpoint(slug="shop", system="postgres")])
    return "shop"


HOUR = timedelta(hours=1)


def leases(w: World, text: str) -> Iterator[Doing]:
    run = f"run{new_number()}"
    yield lambda: w.store.start_attempt(text, "step", 0, "me", HOUR)
    yield lambda: w.store.start_attempt(run, text, 0, text, HOUR, job=text)
    yield lambda: w.store.start_attempt(run, text, 0, f"not {text}", HOUR)
    yield lambda: (w.store.run(run), w.store.attempts_lost())


def lease(w: World, text: str) -> Lease:
    return w.store.start_attempt(text, text, 0, text, HOUR)


def ran(w: World, text: str) -> Iterator[Doing]:
    moment = datetime.now(UTC)
    failed: dict[str, Any] = {"ended_at": moment, "failure_class": text, "failure_reason": f"because\n{text}"}
    run = RunFact(run_id=text, status="failed", name=text, code_location=text, tags={"a": text, text: "b"}, **failed)
    attempt = AttemptFact(run_id=text, step_key=text, number=0, status="failed", **failed)
    yield lambda: w.store.record_runs(text, [run], [attempt], position={"after": text, text: 1})
    yield lambda: (run, attempt, w.store.runs(), w.store.unfinished_runs(text), w.store.mirror_position(text))
    yield lambda: w.store.run(text)


def collections(w: World, text: str) -> Iterator[Doing]:
    for slug, name, description in ((text, "n", None), ("c", text, None), ("c", "n", text)):
        slug = f"c{new_number()}" if slug == "c" else slug
        yield lambda slug=slug, name=name, said=description: w.graph.create_collection(
            slug, name=name, description=said
        )


def edges(w: World, text: str) -> Iterator[Doing]:
    link = Link(w.store.entity(w.key("one")), w.store.entity(w.key("two")))
    for facts in ({"producer": text, "scope": "s"}, {"producer": "p", "scope": text}):
        yield lambda facts=facts: w.graph.assert_edges([link], complete=False, **facts)


def versions(w: World, text: str) -> Iterator[Doing]:
    key = w.key("one")
    ids = [w.store.commit(w.attempt(), [w.staged()], {})[0].materialization_id for _ in range(4)]
    for one in ids[:2]:
        w.store.publish([one])
    present = w.store.version_at(key)
    yield lambda: w.store.rollback(key, to=present - 1, expected=present, reason=text)
    yield lambda: w.store.rollback(key, to=1, expected=present, key=text)
    yield lambda: w.store.retract(ids[2], reason=text)
    yield lambda: w.store.retractions(key)
    yield lambda: w.store.release(f"r{new_number()}", ids[3:], reason=text)
    yield lambda: w.store.release(text, ids[3:])
    yield lambda: w.store.released_in(text, key)
    yield lambda: w.store.publish_by_hand(ids[3:], reason=text)
    yield lambda: w.store.publish_by_hand(ids[3:], reason=text, despite_checks=True)
    yield lambda: w.store.unpublished(key, [text])
    yield lambda: (w.store.versions(key), w.store.releases())
    yield lambda: (w.store.current(key, at=text), w.store.version_at(key, text))


def pins(w: World, text: str) -> Iterator[Doing]:
    w.store.publish([w.store.commit(w.attempt(), [w.staged()], {})[0].materialization_id])
    yield lambda: w.store.pin(text, {w.key("one"): None})
    yield lambda: w.store.pin(f"p{new_number()}", {w.key("one"): None}, reason=text)
    yield lambda: w.store.pins(removed=True)
    yield lambda: w.store.read_at_pin(text, text, w.key("one"))
    yield lambda: w.store.unpin(text)


def invalidations(w: World, text: str) -> Iterator[Doing]:
    w.store.publish([w.store.commit(w.attempt(), [w.staged()], {})[0].materialization_id])
    yield lambda: w.store.invalidate(w.key("one"), reason=text)
    yield lambda: w.store.invalidate(w.key("one"), [text], reason="because", key=text)
    yield lambda: (w.store.stale(), w.store.why_stale(w.key("one"), text), w.store.why_stale(w.key("one")))


def explanations(w: World, text: str) -> Iterator[Doing]:
    yield lambda: w.store.explain_partition(w.key("one"), text)
    yield lambda: w.store.explain_partition(w.key("one"), steps=[text])
    yield lambda: w.store.explain_version(w.key("one"), text)


def known(w: World) -> str:
    """A provisional endpoint that was registered just now."""
    slug = f"postgresql_p{new_number()}"
    w.store.register_endpoint_as(slug, endpoint(w))
    return slug
