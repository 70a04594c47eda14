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
        reads = [] if dataset is None else [current_asked(self.tenant, dataset, partitions)]
        (token,), names, *found = self.sessions.calls([(TOKEN, {}), holders_asked(outputs), *reads])
        return Begun(
            fencing_token=token["token"],
            found=current_in(self.tenant, dataset, found[0]) if dataset is not None else [],
            outputs=names_in(self.tenant, outputs, names),
        )
