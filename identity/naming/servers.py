"""From a connection URL to the part of it that names a server, before anything else sees the URL.

A URL mixes what identifies (system, host, port) with what must never be stored (user, password, parameters). Only the
first leaves this file. Where the two cannot be told apart for certain, the URL is refused, without repeating it.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from types import MappingProxyType
from typing import Final, NoReturn
from urllib.parse import parse_qs

from identity.errors import InvalidEndpoint, InvalidUrl
from identity.ids import sha256_of
from identity.keys import SLUG
from identity.naming.rules import ALL, SYSTEMS
from identity.naming.systems import System

LOCAL: Final = "local"
"""The host of everything reached without a network: a unix socket, a file, an engine inside the process."""

GLOBAL: Final = "global"
"""The host of what there is one of in the world: BigQuery, Pub/Sub."""

SYNONYMS: Final = {"cockroach": "cockroachdb"} | {
    name: system.scheme for name, system in SYSTEMS.items() if name != system.scheme
}
"""Schemes of URLs that mean the same system, each with the one we write."""

# A system whose drivers disagree about the port (ClickHouse, CrateDB, HDFS) has no default here: its port stays.
DEFAULT_PORTS: Final = {
    "amqp": 5672,
    "cockroachdb": 26257,
    "elasticsearch": 9200,
    "exasol": 8563,
    "http": 80,
    "https": 443,
    "impala": 21050,
    "mongodb": 27017,
    "neo4j": 7687,
    "presto": 8080,
    "redis": 6379,
    "vertica": 5433,
} | {system.scheme: system.port for system in ALL if system.port is not None}

_URL = re.compile(r"(?:jdbc:)?([a-z][a-z0-9_.+-]*)://([^/?#;]*)(.*)", re.IGNORECASE | re.ASCII | re.DOTALL)
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_SYSTEM = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_SOCKET_START = ("/", "@")  # a path, or an abstract socket of Linux
_HIDES_THE_HOST = ("odbc_connect", "hostaddr", "service", "servicefile")
_INSTANCE = re.compile(r"([^\\]*)\\([a-z_#][\w$#&]{0,15})", re.IGNORECASE)
_DEFAULT_INSTANCE = "mssqlserver"


@dataclass(frozen=True, slots=True)
class Authority:
    """A server as a network sees it. Nothing but a system, a host and a port fits in: InvalidUrl.

    The host is lower case, an IPv6 address in its shortest form and without brackets. The port is None when it is the
    system's default. `str(authority)` is `host[:port]`, with brackets around IPv6. A named instance of SQL Server is
    part of the host, `db\\reports`, and has no port: that is what its name stands for.
    """

    system: str
    host: str
    port: int | None

    def __post_init__(self) -> None:
        if not _SYSTEM.fullmatch(self.system):
            _refuse("its system is not a name", _SHAPE)
        instance = _INSTANCE.fullmatch(self.host) if self.system in _WITH_INSTANCES and self.port is None else None
        host = instance[1] if instance and self.host == self.host.lower() else self.host
        if not _HOST.fullmatch(host) and host != _shortest_ipv6(host):
            _refuse("its host is not one DNS name or address", "give one host name in ASCII, or an IPv6 address in []")
        if self.port is not None and not 1 <= self.port <= 65535:
            _refuse("its port is out of range", "give a port from 1 to 65535")
        if self.port is not None and self.port == DEFAULT_PORTS.get(self.system):
            _refuse("its port is the default of the system", "leave the port out")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def authority(url: str) -> Authority:
    """The server that a connection URL leads to; user, password, path, parameters and fragment are dropped.

    Of a URL that lists several ways into one system, as Kafka's do, the first: so do OpenLineage's clients.

    Understands SQLAlchemy's `system+driver://`, libpq's `?host=` and `?port=`, and what JDBC's properties say of host,
    port, instance, account and region. A unix socket or a file is at the host "local". A URL that leaves its server to
    something else is refused. Raises InvalidUrl, which never repeats any part of the URL.
    """
    return authorities(url)[0]


def authorities(url: str) -> tuple[Authority, ...]:
    """All servers that a URL lists, one for most systems. Raises as `authority`."""
    match = _URL.fullmatch(url)
    if not match:
        _refuse("it does not start with a system and ://", _SHAPE)
    scheme, network, rest = match.groups()
    if "@" in rest:
        # The user and password ended early: what looks like the host and port may be a user and half of a password.
        _refuse(
            "it has an @ after its host", "write @ / ? # ; in users, passwords and parameters as %40 %2F %3F %23 %3B"
        )
    system = scheme.lower().partition("+")[0]
    system = SYNONYMS.get(system, system)
    rules = SYSTEMS.get(system)
    hosts = network.rpartition("@")[2]
    if rules and rules.parameters and "=" in hosts:  # jdbc:awsathena://AwsRegion=…
        hosts, rest = "", f"{rules.between_parameters[0]}{hosts}{rest}"
    if rules and rules.embedded:
        _refuse("its system is a file and no server", "register an endpoint for the file, and name the tables in it")
    parameters = _parameters(rest, rules)
    listed = hosts.split(",") if rules and rules.several_hosts else [hosts]
    return tuple(_authority(system, one, parameters, rules) for one in listed)


def _authority(system: str, network: str, parameters: dict[str, str], rules: System | None) -> Authority:
    network, instance = _without_instance(network, parameters, rules)
    if rules and rules.parameters:
        _check_one_server(network, parameters)
    host, port = _host_and_port(network, parameters)
    if rules and rules.hyphens:
        host = host.replace("_", "-")
    ours = _one_name(_canonical_host(host, rules), rules.hosts if rules else ())
    if instance and port is None:  # a port says it all: the driver does not ask for the instance then
        return Authority(system, f"{ours}\\{instance}", None)
    return Authority(system, ours, None if port == DEFAULT_PORTS.get(system) else port)


def _check_one_server(network: str, parameters: dict[str, str]) -> None:
    """Refuses a URL whose properties say another server than it says before them: which one wins, is its driver's."""
    host, _, port = network.partition(":")
    for before, after in ((host, parameters.get("host")), (port, parameters.get("port"))):
        if before and after and before.lower() != after.lower():
            _refuse("it names two servers", "give host and port once")


