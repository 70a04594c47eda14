"""Atlas's qualifiedName, each with the type of its entity: it is unique within a type only.

    hive_table   sales.orders@prod        kafka_topic   orders@bus
    rdbms_table  flights.public.flights@jfk

The rules are its Hive hook's: names and a dot, then `@` and the metadata namespace, which ours is the slug of; names of
Hive are in lower case. Nothing can be escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from identity.external.names import inexpressible, invalid, joined, rules_of, split, sure, system_of
from identity.keys import CanonicalKey, Kind, dataset_key, job_key, refuse_credentials
from identity.naming import InvalidReference, Naming, System

_TYPES: Final = {
    "hive": "hive_table",
    "kafka": "kafka_topic",
    "hdfs": "hdfs_path",
    "s3": "aws_s3_v2_object",
    "abfs": "adls_gen2_blob",
}


@dataclass(frozen=True, slots=True)
class AtlasName:
    """An entity of Atlas: the name of its type and its qualifiedName."""

    type: str
    qualified_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """Names for the endpoints of `systems`, slug by system; `namespaces` where a metadata namespace is not the slug."""

    systems: Mapping[str, str]
    namespaces: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len({self._namespace(slug) for slug in self.systems}) < len(self.systems):
            raise invalid("namespaces", "two endpoints have one namespace", "give each a namespace of its own")

    def name_of(self, key: CanonicalKey) -> AtlasName:
        rules = system_of(key, self.systems)
        match key.kind, key.segments:
            case Kind.DATASET, _:
                name = AtlasName(_type(rules), f"{joined(key, rules)}@{self._namespace(key.namespace)}")
            case Kind.JOB, (str(own),):
                name = AtlasName("Process", f"{own}@{self._namespace(key.namespace)}")
            case _:
                raise inexpressible(key, f"Atlas has no type for a {key.kind}", "leave it out there")
        return sure(name, key, self)

    def key_of(self, name: AtlasName) -> CanonicalKey:
        own, at, namespace = name.qualified_name.rpartition("@")
        refuse_credentials(own, InvalidReference)
        slug = next((slug for slug in self.systems if self._namespace(slug) == namespace), None)
        if not at or not own or slug is None:
            raise invalid(name.qualified_name, "its namespace is no endpoint here", "name the endpoint and its system")
        if name.type == "Process":
            return job_key(slug, own)
        rules = rules_of(self.systems[slug])
        if name.type == "hive_table" and own != own.lower():
            raise invalid(name.qualified_name, "Hive's names are in lower case", "copy the qualifiedName from Atlas")
        names = split(own, rules)
        if name.type != _type(rules) or names is None or not all(names.values()):
            raise invalid(name.qualified_name, f"it is no {_type(rules)}", "give its type, and all parts of its name")
        return dataset_key(slug, table=names["table"], schema=names.get("schema"), source=names.get("source"))

    def _namespace(self, slug: str) -> str:
        return self.namespaces.get(slug, slug)


def _type(rules: System) -> str:
    return _TYPES.get(rules.name, "rdbms_table" if rules.naming is Naming.IDENTIFIERS else "fs_path")
