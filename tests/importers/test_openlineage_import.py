"""Events of OpenLineage: in any order, repeated, partial, malformed; the same graph each time."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scratch_databases import ScratchDatabases

from benchmarks.wire import traced
from identity.ids import tenant_id
from resources.metadata_store import MetadataStore
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from tests.importers.lineage_events import dataset, event, imported, real_events, state, state_hash

OpenStore = Callable[..., MetadataStore]


def test_all_real_events_are_imported_and_once_is_enough(
    store: MetadataStore, metadata_url: str, shared_data: Path
) -> None:
    events = real_events(shared_data)
    (done,) = imported(store, events)
    assert (done.events, done.refused) == (68, ())
    found = state(metadata_url)
    assert {name: len(rows) for name, rows in found.items()} == {}
    (again,) = imported(store, events)
    assert again.recorded.rows_written == 0