def _without_instance(network: str, parameters: dict[str, str], rules: System | None) -> tuple[str, str]:
    said = _INSTANCE.fullmatch(network.partition(":")[0]) if rules and rules.scheme in _WITH_INSTANCES else None
    instance = said[2] if said else ""
    given = parameters.get("instance", "")
    if instance and given and instance.lower() != given.lower():
        _refuse("it names two instances", "give one instance")
    instance = (instance or given).lower()
    network = f"{said[1]}{''.join(network.partition(':')[1:])}" if said else network
    return network, "" if instance == _DEFAULT_INSTANCE else instance


def _one_name(host: str, same: Iterable[tuple[str, str]]) -> str:
    for theirs, ours in same:
        if host == theirs or (theirs.startswith(".") and host.endswith(theirs)):
            return host.removesuffix(theirs) + ours
    return host


def known_by_its_host(host: str, rules: System) -> str:
    """The host as we write it, where the system has several names of one."""
    return _one_name(host, rules.hosts)


def first_known(servers: Sequence[Authority], known: Container[Authority]) -> Authority:
    """The first one that somebody registered; the first, when nobody did."""
    return next((server for server in servers if server in known), servers[0])


def endpoint_slug(server: Authority) -> str:
    """A provisional endpoint for a server that nobody has named: `[a-z0-9][a-z0-9_-]{0,62}`.

    `<system>_<host>` when that says it all; otherwise what a slug can hold of it and twenty hex digits of a
    digest, so that different servers get different slugs.
    """
    plain = f"{server.system}_{server.host}"
    says_it_all = server.port is None and "_" not in server.system  # so the first _ is where the system ends
    if says_it_all and SLUG.fullmatch(plain) and not _DIGEST.search(plain):
        return plain
    digest = sha256_of(server.system, server.host, None if server.port is None else str(server.port)).hex()[:20]
    system, host = (re.sub(r"[^a-z0-9]+", "-", name).strip("-") for name in (server.system, str(server)))
    return f"{f'{system}_{host}'[:42].rstrip('-')}-{digest}"


def endpoint_of(server: Authority, known: Mapping[Authority, str] = MappingProxyType({})) -> str:
    """The endpoint that a server was registered as in `known`, else its provisional one.

    BigQuery and Pub/Sub are one in the world: unregistered, all their projects are at one provisional endpoint. Raises
    InvalidEndpoint when the provisional slug was given to another server.
    """
    world = server.system in _EVERYWHERE
    places = (server, Authority(server.system, GLOBAL, None)) if world else (server,)
    if registered := next((known[place] for place in places if place in known), None):
        return registered
    slug = endpoint_slug(places[-1])
    if any(name == slug and not (world and other.system == server.system) for other, name in known.items()):
        fix = "register this server, too, under a slug of its own"
        raise InvalidEndpoint(value=slug, reason="it would be provisional and names a registered server", fix=fix)
    return slug


