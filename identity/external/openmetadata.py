"""OpenMetadata's fully qualified names, each with the type of its entity: two types may have one and the same FQN.

    table      jfk.flights.public.flights      mysql has no databases above its schemas: shop.default.sales.orders
    topic      bus.orders                      container   lake."2013/01/part-0.parquet"

The rules are its grammar Fqn.g4 and quoteName: a name with a dot stands in double quotes, a double quote cannot be
written. In the name of a table `::`, `>` and `"` are words, as its replace_separators writes them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, assert_never

from identity.external.names import inexpressible, invalid, rules_of, sure, system_of
from identity.keys import CanonicalKey, Kind, dashboard_key, dataset_key, job_key, refuse_credentials
from identity.naming import InvalidReference, Naming, System

Entity = Literal["table", "topic", "container", "pipeline", "dashboard"]
_NO_DATABASE: Final = "default"
_WORDS: Final = {"::": "__reserved__colon__", ">": "__reserved__arrow__", '"': "__reserved__quote__"}
_FQN: Final = re.compile(r"""(?:"[^"]*"|[^."]+)(?:\.(?:"[^"]*"|[^."]+))*""")
_PART: Final = re.compile(r""""([^"]*)"|([^."]+)""")


@dataclass(frozen=True, slots=True)
class OpenMetadataName:
    """An entity of OpenMetadata: its type and its fully qualified name."""

    entity: Entity
    fqn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMetadata:
    """Names for the endpoints of `systems`, slug by system; `services` where a service is not called like its slug."""

    systems: Mapping[str, str]
    services: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len({self._service(slug) for slug in self.systems}) < len(self.systems):
            raise invalid("services", "two endpoints are one service", "give each a service of its own")

    def name_of(self, key: CanonicalKey) -> OpenMetadataName:
        rules = system_of(key, self.systems)
        entity = _entity(key, rules)
        name = key.segments[-1] or ""
        above = _above(key, rules) if key.kind is Kind.DATASET else ()
        parts = (self._service(key.namespace), *above, _worded(name) if entity == "table" else name)
        if any('"' in part or not part for part in parts):
            raise inexpressible(key, 'a part of it is empty or has a "', "rename the thing, or leave it out there")
        return sure(OpenMetadataName(entity, ".".join(map(_quoted, parts))), key, self)

    def key_of(self, name: OpenMetadataName) -> CanonicalKey:
        refuse_credentials(name.fqn, InvalidReference)
        if not _FQN.fullmatch(name.fqn):
            raise invalid(
                name.fqn, "it is no fully qualified name", "separate its parts by dots, a part with a dot in quotes"
            )
        service, *parts = (_unquoted(match, name.fqn) for match in _PART.finditer(name.fqn))
        slug = next((slug for slug in self.systems if self._service(slug) == service), None)
        if slug is None or not parts:
            raise invalid(name.fqn, "its service is no endpoint here", "name the endpoint and its system")
        for part in parts:
            refuse_credentials(part, InvalidReference)
        rules = rules_of(self.systems[slug])
        match name.entity:
            case "pipeline" if len(parts) == 1:
                return job_key(slug, parts[0])
            case "dashboard" if len(parts) == 1:
                return dashboard_key(slug, parts[0])
            case "table" | "topic" | "container" if name.entity == _dataset_entity(rules):
                return _dataset(slug, parts, rules, name.fqn)
        raise invalid(
            name.fqn, f"its service has no {name.entity} of this shape", "give the type of the entity as well"
        )

    def _service(self, slug: str) -> str:
        return self.services.get(slug, slug)


def _entity(key: CanonicalKey, rules: System) -> Entity:
    match key.kind:
        case Kind.DATASET:
            entity = _dataset_entity(rules)
            if entity is None:
                raise inexpressible(
                    key, f"OpenMetadata has no entity for a {rules.called('table')}", "leave it out there"
                )
            return entity
        case Kind.JOB:
            return "pipeline"
        case Kind.DASHBOARD:
            return "dashboard"
        case Kind.ENDPOINT:
            raise inexpressible(key, "an endpoint is a service there, no entity", "name what is at the endpoint")
    assert_never(key.kind)


def _dataset_entity(rules: System) -> Entity | None:
    match rules.naming:
        case Naming.IDENTIFIERS:
            return "table"
        case Naming.VERBATIM if rules.streams:
            return "topic"
        case Naming.VERBATIM | Naming.POSIX:
            return "container"
        case Naming.ASSET_KEY:
            return None
    assert_never(rules.naming)


def _above(key: CanonicalKey, rules: System) -> tuple[str, ...]:
    """What stands between service and name: for a table always a database and a schema."""
    if rules.naming is not Naming.IDENTIFIERS:
        return tuple(name for name in (key.source, key.schema) if name is not None)
    if key.schema is None or (key.source is None and not _may_be_default(rules)):
        raise inexpressible(key, "a database or a schema is absent", "name them in the key")
    return (_NO_DATABASE if key.source is None else key.source, key.schema)


def _may_be_default(rules: System) -> bool:
    return "source" not in rules.used or "source" in rules.may_lack


def _dataset(slug: str, parts: list[str], rules: System, fqn: str) -> CanonicalKey:
    if rules.naming is Naming.IDENTIFIERS and len(parts) == 3:
        database, schema, table = parts
        source = None if database == _NO_DATABASE and _may_be_default(rules) else database
        if source is None or "source" in rules.used:
            return dataset_key(slug, table=_unworded(table), schema=schema, source=source)
    levels = rules.used if len(parts) == len(rules.used) else [one for one in rules.used if one not in rules.may_lack]
    if rules.naming is not Naming.IDENTIFIERS and len(parts) == len(levels):
        names = dict(zip(levels, parts, strict=True))
        return dataset_key(slug, table=names["table"], schema=names.get("schema"), source=names.get("source"))
    raise invalid(fqn, "it has not the parts of its system", "copy the fullyQualifiedName from OpenMetadata")


def _quoted(part: str) -> str:
    return f'"{part}"' if "." in part else part


def _unquoted(match: re.Match[str], fqn: str) -> str:
    quoted, bare = match.groups()
    if quoted is not None and "." not in quoted:
        raise invalid(fqn, "quotes stand around a part without a dot", "copy the fullyQualifiedName from OpenMetadata")
    return bare if quoted is None else quoted


def _worded(name: str) -> str:
    for separator, word in _WORDS.items():
        name = name.replace(separator, word)
    return name


def _unworded(name: str) -> str:
    for separator, word in _WORDS.items():
        name = name.replace(word, separator)
    return name
