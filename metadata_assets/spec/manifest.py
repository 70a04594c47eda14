"""A manifest: what a project was at some time, kept in a file, so that a later one can be compared with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from identity.errors import MetadataError
from identity.keys import CanonicalKey
from metadata_assets.spec.fingerprints import PARTS, Fingerprint, fingerprints
from metadata_assets.spec.project import Project

FORMAT: Final = 1


class ManifestUnusable(MetadataError):
    """{file} is no manifest ({reason}); write one with: metadata-assets compile --manifest FILE"""

    file: str
    reason: str
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """The fingerprints of a project's datasets."""

    project: str
    datasets: Mapping[CanonicalKey, Fingerprint]

    @classmethod
    def of(cls, project: Project) -> "Manifest":
        return cls(project.name, fingerprints(project))

    def text(self) -> str:
        """As a file; the same project gives the same text on every machine."""
        datasets = {str(key): {"name": one.name, **one.parts} for key, one in sorted(self.datasets.items())}
        document = {"format": FORMAT, "project": self.project, "datasets": datasets}
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def changed(self, key: CanonicalKey, before: "Manifest") -> frozenset[str]:
        """Which parts of a dataset are not as they were; all where it is new."""
        own, other = self.datasets[key], before.datasets.get(key)
        return frozenset(part for part in PARTS if other is None or own.parts[part] != other.parts.get(part))


def read_manifest(path: Path) -> Manifest:
    """Raises ManifestUnusable."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ManifestUnusable(file=str(path), reason=f"it is of format {document['format']}, not {FORMAT}")
        datasets = {
            CanonicalKey.parse(key): Fingerprint(str(one["name"]), {part: str(one[part]) for part in PARTS})
            for key, one in document["datasets"].items()
        }
        return Manifest(str(document["project"]), datasets)
    except OSError as error:
        raise ManifestUnusable(file=str(path), reason=error.strerror or "it cannot be read") from None
    except ManifestUnusable:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, MetadataError) as error:
        raise ManifestUnusable(file=str(path), reason=f"{type(error).__name__} while reading it") from None
