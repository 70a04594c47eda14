"""current, datasets, assets: what readers and people find."""

import pytest
from store_inputs import Lake, attempt
from upath import UPath

from resources.metadata_store import MetadataStore
from resources.reading import Reader, RecordedOnly
from resources.storage import FileStorage


def test_current_answers_for_some_partitions_or_for_all(lake: Lake) -> None:
    lake.datasets("delays")
    ids = {name: lake.committed("delays", name, intent="first") for name in "abc"}
    lake.store.publish([ids["a"], ids["b"]])

    def current(*partitions: str) -> list[str | None]:
        return [one.partition for one in lake.store.current(lake.key("delays"), partitions)]

    assert current("b", "c", "never asked for") == ["b"]
    assert current() == []
    assert [one.partition for one in lake.store.current(lake.key("delays"))] == ["a", "b"]
    assert lake.store.current(lake.key("unknown")) == []


def test_an_unpartitioned_dataset_has_one_current_materialization(lake: Lake) -> None:
    lake.datasets("delays")
    by = attempt()
    staged = lake.staged("delays", location=f"{lake.endpoint}:1", rows=7)
    lake.lease(by, [("delays", staged)])
    (one,) = lake.commit(staged, by=by)
    lake.store.publish([one.materialization_id])
    for partitions in (None, [None]):
        (current,) = lake.store.current(lake.key("delays"), partitions)
        assert (current.partition, current.version, current.row_count) == (None, 1, 7)
        assert (current.location, current.manifest_sha256) == (staged.location, staged.manifest_sha256)


def test_a_materialization_knows_the_version_that_first_had_it(lake: Lake) -> None:
    lake.datasets("delays")
    first, second = (lake.committed("delays", "p", intent=intent) for intent in ("first", "second"))
    lake.store.publish([first])
    lake.store.publish([second])
    stored = {one.id: one for one in lake.store.materializations(lake.key("delays"))}
    assert (stored[first].published_in, stored[first].current) == (1, False)
    assert (stored[second].published_in, stored[second].current) == (2, True)


def test_lists_are_limited_to_the_newest(lake: Lake) -> None:
    lake.datasets("delays")
    ids = [lake.committed("delays", "p", intent=str(number)) for number in range(5)]
    for one in ids:
        lake.store.publish([one])
    assert [one.id for one in lake.store.materializations(lake.key("delays"), limit=2)] == [ids[4], ids[3]]
    assert [one.number for one in lake.store.versions(lake.key("delays"), limit=2)] == [5, 4]


def test_registering_a_dataset_again_writes_nothing_unless_it_changed(store: MetadataStore, lake: Lake) -> None:
    asset = lake.asset("delays")
    assert store.register_datasets([(asset, "manually")]) == 2
    assert store.register_datasets([(asset, "manually")]) == 0
    assert store.register_datasets([(asset, "immediately")]) == 1
    (found,) = [one for one in store.datasets() if one.key == asset.key]
    assert (found.publish_policy, found.published_version, found.materializations) == ("immediately", 0, 0)


def test_what_is_only_recorded_cannot_be_read_and_says_so(lake: Lake) -> None:
    lake.datasets("delays")
    one = lake.committed("delays", "p", intent="only")
    lake.store.publish([one])
    reader = Reader(lake.store, lambda endpoint: FileStorage(endpoint, UPath()))
    with pytest.raises(RecordedOnly, match="recorded, not stored by us"):
        reader.read(lake.key("delays"))
    with pytest.raises(RecordedOnly, match="recorded, not stored by us"):
        reader.read(lake.key("delays"), frame="lazy")
