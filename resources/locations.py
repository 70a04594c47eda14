"""Where an endpoint is: an attribute that may change, never a part of an identity."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, assert_never

from sqlalchemy.engine import make_url

from identity.errors import MetadataError
from identity.naming import Authority, authority
from resources.postgres.databases import Databases
from resources.postgres.engine import rendered, with_driver
from resources.settings import Settings

if TYPE_CHECKING:
    from upath import UPath

System = Literal["postgres", "mysql", "mariadb", "duckdb", "sqlite", "files"]

VERSIONS: Final = "__versions"
"""What the schema of the versioned tables has behind the name of the schema that readers use."""
MOST_PARTITIONS: Final = 2000
"""Of so many partitions a view in a database can be made: each is a table, which every reader of the view locks."""


class SecretInProject(MetadataError):
    """endpoint {slug}: write its {field} as env:NAME and put the value into that variable, not into the project"""

    slug: str
    field: str
    exit_code: ClassVar[int] = 2


class EndpointAway(MetadataError):
    """the data of endpoint {endpoint} cannot be reached"""

    endpoint: str


class FilesystemMissing(MetadataError):
    """endpoint {slug} cannot be reached, {reason}; {fix}"""

    slug: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2


def filesystem_problem(root: str) -> tuple[str, str] | None:
    """Why the files below a root cannot be reached from this process, and the way out; None when they can.

    Looks at what is installed, not at the place. Only a scheme that is well known is repeated.
    """
    scheme, separator, _place = root.partition("://")
    if not separator:
        return None
    from fsspec.registry import get_filesystem_class

    try:
        get_filesystem_class(scheme)
    except ImportError as error:  # fsspec has a sentence for each: "Install s3fs to access S3"
        said = str(error)
        fix = said[:1].lower() + said[1:] if said.startswith(("Install", "Please")) else said
        return f"no filesystem for {scheme}:// is installed", fix
    except ValueError:
        return "no filesystem is known by what stands before ://", "write a path, or a URL such as s3://bucket/folder"
    return None


def location(endpoint: str, path: str) -> str:
    """A path below an endpoint's root, as it is recorded: it says by itself where it is.

    What is there may be called after another endpoint by the time that it is read.
    """
    return f"{endpoint}:{path}"


def place(location: str) -> tuple[str, str]:
    """The endpoint and the path below its root that a location says."""
    endpoint, _colon, path = location.partition(":")
    return endpoint, path


def is_table(path: str) -> bool:
    """Whether a path below an endpoint names a table in a schema of versioned tables, and no folder."""
    schema, _dot, table = path.rpartition(".")
    return schema.endswith(VERSIONS) and bool(table) and "/" not in table


def root_of(slug: str, locations: Mapping[str, "EndpointLocation"], settings: Settings) -> "UPath":
    """What is written for an endpoint is below this; for one that the project does not name, in the home.

    Raises MissingVariable, FilesystemMissing.
    """
    if slug in locations:
        return locations[slug].root_path(settings)
    from upath import UPath

    return UPath(settings.home / "lake" / slug)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLocation:
    """How to reach an endpoint from this process.

    postgres: `database` on the server that `url` (a reference `env:NAME`) names, or on the data-plane server.
    mysql, mariadb: the server that `url` names.
    duckdb, sqlite: the `file` (a path or `env:NAME`); `database` is what the keys of its tables call it.
    files: everything below `root` (a path or an fsspec URL, or `env:NAME`), else below `lake/<slug>` in the home.
    """

    slug: str
    system: System
    url: str | None = None
    database: str | None = None
    root: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if self.url is not None and not self.url.startswith("env:"):
            raise SecretInProject(slug=self.slug, field="url")

    def database_url(self, databases: Databases) -> str:
        """A connection URL, with whatever credentials the environment holds. Never store, log or show it."""
        given = databases.settings.variable(self.url[4:], wanted_by=f"endpoint {self.slug}") if self.url else None
        base = given or databases.data
        parsed = make_url(with_driver(base, "psycopg"))
        if self.database:
            parsed = parsed.set(database=self.database)
        return rendered(parsed.set(drivername="postgresql"))

    def server_url(self, settings: Settings) -> str:
        """The connection URL of a server that only `url` names. Never store, log or show it. Raises MissingVariable."""
        assert self.url is not None, f"the project's file says that endpoint {self.slug} needs its url"
        return settings.variable(self.url[4:], wanted_by=f"endpoint {self.slug}")

    def file_path(self, settings: Settings) -> Path:
        """The file of a duckdb or sqlite endpoint. Raises MissingVariable."""
        assert self.file is not None, f"the project's file says that endpoint {self.slug} needs its file"
        given = self.file.startswith("env:")
        file = settings.variable(self.file[4:], wanted_by=f"endpoint {self.slug}") if given else self.file
        return settings.project / file

    def root_path(self, settings: Settings) -> "UPath":
        """Where the files of this endpoint are. Raises MissingVariable, FilesystemMissing."""
        from upath import UPath

        if self.root is None:
            return UPath(settings.home / "lake" / self.slug)
        given = self.root.startswith("env:")
        root = settings.variable(self.root[4:], wanted_by=f"endpoint {self.slug}") if given else self.root
        if problem := filesystem_problem(root):
            raise FilesystemMissing(slug=self.slug, reason=problem[0], fix=problem[1])
        return UPath(root) if given or "://" in root else UPath(settings.project / root)

    def attributes(self) -> Mapping[str, Any]:
        """What the catalog may keep: references and names, no credentials."""
        known = {"url": self.url, "database": self.database, "root": self.root, "file": self.file}
        return {name: value for name, value in known.items() if value is not None}

    def where(self, databases: Databases) -> str:
        """For people: the host or path, never a credential."""
        match self.system:
            case "files":
                return str(self.root_path(databases.settings))
            case "duckdb" | "sqlite":
                return str(self.file_path(databases.settings))
            case "mysql" | "mariadb" | "postgres":
                database = self.database or "" if self.system == "postgres" else ""
                return f"{self.server(databases)}/{database}"
        assert_never(self.system)

    def server(self, databases: Databases) -> Authority | None:
        """The server as a network sees it; None for what is on no server. Raises MissingVariable, InvalidUrl."""
        match self.system:
            case "postgres":
                return authority(self.database_url(databases))
            case "mysql" | "mariadb":
                return authority(self.server_url(databases.settings))
            case "duckdb" | "sqlite" | "files":
                return None
        assert_never(self.system)
