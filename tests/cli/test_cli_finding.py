"""Names that are near, gone, or below an endpoint that was registered later; endpoints that nobody registered."""

from collections.abc import Callable
from uuid import UUID

import pytest
from cli_calls import FLIGHTS, JFK_FLIGHTS, Run, Writer
from test_cli_surface import shape

from identity.keys import dataset_key
from identity.naming import authority, endpoint_of
from metadata_assets.cli import documents
from resources.metadata_store import MetadataStore
from resources.models import Endpoint

_CLOSE = "UPDATE metadata.asset SET deleted_at = clock_timestamp() WHERE tenant_id = %s AND asset_id = %s"


def test_similar_names_are_told_below_the_names_of_a_thing(run: Run, filled: dict[str, UUID], writer: Writer) -> None:
    assert filled
    writer.source(dataset_key("jfk", source="jfk", schema="public", table="flights_2013"))
    found = run("identity", "show", "jfk/public/flights", "--json").json
    assert found["similar"] == ["mid1:dataset:jfk:jfk/public/flights_2013"]
    assert shape(found) == documents.IDENTITY
    assert (
        "Similar names, of other things: jfk/public/flights_2013" in run("identity", "show", "jfk/public/flights").out
    )
    assert "Similar" not in run("identity", "show", "lake/nyc/weather").out


def test_what_is_gone_is_found_by_its_short_name_and_says_so(
    run: Run, filled: dict[str, UUID], store: MetadataStore
) -> None:
    assert filled
    assert run("dataset", "show", "jfk/public/flights", "--json").json["closed_at"] is None
    with store.session() as session:
        session.count(_CLOSE, [store.tenant.value, store.entity(JFK_FLIGHTS).id.value])
    for command in (["identity", "show"], ["dataset", "show"]):
        for name in ("jfk/public/flights", str(JFK_FLIGHTS)):
            assert run(*command, name, "--json").json["closed_at"] is not None
            assert "closed since" in run(*command, name).out


def test_a_move_to_an_endpoint_that_nobody_registered_is_refused(
    run: Run, filled: dict[str, UUID], store: MetadataStore
) -> None:
    assert filled
    store.register_endpoints([Endpoint(slug="archive", system="files")])
    for arguments in (
        ["move", "lake/nyc/flights", "--to", "archiv"],
        ["move", "lake/nyc/flights", "--to", "archiv/y2013"],
        ["rename", "lake/nyc/flights", "archiv/nyc/flights"],
    ):
        answer = run("identity", *arguments, "--json")
        assert (answer.code, answer.error["error"]) == (3, "UnknownEndpoint")
        assert "archive" in answer.error["hint"]
    assert store.asset(FLIGHTS).key == FLIGHTS


@pytest.mark.parametrize(
    "where", [str, lambda _slug: "db.example.com:5433", lambda _slug: "postgresql://a:b@db.example.com:5433/x"]
)
def test_a_server_is_registered_later(
    run: Run, filled: dict[str, UUID], writer: Writer, store: MetadataStore, where: Callable[[str], str]
) -> None:
    assert filled
    slug = endpoint_of(authority("postgresql://db.example.com:5433/shop"))
    old = dataset_key(slug, source="shop", schema="sales", table="orders")
    identifier = str(writer.source(old).id)
    store.register_endpoints([Endpoint(slug="shop", system="postgres")])
    register = ["identity", "register", where(slug), "--as", "shop", "--reason", "we named it"]
    assert run(*register, "--dry-run", "--json").json == {
        "dry_run": True,
        "slug": slug,
        "endpoint": "shop",
        "is_new": True,
    }
    assert run("identity", "show", "shop/sales/orders").code == 3, "nothing was written"
    assert run(*register, "--json").json["is_new"]
    assert not run(*register, "--json").json["is_new"]
    for name in ("shop/sales/orders", f"{slug}/sales/orders", str(old)):
        found = run("identity", "show", name, "--json").json
        assert (found["name"], found["id"]) == ("shop/sales/orders", identifier)
        assert run("dataset", "show", name, "--json").json["name"] == "shop/sales/orders"
    unknown = run("identity", "register", slug, "--as", "nowhere", "--json")
    assert (unknown.code, unknown.error["error"]) == (3, "UnknownEndpoint")
