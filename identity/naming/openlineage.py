"""OpenLineage's (namespace, name) of a dataset, and canonical keys, by the templates of its naming page.

A dot inside a part of a dotted name is written `\\.`, as OpenLineage's clients do when their escaping is on. A name
with more dots than its system has levels is refused: where its parts end would be a guess.
"""

import re
from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import Final

from identity.errors import InvalidKey, InvalidUrl
from identity.keys import CanonicalKey, Kind, dataset_key, refuse_credentials
from identity.naming.references import (
    DOMAIN,
    InvalidReference,
    check_bucket,
    container,
    key_of_names,
    reference_key,
    refused,
)
from identity.naming.rules import ALL
from identity.naming.servers import GLOBAL, LOCAL, Authority, authorities, endpoint_of, first_known
from identity.naming.systems import LEVELS, Level, Naming, System

FREE: Final = "openlineage"
"""The system of a namespace that is a word and no URL. Its host is the word."""

_ALONE: Final = {rules.scheme: GLOBAL if rules.everywhere else LOCAL for rules in ALL if rules.alone}
_ARN: Final = re.compile(r"arn:(aws[a-z-]*):glue:([a-z0-9-]+):([0-9]{12})")
_SPANNER: Final = re.compile(rf"spanner://({DOMAIN})?([a-z0-9-]+)[:/]([a-z0-9-]+)")  # Airflow writes a slash
_WORD: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")


def openlineage_key(namespace: str, name: str, known: Mapping[Authority, str] = MappingProxyType({})) -> CanonicalKey:
    """The key of a dataset, at its registered or provisional endpoint.

    The name is taken byte for byte, for whoever sent it read it from the system; but where a system cannot have two
    names, as for their case or their end, they are one here too. At a server of a system without rules, and in a
    namespace that is a word, the whole name is the table's. Raises InvalidReference, InvalidUrl, InvalidEndpoint,
    InvalidKey; none repeats a URL.
    """
    refuse_credentials(name, InvalidReference)
    server, above = openlineage_server(namespace, known)
    endpoint = endpoint_of(server, known)
    rules = [rule for rule in ALL if rule.scheme == server.system]
    if not rules:
        return dataset_key(endpoint, table=_not_empty(name))
    templates = [rule for rule in rules if rule.namespace is not None]
    if not templates:
        raise refused(namespace, "OpenLineage has no names for its system", "give the endpoint and the reference")
    read = ((rule, _read(name, rule, dataset, above)) for rule in templates for dataset in rule.datasets)
    found = next(((rule, names) for rule, names in read if names is not None), None)
    if found is None:
        shapes = " or ".join(dataset for rule in templates for dataset in rule.datasets)
        raise refused(name, f"it is not {shapes}", r"write all of its parts, and a dot inside a part as \.")
    rule, names = found
    if rule.naming is Naming.POSIX:
        return reference_key(names["table"], of=rule, endpoint=endpoint, source=names.get("source"))
    return key_of_names(endpoint, names, rule, name)


def openlineage_server(namespace: str, known: Container[Authority] = frozenset()) -> tuple[Authority, dict[Level, str]]:
    """The server a namespace names, and what it says of the levels above a dataset. Raises as openlineage_key."""
    text = namespace.removesuffix("://")  # "bigquery://" in older versions of the page
    if text in _ALONE:
        return Authority(text, _ALONE[text], None), {}
    if arn := _ARN.fullmatch(namespace):
        return _glue(arn, namespace), {}
    if instance := _SPANNER.fullmatch(namespace):
        domain, project, name = instance.groups()
        return Authority("spanner", ".".join(filter(None, (name, project, (domain or "")[:-1]))), None), {}
    if "://" not in namespace:
        if not _WORD.fullmatch(namespace):
            refuse_credentials(namespace, InvalidReference)
            raise refused(
                namespace, "its namespace is no URL and no word of a-z, 0-9, _, . and -", "rename the namespace"
            )
        return Authority(FREE, namespace, None), {}
    server = first_known(authorities(namespace), known)
    if server.system == FREE:
        raise refused(
            namespace, f"its scheme {FREE} stands for namespaces without one", "give the scheme of the system"
        )
    return server, _above(namespace, server)


def openlineage_pair(key: CanonicalKey, server: Authority) -> tuple[str, str]:
    """The (namespace, name) of a dataset at this server: the inverse of `openlineage_key`.

    Raises InvalidReference when OpenLineage has no name for it, or none that leads back to this key alone.
    """
    if key.kind is not Kind.DATASET:
        raise refused(str(key), f"a {key.kind} is not a dataset", "give the key of a dataset")
    pair = next((pair for pair in _candidates(key, server) if _leads_back(pair, key, server)), None)
    if pair is None:
        raise refused(
            str(key), "OpenLineage has no name that leads back to it", "rename the thing, or send its key in a facet"
        )
    return pair


