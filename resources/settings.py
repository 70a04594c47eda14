"""Where things are and who is asking. The only reader of the process environment; read once, at an entry point."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

from identity.errors import MetadataError
from identity.ids import DEFAULT_TENANT, TenantId, tenant_id

Plane = Literal["metadata", "dagster", "data"]

VARIABLE: dict[Plane, str] = {
    "metadata": "METADATA_DATABASE_URL",
    "dagster": "DAGSTER_POSTGRES_URL",
    "data": "DATA_DATABASE_URL",
}


class MissingVariable(MetadataError):
    """the environment variable {name} is not set, and {wanted_by} needs it; set it, or take the reference out"""

    name: str
    wanted_by: str
    exit_code: ClassVar[int] = 2


class BadMemory(MetadataError):
    """METADATA_SQL_MEMORY is no amount of memory; write it like 500MB, 4GB or 25%"""

    exit_code: ClassVar[int] = 2


_MEMORY = re.compile(r"[1-9]\d{0,6} ?([KMGT]i?B)|[1-9]\d?%|100%", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process's view of its surroundings.

    A database without a URL lives on the embedded server under `home`.
    """

    home: Path
    project: Path
    tenant_slug: str = DEFAULT_TENANT
    environment: str | None = None
    """Which of the project's environments this is; None for its first."""
    variables: Mapping[str, str] = field(hash=False, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, cwd: Path) -> Self:
        """Read METADATA_HOME, METADATA_PROJECT, METADATA_TENANT, METADATA_ENVIRONMENT and the three database URLs.

        Relative paths start at `cwd`. Without METADATA_HOME the home is `.metadata` there, without METADATA_PROJECT
        the project is `examples/flights` there if it has one, else `cwd` itself.
        """
        example = cwd / "examples" / "flights"
        return cls(
            home=(cwd / environ.get("METADATA_HOME", ".metadata")).resolve(),
            project=(cwd / environ.get("METADATA_PROJECT", str(example) if example.is_dir() else ".")).resolve(),
            tenant_slug=environ.get("METADATA_TENANT") or DEFAULT_TENANT,
            environment=environ.get("METADATA_ENVIRONMENT") or None,
            variables=dict(environ),
        )

    @property
    def tenant(self) -> TenantId:
        return tenant_id(self.tenant_slug)

    def url(self, plane: Plane) -> str | None:
        """The URL that somebody configured for a database; None where it is on the embedded server."""
        return self.variables.get(VARIABLE[plane]) or None

    @property
    def failpoint(self) -> str | None:
        """Where this process is to die, for tests of that: see failpoints.py."""
        return self.variables.get("METADATA_FAILPOINT") or None

    @property
    def intermediate(self) -> Path:
        """Where values wait for the next step of their run."""
        return self.home / "intermediate"

    @property
    def sql_memory(self) -> str:
        """How much memory one SELECT of a project may use, as DuckDB writes it: `4GB`, `25%`. Raises BadMemory."""
        value = self.variables.get("METADATA_SQL_MEMORY") or "25%"
        if not _MEMORY.fullmatch(value):
            raise BadMemory
        return value

    def variable(self, name: str, *, wanted_by: str) -> str:
        """What an `env:NAME` reference stands for. Raises MissingVariable; the value is never logged or stored."""
        value = self.variables.get(name)
        if not value:
            raise MissingVariable(name=name, wanted_by=wanted_by)
        return value
