"""From what people and tools call a thing to its canonical key: references, URLs, OpenLineage pairs.

The rules of each system are values (rules.py); the functions know none of them by name, but for two namespaces that are
no URLs (systems.py).
"""

from identity.naming.openlineage import openlineage_key, openlineage_pair
from identity.naming.references import InvalidReference, column_key, location_key, reference_key
from identity.naming.rules import SYSTEMS, system
from identity.naming.servers import (
    DEFAULT_PORTS,
    GLOBAL,
    LOCAL,
    SYNONYMS,
    Authority,
    authority,
    endpoint_of,
    endpoint_slug,
)
from identity.naming.systems import Fold, Naming, System, UnknownSystem

__all__ = [
    "DEFAULT_PORTS",
    "GLOBAL",
    "LOCAL",
    "SYNONYMS",
    "SYSTEMS",
    "Authority",
    "Fold",
    "InvalidReference",
    "Naming",
    "System",
    "UnknownSystem",
    "authority",
    "column_key",
    "endpoint_of",
    "endpoint_slug",
    "location_key",
    "openlineage_key",
    "openlineage_pair",
    "reference_key",
    "system",
]
