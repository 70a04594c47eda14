"""DataHub's URNs of datasets, jobs and dashboards.

    urn:li:dataset:(urn:li:dataPlatform:postgres,jfk.flights.public.flights,PROD)
    urn:li:dataJob:(urn:li:dataFlow:(dagster,etl.nightly,prod),load)      the key's name is ["nightly", "load"]
    urn:li:dashboard:(looker,bi.revenue)

The rules are DataHub's page "What is URN?" and its UrnEncoder: `,`, `(` and `)` are written %2C, %28 and %29, and
nothing else is escaped. The platform instance is the prefix of the name; ours is the slug of the endpoint.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from identity.external.names import inexpressible, invalid, joined, rules_of, split, sure, system_of
from identity.keys import CanonicalKey, Kind, dashboard_key, dataset_key, job_key, refuse_credentials
from identity.naming import InvalidReference
from identity.naming.references import asset_name, asset_path

_PLATFORMS: Final = {"postgresql": "postgres", "files": "file", "abfs": "abs", "wasbs": "abs"}
_DATASET: Final = re.compile(r"urn:li:dataset:\(urn:li:dataPlatform:([^,():]+),([^,()]+),([A-Z_]+)\)")
_JOB: Final = re.compile(r"urn:li:dataJob:\(urn:li:dataFlow:\(([^,():]+),([^,()]+),([^,()]+)\),([^,()]+)\)")
_DASHBOARD: Final = re.compile(r"urn:li:dashboard:\(([^,():]+),([^,()]+)\)")
_RESERVED: Final = {",": "%2C", "(": "%28", ")": "%29"}
_SEPARATOR: Final = "\u241f"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataHub:
    """URNs for the endpoints of `systems`, slug by the name of its system, in one environment.

    `prefixes` says for an endpoint what stands before the dataset's own name when that is not its slug and a dot: "" if
    it was collected without a platform instance, "my-bucket/" for a bucket. With `lowercase`, as DataHub's connectors
    have it for Snowflake and others, names lose their case: `names_of` says for which keys, and whether two are one.
    """

    systems: Mapping[str, str]
    environment: str = "PROD"
    cluster: str = "prod"
    prefixes: Mapping[str, str] = field(default_factory=dict)
    lowercase: bool = False

    def __post_init__(self) -> None:
        places = {(self._platform(slug), self._prefix(slug)) for slug in self.systems}
        if len(places) < len(self.systems):
            raise invalid("prefixes", "two endpoints of one platform have one prefix", "give each a prefix of its own")

    def name_of(self, key: CanonicalKey) -> str:
        rules = system_of(key, self.systems)
        platform = self._platform(key.namespace)
        match key.kind, key.segments:
            case Kind.DATASET, _:
                name = self._prefix(key.namespace) + joined(key, rules)
                name = name.lower() if self.lowercase else name
                urn = f"urn:li:dataset:(urn:li:dataPlatform:{platform},{_encoded(name)},{self.environment})"
                return self._checked(urn, key)
            case Kind.JOB, (str(name),):
                flow, job = _flow_and_job(key.namespace, name)
                flow_urn = f"urn:li:dataFlow:({platform},{_encoded(flow)},{_encoded(self.cluster)})"
                return sure(f"urn:li:dataJob:({flow_urn},{_encoded(job)})", key, self)
            case Kind.DASHBOARD, (str(name),):
                return sure(f"urn:li:dashboard:({platform},{_encoded(f'{key.namespace}.{name}')})", key, self)
        raise inexpressible(key, f"DataHub has no URN for a {key.kind}", "leave it out there")

    def key_of(self, name: str) -> CanonicalKey:
        refuse_credentials(_decoded(name), InvalidReference)
        if match := _DATASET.fullmatch(name):
            return self._dataset(name, *map(_decoded, match.groups()))
        if match := _JOB.fullmatch(name):
            return self._job(name, *map(_decoded, match.groups()))
        if match := _DASHBOARD.fullmatch(name):
            slug, _, own = _decoded(match[2]).partition(".")
            self._check_endpoint(name, slug, match[1])
            return dashboard_key(slug, own)
        raise invalid(name, "it is no URN of a dataset, dataJob or dashboard", "copy the URN from DataHub")

    def _checked(self, urn: str, key: CanonicalKey) -> str:
        if _SEPARATOR in urn:
            raise inexpressible(key, "its name has the separator of URNs", "rename the thing")
        if not self.lowercase:
            return sure(urn, key, self)
        exact = DataHub(systems=self.systems, environment=self.environment, prefixes=self.prefixes)
        exact.name_of(key)  # what cannot be escaped is refused with its case as well
        return urn

    def _dataset(self, urn: str, platform: str, name: str, environment: str) -> CanonicalKey:
        if environment != self.environment:
            raise invalid(
                urn, f"its environment is not {self.environment}", "what is in another environment is another thing"
            )
        slugs = [slug for slug in self.systems if self._platform(slug) == platform]
        for slug in sorted(slugs, key=lambda slug: (-len(self._prefix(slug)), slug)):
            prefix = self._prefix(slug)
            names = split(name.removeprefix(prefix), rules_of(self.systems[slug])) if name.startswith(prefix) else None
            if names is not None and all(names.values()):
                key = dataset_key(slug, table=names["table"], schema=names.get("schema"), source=names.get("source"))
                return self._with_case(urn, key)
        raise invalid(urn, "its platform instance is no endpoint here", "name the endpoint, or its prefix")

    def _with_case(self, urn: str, key: CanonicalKey) -> CanonicalKey:
        if self.lowercase:
            raise invalid(urn, "its case was folded", "look it up in names_of(the known keys).keys")
        return key

    def _job(self, urn: str, platform: str, flow: str, cluster: str, job: str) -> CanonicalKey:
        slug, dot, rest = flow.partition(".")
        self._check_endpoint(urn, slug, platform)
        if cluster != self.cluster:
            raise invalid(urn, f"its cluster is not {self.cluster}", "what is in another cluster is another thing")
        return job_key(slug, asset_name((rest, job)) if dot else job)

    def _check_endpoint(self, urn: str, slug: str, platform: str) -> None:
        if slug not in self.systems or self._platform(slug) != platform:
            raise invalid(urn, "its platform instance is no endpoint here", "name the endpoint and its system")

    def _platform(self, slug: str) -> str:
        name = rules_of(self.systems[slug]).name
        return _PLATFORMS.get(name, name)

    def _prefix(self, slug: str) -> str:
        return self.prefixes.get(slug, f"{slug}.")


def _flow_and_job(slug: str, name: str) -> tuple[str, str]:
    try:
        path = asset_path(name) if name.startswith("[") else ()
    except InvalidReference:
        path = ()
    return (f"{slug}.{path[0]}", path[1]) if len(path) == 2 else (slug, name)


def _encoded(text: str) -> str:
    return "".join(_RESERVED.get(character, character) for character in text)


def _decoded(text: str) -> str:
    for character, code in _RESERVED.items():
        text = text.replace(code, character)
    return text
