"""The marker of a root: a file that says whose root this is, so that a disk that is not mounted is not taken for empty.

Whoever concludes from a file that is not there that it is gone looks for the marker first.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from threading import get_ident
from typing import Final

from upath import UPath

from resources.files import places
from resources.locations import EndpointAway, place

MARKER: Final = ".metadata-assets"
"""Below the root: {"endpoints": ["lake"]}, the endpoints whose data are there."""
_KEY: Final = "endpoints"

Known = Callable[[], Iterable[str]]
"""Some locations that an endpoint has by the word of the control plane; asked only where there is no marker."""


class RootNotThere(EndpointAway):
    """the files of endpoint {endpoint} are not at {root}; mount it, or add the endpoint to the project with its root"""

    root: str


class RootNotMarked(RootNotThere):
    """{root} does not say that it is the root of endpoint {endpoint}: mount what belongs there, or, if an older \
version wrote it, run: metadata-assets doctor --fix; to begin anew there, write {marker} into {file}"""

    marker: str
    file: str


class RootOfAnother(RootNotThere):
    """{root} is marked as the root of endpoint {marked}, not of {endpoint}; mount what belongs there, or give \
{endpoint} the root that it had or, if both have data there, run: metadata-assets doctor --fix"""

    marked: str


class RootUnreadable(RootNotThere):
    """it cannot be told whether {root} is the root of endpoint {endpoint}: {reason}; nothing was changed"""

    reason: str


def present_root(endpoint: str, root: UPath) -> UPath:
    """The root of an endpoint, if it is there and marked as its own. Raises RootNotThere, or one of its kind."""
    if endpoint not in _marked(endpoint, root):
        raise _not_marked(endpoint, root)
    return root


def claim(endpoint: str, root: UPath, known: Known = tuple) -> None:
    """Mark a root before an endpoint writes there for the first time. One small read when it is marked.

    Where the control plane knows data of the endpoint, one of them must be there: else this is another disk, or none.
    Raises RootNotThere, or one of its kind, and what `places.failures` names; then nothing was written.
    """
    try:
        present_root(endpoint, root)
    except (RootOfAnother, RootUnreadable):
        raise
    except RootNotThere as absent:
        locations = list(known())
        if locations and not _any_there(root, locations):
            raise _unmarked(endpoint, root) from absent
        _mark(root, [endpoint])


def adopt(endpoint: str, root: UPath, known: Known) -> bool:
    """Mark a root that an older version wrote, or that endpoints share, if known data are there; whether they are."""
    if places.is_local(root) and not places.is_there(root):
        return False
    if not _any_there(root, known()):
        return False
    _mark(root, sorted({*(_said(root) or ()), endpoint}))
    return True


def _not_marked(endpoint: str, root: UPath) -> RootNotThere:
    if places.is_local(root) and not places.is_there(root):
        return RootNotThere(endpoint=endpoint, root=str(root))
    return _unmarked(endpoint, root)


def _unmarked(endpoint: str, root: UPath) -> RootNotMarked:
    marker = json.dumps({_KEY: [endpoint]})
    return RootNotMarked(endpoint=endpoint, root=str(root), marker=marker, file=str(root / MARKER))


def _marked(endpoint: str, root: UPath) -> Collection[str]:
    """The endpoints that a root is marked for; none where it is not marked. Raises RootOfAnother, RootUnreadable."""
    try:
        said = _said(root)
    except places.failures() as error:
        raise RootUnreadable(endpoint=endpoint, root=str(root), reason=places.reason_of(error)) from None
    except ValueError:
        raise RootUnreadable(endpoint=endpoint, root=str(root), reason=f"{MARKER} is not JSON of ours") from None
    if said is not None and endpoint not in said:
        raise RootOfAnother(endpoint=endpoint, root=str(root), marked=", ".join(said))
    return said or ()


def _said(root: UPath) -> list[str] | None:
    try:
        content = json.loads(places.get(root / MARKER))
    except FileNotFoundError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get(_KEY), list):
        raise ValueError(MARKER)
    return [str(one) for one in content[_KEY]]


def _any_there(root: UPath, locations: Iterable[str]) -> bool:
    return any(places.is_there(root / place(one)[1]) for one in locations)


def _mark(root: UPath, endpoints: Collection[str]) -> None:
    """Write the marker as one step. Two that do so at once for one endpoint write the same."""
    content = json.dumps({_KEY: list(endpoints)}).encode() + b"\n"
    if not places.is_local(root):
        root.fs.pipe_file((root / MARKER).path, content)
        return
    made = places.make_folders(root)
    passing = Path(str(root), f"{MARKER}.{os.getpid()}.{get_ident()}")
    with passing.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    passing.replace(Path(str(root), MARKER))
    places.start_syncing([root, *made]).wait()
