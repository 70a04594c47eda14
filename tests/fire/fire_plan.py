"""What the clients of a fire share: what they write to, what they are told to do, and where they note answers."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from upath import UPath

from identity.ids import Entity, tenant_id
from identity.keys import dataset_key
from resources.locations import place
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.storage import FileStorage

TENANT = tenant_id("default")
DATASETS = tuple(Entity(TENANT, dataset_key("lake", schema="fire", table=f"t{number}")) for number in range(3))
SOURCES = tuple(Entity(TENANT, dataset_key("jfk", source="jfk", schema="public", table=name)) for name in "ab")
WINDOW = 6  # items that are asked for at the same time; never two of one partition
PARTITIONS = 2  # of each dataset, for the items; what else is done has partitions of its own

EVERYTHING: Mapping[str, float] = {
    "deliver": 40,
    "roll_back": 10,
    "keep": 14,
    "look_back": 10,
    "release": 8,
    "overtake": 6,
    "give_way": 4,
    "hold": 6,
    "come_late": 6,
    "collect": 5,
    "retract": 1,
    "take_a_name": 1,
}
"""How often a client does what: names of methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`begin` and `end` are moments of the monotonic clock, which all processes share."""

    url: str
    folder: str
    begin: float
    end: float
    items_per_second: float
    seconds_between_kills: float
    acts: Mapping[str, float] = field(default_factory=lambda: dict(EVERYTHING))
    processes: int = 4
    threads: int = 4
    datasets: int = 3
    """How many of them operators use."""
    keep_versions: int = 3
    mutant: str = ""
    """`fresh keys`: a retry counts as a new intent. `two releases`: a release is made dataset by dataset."""

    @property
    def journals(self) -> Path:
        return Path(self.folder) / "journals"

    def folder_of(self, location: str) -> UPath:
        """Where the files of a recorded location are."""
        return UPath(self.folder) / "lake" / place(location)[1]

    def storage_of(self, endpoint: str) -> FileStorage:
        """Where an endpoint keeps data: all in one place."""
        return FileStorage(endpoint, UPath(self.folder) / "lake")


def register(store: MetadataStore) -> None:
    """Everything that the clients write to and read from."""
    assets = [Asset(key=entity.key, type=AssetType.DATASET) for entity in DATASETS]
    store.register_datasets([(asset, "immediately") for asset in assets])
    store.register_assets(Asset(key=entity.key, type=AssetType.TABLE) for entity in SOURCES)


def target(item: int) -> tuple[Entity, str]:
    """The dataset and partition of an item; those of a window are all different."""
    return DATASETS[item % len(DATASETS)], f"p{item // len(DATASETS) % PARTITIONS}"


class Journal:
    """Lines that survive kill -9 of their writer, because each is one write to a file."""

    def __init__(self, folder: Path) -> None:
        self.file = os.open(folder / f"{uuid.uuid4()}.jsonl", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(self, what: str, **facts: object) -> None:
        os.write(self.file, json.dumps({"what": what, **facts}, default=str).encode() + b"\n")