def _candidates(key: CanonicalKey, server: Authority) -> list[tuple[str, str]]:
    names: dict[Level, str | None] = {"source": key.source, "schema": key.schema, "table": key.table}
    rules = [rule for rule in ALL if rule.scheme == server.system]
    if rules:
        shapes = [(rule, dataset) for rule in rules if rule.namespace for dataset in rule.datasets]
        return [_written(rule, dataset, names, server) for rule, dataset in shapes if _fits(rule, dataset, names)]
    namespace = server.host if server.system == FREE else f"{server.system}://{server}"
    return [(namespace, key.table)] if key.source is None and key.schema is None else []


def _leads_back(pair: tuple[str, str], key: CanonicalKey, server: Authority) -> bool:
    try:
        return openlineage_key(*pair, {server: key.namespace}) == key
    except (InvalidKey, InvalidUrl):
        return False


def _fields(template: str) -> tuple[Level, ...]:
    return tuple(level for level in LEVELS if f"{{{level}}}" in template)


def _fits(rule: System, dataset: str, names: Mapping[Level, str | None]) -> bool:
    """The templates name exactly what the key has."""
    fields = _fields(f"{rule.namespace}{dataset}")
    return all((value is not None) == (level in fields) for level, value in names.items())


def _written(rule: System, dataset: str, names: Mapping[Level, str | None], server: Authority) -> tuple[str, str]:
    dotted = _is_dotted(dataset)
    values = {str(level): (name or "").replace(".", r"\.") if dotted else name for level, name in names.items()}
    name = dataset.format(**values)
    if rule.domains:  # as Google writes it: the dots of a domain are no others
        name = re.sub(r"\A[a-z0-9\\.-]+:", lambda domain: domain[0].replace(r"\.", "."), name)
    return _namespace(rule, names, server), name


def _namespace(rule: System, names: Mapping[Level, str | None], server: Authority) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    if rule.scheme in _ALONE and host == _ALONE[rule.scheme]:
        return rule.scheme
    if rule.scheme == "glue":
        region, _, account = host.rpartition(".")
        partition = next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")
        return f"arn:{partition}:glue:{region}:{account}"
    if rule.scheme == "spanner":
        name, project, *domain = host.split(".", 2)
        return f"spanner://{':'.join([*domain, project, name])}"
    port = None if "\\" in host else server.port or rule.port  # the name of an instance stands for its port
    with_port = f"{host}:{port}" if port else host
    levels = {str(level): name for level, name in names.items()}
    return (rule.namespace or "").format(server=with_port, host=host if server.port is None else with_port, **levels)


_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-isob-": "aws-iso-b", "us-iso-": "aws-iso"}


def _glue(arn: re.Match[str], namespace: str) -> Authority:
    partition, region, account = arn.groups()
    if partition != next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws"):
        raise refused(namespace, "its partition has no such region", "copy the ARN from AWS")
    return Authority("glue", f"{region}.{account}", None)


def _above(namespace: str, server: Authority) -> dict[Level, str]:
    """What a namespace says besides its server: a container, a database. Anything else in it is refused."""
    network, slash, path = namespace.partition("://")[2].partition("/")
    rule = next((rule for rule in ALL if rule.scheme == server.system), None)
    if rule is not None:
        check_bucket(rule, network.rpartition("@")[2], server, namespace)
    template = rule.namespace or "" if rule else ""
    if "{source}@" in template and not path:
        return {"source": container(network, namespace)}
    if template.endswith("/dbs/{schema}") and path.startswith("dbs/") and re.fullmatch("[^/?#;]+", path[4:]):
        return {"schema": path[4:]}
    if path or (slash and "/dbs/" in template) or re.search("[?#;]", network):
        raise refused(namespace, "it has more than a server", "end the namespace after the host and port")
    return {}


def _is_dotted(dataset: str) -> bool:
    return "}.{" in dataset


def _read(name: str, rule: System, dataset: str, above: Mapping[Level, str]) -> dict[Level, str] | None:
    """The levels that a name has by its template, None when it has not this shape. The last level takes the rest."""
    if not set(_fields(rule.namespace or "")) <= set(above):
        return None
    domain = DOMAIN if rule.domains else ""
    if _is_dotted(dataset):
        escaped = re.sub(rf"\A{domain}", lambda dots: dots[0].replace(".", r"\."), name)
        return _read_dotted(escaped, dataset)
    pattern = re.escape(dataset).replace(r"\{table\}", "(?P<table>.+)")
    pattern = pattern.replace(r"\{source\}", f"(?P<source>(?:{domain})?[^:/]+)")
    match = re.fullmatch(pattern.replace(r"\{schema\}", "(?P<schema>[^:/]+)"), name, re.DOTALL)
    return {**above, **{level: match[level] for level in _fields(dataset)}} if match else None


def _read_dotted(name: str, dataset: str) -> dict[Level, str] | None:
    fields = _fields(dataset)
    parts = re.findall(r"(?:\\\.|[^.])+|(?<=\.)(?=\.)|^(?=\.)|(?<=\.)$", name, re.DOTALL)
    if len(parts) != len(fields) or "" in parts:
        return None
    return {field: part.replace(r"\.", ".") for field, part in zip(fields, parts, strict=True)}


def _not_empty(name: str) -> str:
    if not name:
        raise refused(name, "it has no name", "give the name of the dataset")
    return name
