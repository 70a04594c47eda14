"""A valid project as a value: what is declared, what follows from it, and that it stays the same."""

import pickle
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.keys import dataset_key
from metadata_assets.partitioning import partition_mapping, partitions_definition
from metadata_assets.spec import (
    DynamicPartitions,
    Mapping,
    Partitions,
    Project,
    ProjectInvalid,
    StaticPartitions,
    TimePartitions,
    asset_key,
    feeds_several,
    load_project,
)
from metadata_assets.spec.partitions import GRAINS, default_mapping, mapping_problem

METADATA = """
name: test
endpoints:
  jfk: {system: postgres, database: jfk_db, url: env:JFK_URL, collect: {schemas: [public], every: 90s}}
  ewr: {system: postgres, database: ewr, collect: {}}
  lake: {system: files, root: memory://bucket/lake}
"""
FLIGHTS = """
  - name: flights
    endpoint: lake
    schema: nyc
    description: Departures.
    owners: [team:data, me@example.com]
    tags: [no, 2013, "yes"]
    group: nyc
    columns: [{name: day, type: date}, {name: carrier, description: Two letters.}]
    partitions: {daily: {start: 2013-01-01, end: 2014-01-01, timezone: America/New_York}}
    depends_on:
      - jfk/public/flights
      - {dataset: mid1:dataset:ewr:ewr/public/my%20table, as: ewr}
    python: code.parts:flights
    code_version: 1.10
    checks:
      - {name: some, python: code:some, description: There are some.}
      - {name: few, python: code:few, blocking: false}
"""
MONTH = """
  - name: month
    endpoint: lake
    partitions: {monthly: {start: 2013-01-01, end: 2014-01-01, timezone: America/New_York}}
    depends_on: [lake/nyc/flights, {dataset: lake/codes, partitions: all}]
    python: code:month
    publish: manually
"""
CODES = """
  - name: codes
    endpoint: lake
    partitions: {static: [AA, 01, no, 1e3]}
    python: code:codes
"""


def project(folder: Path, *files: str, metadata: str = METADATA) -> Project:
    (folder / "datasets").mkdir(parents=True, exist_ok=True)
    for old in (folder / "datasets").iterdir():
        old.unlink()
    (folder / "metadata.yml").write_text(metadata)
    for number, text in enumerate(files or (FLIGHTS + MONTH + CODES,)):
        (folder / "datasets" / f"{number}.yml").write_text(f"datasets:{text}")
    return load_project(folder)


def test_endpoints(tmp_path: Path) -> None:
    endpoints = project(tmp_path).endpoints
    assert list(endpoints) == ["ewr", "jfk", "lake"]
    jfk, lake = endpoints["jfk"], endpoints["lake"]
    assert (jfk.slug, jfk.location.database, jfk.location.url) == ("jfk", "jfk_db", "env:JFK_URL")
    assert jfk.collect is not None
    assert (jfk.collect.schemas, jfk.collect.every) == (("public",), timedelta(seconds=90))
    ewr = endpoints["ewr"].collect
    assert ewr is not None
    assert (ewr.schemas, ewr.every) == ((), timedelta(minutes=5))
    assert (lake.location.system, lake.location.root, lake.collect) == ("files", "memory://bucket/lake", None)


def test_datasets_have_keys_that_anyone_can_compute(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    keys = [dataset.key for dataset in loaded.datasets]
    assert [str(key) for key in keys] == sorted(str(key) for key in keys)
    assert keys[0] == dataset_key("lake", schema="nyc", table="flights")
    assert loaded.dataset(keys[0]) is loaded.datasets[0]
    assert loaded.datasets[0].asset_key == dg.AssetKey(["lake", "nyc", "flights"])
    assert asset_key(dataset_key("lake", table="codes")) == dg.AssetKey(["lake", "codes"])
    assert loaded.sources == (
        dataset_key("ewr", source="ewr", schema="public", table="my table"),
        dataset_key("jfk", source="jfk_db", schema="public", table="flights"),
    )


def test_a_dataset_is_what_its_file_says(tmp_path: Path) -> None:
    flights, codes, month = project(tmp_path).datasets
    start, end = (datetime.fromisoformat(text) for text in ("2013-01-01", "2014-01-01"))
    assert flights.partitions == TimePartitions(grain="daily", start=start, end=end, timezone="America/New_York")
    assert (flights.description, flights.group, flights.publish) == ("Departures.", "nyc", "when_checks_pass")
    assert flights.owners == ("team:data", "me@example.com")
    assert [(one.name, one.type, one.description) for one in flights.columns] == [
        ("day", "date", None),
        ("carrier", None, "Two letters."),
    ]
    assert [(one.name, one.blocking, str(one.python)) for one in flights.checks] == [
        ("some", True, "code:some"),
        ("few", False, "code:few"),
    ]
    assert (str(flights.python), str(flights.python.at)) == ("code.parts:flights", "datasets/0.yml:14:13")
    assert (month.publish, codes.publish, codes.depends_on) == ("manually", "immediately", ())


def test_texts_stay_as_they_are_written(tmp_path: Path) -> None:
    flights, codes, _ = project(tmp_path).datasets
    assert flights.tags == ("no", "2013", "yes")
    assert flights.code_version == "1.10"
    assert codes.partitions == StaticPartitions(("AA", "01", "no", "1e3"))


def test_dependencies_have_names_and_mappings(tmp_path: Path) -> None:
    flights, _, month = project(tmp_path).datasets
    assert [(one.name, one.mapping, one.missing) for one in flights.depends_on] == [
        ("flights", None, "fail"),
        ("ewr", None, "fail"),
    ]
    assert [(one.name, one.mapping, one.missing) for one in month.depends_on] == [
        ("flights", Mapping("window"), "fail"),
        ("codes", Mapping("all"), "fail"),
    ]


def test_an_empty_project_is_a_project(tmp_path: Path) -> None:
    (tmp_path / "metadata.yml").write_text("name: new\n")
    loaded = load_project(tmp_path)
    assert (loaded.name, dict(loaded.endpoints), loaded.datasets, loaded.sources) == ("new", {}, (), ())


def test_a_project_cannot_be_changed(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    with pytest.raises(FrozenInstanceError):
        loaded.name = "other"  # type: ignore[misc]


def test_two_projects_are_equal_by_what_they_declare_not_by_how(tmp_path: Path) -> None:
    one = project(tmp_path / "a")
    spaced = MONTH.replace("publish: manually", "publish:   manually")
    other = project(tmp_path / "b", f"\n# a comment\n{CODES}", spaced, FLIGHTS)
    assert one == other
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Departures.", "Arrivals."),
        ("end: 2014-01-01, timezone", "end: 2014-02-01, timezone"),
        ("blocking: false", "blocking: true"),
        ("code_version: 1.10", "code_version: 1.1"),
        ("partitions: all", "partitions: last"),
        ("partitions: all", "partitions: all, missing: skip"),
        ("as: ewr", "as: newark"),
        ("- {name: few, python: code:few, blocking: false}", ""),
        ("tags: [no, 2013", "tags: [2013, no"),
    ],
)
def test_projects_that_declare_something_else_differ(tmp_path: Path, old: str, new: str) -> None:
    datasets = FLIGHTS + MONTH + CODES
    assert datasets.count(old) >= 1
    changed = datasets.replace(old, new)
    assert project(tmp_path / "a") != project(tmp_path / "b", changed)


