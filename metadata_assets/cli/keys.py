"""`identity key`: the key of what somebody calls a thing, computed without a database."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, assert_never

from identity.errors import MetadataError, shown
from identity.external import (
    Atlas,
    AtlasName,
    DagsterAssets,
    DataHub,
    NotExpressible,
    OpenMetadata,
    OpenMetadataName,
)
from identity.ids import Entity, column_id
from identity.keys import CanonicalKey, ColumnKey, Kind, endpoint_key, refuse_credentials
from identity.naming import (
    InvalidReference,
    Naming,
    authority,
    column_key,
    endpoint_of,
    location_key,
    openlineage_key,
    reference_key,
    system,
)
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import facts


class Form(StrEnum):
    """In whose words a name is given."""

    REFERENCE = "reference"
    KEY = "key"
    URL = "url"
    OPENLINEAGE = "openlineage"
    DATAHUB = "datahub"
    OPENMETADATA = "openmetadata"
    ATLAS = "atlas"
    DAGSTER = "dagster"


class OptionNeeded(MetadataError):
    """this name needs {options}; for example {example}"""

    options: str
    example: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class OptionUnused(MetadataError):
    """{option} says nothing about a name of the form {form}; leave it out, or say with --from what the name is"""

    option: str
    form: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class UnknownForm(MetadataError):
    """{form} is no form of a name; use one of {forms}"""

    form: str
    forms: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


_PLACE = frozenset({"system", "endpoint"})
_USED: dict[Form, frozenset[str]] = {
    Form.REFERENCE: _PLACE | {"source", "schema"},
    Form.KEY: frozenset({"system"}),
    Form.URL: frozenset(),
    Form.OPENLINEAGE: frozenset({"namespace"}),
    Form.DATAHUB: _PLACE,
    Form.OPENMETADATA: _PLACE | {"type"},
    Form.ATLAS: _PLACE | {"type"},
    Form.DAGSTER: frozenset({"endpoint"}),
}

_URN_PLATFORM = re.compile(r"urn:li:data(?:set|Job):\((?:urn:li:dataPlatform:|urn:li:dataFlow:\()([^,():]+),")


def asked_form(text: str | None) -> Form | None:
    """The form of that name. Raises UnknownForm."""
    if text is None:
        return None
    if text not in set(Form):
        raise UnknownForm(form=shown(text), forms=", ".join(Form))
    return Form(text)


def form_of(name: str, namespace: str | None) -> Form:
    """The form that a name has by its looks. OpenMetadata's and Atlas's look like references: --from tells them."""
    if namespace is not None:
        return Form.OPENLINEAGE
    if name.startswith("mid1:"):
        return Form.KEY
    if name.startswith("urn:li:"):
        return Form.DATAHUB
    if name.startswith("["):
        return Form.DAGSTER
    return Form.URL if "://" in name or name.startswith("file:/") else Form.REFERENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A name, and what was said about it. `of` is its system, `type` what OpenMetadata or Atlas says that it is."""

    name: str
    form: Form | None = None
    of: str | None = None
    endpoint: str | None = None
    source: str | None = None
    schema: str | None = None
    namespace: str | None = None
    type: str | None = None
    column: str | None = None
    """A column of it, as a statement writes it."""

    @property
    def written_as(self) -> Form:
        return self.form or form_of(self.name, self.namespace)

    @property
    def system(self) -> str | None:
        return self.of or _platform(self.name)

    @property
    def rules(self) -> str | None:
        """The system whose rules its columns follow, when that is known."""
        match self.written_as:
            case Form.URL:
                return _system_of(self.name)
            case Form.OPENLINEAGE:
                return _system_of(self.namespace or "")
        return self.system

    def check(self) -> None:
        """Raise OptionUnused for an option that this form of a name has no use for."""
        said = {"system": self.of, "endpoint": self.endpoint, "source": self.source, "schema": self.schema}
        for option, value in {**said, "namespace": self.namespace, "type": self.type}.items():
            if value is not None and option not in _USED[self.written_as]:
                raise OptionUnused(option=f"--{option}", form=self.written_as)

    @property
    def systems(self) -> dict[str, str]:
        return {_needed(self.endpoint, _ELSEWHERE): _needed(self.system, _ELSEWHERE)}


def show_key(cli: Cli, given: Given) -> ExitCode:
    given.check()
    if column := column_of(given):
        return _show_column(cli, column)
    key = key_of(given)
    thing = Entity(cli.settings.tenant, key)
    names = names_elsewhere(key, given.system)
    answer = {
        "key": key,
        "kind": key.kind,
        "endpoint": key.endpoint,
        "segments": key.segments,
        "id": thing.id,
        "key_sha256": thing.key_sha256,
        "names": names,
    }
    about = {"kind": key.kind, "endpoint": key.endpoint, "id": thing.id, "sha256": thing.key_sha256.hex()}
    cli.show(answer, facts(str(key), {**about, **names}))
    return ExitCode.OK


