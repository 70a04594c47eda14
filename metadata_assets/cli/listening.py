"""A port of this machine: whether it is free, and whether something answers there."""

import errno
import socket
import urllib.error
import urllib.request
from typing import ClassVar

from identity.errors import MetadataError, shown
from metadata_assets.cli.exit_codes import ExitCode


class PortInUse(MetadataError):
    """port {port} of {host} is in use; stop what listens there, or choose another one with --port"""

    host: str
    port: int
    exit_code: ClassVar[int] = ExitCode.UNUSABLE


class CannotListen(MetadataError):
    """cannot listen at {host} port {port}: {reason}; choose others with --host and --port"""

    host: str
    port: int
    reason: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def check_free(host: str, port: int) -> None:
    """Raise PortInUse or CannotListen unless this process could listen there now."""
    try:
        family, kind, protocol, _name, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host=shown(host), port=port) from None
        raise CannotListen(host=shown(host), port=port, reason=error.strerror or "unknown") from None


def address(host: str, port: int) -> str:
    """Where a browser on this machine finds it: a server on every address is on this machine's own too."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{local}]' if ':' in local else local}:{port}"


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            status: int = response.status
            return 200 <= status < 300
    except (urllib.error.URLError, OSError):
        return False
