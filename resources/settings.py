"""Where things are and who is asking. The only reader of the process environment; read once, at an entry point."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from identity.errors import MetadataError
from identity.ids import DEFAULT_TENANT, TenantId, tenant_id


class MissingVariable(MetadataError):
    """the environment variable {name} is not set, and {wanted_by} needs it; set it, or take the reference out"""

    name: str
    wanted_by: str
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process's view of its surroundings.

    A database without a URL lives on the embedded server under `home`.
    """

    home: Path
    project: Path
    tenant_slug: str = DEFAULT_TENANT
    metadata_url: str | None = field(default=None, repr=False)
    dagster_url: str | None = field(default=None, repr=False)
    data_url: str | None = field(default=None, repr=False)
    variables: Mapping[str, str] = field(hash=False, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, cwd: Path) -> Self:
        """Read METADATA_HOME, METADATA_PROJECT, METADATA_TENANT and the three database URLs.

        Relative paths start at `cwd`. Without METADATA_HOME the home is `.metadata` there, without METADATA_PROJECT
        the project is `examples/flights` there if it has one, else `cwd` itself.
        """
        example = cwd / "examples" / "flights"
        return cls(
            home=(cwd / environ.get("METADATA_HOME", ".metadata")).resolve(),
            project=(cwd / environ.get("METADATA_PROJECT", str(example) if example.is_dir() else ".")).resolve(),
            tenant_slug=environ.get("METADATA_TENANT") or DEFAULT_TENANT,
            metadata_url=environ.get("METADATA_DATABASE_URL") or None,
            dagster_url=environ.get("DAGSTER_POSTGRES_URL") or None,
            data_url=environ.get("DATA_DATABASE_URL") or None,
            variables=dict(environ),
        )

    @property
    def tenant(self) -> TenantId:
        return tenant_id(self.tenant_slug)

    def variable(self, name: str, *, wanted_by: str) -> str:
        """What an `env:NAME` reference stands for. Raises MissingVariable; the value is never logged or stored."""
        value = self.variables.get(name)
        if not value:
            raise MissingVariable(name=name, wanted_by=wanted_by)
        return value
