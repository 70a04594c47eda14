"""From a reference, as a statement or a configuration writes it, to a canonical key, by the rules of its system."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import assert_never

from identity.errors import InvalidKey
from identity.keys import CanonicalKey, ColumnKey, dataset_key, decoded_utf8, refuse_credentials
from identity.naming.rules import SYSTEMS, system
from identity.naming.servers import Authority, authorities, endpoint_of, first_known, known_by_its_host
from identity.naming.spelling import folded, stored, too_long
from identity.naming.systems import Level, Naming, System

DOMAIN = r"(?:[a-z0-9-]+\.)+[a-z0-9-]+:"
"""What may stand before the project of Google's older customers."""


class InvalidReference(InvalidKey):
    """not a valid reference, {reason}: {value!r}; {fix}"""


def reference_key(
    reference: str, *, of: System | str, endpoint: str, source: str | None = None, schema: str | None = None
) -> CanonicalKey:
    """The key of what a statement at this endpoint means by a reference such as `sales.orders` or `"My Schema".orders`.

    `of` is the system or its rules, `source` and `schema` are the session's: spelled as the catalog spells them, they
    stand in for what the reference leaves out, and the system's own defaults for them. Only unquoted names are folded,
    by the engine's rule. Raises InvalidReference, UnknownSystem, InvalidKey.
    """
    rules = system(of) if isinstance(of, str) else of
    for text in (reference, source or "", schema or ""):
        refuse_credentials(text, InvalidReference)
    said = _said(reference, rules)
    chosen: dict[Level, str | None] = {"source": source, "schema": schema, **said}
    defaults: dict[Level, str | None] = {"source": rules.default_source, "schema": rules.default_schema}
    names = {level: chosen.get(level) or defaults.get(level) for level in rules.used}
    for level in rules.used:
        if names[level] is None and level not in rules.may_lack:
            called = rules.called(level)
            raise refused(
                reference, f"its {called} is missing", f"write it in front, or give the {called} of the session"
            )
    return key_of_names(endpoint, names, rules, reference)


def column_key(name: str, *, of: System | str, dataset: CanonicalKey) -> ColumnKey:
    """The column that a statement means by its name alone, such as `Dep_Delay` or `"Dep Delay"`.

    Folded as the system folds columns, and cut as the name of a table is. Where the system has no identifiers, or
    compares the names of columns without case, a name is taken as it is: spell it as the catalog does. Raises as
    `reference_key`.
    """
    rules = system(of) if isinstance(of, str) else of
    refuse_credentials(name, InvalidReference)
    if rules.naming is not Naming.IDENTIFIERS:
        return ColumnKey(dataset, _not_empty(name, name))
    part, *others = _parts(name, replace(rules, dots_in_quotes=False))
    if others:
        raise refused(name, "it has several parts", "give the name of the column alone, one with a dot in quotes")
    rules = rules.for_columns
    spelled = stored(folded(part.text, "table", rules, quoted=part.quoted), "table", rules)
    if too_long(spelled, "table", rules.limit):
        raise refused(name, "the name of the column is too long", "give the name that the catalog has")
    return ColumnKey(dataset, spelled)


def key_of_names(endpoint: str, names: Mapping[Level, str | None], rules: System, said: str) -> CanonicalKey:
    """The key of a dataset by names that somebody says, as its system stores them. Raises InvalidReference."""
    spelled: dict[Level, str] = {}
    for level, name in names.items():
        if name is not None:
            spelled[level] = stored(name, level, rules)
            if rules.limit and too_long(name, level, rules.limit):
                limit = f"may have {rules.limit.longest} {rules.limit.of}"
                raise refused(said, f"its {rules.called(level)} is too long", f"a name there {limit}: give its own one")
    return dataset_key(endpoint, table=spelled["table"], schema=spelled.get("schema"), source=spelled.get("source"))


def location_key(url: str, known: Mapping[Authority, str] = MappingProxyType({})) -> CanonicalKey:
    """The key of a file, an object or a topic by its URL, at its registered or provisional endpoint.

        s3://bucket/prefix/part-0.parquet   abfss://container@account.dfs.core.windows.net/path   file:/data/x.csv

    Byte for byte: only the path of a file: URL is percent-decoded, and refused when it is no UTF-8. What follows a ? or
    # could be part of a name or a signature, so it is refused. Raises InvalidUrl, InvalidReference, InvalidKey; none
    repeats the URL.
    """
    url = re.sub(r"\A([a-z]+):/(?!/)", r"\1:///", url)
    servers = authorities(url)
    server = first_known(servers, known)
    rules = SYSTEMS.get(server.system)
    scheme, _, rest = url.partition("://")
    network, slash, path = rest.partition("/")
    if rules is None or rules.naming not in (Naming.VERBATIM, Naming.POSIX) or rules.everywhere:
        raise refused(url, "its system has no paths", "name the endpoint and the table")
    rooted = rules.naming is Naming.POSIX and rules.rooted
    if not slash or not (path or rooted):
        raise refused(url, "it has no path", f"write {scheme.lower()}://<where>/<name>")
    if re.search("[?#;]", rest):
        raise refused(url, "it has a ?, # or ;", "when it is part of the name, give the endpoint and the name apart")
    name = f"/{path}" if rooted else path
    names = {"source": container(network, url)} if "source" in rules.used else {}
    check_bucket(rules, network.rpartition("@")[2], server, url)
    plain = decoded_utf8(name) if rules.encoded else name
    if plain is None:
        raise refused(url, "its path does not decode to UTF-8", "rename the file, or give the endpoint and the path")
    return reference_key(plain, of=rules, endpoint=endpoint_of(server, known), **names)


