"""At which servers the databases of a project are."""

from collections.abc import Mapping, Sequence

from identity.naming import Authority
from metadata_assets.cli.context import Cli
from metadata_assets.spec import load_project
from metadata_assets.spec.loading import METADATA_FILE
from resources.models import Endpoint
from resources.postgres.databases import Databases
from resources.settings import MissingVariable


def project_servers(cli: Cli, databases: Databases) -> tuple[Mapping[str, Authority], Sequence[Endpoint]]:
    """The servers by slug, and the endpoints; none where there is no project.

    Of a database that this process has no URL of, nothing is known.
    """
    servers: dict[str, Authority] = {}
    endpoints: list[Endpoint] = []
    if not (cli.settings.project / METADATA_FILE).is_file():
        return servers, endpoints
    for one in load_project(cli.settings.project, environment=cli.settings.environment).endpoints.values():
        try:
            server = one.location.server(databases)
        except MissingVariable:
            continue
        if server is not None:
            servers[one.slug] = server
            endpoints.append(Endpoint(slug=one.slug, system=one.location.system, attributes=one.location.attributes()))
    return servers, endpoints
