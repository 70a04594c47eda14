"""`identity names`: what another catalog calls our things, or what its names are here, with every conflict told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, assert_never

from rich.console import RenderableType

from identity.errors import MetadataError, shown
from identity.external import (
    Atlas,
    AtlasName,
    Catalog,
    DataHub,
    Mapped,
    OpenMetadata,
    OpenMetadataName,
    keys_of,
    names_of,
)
from identity.keys import short_name
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import table

SHOWN = 20


class CatalogKind(StrEnum):
    """Whose names."""

    DATAHUB = "datahub"
    OPENMETADATA = "openmetadata"
    ATLAS = "atlas"


class UnknownCatalog(MetadataError):
    """{catalog} is no catalog whose names are known here; use one of {known}"""

    catalog: str
    known: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class OnlyDataHub(MetadataError):
    """{option} is DataHub's, and says nothing about names of {catalog}; leave it out"""

    option: str
    catalog: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class UnreadableNames(MetadataError):
    """line {line} of {path} is no name of {catalog}: {problem}"""

    path: str
    line: int
    catalog: str
    problem: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which names: of everything that is registered, or those in a file."""

    catalog: CatalogKind
    file: Path | None
    lowercase: bool = False
    environment: str | None = None

    def __post_init__(self) -> None:
        for option, given in {"--lowercase": self.lowercase, "--environment": self.environment is not None}.items():
            if given and self.catalog is not CatalogKind.DATAHUB:
                raise OnlyDataHub(option=option, catalog=self.catalog)

    def of(self, systems: Mapping[str, str]) -> Catalog[Any]:
        match self.catalog:
            case CatalogKind.DATAHUB:
                return DataHub(systems=systems, environment=self.environment or "PROD", lowercase=self.lowercase)
            case CatalogKind.OPENMETADATA:
                return OpenMetadata(systems=systems)
            case CatalogKind.ATLAS:
                return Atlas(systems=systems)
        assert_never(self.catalog)


def asked_catalog(text: str) -> CatalogKind:
    """The catalog of that name. Raises UnknownCatalog."""
    if text not in set(CatalogKind):
        raise UnknownCatalog(catalog=shown(text), known=", ".join(CatalogKind))
    return CatalogKind(text)


def show_names(cli: Cli, asked: Asked) -> ExitCode:
    names = list(read_names(asked.file, asked.catalog)) if asked.file else None
    with cli.opened() as opened:
        systems = {endpoint.slug: endpoint.system for endpoint in opened.store.endpoints()}
        keys = [one.key for one in opened.store.datasets(collected=True)] if names is None else []
    catalog = asked.of(systems)
    mapped = names_of(keys, catalog) if names is None else keys_of((name for _, name in names), catalog)
    given = [short_name(key) for key in keys] if names is None else [f"line {line}" for line, _ in names]
    cli.show(_described(mapped, given, asked), *_shown(mapped, given, asked))
    return ExitCode.PARTIAL if mapped.conflicts or mapped.refused else ExitCode.OK


def read_names(path: Path, catalog: CatalogKind) -> Iterator[tuple[int, Any]]:
    """The names in a file, one a line, each with its line from 1. Raises UnreadableNames."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableNames(path=str(path), line=1, catalog=catalog, problem="the file is not UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        written = line.removesuffix("\r")
        if not written.strip():
            continue
        kind, tab, name = written.partition("\t")
        match catalog:
            case CatalogKind.DATAHUB:
                yield number, written
            case CatalogKind.OPENMETADATA | CatalogKind.ATLAS if not tab:
                fix = "write the type of the thing, a tab and its name"
                raise UnreadableNames(path=str(path), line=number, catalog=catalog, problem=fix)
            case CatalogKind.OPENMETADATA:
                entity: Any = kind
                yield number, OpenMetadataName(entity, name)
            case CatalogKind.ATLAS:
                yield number, AtlasName(kind, name)


def _there(name: Any) -> dict[str, str | None]:
    match name:
        case OpenMetadataName():
            return {"type": name.entity, "there": name.fqn}
        case AtlasName():
            return {"type": name.type, "there": name.qualified_name}
    return {"type": None, "there": str(name)}


def _described(mapped: Mapped[Any], given: list[str], asked: Asked) -> dict[str, object]:
    return {
        "catalog": asked.catalog,
        "names": [{"name": short_name(key), "key": key, **_there(name)} for key, name in mapped.pairs],
        "conflicts": [
            {"keys": list(one.keys), "names": [_there(name) for name in one.names]} for one in mapped.conflicts
        ],
        "refused": [{"what": given[one.position], "problem": str(one.error)} for one in mapped.refused],
        "one_way": list(mapped.folded),
    }


def _shown(mapped: Mapped[Any], given: list[str], asked: Asked) -> list[RenderableType]:
    rows = [(short_name(key), *_there(name).values()) for key, name in mapped.pairs]
    parts: list[RenderableType] = [table(f"Names in {asked.catalog}", ("here", "type", "there"), rows)]
    conflicts = [
        (", ".join(map(short_name, one.keys)), ", ".join(str(_there(name)["there"]) for name in one.names))
        for one in mapped.conflicts
    ]
    refused = [(given[one.position], str(one.error)) for one in mapped.refused]
    for title, columns, cells in (
        ("Conflicts, one here or there and several on the other side", ("here", "there"), conflicts),
        ("Without a name on the other side", ("what", "why"), refused),
    ):
        if cells:
            parts += ["", table(f"{title}: {len(cells):,}", columns, cells[:SHOWN])]
        if len(cells) > SHOWN:
            parts.append(f"and {len(cells) - SHOWN:,} more; --json lists all")
    if mapped.folded:
        parts += ["", f"{len(mapped.folded):,} names in lower case: only this list says what they lead back to"]
    return parts
