"""What is told of our own runs: datasets as they were when a run wrote them, whatever their endpoint is called."""

from dataclasses import replace

from store_inputs import Lake, attempt

from identity.keys import ColumnKey
from identity.naming import authority, endpoint_of
from resources.metadata.told_columns import ToldColumns
from resources.models import Asset, AssetType, Endpoint, Field
from resources.told_runs import ToldDataset


def columns(*named: tuple[str, str]) -> tuple[Field, ...]:
    return tuple(Field(name=name, type=kind, nullable=True, position=at) for at, (name, kind) in enumerate(named, 1))


def ran(lake: Lake, name: str, intent: str) -> str:
    by = replace(attempt(), run_id=f"{lake.endpoint}-{intent}")
    lake.commit(lake.staged(name, intent=intent), by=by)
    return by.run_id


def outputs(lake: Lake, *runs: str) -> list[ToldDataset]:
    """What is told of the one output of each run."""
    found = {}
    for told, described in lake.store.told_runs(runs=runs):
        for run in told:
            ((one,),) = (step.outputs for step in run.steps)
            found[run.run_id] = described[one.asset, one.at]
    return [found[run] for run in runs]


def test_a_run_is_told_with_the_columns_of_its_time(lake: Lake) -> None:
    lake.datasets("raw", "out")
    raw, out, scope = lake.key("raw"), lake.key("out"), lake.endpoint

    def say(fields: tuple[Field, ...], **origins: str) -> None:
        told = ToldColumns(fields=fields, origins={scope: {to: frozenset({(raw, of)}) for to, of in origins.items()}})
        lake.store.record_columns({out: told}, producer="p", scope=scope)

    unknown = ran(lake, "out", "none")
    say(columns(("x", "int"), ("gone", "int")), x="a")
    first = ran(lake, "out", "1")
    say(columns(("x", "text"), ("new", "int")), x="b", new="a")
    second = ran(lake, "out", "2")
    then, now, before = outputs(lake, first, second, unknown)
    assert [(one.name, one.type) for one in then.fields] == [("x", "int"), ("gone", "int")]
    assert then.origins == {"x": [ColumnKey(raw, "a")]}
    assert [(one.name, one.type) for one in now.fields] == [("x", "text"), ("new", "int")]
    assert now.origins == {"x": [ColumnKey(raw, "b")], "new": [ColumnKey(raw, "a")]}
    assert before == now, "what nobody knew then is told as it is known now"


def test_what_was_named_before_its_endpoint_was_registered_is_described(lake: Lake) -> None:
    slug = endpoint_of(authority(f"postgresql://{lake.endpoint}.example.com:5433/shop"))
    provisional = Lake(lake.store, slug)
    key = provisional.key("t")
    lake.store.register_datasets([(Asset(key=key, type=AssetType.TABLE, description="orders"), "manually")])
    lake.store.record_columns({key: ToldColumns(fields=columns(("x", "int")))}, producer="p", scope=slug)
    run = ran(provisional, "t", "1")
    lake.store.register_endpoints([Endpoint(slug=f"at-{lake.endpoint}", system="postgres")])
    assert lake.store.register_endpoint_as(slug, f"at-{lake.endpoint}", reason="we named it")
    (one,) = outputs(lake, run)
    assert (one.description, [field.name for field in one.fields]) == ("orders", ["x"])
