"""The plan for what was seen, by example and for whatever Hypothesis thinks of."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.diff import diff, reestimated
from resources.metadata.plans import COLLECTED_KEYS, Known, KnownAsset, Plan, outcome
from resources.models import Asset, AssetType, Catalog, Edge, Field, Gap

GAP = Gap(name="shop/public/secret", reason="denied")


def key(name: str) -> CanonicalKey:
    return dataset_key("shop", source="db", schema="public", table=name)


def column(name: str, kind: str = "int", **facts: Any) -> Field:
    return Field(**{"name": name, "type": kind, "nullable": True, "position": 1, **facts})


def table(name: str, *columns: Field, comment: str | None = None, **metadata: Any) -> Asset:
    known = {"relation": "table", "comment": comment, **metadata}
    return Asset(
        key=key(name),
        type=AssetType.TABLE,
        description=comment,
        fields=columns,
        metadata={fact: value for fact, value in known.items() if value is not None},
    )


def catalog(*assets: Asset, gaps: Iterable[Gap] = (), edges: Iterable[Edge] = ()) -> Catalog:
    return Catalog(endpoint="shop", fingerprint="f", assets=assets, gaps=tuple(gaps), edges=frozenset(edges))


def applied(current: Iterable[KnownAsset], plan: Plan) -> list[KnownAsset]:
    """What the store is to say after a plan: the promise that its SQL keeps, said once more in Python."""
    after = {known.name: known for known in current if known.name not in map(str, plan.replaced)}
    moved = {str(was): str(now) for was, now in plan.renamed}
    after = {moved.get(name, name): replace(old, name=moved.get(name, name)) for name, old in after.items()}
    for asset in (*plan.created, *plan.changed, *plan.reopened):
        old = after.get(str(asset.key))
        after[str(asset.key)] = merged(old, asset)
    for closed in plan.closed:
        old = after[str(closed)]
        metadata = {name: value for name, value in old.metadata.items() if name != "relation"}
        after[old.name] = replace(old, open=False, metadata=metadata)
    for owner, field in plan.fields_closed:
        old = after[str(owner)]
        after[old.name] = replace(old, closed_fields=old.closed_fields | {field.name})
    columns: dict[str, dict[str, str]] = {}
    for was, (owner, field) in plan.fields_renamed:
        columns.setdefault(str(owner), {})[was] = field.name
    for name, names in columns.items():
        after[name] = with_renamed_columns(after[name], names)
    for owner, field in (*plan.fields_created, *plan.fields_changed, *plan.fields_reopened):
        old = after[str(owner)]
        fields = {**old.fields, field.name: field}
        after[old.name] = replace(old, fields=fields, closed_fields=old.closed_fields - {field.name})
    return list(after.values())


def with_renamed_columns(old: KnownAsset, names: dict[str, str]) -> KnownAsset:
    stay = {name: field for name, field in old.fields.items() if name not in names and name not in names.values()}
    moved = {now: replace(old.fields[was], name=now) for was, now in names.items()}
    return replace(old, fields=stay | moved, closed_fields=old.closed_fields - set(names.values()) - names.keys())


def merged(old: KnownAsset | None, asset: Asset) -> KnownAsset:
    if old is None:
        old = KnownAsset(name=str(asset.key), type="", description=None, metadata={}, open=False)
    kept = {name: value for name, value in old.metadata.items() if name not in COLLECTED_KEYS}
    follows = old.description in (None, old.metadata.get("comment"))
    return replace(
        old,
        type=asset.type,
        description=asset.description if follows else old.description,
        metadata=kept | dict(asset.metadata),
        open=True,
    )


def stored(*assets: Asset) -> list[KnownAsset]:
    return applied([], diff([], catalog(*assets)))


def changes(plan: Plan) -> dict[str, list[str]]:
    """The parts of a plan that change something, as names."""
    found: dict[str, list[str]] = {}
    for part in ("created", "changed", "reopened"):
        found[part] = [asset.key.table for asset in getattr(plan, part)]
    found["closed"] = [closed.table for closed in plan.closed]
    for part in ("fields_created", "fields_changed", "fields_reopened", "fields_closed"):
        found[part] = [f"{owner.table}.{field.name}" for owner, field in getattr(plan, part)]
    return {part: names for part, names in found.items() if names}


NOW = [table("a", column("x"), column("y"), comment="A"), table("b", column("x"))]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (catalog(*NOW), {}),
        (catalog(*NOW, table("c", column("z"))), {"created": ["c"], "fields_created": ["c.z"]}),
        (catalog(NOW[0]), {"closed": ["b"], "fields_closed": ["b.x"]}),
        (catalog(NOW[0], gaps=[GAP]), {}),
        (catalog(), {"closed": ["a", "b"], "fields_closed": ["a.x", "a.y", "b.x"]}),
        (catalog(gaps=[GAP]), {}),
        (catalog(table("a", column("x"), comment="A"), NOW[1]), {"fields_closed": ["a.y"]}),
        (catalog(table("a", column("x"), comment="A"), NOW[1], gaps=[GAP]), {}),
        (catalog(table("a", column("x"), column("y", "text"), comment="A"), NOW[1]), {"fields_changed": ["a.y"]}),
        (catalog(table("a", column("x"), column("y", nullable=False), comment="A"), NOW[1], gaps=[GAP]),
         {"fields_changed": ["a.y"]}),
        (catalog(table("a", column("x"), column("y", position=2), comment="A"), NOW[1]), {"fields_changed": ["a.y"]}),
        (catalog(table("a", column("x"), column("y"), comment="Z"), NOW[1]), {"changed": ["a"]}),
        (catalog(table("a", column("x"), column("y")), NOW[1]), {"changed": ["a"]}),
        (catalog(replace(NOW[0], type=AssetType.VIEW), NOW[1]), {"changed": ["a"]}),
        (catalog(*NOW, gaps=[GAP], edges=[Edge(key("a"), key("b"))]), {}),
    ],
)  # fmt: skip
def test_what_a_look_changes(seen: Catalog, expected: dict[str, list[str]]) -> None:
    plan = diff(stored(*NOW), seen)
    assert changes(plan) == expected
    assert plan.complete == seen.complete
    assert plan.edges == seen.edges
    assert plan.gaps == seen.gaps


def test_what_comes_back_is_reopened_with_its_columns() -> None:
    gone = applied(stored(*NOW), diff(stored(*NOW), catalog(NOW[0])))
    assert changes(diff(gone, catalog(NOW[0]))) == {}
    assert changes(diff(gone, catalog(*NOW))) == {"reopened": ["b"], "fields_reopened": ["b.x"]}
    without_y = catalog(table("a", column("x"), comment="A"), NOW[1])
    gone = applied(stored(*NOW), diff(stored(*NOW), without_y))
    assert changes(diff(gone, without_y)) == {}
    assert changes(diff(gone, catalog(*NOW))) == {"fields_reopened": ["a.y"]}


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        (100, 100, False), (100, 110, False), (100, 90, False), (100, 111, True), (100, 89, True),
        (0, 0, False), (0, 1, True), (1, 0, True), (None, 0, True), (0, None, True), (None, None, False),
        (10**12, 10**12 + 1, False),
    ],
)  # fmt: skip
def test_a_row_estimate_counts_when_it_moved_by_more_than_a_tenth(
    before: int | None, after: int | None, counts: bool
) -> None:
    known = stored(table("a", row_estimate=before))
    seen = table("a", row_estimate=after)
    assert bool(diff(known, catalog(seen)).changed) == counts
    alone = reestimated(
        Known(fingerprint="f", assets={one.name: one for one in known}, fields=7),
        {str(seen.key): after},
        endpoint="shop",
        fingerprint="f",
    )
    assert alone.changed == ((seen,) if counts else ()) or alone.changed == (replace(seen, fields=None),)
    assert alone.unchanged == 1 - counts
    assert alone.edges is None
    assert alone.fields_unchanged == 7


@pytest.mark.parametrize("gaps", [(), (GAP,)])
def test_a_look_at_estimates_alone_is_complete_without_gaps_only(gaps: tuple[Gap, ...]) -> None:
    plan = reestimated(Known(fingerprint="f", assets={}, fields=0), {}, endpoint="shop", fingerprint="f", gaps=gaps)
    assert (plan.complete, plan.gaps, outcome(plan).complete) == (not gaps, gaps, not gaps)


def test_an_estimate_within_its_tolerance_does_not_hide_another_change() -> None:
    known = stored(table("a", comment="A", row_estimate=100))
    plan = diff(known, catalog(table("a", comment="B", row_estimate=101)))
    assert plan.changed[0].metadata == {"relation": "table", "comment": "B", "row_estimate": 101}


def declared(name: str, **facts: Any) -> KnownAsset:
    facts = {"type": "DATASET", "description": None, "metadata": {"dagster": {}}, "open": True, **facts}
    return KnownAsset(name=str(key(name)), **facts)


def test_what_is_only_declared_is_never_closed() -> None:
    assert changes(diff([declared("a")], catalog())) == {}


def test_what_is_declared_is_filled_in_once() -> None:
    plan = diff([declared("a")], catalog(NOW[0]))
    assert changes(plan) == {"changed": ["a"], "fields_created": ["a.x", "a.y"]}
    (after,) = applied([declared("a")], plan)
    assert (after.type, after.description) == ("TABLE", "A")
    assert after.metadata == {"dagster": {}, "relation": "table", "comment": "A"}
    assert changes(diff([after], catalog(NOW[0]))) == {}


def test_a_declared_description_stands_whatever_the_comment_says() -> None:
    known = applied([], diff([], catalog(NOW[0])))
    known = [replace(known[0], description="ours")]
    assert changes(diff(known, catalog(NOW[0]))) == {}
    plan = diff(known, catalog(table("a", column("x"), column("y"), comment="new")))
    assert changes(plan) == {"changed": ["a"]}
    assert applied(known, plan)[0].description == "ours"


names = st.sampled_from(["a", "b", "c", "d", 'quo"te', "é"])
columns = st.builds(
    Field,
    name=names,
    type=st.sampled_from(["int", "text"]),
    nullable=st.booleans(),
    position=st.integers(1, 3),
    metadata=st.sampled_from([{}, {"comment": "c"}]),
)
tables = st.builds(
    lambda name, fields, comment, estimate, kind: replace(
        table(name, *fields, comment=comment, row_estimate=estimate), type=kind
    ),
    names,
    st.lists(columns, max_size=4, unique_by=lambda field: field.name),
    st.sampled_from([None, "one", "two"]),
    st.none() | st.integers(0, 40),
    st.sampled_from([AssetType.TABLE, AssetType.VIEW]),
)
catalogs = st.builds(
    lambda assets, gaps: catalog(*assets, gaps=gaps),
    st.lists(tables, max_size=5, unique_by=lambda asset: asset.key),
    st.sampled_from([(), (), (GAP,)]),
)


@given(st.lists(catalogs, max_size=5), catalogs)
def test_a_plan_brings_the_store_to_what_was_seen(past: list[Catalog], seen: Catalog) -> None:
    before: list[KnownAsset] = []
    for look in past:
        before = applied(before, diff(before, look))
    plan = diff(before, seen)
    after = {known.name: known for known in applied(before, plan)}

    for asset in seen.assets:
        known = after[str(asset.key)]
        assert known.collected
        assert known.type == asset.type
        assert known.description == asset.description
        fields = {name: field for name, field in known.fields.items() if name not in known.closed_fields}
        wanted = {field.name: field for field in asset.fields or ()}
        assert fields.items() >= wanted.items() if plan.gaps else fields == wanted
    if seen.complete:
        assert {name for name, known in after.items() if known.collected} == {str(asset.key) for asset in seen.assets}
    else:
        assert not plan.closed
        assert not plan.fields_closed
        assert all(after[known.name].open for known in before if known.open)
    assert changes(diff(after.values(), seen)) == {}, "seeing the same again changes nothing"


@given(catalogs, catalogs)
def test_every_table_and_column_seen_is_in_one_part_of_the_plan(first: Catalog, second: Catalog) -> None:
    plan = diff(applied([], diff([], first)), second)
    parts = [asset.key for asset in (*plan.created, *plan.changed, *plan.reopened)]
    assert len(parts) == len(set(parts))
    assert len(parts) + plan.unchanged == len(second.assets)
    written = [(owner, f.name) for owner, f in (*plan.fields_created, *plan.fields_changed, *plan.fields_reopened)]
    assert len(written) == len(set(written))
    assert len(written) + plan.fields_unchanged == sum(len(asset.fields or ()) for asset in second.assets)
