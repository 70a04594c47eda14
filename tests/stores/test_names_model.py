"""Names against a model: renames, swaps, merges, unmerges and re-creations in any order, one writer or two at once."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from store_inputs import Lake
from thorough import many

from identity.ids import Entity, tenant_id
from identity.keys import CanonicalKey
from resources.metadata.catalogs import CatalogOvertaken, current_catalog, lock_catalog
from resources.metadata.planned import apply_plan
from resources.metadata.plans import Plan
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from resources.postgres.errors import MergeRefused, NameTaken, RenameRefused, UnknownName
from resources.postgres.session import Row

NAMES = "abcd"
REFUSALS = (MergeRefused, NameTaken, RenameRefused, UnknownName)
_runs = itertools.count()


@dataclass(frozen=True, slots=True)
class Claim:
    """Whom a name leads to, and whether it is that one's own name."""

    entity: UUID
    own: bool


@dataclass(frozen=True, slots=True)
class Merge:
    loser: UUID
    winner: UUID
    was_open: bool
    given: Mapping[str, Claim]


@dataclass(slots=True)
class Model:
    """What the store is to say. Each operation answers whether it is done (True) or refused (False)."""

    birth: Callable[[str, int], UUID]
    claims: dict[str, Claim] = field(default_factory=dict)
    own: dict[UUID, str] = field(default_factory=dict)
    open: set[UUID] = field(default_factory=set)
    held: dict[str, set[UUID]] = field(default_factory=lambda: {name: set() for name in NAMES})
    merges: dict[int, Merge] = field(default_factory=dict)

    def does(self, operation: str, *arguments: Any) -> bool:
        done: bool = getattr(self, operation)(*arguments)
        for name, claim in self.claims.items():
            self.held[name].add(claim.entity)
        return done

    def born(self, name: str) -> bool:
        entity = self.birth(name, len(self.held[name]) + 1)
        self.claims[name], self.own[entity] = Claim(entity, own=True), name
        self.open.add(entity)
        return True

    def declare(self, name: str) -> bool:
        claim = self.claims.get(name)
        if claim is None or not (claim.own or claim.entity in self.open):
            return self.born(name)
        self.open.add(claim.entity)
        return True

    def drop(self, name: str) -> bool:
        claim = self.claims.get(name)
        if claim is not None and claim.own:
            self.open.discard(claim.entity)
        return True

    def recreate(self, name: str) -> bool:
        self.drop(name)
        return self.born(name)

    def rename(self, batch: Mapping[str, str]) -> bool:
        if not batch.keys() <= self.claims.keys() or len(set(batch.values())) < len(batch):
            return False
        if any(not self.claims[was].own and self.own[self.claims[was].entity] != now for was, now in batch.items()):
            return False
        moves = {was: now for was, now in batch.items() if self.claims[was].own and was != now}
        moving = {self.claims[was].entity: (was, now) for was, now in moves.items()}
        for now in moves.values():
            claim = self.claims.get(now)
            if claim and claim.own and claim.entity in self.open and claim.entity not in moving:
                return False
        for entity, (was, _now) in moving.items():
            self.claims[was] = Claim(entity, own=False)
        for entity, (_was, now) in moving.items():
            self.claims[now], self.own[entity] = Claim(entity, own=True), now
        return True

    def merge(self, number: int, loser: Entity, winner: Entity) -> bool:
        one, other = loser.id.value, winner.id.value
        if one == other or one not in self.own or other not in self.open:
            return False
        if any(one == merge.loser for merge in self.merges.values()):
            return False
        given = {name: claim for name, claim in self.claims.items() if claim.entity == one}
        self.merges[number] = Merge(one, other, one in self.open, given)
        self.open.discard(one)
        self.claims |= {name: Claim(other, own=False) for name in given}
        return True

    def unmerge(self, number: int) -> bool:
        merge = self.merges.get(number)
        if merge is None or any(other.loser == merge.winner for other in self.merges.values()):
            return False
        led = {name for name, claim in self.claims.items() if claim.entity == merge.winner and not claim.own}
        back = {name: claim for name, claim in merge.given.items() if name in led}
        if any(claim.own and name not in back for name, claim in merge.given.items()):
            return False
        self.claims |= back
        self.open |= {merge.loser} if merge.was_open else set()
        del self.merges[number]
        return True

    def state(self) -> dict[str, Any]:
        return {
            "claims": {name: (claim.entity, claim.own) for name, claim in self.claims.items()},
            "things": {entity: (name, entity in self.open) for entity, name in self.own.items()},
        }


