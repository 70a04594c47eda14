"""`export openlineage`: what our runs did, as events on stdout."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar

from identity.errors import MetadataError, shown
from identity.naming import Authority
from metadata_assets.cli.context import Cli, Opened
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.moments import moment
from metadata_assets.cli.servers import project_servers
from metadata_assets.exporters.openlineage import Event, Teller
from resources.metadata.endpoint_aliases import server_of


class NoNamespace(MetadataError):
    """{namespace} is no namespace of jobs; use a word of a-z, 0-9, _, . and -"""

    namespace: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def export_events(cli: Cli, *, runs: Sequence[str] | None, since: str | None, namespace: str) -> ExitCode:
    if not re.fullmatch(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?", namespace):
        raise NoNamespace(namespace=shown(namespace))
    then = None if since is None else moment(since)
    with cli.opened() as opened:
        events = _events(cli, opened, runs, then, namespace)
        if cli.json_output:
            cli.show(list(events))
        else:
            for event in events:
                cli.write(json.dumps(event, separators=(",", ":")) + "\n")
    return ExitCode.OK


def _events(
    cli: Cli, opened: Opened, runs: Sequence[str] | None, since: datetime | None, namespace: str
) -> Iterator[Event]:
    known = {one.slug: server for one in opened.store.endpoints() if (server := server_of(one)) is not None}
    servers: dict[str, Authority] = {**known, **project_servers(cli, opened.databases)[0]}
    wanted = None if runs is None else [opened.store.run(one).summary.run_id for one in runs]
    teller = Teller(opened.store.tenant, servers, namespace)
    for told, datasets in opened.store.told_runs(runs=wanted, since=since):
        yield from teller.events(told, datasets)
