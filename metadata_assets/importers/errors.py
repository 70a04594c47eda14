"""What can be wrong with what other tools wrote, and with where it is to go."""

from typing import ClassVar

from identity.errors import MetadataError


class InvalidManifest(MetadataError):
    """{file} cannot be imported: {reason}; {fix}"""

    file: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2


class InvalidNode(MetadataError):
    """{file} cannot be imported: {node}: {field}: {reason}; {fix}"""

    file: str
    node: str
    field: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2


class NoSuchTarget(MetadataError):
    """there is no endpoint {endpoint}; {hint}"""

    endpoint: str
    hint: str
    exit_code: ClassVar[int] = 3


class WrongSystem(MetadataError):
    """endpoint {endpoint} is of system {system}, and the manifest was made for {adapter}; name one of that"""

    endpoint: str
    system: str
    adapter: str
    exit_code: ClassVar[int] = 2


class WrongDatabase(MetadataError):
    """endpoint {endpoint} has the database {has}, not {database}; name one that has {database}, or declare one"""

    endpoint: str
    has: str
    database: str
    exit_code: ClassVar[int] = 2


class NoTarget(MetadataError):
    """{node} is in the database {database} of {adapter}, which is no endpoint here{known}; {fix}"""

    node: str
    database: str
    adapter: str
    known: str
    fix: str
    exit_code: ClassVar[int] = 2


class AmbiguousTarget(MetadataError):
    """{node} is in the database {database}, which can be any of {candidates}; say which: --endpoint {database}=SLUG"""

    node: str
    database: str
    candidates: str
    exit_code: ClassVar[int] = 2


class InvalidEvent(MetadataError):
    """{field}: {reason}; {fix}"""

    field: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2


class UnreadableFile(MetadataError):
    """{file} cannot be read, {reason}; give files of events: one JSON object, a list of them, or one on each line"""

    file: str
    reason: str
    exit_code: ClassVar[int] = 2
