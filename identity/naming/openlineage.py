"""OpenLineage's (namespace, name) of a dataset, and canonical keys, by the templates of its naming page.

A dot inside a part of a dotted name is written `\\.`, as OpenLineage's clients do when their escaping is on. A name
with more dots than its system has levels is refused: where its parts end would be a guess.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from identity.errors import InvalidKey, InvalidUrl
from identity.keys import CanonicalKey, Kind, dataset_key, refuse_credentials
from identity.naming.references import InvalidReference, check_bucket, container, reference_key, refused
from identity.naming.rules import ALL
from identity.naming.servers import GLOBAL, LOCAL, Authority, authority, endpoint_of
from identity.naming.systems import Naming, System

FREE: Final = "openlineage"
"""The system of a namespace that is a word and no URL. Its host is the word."""

_BARE: Final = {"bigquery": GLOBAL, "pubsub": GLOBAL, "file": LOCAL}
_ARN: Final = re.compile(r"arn:(aws[a-z-]*):glue:([a-z0-9-]+):([0-9]{12})")
_WORD: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")


def openlineage_key(namespace: str, name: str, known: Mapping[Authority, str] = MappingProxyType({})) -> CanonicalKey:
    """The key of a dataset, at its registered or provisional endpoint.

    The name is taken byte for byte: whoever sent it read it from the system. At a server of a system without rules, and
    in a namespace that is a word, the whole name is the table's. Raises InvalidReference, InvalidUrl, InvalidEndpoint,
    InvalidKey; none repeats a URL.
    """
    refuse_credentials(name, InvalidReference)
    server, above = openlineage_server(namespace)
    endpoint = endpoint_of(server, known)
    rules = [rule for rule in ALL if rule.scheme == server.system]
    if not rules:
        return dataset_key(endpoint, table=_not_empty(name))
    templates = [rule for rule in rules if rule.namespace is not None]
    if not templates:
        raise refused(namespace, "OpenLineage has no names for its system", "give the endpoint and the reference")
    parts = {rule.name: _read(name, rule, above) for rule in templates}
    found = next(((rule, names) for rule in templates if (names := parts[rule.name]) is not None), None)
    if found is None:
        shapes = " or ".join(rule.dataset for rule in templates)
        raise refused(name, f"it is not {shapes}", r"write all of its parts, and a dot inside a part as \.")
    rule, names = found
    if rule.naming is Naming.POSIX:
        return reference_key(names["table"], of=rule, endpoint=endpoint)
    return dataset_key(endpoint, table=names["table"], schema=names.get("schema"), source=names.get("source"))


def openlineage_server(namespace: str) -> tuple[Authority, dict[str, str]]:
    """The server a namespace names, and what it says of the levels above a dataset. Raises as openlineage_key."""
    text = namespace.removesuffix("://")  # "bigquery://" in older versions of the page
    if text in _BARE:
        return Authority(text, _BARE[text], None), {}
    if arn := _ARN.fullmatch(namespace):
        return _glue(arn, namespace), {}
    if "://" not in namespace:
        if not _WORD.fullmatch(namespace):
            refuse_credentials(namespace, InvalidReference)
            raise refused(
                namespace, "its namespace is no URL and no word of a-z, 0-9, _, . and -", "rename the namespace"
            )
        return Authority(FREE, namespace, None), {}
    server = authority(namespace)
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
    names = {"source": key.source, "schema": key.schema, "table": key.table}
    rules = [rule for rule in ALL if rule.scheme == server.system]
    if rules:
        return [_written(rule, names, server) for rule in rules if rule.namespace and _fits(rule, names)]
    namespace = server.host if server.system == FREE else f"{server.system}://{server}"
    return [(namespace, key.table)] if key.source is None and key.schema is None else []


def _leads_back(pair: tuple[str, str], key: CanonicalKey, server: Authority) -> bool:
    try:
        return openlineage_key(*pair, {server: key.namespace}) == key
    except (InvalidKey, InvalidUrl):
        return False


def _fields(rule: System) -> tuple[str, ...]:
    return tuple(re.findall(r"\{(source|schema|table)\}", f"{rule.namespace}{rule.dataset}"))


def _fits(rule: System, names: Mapping[str, str | None]) -> bool:
    """The template names exactly what the key has."""
    fields = _fields(rule)
    return all((value is not None) == (level in fields) for level, value in names.items())


def _written(rule: System, names: Mapping[str, str | None], server: Authority) -> tuple[str, str]:
    dotted = _is_dotted(rule)
    values = {level: (name or "").replace(".", r"\.") if dotted else name for level, name in names.items()}
    return _namespace(rule, names, server), rule.dataset.format(**values)


def _namespace(rule: System, names: Mapping[str, str | None], server: Authority) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    if rule.scheme in _BARE and host == _BARE[rule.scheme]:
        return rule.scheme
    if rule.scheme == "glue":
        region, _, account = host.rpartition(".")
        partition = next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")
        return f"arn:{partition}:glue:{region}:{account}"
    port = server.port or rule.port
    with_port = f"{host}:{port}" if port else host
    return (rule.namespace or "").format(server=with_port, host=host if server.port is None else with_port, **names)


_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-isob-": "aws-iso-b", "us-iso-": "aws-iso"}


def _glue(arn: re.Match[str], namespace: str) -> Authority:
    partition, region, account = arn.groups()
    if partition != next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws"):
        raise refused(namespace, "its partition has no such region", "copy the ARN from AWS")
    return Authority("glue", f"{region}.{account}", None)


def _above(namespace: str, server: Authority) -> dict[str, str]:
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


def _is_dotted(rule: System) -> bool:
    return "}.{" in rule.dataset


def _read(name: str, rule: System, above: Mapping[str, str]) -> dict[str, str] | None:
    """The levels that a name has by its template, None when it has not this shape. The last level takes the rest."""
    if not set(_fields(rule)) - set(re.findall(r"\{(\w+)\}", rule.dataset)) <= set(above):
        return None
    if _is_dotted(rule):
        return _read_dotted(name, rule)
    pattern = re.escape(rule.dataset).replace(r"\{table\}", "(?P<table>.+)")
    for level in ("source", "schema"):
        pattern = pattern.replace(rf"\{{{level}\}}", f"(?P<{level}>[^:/]+)")
    match = re.fullmatch(pattern, name, re.DOTALL)
    return {**above, **match.groupdict()} if match else None


def _read_dotted(name: str, rule: System) -> dict[str, str] | None:
    fields = re.findall(r"\{(\w+)\}", rule.dataset)
    parts = re.findall(r"(?:\\\.|[^.])+|(?<=\.)(?=\.)|^(?=\.)|(?<=\.)$", name, re.DOTALL)
    if len(parts) != len(fields) or "" in parts:
        return None
    return {field: part.replace(r"\.", ".") for field, part in zip(fields, parts, strict=True)}


def _not_empty(name: str) -> str:
    if not name:
        raise refused(name, "it has no name", "give the name of the dataset")
    return name