def column_of(given: Given) -> ColumnKey | None:
    """The key of the column that is asked for: by --column, or after the # of a full key. None when none is."""
    is_key = given.written_as is Form.KEY
    if given.column is None:
        return ColumnKey.parse(given.name) if is_key and "#" in given.name else None
    dataset = key_of(given)
    if given.rules:
        return column_key(given.column, of=given.rules, dataset=dataset)
    refuse_credentials(given.column, InvalidReference)
    return ColumnKey(dataset, given.column)


def _show_column(cli: Cli, key: ColumnKey) -> ExitCode:
    dataset = Entity(cli.settings.tenant, key.dataset)
    identifier = column_id(dataset.id, key.name)
    answer = {"key": str(key), "dataset": key.dataset, "column": key.name, "id": identifier, "dataset_id": dataset.id}
    cli.show(answer, facts(str(key), {"column": key.name, "id": identifier, "id of its dataset": dataset.id}))
    return ExitCode.OK


def key_of(given: Given) -> CanonicalKey:
    """The key of what is given. Raises OptionNeeded, and what the rules refuse with; none repeats a credential."""
    name = given.name
    match given.written_as:
        case Form.KEY:
            return CanonicalKey.parse(name)
        case Form.URL:
            return _of_url(name)
        case Form.OPENLINEAGE:
            return openlineage_key(_needed(given.namespace, _OPENLINEAGE), name)
        case Form.DAGSTER:
            return DagsterAssets(given.endpoint or "dagster").key_of_text(name)
        case Form.REFERENCE:
            of, endpoint = _needed(given.of, _REFERENCE), _needed(given.endpoint, _REFERENCE)
            return reference_key(name, of=of, endpoint=endpoint, source=given.source, schema=given.schema)
        case Form.DATAHUB:
            return DataHub(systems=given.systems).key_of(name)
        case Form.OPENMETADATA:
            entity: Any = given.type or "table"
            return OpenMetadata(systems=given.systems).key_of(OpenMetadataName(entity, name))
        case Form.ATLAS:
            return Atlas(systems=given.systems).key_of(AtlasName(given.type or "rdbms_table", name))
        case other:
            assert_never(other)


_REFERENCE = ("--system and --endpoint", "identity key sales.orders --system postgres --endpoint jfk --source shop")
_ELSEWHERE = (
    "--endpoint and --system",
    "identity key shop.public.orders@jfk --from atlas --endpoint jfk --system postgres",
)
_OPENLINEAGE = ("--namespace", "identity key shop.public.orders --namespace postgres://db.example.com:5432")


def _needed(value: str | None, by: tuple[str, str]) -> str:
    if value is None:
        raise OptionNeeded(options=by[0], example=by[1])
    return value


def _of_url(url: str) -> CanonicalKey:
    """The key of a file or topic; of the server, at its provisional endpoint, where the system has no paths."""
    server = authority(re.sub(r"\A([a-z]+):/(?!/)", r"\1:///", url))
    try:
        rules = system(server.system)
    except MetadataError:
        return endpoint_key(endpoint_of(server))
    paths = rules.naming in (Naming.VERBATIM, Naming.POSIX) and not rules.everywhere
    return location_key(url) if paths else endpoint_key(endpoint_of(server))


def _system_of(url: str) -> str | None:
    """The system that a URL or a namespace of OpenLineage names; None where it names none that is known."""
    try:
        return system(authority(url).system if "://" in url else url).name
    except MetadataError:
        return None


def _platform(urn: str) -> str | None:
    match = _URN_PLATFORM.match(urn)
    return match[1] if match else None


def names_elsewhere(key: CanonicalKey, of: str | None) -> dict[str, str | None]:
    """What other catalogs call a thing of this system; None where they have no name that leads back."""
    if of is None or key.kind is Kind.ENDPOINT:
        return {}
    systems = {key.endpoint: of}
    names: dict[str, Callable[[], str]] = {
        "datahub": lambda: DataHub(systems=systems).name_of(key),
        "openmetadata": lambda: OpenMetadata(systems=systems).name_of(key).fqn,
        "atlas": lambda: Atlas(systems=systems).name_of(key).qualified_name,
    }
    return {catalog: _expressed(name) for catalog, name in names.items()}


def _expressed(name: Callable[[], str]) -> str | None:
    try:
        return name()
    except NotExpressible:
        return None
