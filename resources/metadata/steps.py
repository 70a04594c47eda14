"""The beginning of a step: its fencing token, what it reads first, and the datasets that it is going to write."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from identity.ids import Entity
from identity.keys import CanonicalKey
from resources.metadata.materializations import TOKEN
from resources.metadata.noun import Noun
from resources.metadata.resolution import holders_asked, names_in
from resources.metadata.versions import current_asked, current_in
from resources.models import Current


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a step began with. `outputs` has no entity for a key that nobody had yet."""

    fencing_token: int
    found: list[Current]
    outputs: Mapping[CanonicalKey, Entity]


@dataclass(frozen=True, slots=True)
class Steps(Noun):
    """Begin a step."""

    def begin_step(
        self,
        outputs: Collection[CanonicalKey],
        dataset: CanonicalKey | None = None,
        partitions: Collection[str | None] = (),
    ) -> Begun:
        """`next_fencing_token`, and only then `current` of a dataset; and whom the keys of outputs name by now.

        One round trip instead of three. Names may move before the outputs are written: `lease` says so.
        """
        return self.begin_step_reading(outputs, {} if dataset is None else {dataset: partitions})

    def begin_step_reading(
        self, outputs: Collection[CanonicalKey], reads: Mapping[CanonicalKey, Collection[str | None]]
    ) -> Begun:
        """The same for a step that reads several datasets, each with the partitions that it needs."""
        asked = [current_asked(self.tenant, dataset, partitions) for dataset, partitions in reads.items()]
        (token,), names, *found = self.sessions.calls([(TOKEN, {}), holders_asked(outputs), *asked])
        return Begun(
            fencing_token=token["token"],
            found=[
                one
                for dataset, rows in zip(reads, found, strict=True)
                for one in current_in(self.tenant, dataset, rows)
            ],
            outputs=names_in(self.tenant, outputs, names),
        )
