"""Files and records that do not agree: data that are promised and gone, and folders that nothing names."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from upath import UPath

from identity.errors import MetadataError
from identity.keys import short_name
from metadata_assets.cli.answers import Answer, Wrong, few
from metadata_assets.cli.elsewhere import files_root
from resources.files import places, staging
from resources.files.marking import RootNotMarked, RootOfAnother, adopt, present_root
from resources.locations import EndpointAway, EndpointLocation, location, place
from resources.metadata.health import Health
from resources.metadata_store import MetadataStore
from resources.settings import Settings
from resources.tables.dangling import UnknownReference
from resources.tables.dangling import dangling as soft_references
from resources.tables.store import TableStorage

LATE: Final = timedelta(days=1)
"""How old something is before it counts as left over."""
_BATCH: Final = 1000
_DATASET: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Roots:
    """Where the project's endpoints of files are, and those that it does not name: below `lake` in the home."""

    locations: Mapping[str, EndpointLocation]
    settings: Settings
    store: MetadataStore
    tables: Set[str] = frozenset()
    """Endpoints that keep tables, not files."""
    fix: bool = False
    """Mark roots that are not marked and hold data of their endpoint."""
    away: dict[str, EndpointAway] = field(default_factory=dict)
    """What keeps roots from being looked at."""

    def root_of(self, endpoint: str) -> UPath:
        """Raises MissingVariable, FilesystemMissing, RootNotThere, EndpointElsewhere."""
        root = files_root(endpoint, self.locations, self.store, self.settings)
        try:
            return present_root(endpoint, root)
        except (RootNotMarked, RootOfAnother):
            if self.fix and adopt(endpoint, root, lambda: self.store.located_lately(endpoint)):
                return root
            raise

    @cached_property
    def listings(self) -> Mapping[str, "Listing"]:
        """What is below each root that can be looked at. Why another one cannot be, the look at its endpoint tells."""
        lake = self.settings.home / "lake"
        unnamed = {folder.name for folder in lake.iterdir() if folder.is_dir()} if lake.is_dir() else set()
        found = {}
        for endpoint in sorted({*self.locations, *unnamed}):
            listing = self._seen(endpoint)
            if listing is not None:
                found[endpoint] = listing
        return found

    def _seen(self, endpoint: str) -> "Listing | None":
        try:
            return listed(self.root_of(endpoint))
        except EndpointAway as error:
            self.away[endpoint] = error
            return None
        except MetadataError:
            return None
        except places.failures():
            return None


@dataclass(frozen=True, slots=True)
class Listing:
    """The folders of attempts below a root, `dataset/partition/attempt`: when each was last written, and the whole."""

    written_at: Mapping[str, float]
    whole: Set[str]


def listed(root: UPath) -> Listing:
    written: dict[str, float] = defaultdict(float)
    whole = set()
    for one in places.files_below(root):
        folder, _slash, name = one.path.rpartition("/")
        if folder.count("/") == 2:
            written[folder] = max(written[folder], one.written_at)
            if name == staging.MANIFEST:
                whole.add(folder)
    return Listing(written, whole)


def left_over(health: Health, roots: Roots) -> list[Answer]:
    """Folders that no record names, and collections that did not end."""
    found = []
    count, since = health.condemned()
    if count:
        detail = f"{count} materializations are condemned since {since:%Y-%m-%d %H:%M} and not collected"
        found.append(Answer(detail, Wrong.A_LITTLE, "run: metadata-assets gc"))
    for endpoint, listing in roots.listings.items():
        orphans = orphans_in(health, endpoint, listing)
        if orphans:
            detail = f"{len(orphans)} folders below {roots.root_of(endpoint)} belong to no record: {few(orphans)}"
            fix = "delete them, if no other installation of this tenant writes there"
            found.append(Answer(detail, Wrong.A_LITTLE, fix))
    return found


def out_of_step(tables: TableStorage) -> Iterator[Answer]:
    """Tables and views of an endpoint that do not fit what the control plane says; nothing where all does."""
    found = soft_references(tables)
    for one in found.out_of_step:
        name = one.view if one.key is None else short_name(one.key)
        detail = f"{one.view} shows version {one.shown} of {name}, published is {one.published}"
        if one.called_otherwise:
            detail = f"{one.view} is the view of {name}, and called as that was before"
        fix = "restore the metadata database: it forgot versions" if one.ahead else "run: metadata-assets doctor --fix"
        yield Answer(detail, Wrong.YES if one.ahead else Wrong.A_LITTLE, fix)
    if found.unknown:
        detail = f"{len(found.unknown)} tables name a materialization that is not known: {_locations(found.unknown)}"
        yield Answer(detail, Wrong.A_LITTLE, "drop them, if no other installation of this tenant writes there")
    if found.orphans:
        detail = f"{len(found.orphans)} tables belong to no record: {few(found.orphans)}"
        yield Answer(detail, Wrong.A_LITTLE, "drop them, if no other installation of this tenant writes there")
    if found.missing:
        detail = f"{len(found.missing)} tables that materializations name are gone: {few(found.missing)}"
        yield Answer(detail, Wrong.YES, "restore them from a copy, or materialize their partitions again")


def _locations(references: Iterable[UnknownReference]) -> str:
    return few([one.location for one in references])


def orphans_in(health: Health, endpoint: str, listing: Listing) -> list[str]:
    """Folders of attempts that are older than a day and that no lease, materialization or redelivery names.

    The listing is older than this look at the records, and a lease is older than its files: what is being written is
    always named. Folders of datasets that this tenant does not have are somebody else's.
    """
    latest = (datetime.now(UTC) - LATE).timestamp()
    by_folder = {folder: folder.partition("/")[0] for folder, at in listing.written_at.items() if at < latest}
    own = health.own_datasets({dataset for dataset in by_folder.values() if re.fullmatch(_DATASET, dataset)})
    candidates = sorted(folder for folder, dataset in by_folder.items() if dataset in own)
    orphans = []
    for start in range(0, len(candidates), _BATCH):
        batch = candidates[start : start + _BATCH]
        told = health.on_record(own, [location(endpoint, folder) for folder in batch])
        orphans += [folder for folder in batch if location(endpoint, folder) not in told]
    return orphans


def dangling(health: Health, roots: Roots) -> list[Answer]:
    """Published or pinned data whose manifest is not there."""
    missing, unseen = defaultdict(list), Counter[str]()
    for one in health.relied():
        endpoint, path = place(one.location)
        if endpoint in roots.tables:
            continue  # the look at that endpoint tells
        listing = roots.listings.get(endpoint)
        if listing is None:
            unseen[endpoint] += 1
        elif path not in listing.whole and not staging.is_there(roots.root_of(endpoint) / path):
            missing[short_name(one.key)].append(one.partition or "it")
    found = [
        Answer(
            f"{name} is promised and not there: {few(partitions)}",
            Wrong.YES,
            f"restore its files from a copy, or materialize it again: metadata-assets materializations {name}",
        )
        for name, partitions in missing.items()
    ]
    for endpoint, count in sorted(unseen.items()):
        away = roots.away.get(endpoint)
        why = away or f"the files of endpoint {endpoint} cannot be seen from here"
        wrong = Wrong.A_LITTLE if isinstance(away, RootNotMarked | RootOfAnother) else Wrong.UNKNOWN
        found.append(Answer(f"{count} locations were not looked at: {why}", wrong))
    return found
