"""What the I/O manager refuses: to store, to publish or to read, and the way out."""

from typing import ClassVar

from identity.errors import MetadataError


class NothingPublished(MetadataError):
    """{dataset} has no published data for {partitions}; materialize it first, or let the dependency be missing: skip"""

    dataset: str
    partitions: str
    exit_code: ClassVar[int] = 3


class NothingPinned(MetadataError):
    """pin {pin} has a version of {dataset} without data for {partitions}; pin another one, or run without"""

    dataset: str
    partitions: str
    pin: str
    exit_code: ClassVar[int] = 3


class NothingToDeliver(MetadataError):
    """{dataset}: what this request delivered before ({materialization}) is {state}, and never published again; \
run it as a new intent: a new run, or another idempotency key"""

    dataset: str
    materialization: str
    state: str


class SourceElsewhere(MetadataError):
    """{declared} is called {table} now, and this project has no database {endpoint}; \
add {endpoint} to the project's endpoints, or correct what the project's files say"""

    declared: str
    table: str
    endpoint: str
    exit_code: ClassVar[int] = 2


class NoChecksToPass(MetadataError):
    """{dataset} says publish: when_checks_pass and this run knows no blocking check of it; give it one \
(@asset_check(asset=…, blocking=True)), or say immediately or manually"""

    dataset: str
    exit_code: ClassVar[int] = 2
