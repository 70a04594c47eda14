"""A dataset read through a pin and as it is published, while a part of it is made anew, published, and rolled back."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from year_readers import Reading, digest_of, read_all

from identity.keys import CanonicalKey, short_name
from metadata_assets.cli import main
from resources.metadata_store import MetadataStore

PIN = "as-backfilled"
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Pinned:
    """What two processes read meanwhile."""

    version: int
    reads_through_the_pin: int
    through_the_pin: list[str]
    """The distinct digests."""
    reads_published: int
    published_seen: list[str]
    """`old`, `altered`, or the digest of something that was never published, in the order of their appearance."""
    collected_before_rollback: int
    collected_after_rollback: int
    errors: list[str]


def read_throughout(
    store: MetadataStore, dataset: CanonicalKey, make_a_mistake: Callable[[], _Made], console: Console
) -> tuple[_Made, Pinned]:
    """Pin what is published, read it and what is published in two processes, and let a mistake come and go."""
    version = store.version_at(dataset)
    store.pin(PIN, {dataset: version}, reason="read while a month is made anew")
    old = digest_of(read_all(dataset, version))
    pinned, published = Reading.begin(dataset, PIN), Reading.begin(dataset, None)
    readers = [pinned, published]
    try:
        for reader in readers:
            reader.wait_for()
        console.print(f"version {version} is pinned and read; the middle of it is made anew, with a mistake")
        made = make_a_mistake()
        with_mistake = store.version_at(dataset)
        altered = digest_of(read_all(dataset, with_mistake))
        published.wait_for(altered)
        collected = _collect(dataset)
        pinned.wait_for(times=2)
        store.rollback(dataset, to=version, expected=with_mistake, reason="every departure is an hour late")
        console.print(f"rolled back from version {with_mistake}")
        published.wait_for(old, times=2)
        collected_after = _collect(dataset)
        for reader in readers:
            reader.wait_for(times=2)
    finally:
        for reader in readers:
            reader.end()
    names = {old: "old", altered: "altered"}
    return made, Pinned(
        version=version,
        reads_through_the_pin=len(pinned.digests),
        through_the_pin=sorted({names.get(one, one) for one in pinned.digests}),
        reads_published=len(published.digests),
        published_seen=[names.get(one, one) for one in published.seen],
        collected_before_rollback=collected,
        collected_after_rollback=collected_after,
        errors=pinned.errors + published.errors,
    )


def _collect(dataset: CanonicalKey) -> int:
    """Collect replaced data at once, all that may go; how many folders did."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["gc", short_name(dataset), "--keep-versions", "1", "--keep-for", "0s", "--json"])
    assert code == 0, out.getvalue()
    replaced: int = json.loads(out.getvalue())["replaced"]
    return replaced
