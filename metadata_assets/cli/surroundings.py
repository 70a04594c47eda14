"""What a process that runs Dagster finds around it: its home folder and its environment."""

from importlib import resources as package_files
from pathlib import Path

from resources.settings import Settings

_PACKAGE = package_files.files("metadata_assets")
DAGSTER_YAML = "dagster.yaml"
WORKSPACE_YAML = "workspace.yaml"


def shipped(name: str) -> str:
    """The text of a Dagster file as this release brings it; the same stands at the top of the repository."""
    return (_PACKAGE / name).read_text(encoding="utf-8")


def dagster_home(settings: Settings) -> Path:
    """Where Dagster keeps what is not in its database."""
    return settings.home / "dagster"


def prepare(settings: Settings) -> Path:
    """Make Dagster's home with its two files. Files that are there stay as they are: they may have been edited."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    for name in (DAGSTER_YAML, WORKSPACE_YAML):
        if not (home / name).exists():
            (home / name).write_text(shipped(name), encoding="utf-8")
    return home


def variables(settings: Settings) -> dict[str, str]:
    """What the processes of Dagster read, so that all of them see the settings of this one."""
    return {
        "METADATA_HOME": str(settings.home),
        "METADATA_PROJECT": str(settings.project),
        "METADATA_TENANT": settings.tenant_slug,
        "DAGSTER_HOME": str(dagster_home(settings)),
        **({"METADATA_ENVIRONMENT": settings.environment} if settings.environment else {}),
    }