@given(owner=st.from_regex(r"team:[a-z_.@-]{0,6}|[a-z%.+-]{1,6}@[a-z.-]{1,6}[.][a-zA-Z|]{1,9}", fullmatch=True))
def test_an_owner_that_we_take_is_one_that_dagster_takes(tmp_path: Path, owner: str) -> None:
    try:
        project(tmp_path, CODES + f"    owners: ['{owner}']\n")
    except ProjectInvalid:
        return
    dg.AssetSpec("x", owners=[owner])


def first_of(month: int) -> datetime:
    """The first of the month that is so many months after January 2012."""
    return datetime.fromisoformat(f"{2012 + month // 12}-{month % 12 + 1:02}-01")


@st.composite
def calendars(draw: st.DrawFn) -> TimePartitions:
    month = draw(st.integers(0, 35))
    grain, start, end = draw(st.sampled_from(GRAINS)), first_of(month), first_of(month + draw(st.integers(1, 3)))
    if grain == "weekly":
        end -= timedelta(days=(end - start).days % 7)
    return TimePartitions(
        grain=grain, start=start, end=end, timezone=draw(st.sampled_from(["UTC", "America/New_York"]))
    )


OTHERS = [StaticPartitions(("a", "b")), StaticPartitions(("a",)), DynamicPartitions("x")]
MAPPINGS = [None, Mapping("same"), Mapping("all"), Mapping("last"), Mapping("window")]
OFFSETS = [Mapping("offset", steps) for steps in (-3, -1, 1)]
dividings = calendars() | st.sampled_from(OTHERS)


@given(own=dividings | st.none(), upstream=dividings, asked=st.sampled_from(MAPPINGS + OFFSETS), may_miss=st.booleans())
def test_a_mapping_that_we_take_is_one_that_dagster_can_follow(
    own: Partitions | None, upstream: Partitions, asked: Mapping | None, may_miss: bool
) -> None:
    """No partition of a mapping without a problem needs an input that cannot exist, and `feeds_several` is right."""
    mapping = asked or default_mapping(own, upstream)
    assert mapping is not None
    if own is None or mapping_problem(mapping, own, upstream, may_miss=may_miss):
        return
    if DynamicPartitions("x") in (own, upstream):  # which there are is known to the instance only
        return
    theirs, ours = partitions_definition(upstream), partitions_definition(own)
    assert ours is not None
    assert theirs is not None
    dagster_mapping = partition_mapping(mapping, own, upstream, may_miss=may_miss)
    assert dagster_mapping is not None
    for key in ours.get_partition_keys()[:40]:
        result = dagster_mapping.get_upstream_mapped_partitions_result_for_partitions(
            ours.subset_with_partition_keys([key]), ours, theirs
        )
        assert result.required_but_nonexistent_subset.is_empty
        needed = list(result.partitions_subset.get_partition_keys())
        assert feeds_several(mapping, own, upstream) or len(needed) <= 1


@pytest.mark.parametrize(
    ("style", "text"),
    [(">-", "one two three four"), (">", "one two three four\n"), ("|", "one\ntwo three\nfour\n")],
)
def test_a_text_over_several_lines_is_what_yaml_says(tmp_path: Path, style: str, text: str) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text("name: x\nendpoints: {lake: {system: files}}")
    lines = f"description: {style}\n      one\n      two three\n      four"
    dataset = f"datasets:\n  - name: a\n    endpoint: lake\n    python: a:b\n    {lines}\n"
    (tmp_path / "datasets" / "a.yml").write_text(dataset)
    assert load_project(tmp_path).datasets[0].description == text
