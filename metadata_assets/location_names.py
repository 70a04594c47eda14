"""How what a project brings to its code location is called there."""

import re
from dataclasses import dataclass
from typing import Final

from identity.ids import sha256_of


@dataclass(frozen=True, slots=True)
class LocationNames:
    """The names of a project's resources, and what is put behind those of its schedules, jobs and sensors.

    `io_manager` is left to whoever else is in the code location: it stays theirs.
    """

    metadata: str = "metadata"
    io_manager: str = "metadata_io_manager"
    suffix: str = ""

    @classmethod
    def beside_others(cls, project: str) -> "LocationNames":
        """Names that another project, or anything else in the code location, has not: with the project's in them."""
        plain = re.sub(r"[^A-Za-z0-9_]", "_", project)
        suffix = f"_{plain}" if plain == project else f"_{plain}_{sha256_of(project).hex()[:8]}"
        return cls(f"metadata{suffix}", f"metadata_io_manager{suffix}", suffix)

    def of(self, name: str) -> str:
        """A schedule, job or sensor by its name in the project, as the code location calls it."""
        return name + self.suffix


ALONE: Final = LocationNames()
"""Of a project that is a code location of its own."""