@dataclass(slots=True)
class Writer:
    """The same operations on the real store."""

    lake: Lake
    merges: dict[int, UUID]
    says: Iterator[int] = field(default_factory=itertools.count)

    def does(self, operation: str, *arguments: Any) -> bool:
        try:
            getattr(self, operation)(*arguments)
        except REFUSALS:
            return False
        return True

    def declare(self, name: str) -> None:
        """With something new to say, so that it is written."""
        said = {f"by {id(self)}": next(self.says)}
        self.lake.store.register_assets([replace(self.lake.asset(name), metadata=said)])

    def drop(self, name: str) -> None:
        self._collected(name, anew=False)

    def recreate(self, name: str) -> None:
        self._collected(name, anew=True)

    def _collected(self, name: str, *, anew: bool) -> None:
        """As a collection does that found a name gone, or another object under it."""
        key = self.lake.key(name)
        while True:
            try:
                endpoint = self.lake.store.endpoint(self.lake.endpoint)
                assert endpoint is not None
                with self.lake.store.session() as session:
                    lock_catalog(session, self.lake.endpoint, expected=endpoint.schema_fingerprint)
                    known = {asset.name: asset for asset in current_catalog(session, self.lake.endpoint)}.get(str(key))
                    apply_plan(session, self._plan(key, there=known is not None, anew=anew))
                return
            except CatalogOvertaken:
                continue

    def _plan(self, key: CanonicalKey, *, there: bool, anew: bool) -> Plan:
        holder = (key,) if there else ()
        if not anew:
            return Plan(endpoint=self.lake.endpoint, fingerprint="f", complete=True, closed=holder)
        asset = Asset(key=key, type=AssetType.TABLE)
        return Plan(endpoint=self.lake.endpoint, fingerprint="f", complete=True, replaced=holder, created=(asset,))

    def rename(self, batch: Mapping[str, str]) -> None:
        self.lake.store.rename({self.lake.key(was): self.lake.key(now) for was, now in batch.items()})

    def merge(self, number: int, loser: Entity, winner: Entity) -> None:
        self.merges[number] = self.lake.store.merge(loser, winner)

    def unmerge(self, number: int) -> None:
        if number not in self.merges:
            raise UnknownName(detail="never merged")
        self.lake.store.unmerge(self.merges[number])


_names = st.sampled_from(NAMES)
_batches = st.dictionaries(_names, _names, min_size=1, max_size=4) | st.permutations(NAMES).map(
    lambda after: dict(zip(NAMES, after, strict=True))
)
_operations = st.one_of(
    st.tuples(st.sampled_from(["declare", "drop", "recreate"]), _names),
    st.tuples(st.just("rename"), _batches),
    st.tuples(st.just("merge"), st.integers(0, 5), _names, _names),
    st.tuples(st.just("unmerge"), st.integers(0, 5)),
)


