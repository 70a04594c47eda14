"""The naming rules of every system we know, by name.

Their `namespace` and `dataset` are those of OpenLineage's naming page (openlineage.io/docs/spec/naming), except where a
comment says that the page has no entry, and whose habit it is then.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from identity.naming.files_and_streams import FILES_AND_STREAMS
from identity.naming.relational import RELATIONAL
from identity.naming.systems import System, UnknownSystem
from identity.naming.warehouses import WAREHOUSES

ALL: Final = (*RELATIONAL, *WAREHOUSES, *FILES_AND_STREAMS)

SYSTEMS: Final[Mapping[str, System]] = MappingProxyType(
    {name: system for system in ALL for name in (system.name, *system.also)}
)
"""Every system, by each of its names."""


def system(name: str) -> System:
    """The rules of a system, by any of its names or the `name+driver` of a URL. Raises UnknownSystem."""
    found = SYSTEMS.get(name.lower().partition("+")[0])
    if found is None:
        fix = f"use one of {', '.join(system.name for system in ALL)}"
        raise UnknownSystem(value=name, reason="nothing is known by this name", fix=fix)
    return found
