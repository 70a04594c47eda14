"""The graph store takes entities: the type checker refuses everything else before it runs."""

import re
from pathlib import Path

import pytest
from mypy import api

REPOSITORY = Path(__file__).resolve().parents[2]

_ACCEPTED = """
from identity.ids import Entity, tenant_id
from identity.keys import dataset_key
from resources.graph.edges import Link
from resources.graph_store import GraphStore

def use(store: GraphStore, entity: Entity) -> None:
    store.assert_edges([Link(entity, entity)], producer="p", scope="s", complete=True)
    store.lineage(entity, "up")
    store.lineage(Entity(tenant_id("default"), dataset_key("jfk", table="flights")), "down", depth=2)
"""

_REFUSED = """
import uuid
from identity.ids import Entity, EntityId, tenant_id
from resources.graph.edges import Link
from resources.graph_store import GraphStore

def misuse(store: GraphStore, entity: Entity) -> None:
    store.lineage("mid1:dataset:jfk:jfk/public/flights", "up")
    store.lineage(uuid.uuid4(), "up")
    store.lineage(entity.key, "up")
    store.lineage(entity.id, "up")
    store.lineage(entity, "sideways")
    Link("a", entity)
    Link(entity, uuid.uuid4())
    store.assert_edges(["a"], producer="p", scope="s", complete=True)
    store.assert_edges([(entity, entity)], producer="p", scope="s", complete=True)
    Entity("default", entity.key)
    Entity(tenant_id("default"), "mid1:dataset:jfk:jfk/public/flights")
    EntityId("a")
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of both files, with the settings of this repository and the cache of `make types`."""
    folder = tmp_path_factory.mktemp("callers")
    files = {"accepted": _ACCEPTED, "refused": _REFUSED}
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)
    config = ["--config-file", str(REPOSITORY / "pyproject.toml"), "--cache-dir", str(REPOSITORY / ".mypy_cache")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        said, problems, _status = api.run([*config, *(str(folder / f"{name}.py") for name in files)])
    assert not problems
    return said


def refused_lines(told: str, name: str) -> list[int]:
    return sorted({int(line) for line in re.findall(rf"{name}\.py:(\d+): error", told)})


def test_entities_are_accepted(told: str) -> None:
    assert refused_lines(told, "accepted") == [], told


def test_an_id_made_by_hand_is_refused(told: str) -> None:
    lines = _REFUSED.splitlines()
    first = lines.index("def misuse(store: GraphStore, entity: Entity) -> None:") + 2
    assert refused_lines(told, "refused") == list(range(first, len(lines) + 1)), told