class Names(RuleBasedStateMachine):
    """The store beside the model; both writers see one endpoint."""

    stores: tuple[MetadataStore, MetadataStore]
    look: Callable[..., list[Row]]
    pool: ThreadPoolExecutor

    def __init__(self) -> None:
        super().__init__()
        endpoint = f"names{next(_runs)}"
        self.stores[0].register_endpoints([Endpoint(slug=endpoint, system="postgres")])
        merges: dict[int, UUID] = {}
        self.writers = [Writer(Lake(store, endpoint), merges) for store in self.stores]
        self.lake = self.writers[0].lake
        # What there may be: of two at once nobody can always see which was first.
        self.models = [Model(lambda name, number: self.generation(name, number))]
        for name in NAMES[:3]:
            self.one(("declare", name))

    def generation(self, name: str, number: int) -> UUID:
        return Entity.of_generation(tenant_id("default"), self.lake.key(name), number).id.value

    @rule(operation=_operations)
    def one(self, operation: tuple[Any, ...]) -> None:
        given = self.prepared(operation)
        if given is not None:
            answer = self.writers[0].does(*given)
            fitting = [model for model in self.models if model.does(*given) == answer]
            assert fitting, (operation, answer)
            self.models = fitting

    def prepared(self, operation: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Merges take entities: looking their names up is a step of its own. Numbers name merges, each once."""
        if operation[0] != "merge":
            return operation
        name, number, *names = operation
        return None if number in self.writers[0].merges else (name, number, *map(self.lake.entity, names))

    @rule(one=_operations, other=_operations)
    def two_at_once(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
        """What comes out is what one after the other would give, in one of the two orders."""
        first, second = self.prepared(one), self.prepared(other)
        if first is None or second is None or one[:2] == other[:2] == ("merge", one[1]):
            return
        running = [
            self.pool.submit(writer.does, *one) for writer, one in zip(self.writers, (first, second), strict=True)
        ]
        answers = [one.result(timeout=60) for one in running]
        outcomes = []
        for before, order in itertools.product(self.models, ((0, 1), (1, 0))):
            model = copy.deepcopy(before)
            said = {which: model.does(*(first, second)[which]) for which in order}
            outcomes.append(([said[0], said[1]], model))
        found = self.stored()
        fitting = [model for said, model in outcomes if (said, model.state()) == (answers, found)]
        assert fitting, (first, second, answers, found, [(said, model.state()) for said, model in outcomes])
        self.models = [model for number, model in enumerate(fitting) if model not in fitting[:number]]

    def stored(self) -> dict[str, Any]:
        pattern = f"%:{self.lake.endpoint}:%"
        aliases = self.look(
            "SELECT key, entity_id, kind FROM metadata.alias WHERE valid_to IS NULL AND key LIKE %s", pattern
        )
        assets = self.look(
            "SELECT asset_id, name, deleted_at FROM metadata.asset WHERE qualified_name LIKE %s", pattern
        )
        return {
            "claims": {
                CanonicalKey.parse(row["key"]).table: (row["entity_id"], row["kind"] == "primary") for row in aliases
            },
            "things": {row["asset_id"]: (row["name"], row["deleted_at"] is None) for row in assets},
        }

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        found = self.stored()
        fitting = [model for model in self.models if model.state() == found]
        assert fitting, (found, [model.state() for model in self.models])
        self.models = fitting

    @invariant()
    def a_key_leads_to_its_holder(self) -> None:
        found = self.lake.store.entities([self.lake.key(name) for name in NAMES])
        for name, claim in self.models[0].claims.items():
            assert found[self.lake.key(name)].id.value == claim.entity

    def teardown(self) -> None:
        """History has no gap and no overlap: each key had one holder at a time, from its birth on."""
        overlaps = self.look(
            """SELECT key FROM metadata.alias x JOIN metadata.alias y USING (tenant_id, key_sha256, key)
            WHERE x.alias_id < y.alias_id AND x.valid_from < coalesce(y.valid_to, 'infinity')
              AND y.valid_from < coalesce(x.valid_to, 'infinity') AND key LIKE %s""",
            f"%:{self.lake.endpoint}:%",
        )
        assert overlaps == []
        others = self.look(
            """SELECT x.key FROM metadata.alias x JOIN metadata.asset a USING (tenant_id)
            WHERE a.asset_id = x.entity_id AND a.key_sha256 <> x.birth_sha256 AND x.key LIKE %s""",
            f"%:{self.lake.endpoint}:%",
        )
        assert others == [], "an alias says what its thing was born under"


@pytest.mark.parametrize("steps", [6, 25])
def test_names_agree_with_the_model(
    open_store: Callable[..., MetadataStore], look: Callable[..., list[Row]], steps: int
) -> None:
    with ThreadPoolExecutor(2) as threads:

        class Machine(Names):
            stores = (open_store(), open_store())
            pool = threads

        Machine.look = staticmethod(look)
        run_state_machine_as_test(
            Machine, settings=settings(max_examples=many(300, usually=100) // steps, stateful_step_count=steps)
        )