_WITH_INSTANCES = {
    system.scheme for system in ALL if any(parameter.says == "instance" for parameter in system.parameters)
}
_EVERYWHERE = {system.scheme for system in ALL if system.everywhere}
_DIGEST = re.compile(r"-[0-9a-f]{20}\Z")
_SHAPE = "a connection URL is <system>://<host>, for example postgresql://db.example.com:5433/sales"


def _parameters(rest: str, rules: System | None) -> dict[str, str]:
    """What the parameters of libpq, SQLAlchemy and JDBC say of the server, by what a Parameter can say."""
    query = parse_qs(rest.partition("#")[0].partition("?")[2], keep_blank_values=True, errors="replace")
    if any(name in query for name in _HIDES_THE_HOST):
        _refuse(f"its host is inside a parameter ({', '.join(_HIDES_THE_HOST)})", "give the host as system://host")
    found: dict[str, list[str]] = {name: query[name] for name in ("host", "port", "unix_socket") if name in query}
    ours = {parameter.name: parameter for parameter in rules.parameters} if rules else {}
    given = [(name.lower(), value) for name, values in query.items() for value in values if name not in found]
    for name, value in [*given, *(_properties(rest, rules) if rules and ours else ())]:
        if parameter := ours.get(name):
            if parameter.says == "elsewhere":
                _refuse("its server is not in it", "give the host and port of the server itself")
            found.setdefault(parameter.says, []).append(parameter.host.format(value) if value else "")
    if any(len(set(values)) > 1 for values in found.values()):
        _refuse("it names several hosts", "give one host")
    return {name: values[0] for name, values in found.items()}


def _properties(rest: str, rules: System) -> list[tuple[str, str]]:
    """The `name=value` of JDBC. A value in braces may have the separator in it."""
    ends = re.escape(rules.between_parameters)
    found = re.finditer(rf"[{ends}]([\w ]+)=\s*(?:\{{((?:[^}}]|\}}\}})*)\}}|([^{ends}]*))", rest)
    return [(one[1].strip().lower(), (one[3] if one[2] is None else one[2]).strip()) for one in found]


def _host_and_port(network: str, parameters: dict[str, str]) -> tuple[str, int | None]:
    """Where to connect, as libpq decides: a parameter wins over the same thing before the path."""
    match = _HOST_AND_PORT.fullmatch(network)
    if not match:
        _refuse("its host or port cannot be read", _SHAPE)
    host = parameters.get("host") or match[1] or parameters.get("default", "")
    port = parameters.get("port") or match[2] or ""
    if not re.fullmatch(r"[0-9]{0,5}", port):
        _refuse("its port is not a number", "give a port from 1 to 65535")
    if parameters.get("unix_socket"):
        return "", int(port) if port else None
    if "." not in host and (region := parameters.get("region")):
        host = f"{host}.{region}"
    return host, int(port) if port else None


def _canonical_host(host: str, rules: System | None) -> str:
    if not host or host.startswith(_SOCKET_START) or host[:3].lower() == "%2f":
        if rules and rules.everywhere and not host:
            return GLOBAL
        if not (rules and rules.local):
            _refuse("it has no host", "put the server, the bucket or the account between :// and the next /")
        return LOCAL
    lowered = host.lower()
    if rules and ((rules.local and lowered == LOCAL) or (rules.everywhere and lowered == GLOBAL)):
        _refuse(f"its host is called {lowered}, which stands for none", "give its full name or its address")
    bare = lowered[1:-1] if lowered.startswith("[") else lowered
    return _shortest_ipv6(bare) or bare.removesuffix(".")


def _shortest_ipv6(host: str) -> str | None:
    """The address in its shortest form, an IPv4 address for a mapped one; None when it is not an IPv6 address."""
    if ":" not in host or "%" in host:  # a scope names an interface of this machine, not the server
        return None
    try:
        address = IPv6Address(host)
    except AddressValueError:
        return None
    return str(address.ipv4_mapped or address)  # how a mapped address is written depends on the version of Python


def _refuse(reason: str, fix: str) -> NoReturn:
    raise InvalidUrl(reason=reason, fix=fix)
