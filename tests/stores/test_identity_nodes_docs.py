"""docs/references.md is true: its examples run, one after the other, and do what the text says."""

import re
from pathlib import Path
from typing import Any

import pytest

from identity.keys import dataset_key
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "references.md").read_text("utf-8")
DECISION = (DOCS / "decisions" / "0011-identity-nodes.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_examples_run(store: MetadataStore, metadata_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    things = {"flights": AssetType.DATASET, "delays": AssetType.TABLE}
    store.register_assets(
        Asset(key=dataset_key("lake", schema="nyc", table=name), type=kind) for name, kind in things.items()
    )
    known: dict[str, Any] = {"url": metadata_url}
    for example in EXAMPLES:
        exec(compile(example, "docs/references.md", "exec"), known)
    graph: GraphStore = known["graph"]
    assert graph.resolve_key(known["reference"]) == known["iceberg"]
    assert graph.resolve_key(known["mine"]) == known["delays"]
    assert known["done"].identities == (known["reference"],)
    assert capsys.readouterr().out == "VIEW delays\n"
    graph.sessions.engine.dispose()


def test_what_the_pages_name_exists() -> None:
    named = set(re.findall(r"`(\w+_\w+)`", "".join(re.findall(r"^\| `.*$", DECISION, re.MULTILINE))))
    assert {name for name in named if not hasattr(GraphStore, name)} == set()
    links = re.findall(r"\(#([\w-]+)\)", TEXT)
    titles = [line[3:].strip().lower().replace(" ", "-") for line in TEXT.splitlines() if line.startswith("## ")]
    assert links == titles
