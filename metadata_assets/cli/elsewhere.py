"""Where the files of an endpoint are by the word of the project at hand, and nobody else's."""

from collections.abc import Mapping

from upath import UPath

from resources.locations import EndpointAway, EndpointLocation, root_of
from resources.metadata_store import MetadataStore
from resources.settings import Settings


class EndpointElsewhere(EndpointAway):
    """the project {project} does not say where the data of endpoint {endpoint} are; run it in the project that does"""

    project: str


def files_root(slug: str, locations: Mapping[str, EndpointLocation], store: MetadataStore, settings: Settings) -> UPath:
    """What is written for an endpoint is below this: its root in the project, or the home's for one without a root.

    Raises EndpointElsewhere for one that the project does not name and that another one gave a place of its own;
    MissingVariable, FilesystemMissing.
    """
    registered = None if slug in locations else store.endpoint(slug)
    if registered is not None and (registered.system != "files" or "root" in registered.attributes):
        raise EndpointElsewhere(endpoint=slug, project=str(settings.project))
    return root_of(slug, locations, settings)
