"""`identity show`, `rename`, `move`, `merge`, `unmerge` and `key`, on a store with something in it."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cli_calls import DAYS, FLIGHTS, JFK_FLIGHTS, JFK_WEATHER, WEATHER, Call, Run, Writer, program

from identity.ids import Entity, tenant_id
from identity.keys import CanonicalKey, dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Endpoint

PASSWORD = "s3cr3t-Pa55"


def changes(store: MetadataStore) -> int:
    """How many changes were ever told."""
    with store.session() as session:
        return int(
            session.rows("SELECT count(*) AS n FROM metadata.audit WHERE tenant_id = %s", [store.tenant.value])[0]["n"]
        )


def test_a_renamed_source_answers_by_both_names(run: Run, filled: dict[str, UUID], store: MetadataStore) -> None:
    before = run("dataset", "show", "jfk/public/flights", "--json").json
    identifier = str(store.entity(JFK_FLIGHTS).id)
    answer = run("identity", "rename", "jfk/public/flights", "departures", "--reason", "as the source does", "--json")
    assert answer.json == {
        "dry_run": False,
        "renamed": [
            {
                "id": identifier,
                "was": "jfk/public/flights",
                "now": "jfk/public/departures",
                "was_key": str(JFK_FLIGHTS),
                "now_key": str(dataset_key("jfk", source="jfk", schema="public", table="departures")),
            }
        ],
    }
    for name in ("jfk/public/flights", "jfk/public/departures", str(JFK_FLIGHTS)):
        found = run("dataset", "show", name, "--json").json
        assert (found["name"], found["makes"]) == ("jfk/public/departures", before["makes"])
    assert "jfk/public/departures" in run("lineage", "lake/nyc/daily_delays").out
    assert run("materialization", "show", str(filled["delays"])).code == 0


def test_show_tells_every_name_with_its_interval_and_why(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    run("identity", "rename", "lake/nyc/flights", "flown", "--reason", "a better word")
    found = run("identity", "show", "lake/nyc/flights", "--json").json
    now, was = (
        next(one for one in found["names"] if one["kind"] == kind and not one["to"]) for kind in ("primary", "rename")
    )
    assert (found["name"], found["asked"]) == ("lake/nyc/flown", str(FLIGHTS))
    assert (now["name"], now["reason"], now["change"]) == ("lake/nyc/flown", "a better word", was["change"])
    assert was["name"] == "lake/nyc/flights"
    assert now["actor"].startswith("cli"), "who called the program"
    (first,) = [one for one in found["names"] if one["to"]]
    assert (first["name"], first["actor"], first["to"]) == ("lake/nyc/flights", "test", now["from"])
    shown = run("identity", "show", "lake/nyc/flown").out
    assert "own name" in shown
    assert "a better word" in shown


def test_show_as_of_a_time_tells_whom_a_name_meant_then(
    run: Run, filled: dict[str, UUID], store: MetadataStore
) -> None:
    assert filled
    flights, weather = store.entity(FLIGHTS).id, store.entity(WEATHER).id
    before = datetime.now(UTC).isoformat()
    run("identity", "rename", "lake/nyc/flights", "weather", "lake/nyc/weather", "flights")
    then = run("identity", "show", "lake/nyc/flights", "--as-of", before, "--json").json
    assert (then["id"], then["name"]) == (str(flights), "lake/nyc/weather")
    assert [one["name"] for one in then["names"]] == ["lake/nyc/flights"]
    assert run("identity", "show", "lake/nyc/flights", "--json").json["id"] == str(weather)
    nothing = run("identity", "show", "lake/nyc/flights", "--as-of", "2000-01-01", "--json")
    assert (nothing.code, nothing.error["error"]) == (3, "UnknownKey")
    assert run("identity", "show", "lake/nyc/flights", "--as-of", "yesterday").code == 2


def test_a_rotation_is_one_call(run: Run, filled: dict[str, UUID], store: MetadataStore) -> None:
    assert filled
    names = ("flights", "weather", "daily_delays")
    ids = {name: store.entity(dataset_key("lake", schema="nyc", table=name)).id for name in names}
    given = [f"lake/nyc/{name}" for pair in zip(names, (*names[1:], names[0]), strict=True) for name in pair]
    assert len(run("identity", "rename", *given, "--json").json["renamed"]) == 3
    for was, now in zip(names, (*names[1:], names[0]), strict=True):
        assert store.entity(dataset_key("lake", schema="nyc", table=now)).id == ids[was]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["lake/nyc/flights"], 2, "UnpairedName"),
        (["lake/nyc/flights", "weather"], 1, "NameTaken"),
        (["lake/nyc/nothing", "something"], 3, "UnknownKey"),
        (["lake/nyc/flights", "a", "lake/nyc/flights", "b"], 2, "RenamedTwice"),
        (["lake/nyc/flights", "a", "lake/nyc/weather", "a"], 1, "RenameRefused"),
        (["jfk/public/flights", "unknown/public/flights"], 3, "UnknownEndpoint"),
        (["lake/nyc/flights", "mid1:job:lake:flights"], 1, "RenameRefused"),
        (["lake/nyc/flights", "lake//"], 2, "NotAName"),
        (["lake/nyc/flights", f"postgres://ann:{PASSWORD}@db/x"], 2, "NotAName"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_is_refused_writes_nothing(
    run: Run, filled: dict[str, UUID], store: MetadataStore, arguments: list[str], code: int, error: str, dry: list[str]
) -> None:
    assert filled
    before = changes(store)
    answer = run("identity", "rename", *arguments, *dry, "--json")
    assert (answer.code, answer.error["error"], answer.out) == (code, error, "")
    assert PASSWORD not in answer.err
    assert changes(store) == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(
    run: Run, filled: dict[str, UUID], store: MetadataStore
) -> None:
    assert filled
    before = changes(store)
    swap = ["lake/nyc/flights", "weather", "lake/nyc/weather", "flights"]
    assert len(run("identity", "rename", *swap, "--dry-run", "--json").json["renamed"]) == 2
    assert "Would be renamed" in run("identity", "rename", *swap, "--dry-run").out
    assert run("identity", "move", "lake/nyc/flights", "--to", "lake/old", "--dry-run", "--json").json["dry_run"]
    assert changes(store) == before
    assert store.asset(FLIGHTS).key == FLIGHTS


def test_asked_again_a_rename_has_nothing_to_do(run: Run, filled: dict[str, UUID]) -> None:
    assert filled
    rename = ["identity", "rename", "lake/nyc/flights", "flown"]
    assert len(run(*rename, "--json").json["renamed"]) == 1
    assert run(*rename, "--json").json["renamed"] == []
    assert "called so already" in run(*rename).out
    other = run("identity", "rename", "lake/nyc/flights", "taken_off", "--json")
    assert (other.code, other.error["error"]) == (1, "RenameRefused"), "by an old name nothing else is renamed"


def test_move_to_another_endpoint_and_schema(run: Run, filled: dict[str, UUID], store: MetadataStore) -> None:
    assert filled
    store.register_endpoints(Endpoint(slug=slug, system="files") for slug in ("lake", "archive", "warehouse"))
    identifier = store.entity(FLIGHTS).id
    run("identity", "move", "lake/nyc/flights", "lake/nyc/weather", "--to", "archive/y2013", "--reason", "moved")
    moved = dataset_key("archive", schema="y2013", table="flights")
    assert store.entity(moved).id == identifier
    assert [one.kind for one in store.aliases_of(moved) if one.key == FLIGHTS and one.valid_to is None] == ["endpoint"]
    assert run("materializations", "lake/nyc/flights", "--json").json[0]["name"] == "archive/y2013/flights"
    assert run("identity", "move", "jfk/public/flights", "--to", "warehouse").code == 2, "with which database?"
    run("identity", "move", "archive/y2013/flights", "--to", "lake/nyc")
    assert store.asset(FLIGHTS).key == FLIGHTS


def test_a_merge_and_back(run: Run, filled: dict[str, UUID], writer: Writer, store: MetadataStore) -> None:
    assert filled
    copy = dataset_key("jfk", source="jfk", schema="public", table="flights_copy")
    loser = writer.source(copy).id
    arguments = ["identity", "merge", "jfk/public/flights_copy", "jfk/public/flights"]
    before = changes(store)
    assert run(*arguments, "--dry-run", "--json").json["merge"] is None
    assert changes(store) == before
    merged = run(*arguments, "--reason", "collected twice", "--json").json
    assert (merged["loser"], merged["winner"]) == (str(copy), str(JFK_FLIGHTS))
    assert run("dataset", "show", "jfk/public/flights_copy", "--json").json["name"] == "jfk/public/flights"
    tried = run("identity", "unmerge", "jfk/public/flights_copy", "--dry-run", "--json").json
    assert (tried["merge"], tried["id"]) == (merged["merge"], str(loser))
    back = run("identity", "unmerge", "jfk/public/flights_copy", "--json").json
    assert back == {"dry_run": False, "merge": merged["merge"], "id": str(loser), "name": "jfk/public/flights_copy"}
    assert run("dataset", "show", "jfk/public/flights_copy", "--json").json["name"] == "jfk/public/flights_copy"
    assert run("identity", "unmerge", merged["merge"], "--json").error["error"] == "UnknownName"
    assert run("identity", "unmerge", "jfk/public/flights", "--json").error["error"] == "NotMerged"


def test_a_merge_that_would_lose_something_is_refused(run: Run, filled: dict[str, UUID], store: MetadataStore) -> None:
    assert filled
    before = changes(store)
    for dry in ([], ["--dry-run"]):
        answer = run("identity", "merge", "lake/nyc/flights", "lake/nyc/weather", *dry, "--json")
        assert (answer.code, answer.error["error"]) == (1, "MergeRefused")
    assert changes(store) == before


POSTGRES = dataset_key("jfk", source="shop", schema="public", table="orders")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["Orders", "--system", "postgres", "--endpoint", "jfk", "--source", "shop"], POSTGRES),
        (["shop.public.orders", "--system", "postgres", "--endpoint", "jfk"], POSTGRES),
        ([str(POSTGRES)], POSTGRES),
        (["urn:li:dataset:(urn:li:dataPlatform:postgres,jfk.shop.public.orders,PROD)", "--endpoint", "jfk"], POSTGRES),
        (["shop.public.orders@jfk", "--from", "atlas", "--system", "postgres", "--endpoint", "jfk"], POSTGRES),
        (["jfk.shop.public.orders", "--from", "openmetadata", "--system", "postgres", "--endpoint", "jfk"], POSTGRES),
        (['["sales", "orders"]'], dataset_key("dagster", table='["sales", "orders"]')),
        (["s3://bucket/a/b.parquet"], dataset_key("s3_bucket", table="a/b.parquet")),
        (["file:/data/x.csv"], dataset_key("file_local", table="/data/x.csv")),
    ],
)
def test_a_key_is_computed_without_a_database(call: Call, arguments: list[str], key: CanonicalKey) -> None:
    nowhere = {"METADATA_DATABASE_URL": "postgresql://ann@127.0.0.1:1/x"}
    answer = call(nowhere, "identity", "key", *arguments, "--json")
    assert (answer.code, answer.json["key"]) == (0, str(key))
    assert answer.json["id"] == str(Entity(tenant_id("default"), key).id)
    assert str(key) in call(nowhere, "identity", "key", *arguments).out
    assert call(nowhere, "identity", "key", *arguments, "--json", "--tenant", "other").json["id"] != answer.json["id"]


def test_a_key_names_what_other_catalogs_call_it(call: Call) -> None:
    answer = call({}, "identity", "key", str(POSTGRES), "--system", "postgres", "--json")
    assert answer.json["names"] == {
        "datahub": "urn:li:dataset:(urn:li:dataPlatform:postgres,jfk.shop.public.orders,PROD)",
        "openmetadata": "jfk.shop.public.orders",
        "atlas": "shop.public.orders@jfk",
    }


SECRETIVE: list[Callable[[str], list[str]]] = [
    lambda secret: [f"postgresql://ann:{secret}@db.example.com:5433/shop"],
    lambda secret: [f"s3://AKIA:{secret}@bucket/key"],
    lambda secret: [f"s3://bucket/key?password={secret}"],
    lambda secret: [f"ann:{secret}@db/shop", "--system", "postgres", "--endpoint", "jfk"],
    lambda secret: ["orders", "--namespace", f"postgres://ann:{secret}@db:5432/"],
    lambda secret: [f"urn:li:dataset:(urn:li:dataPlatform:postgres,password={secret},PROD)", "--endpoint", "jfk"],
    lambda secret: [f"jfk.password={secret}", "--from", "openmetadata", "--system", "hive", "--endpoint", "jfk"],
]


@pytest.mark.parametrize("arguments", SECRETIVE)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_no_password_comes_back(call: Call, arguments: Callable[[str], list[str]], debug: list[str]) -> None:
    answer = call({}, "identity", "key", *arguments(PASSWORD), "--json", *debug)
    assert PASSWORD not in answer.out
    assert PASSWORD not in answer.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["orders"], "OptionNeeded"),
        (["orders", "--system", "postgres"], "OptionNeeded"),
        (["orders", "--from", "elsewhere"], "UnknownForm"),
        (["orders", "--system", "unheard", "--endpoint", "jfk"], "UnknownSystem"),
        (["urn:li:dataset:(urn:li:dataPlatform:postgres,jfk.shop.public.orders,PROD)"], "OptionNeeded"),
        (["mid1:dataset:jfk:a"], "InvalidKey"),
        (["sales/orders", "--from", "dagster"], "InvalidReference"),
    ],
)
def test_a_name_that_means_nothing_is_bad_input(call: Call, arguments: list[str], error: str) -> None:
    answer = call({}, "identity", "key", *arguments, "--json")
    assert (answer.code, answer.error["error"]) == (2, error)


def test_as_a_program(environ: dict[str, str], filled: dict[str, UUID]) -> None:
    assert filled
    done = program("identity", "rename", "lake/nyc/flights", "flown", environ=environ)
    assert (done.code, done.err) == (0, "")
    assert "lake/nyc/flown" in done.out
    found = program("materializations", "lake/nyc/flights", "--partition", DAYS[0], "--json", environ=environ).json
    assert [one["name"] for one in found] == ["lake/nyc/flown"]


def test_weather_stays_where_it_is(run: Run, filled: dict[str, UUID], store: MetadataStore) -> None:
    """A rename of one thing of an endpoint leaves its neighbours alone."""
    assert filled
    before = store.aliases_of(JFK_WEATHER)
    run("identity", "rename", "jfk/public/flights", "departures")
    assert store.aliases_of(JFK_WEATHER) == before