def refused(value: str, reason: str, fix: str) -> InvalidReference:
    return InvalidReference(value=value, reason=reason, fix=fix)


def container(network: str, value: str) -> str:
    """The container in `container@account`: what a URL has where others have a user. Raises InvalidReference."""
    name, _, _ = network.rpartition("@")
    if not re.fullmatch(r"[a-z0-9$][a-z0-9-]{0,62}", name):
        raise refused(value, "it has no container before its @", "write <container>@<account>")
    return name


def check_bucket(rules: System, network: str, server: Authority, value: str) -> None:
    """Refuses a bucket in capitals: hosts have no case, the few old buckets that have one would meet others."""
    if rules.naming is Naming.VERBATIM and not rules.port and known_by_its_host(network, rules) != str(server):
        raise refused(
            value, "its bucket is not a host in lower case", "register the bucket, and give the endpoint and the name"
        )


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    quoted: bool


def _said(reference: str, rules: System) -> dict[Level, str]:
    """What the reference says of each level, folded."""
    match rules.naming:
        case Naming.IDENTIFIERS:
            return _identifiers(reference, rules)
        case Naming.VERBATIM:
            return {"table": _not_empty(reference, reference)}
        case Naming.POSIX:
            return {"table": _path(reference, rules)}
        case Naming.ASSET_KEY:
            return {"table": asset_name(asset_path(reference))}
    assert_never(rules.naming)


def _identifiers(reference: str, rules: System) -> dict[Level, str]:
    parts = list(_parts(reference, rules))
    if len(parts) > len(rules.used):
        levels = ".".join(rules.called(level) for level in rules.used)
        raise refused(reference, f"it has {len(parts)} parts", f"write {levels}, a name with a dot in quotes")
    used = rules.used[-len(parts) :]
    return {level: folded(part.text, level, rules, quoted=part.quoted) for level, part in zip(used, parts, strict=True)}


def _parts(reference: str, rules: System) -> Iterator[_Part]:
    closing = {pair[0]: pair[1] for pair in rules.quotes}
    rest = reference
    while True:
        if rest[:1] in closing:
            text, rest = _quoted(rest, closing[rest[:1]], rules, reference)
            names = _between_dots(text, rules) if rules.dots_in_quotes else [text]
            yield from (_Part(_not_empty(name, reference), True) for name in names)
        else:
            text, dot, after = rest.partition(".")
            yield _Part(_bare(text, rules, reference), False)
            rest = f"{dot}{after}"
        if not rest:
            return
        if rest[0] != ".":
            raise refused(reference, "something follows a closing quote", "separate its parts by dots, nothing else")
        rest = rest[1:]


def _between_dots(text: str, rules: System) -> list[str]:
    domain = _DOMAIN.match(text) if rules.domains else None
    first, *others = text[domain.end() :].split(".") if domain else text.split(".")
    return [f"{domain[0]}{first}" if domain else first, *others]


_DOMAIN = re.compile(DOMAIN)


def _quoted(rest: str, close: str, rules: System, reference: str) -> tuple[str, str]:
    """What stands between the quotes at the start of `rest`, and what follows them."""
    end = re.escape(close)
    inside = rf"(?:[^{end}\\]|{end}{end}|\\.)*" if rules.backslash else rf"(?:[^{end}]|{end}{end})*"
    match = re.compile(f".({inside}){end}", re.DOTALL).match(rest)
    if not match:
        raise refused(reference, "a quote is not closed", f"end the name with {close}, and double each {close} in it")
    text = match[1].replace(close * 2, close)
    if rules.backslash and (strange := re.search(r"\\[^\\'\"`]", re.sub(r"\\\\", "", text))):
        raise refused(reference, f"its escape {strange[0]!r} is not known here", "write the character itself")
    return re.sub(r"\\(.)", r"\1", text) if rules.backslash else text, rest[match.end() :]


def _bare(text: str, rules: System, reference: str) -> str:
    for character in text:
        allowed = character.isalnum() or character in rules.bare if character.isascii() else rules.bare_unicode
        if not allowed or character.isspace():
            close = rules.quotes[0] if rules.quotes else "its own key"
            fix = f"write the name in {close}, spelled as the catalog spells it"
            raise refused(reference, f"{character!r} cannot stand outside quotes", fix)
    return _not_empty(text, reference)


def _not_empty(name: str, reference: str) -> str:
    if not name:
        raise refused(reference, "a part of it is empty", "write a name before and after each dot")
    return name


def _path(reference: str, rules: System) -> str:
    if rules.rooted and not reference.startswith("/"):
        raise refused(
            reference, "it is not an absolute path", "start it with /, after its scheme and host if it had them"
        )
    steps = [step for step in reference.split("/") if step not in ("", ".")]
    if ".." in steps:
        raise refused(reference, "where .. leads depends on links", "write the path that it leads to")
    return "/" + "/".join(steps) if rules.rooted else _not_empty("/".join(steps), reference)


def asset_path(text: str) -> tuple[str, ...]:
    """The path of an asset key, from the JSON list that Dagster stores. The form with slashes is refused."""
    try:
        path = json.loads(text)
    except ValueError:
        path = None
    if not isinstance(path, list) or not path or not all(isinstance(step, str) for step in path):
        raise refused(
            text, "it is not a JSON list of names", 'write ["sales", "orders"]; with slashes two assets could be one'
        )
    return tuple(path)


def asset_name(path: tuple[str, ...]) -> str:
    """What an asset is called in a key: its only step, else the JSON list, so that no two paths are one."""
    return path[0] if len(path) == 1 and path[0][:1] != "[" else json.dumps(list(path))
