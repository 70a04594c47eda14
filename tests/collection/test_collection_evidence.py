"""What object ids tell of one look, case by case: nothing is stored and no server asked."""

from collections.abc import Mapping

import pytest

from identity.keys import dataset_key
from metadata_assets.collection.evidence import Evidence, evidence
from resources.metadata.plans import KnownAsset
from resources.models import Asset, AssetType, Field

Columns = tuple[str, ...]


def name(table: str) -> str:
    return str(dataset_key("shop", source="db", schema="public", table=table))


def fields(columns: Columns) -> dict[str, Field]:
    return {one: Field(name=one, type="int", nullable=True, position=n) for n, one in enumerate(columns, start=1)}


def known(
    table: str,
    oid: int | None,
    *,
    columns: Columns = ("id",),
    kind: AssetType = AssetType.TABLE,
    former: tuple[str, ...] = (),
    **facts: bool,
) -> KnownAsset:
    return KnownAsset(
        name=name(table),
        type=kind,
        description=None,
        metadata={"relation": "table"} | ({"object": f"1/5/{oid}"} if oid else {}),
        fields=fields(columns),
        former=frozenset(map(name, former)),
        **{"open": True, **facts},
    )


def seen(
    table: str, oid: int | None, *, columns: Columns = ("id",), kind: AssetType = AssetType.TABLE
) -> tuple[str, Asset]:
    key = dataset_key("shop", source="db", schema="public", table=table)
    metadata = {"object": f"1/5/{oid}"} if oid else {}
    return name(table), Asset(key=key, type=kind, fields=tuple(fields(columns).values()), metadata=metadata)


def told(before: list[KnownAsset], now: list[tuple[str, Asset]], *, complete: bool = True) -> Evidence:
    return evidence({one.name: one for one in before}, dict(now), complete=complete)


def renamed(**names: str) -> Mapping[str, str]:
    return {name(was): name(now) for was, now in names.items()}


def replaced(*tables: str) -> frozenset[str]:
    return frozenset(map(name, tables))


def test_of_two_with_one_object_the_open_one_is_meant() -> None:
    """The closed one had it before its table got another name and somebody declared the old one again."""
    for before in ([known("a", 1, open=False), known("b", 1)], [known("b", 1), known("a", 1, open=False)]):
        assert told(before, [seen("c", 1)]).renamed == renamed(b="c")


def test_what_we_make_ourselves_keeps_its_name_until_it_is_seen_elsewhere() -> None:
    """We swapped a staging table in: `made` is our dataset, whatever object it is."""
    before = [known("made", 1, materialized=True), known("staging", 2)]
    assert told(before, [seen("made", 2)]) == Evidence()
    moved = told(before, [seen("made", 2), seen("old", 1)])
    assert moved.renamed == renamed(staging="made", made="old")
    assert told([known("made", 1), known("staging", 2)], [seen("made", 2)]) == Evidence(
        renamed=renamed(staging="made"), replaced=replaced("made")
    )


def test_what_no_source_identified_is_called_back_by_its_sources_name() -> None:
    before = [known("called", None, former=("orders",))]
    assert told(before, [seen("orders", None)]).renamed == renamed(called="orders")
    assert told(before, [seen("orders", None), seen("called", None)]) == Evidence(), "its name is there"
    assert told([known("called", 1, former=("orders",))], [seen("orders", 2)]) == Evidence(), "that is another one"
    taken = [*before, known("orders", None)]
    assert told(taken, [seen("orders", None)]) == Evidence(), "that is what has the name"
    two = [*before, known("also", None, former=("orders",))]
    assert len(told(two, [seen("orders", None)]).renamed) == 1


@pytest.mark.parametrize("complete", [True, False])
def test_a_partial_look_that_cannot_tell_whose_a_name_is_leaves_all_who_wait_for_it(*, complete: bool) -> None:
    """a has the name of b, b that of c, and where c went was not to be seen; x and y know each other."""
    before = [known(table, oid) for oid, table in enumerate("abcx", start=1)]
    found = told(before, [seen("b", 1), seen("c", 2), seen("y", 4)], complete=complete)
    if complete:
        assert found == Evidence(renamed=renamed(a="b", b="c", x="y"), replaced=replaced("c"))
    else:
        assert found == Evidence(renamed=renamed(x="y"), unclear=replaced("a", "b", "c"))


TABLES = tuple("abcd")


def test_a_restored_dump_is_what_it_was_although_one_table_was_left_out() -> None:
    before = [known(table, oid) for oid, table in enumerate(TABLES, start=1)]
    assert told(before, [seen(table, oid) for oid, table in enumerate(TABLES, start=11)]) == Evidence()
    assert told(before, [*(seen(table, 11 + oid) for oid, table in enumerate("abc")), seen("d", 4)]) == Evidence()
    older = [*(seen(table, 11 + oid) for oid, table in enumerate("abc")), seen("d", 19, columns=("id", "more"))]
    assert told(before, older) == Evidence(), "in a restored dump names count for all"


def test_what_stayed_may_have_been_renamed_meanwhile() -> None:
    before = [known(table, oid) for oid, table in enumerate(TABLES, start=1)]
    now = [*(seen(table, 11 + oid) for oid, table in enumerate("abc")), seen("e", 4)]
    assert told(before, now) == Evidence(renamed=renamed(d="e"))


def test_half_of_the_tables_or_one_is_no_restored_dump() -> None:
    before = [known(table, oid) for oid, table in enumerate(TABLES, start=1)]
    half = [seen("a", 11), seen("b", 12), seen("c", 3), seen("d", 4)]
    assert told(before, half).replaced == replaced("a", "b")
    assert told(before[:1], [seen("a", 11)]).replaced == replaced("a")


def test_tables_with_other_columns_are_no_restored_dump() -> None:
    before = [known(table, oid) for oid, table in enumerate(TABLES, start=1)]
    now = [seen(table, 11 + oid, columns=("key",)) for oid, table in enumerate("abc")]
    assert told(before, [*now, seen("d", 14)]).replaced == replaced(*TABLES)


def test_names_that_changed_hands_are_no_restored_dump() -> None:
    before = [known(table, oid) for oid, table in enumerate("abc", start=1)]
    found = told(before, [seen("b", 1), seen("c", 2), seen("a", 11)])
    assert found == Evidence(renamed=renamed(a="b", b="c"), replaced=replaced("c"))
    swapped = told([*before, known("d", 4)], [seen("b", 1), seen("a", 2), seen("c", 13), seen("d", 4)])
    assert swapped == Evidence(renamed=renamed(a="b", b="a"), replaced=replaced("c"))


def test_views_and_what_we_make_ourselves_are_no_sign_of_a_restored_dump() -> None:
    made = [known(table, oid, materialized=True) for oid, table in enumerate("xyz", start=5)]
    views = [known(table, oid, kind=AssetType.VIEW) for oid, table in enumerate("uvw", start=15)]
    before = [known("a", 1), known("b", 2), *made, *views]
    now = [seen(table, 21 + number) for number, table in enumerate("axyz")]
    now += [seen(table, 31 + number, kind=AssetType.VIEW) for number, table in enumerate("uvw")]
    assert told(before, [*now, seen("b", 2)]).replaced == replaced("a")
    kept = [(one.name, seen(one.name.rpartition("/")[2], None, kind=AssetType(one.type))[1]) for one in (*made, *views)]
    assert told(before, [seen("a", 11), seen("b", 12), *kept]) == Evidence(), "these say nothing against one either"
