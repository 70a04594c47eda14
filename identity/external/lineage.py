"""OpenLineage's names: a namespace and a name, for datasets and for jobs apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from identity.external.names import inexpressible, invalid, sure
from identity.keys import CanonicalKey, Kind, job_key, refuse_credentials
from identity.naming import Authority, InvalidReference, endpoint_of, openlineage_key, openlineage_pair
from identity.naming.openlineage import FREE, openlineage_server


@dataclass(frozen=True, slots=True)
class LineageName:
    """How an event of OpenLineage names a dataset or a job."""

    kind: Literal["dataset", "job"]
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class OpenLineage:
    """Names by the servers that our endpoints are at. A server nobody registered is read as a provisional endpoint."""

    servers: Mapping[str, Authority]

    def __post_init__(self) -> None:
        if len(set(self.servers.values())) < len(self.servers):
            raise invalid("servers", "two endpoints are at one server", "keep one of them, and alias the other to it")

    @property
    def _known(self) -> Mapping[Authority, str]:
        return {server: slug for slug, server in self.servers.items()}

    def name_of(self, key: CanonicalKey) -> LineageName:
        server = self.servers.get(key.namespace)
        if server is None:
            raise inexpressible(key, "the server of its endpoint is not known", "name the server of the endpoint")
        match key.kind, key.segments:
            case Kind.DATASET, _:
                try:
                    return sure(LineageName("dataset", *openlineage_pair(key, server)), key, self)
                except InvalidReference as error:
                    reason, fix = error.reason, error.fix
                raise inexpressible(key, reason, fix)
            case Kind.JOB, (str(name),):
                namespace = server.host if server.system == FREE else f"{server.system}://{server}"
                return sure(LineageName("job", namespace, name), key, self)
        raise inexpressible(key, f"OpenLineage has no {key.kind}", "leave it out there")

    def key_of(self, name: LineageName) -> CanonicalKey:
        if name.kind == "dataset":
            return openlineage_key(name.namespace, name.name, self._known)
        refuse_credentials(name.name, InvalidReference)
        server, above = openlineage_server(name.namespace)
        if above or not name.name:
            raise invalid(name.name, "its namespace names no scheduler, or the job has no name", "give both")
        return job_key(endpoint_of(server, self._known), name.name)
