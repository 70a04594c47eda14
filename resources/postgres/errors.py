"""What PostgreSQL refuses, in our words. Messages of drivers may hold a password, so none is passed on."""

from typing import ClassVar, Final

import psycopg
import psycopg.errors
import sqlalchemy as sa

from identity.credentials import scrub
from identity.errors import MetadataError
from resources.postgres.refusals import REFUSALS

UNREACHABLE: Final = (MetadataError, psycopg.Error, sa.exc.SQLAlchemyError)
"""What may keep something from being recorded: what a store raises, whatever is wrong with it."""


class DatabaseUnreachable(MetadataError):
    """cannot reach the {database} database at {where}: {reason}; check that it runs and that {variable} names it"""

    database: str
    where: str
    reason: str
    variable: str
    exit_code: ClassVar[int] = 4


class DatabaseTooOld(MetadataError):
    """the {database} database is PostgreSQL {found}; version {needed} or newer is needed"""

    database: str
    found: str
    needed: str
    exit_code: ClassVar[int] = 4


class SchemaNotCurrent(MetadataError):
    """the metadata schema is at {found}, this release needs {needed}; run: metadata-assets migrate"""

    found: str
    needed: str
    exit_code: ClassVar[int] = 4


class SchemaTooNew(MetadataError):
    """the metadata schema is at {found}, of a newer release than this one, {needed}; nothing was changed: \
use that release of metadata-assets here"""

    found: str
    needed: str
    exit_code: ClassVar[int] = 4


class TenantUnknown(MetadataError):
    """there is no tenant with id {tenant}; METADATA_TENANT=<name> metadata-assets migrate makes one"""

    tenant: str
    exit_code: ClassVar[int] = 3


class IdempotencyConflict(MetadataError):
    """idempotency key {key} was already used for another request; nothing was written"""

    key: str


class IdentityCollision(MetadataError):
    """an id is taken by another key ({detail}); nothing was written"""

    detail: str


class NameTaken(MetadataError):
    """{detail}; nothing was written"""

    detail: str


class RenameRefused(MetadataError):
    """{detail}; nothing was renamed"""

    detail: str


class ReservedEndpoint(MetadataError):
    """{detail}; nothing was written: choose another name for the endpoint"""

    detail: str
    exit_code: ClassVar[int] = 2


class UnknownName(MetadataError):
    """{detail}; nothing was changed"""

    detail: str
    exit_code: ClassVar[int] = 3


class EndpointAliasRefused(MetadataError):
    """{detail}; nothing was changed"""

    detail: str


class MergeRefused(MetadataError):
    """{detail}; nothing was changed"""

    detail: str


class LeaseLost(MetadataError):
    """attempt {attempt} no longer holds its staging lease, so its files may be collected; run the step again"""

    attempt: str


class LeaseTakenOver(MetadataError):
    """{detail}: somebody else has this task now; stop working at it, nothing more of this attempt is taken"""

    detail: str


class AttemptEnded(MetadataError):
    """{detail}; unless it succeeded, start the next attempt, with a larger number"""

    detail: str


class AttemptHeld(MetadataError):
    """{detail}; wait until then, or start the next attempt, with a larger number"""

    detail: str


class UnknownAttempt(MetadataError):
    """{detail}; start one with start_attempt"""

    detail: str
    exit_code: ClassVar[int] = 3


class UnknownMaterialization(MetadataError):
    """{detail}; nothing was published"""

    detail: str
    exit_code: ClassVar[int] = 3


class UnknownChecked(MetadataError):
    """a materialization that the checks are about is unknown; nothing was recorded"""

    exit_code: ClassVar[int] = 3


class AmbiguousPublish(MetadataError):
    """{detail}; name one of them"""

    detail: str


class DataCollected(MetadataError):
    """{detail}; nothing was changed: materialize the partition again"""

    detail: str


class NotRegistered(MetadataError):
    """a dataset of this write is not registered ({constraint}); nothing was written"""

    constraint: str


class AdHocIdentity(MetadataError):
    """{detail}; nothing was written: names and ids come from Entity(tenant, key)"""

    detail: str


class WriteRefused(MetadataError):
    """the database refused the write: {detail}"""

    detail: str


# What libpq says, to look for in its message, and what we say. The message itself may hold a password.
_REASONS: Final = (
    ("password authentication failed", "the password or the user is wrong"),
    ("no password supplied", "it wants a password and the URL has none"),
    ("no pg_hba.conf entry", "the server does not let this user in from here"),
    ("peer authentication failed", "the server does not let this user in from here"),
    ("does not exist", "it has no such database or user"),
    ("permission denied for database", "this user may not connect to that database"),
    ("is not permitted to log in", "this user may not log in"),
    ("not currently accepting connections", "that database accepts no connections"),
    ("connection slots", "it has no connection left"),
    ("too many connections", "it has no connection left"),
    ("starting up", "it is starting up"),
    ("shutting down", "it is shutting down"),
    ("could not translate host name", "its host name is unknown"),
    ("failed to resolve host", "its host name is unknown"),
    ("timeout expired", "no answer within the time limit"),
    ("timed out", "no answer within the time limit"),
    ("Connection refused", "nothing listens there"),
    ("No such file or directory", "there is no such socket"),
    ("SSL", "it and the URL disagree about SSL"),
    ("invalid port number", "its port is not a number from 1 to 65535"),
    ("is bad: invalid", "libpq cannot read its URL"),
)


def connection_problem(error: psycopg.Error) -> str:
    """Why there is no connection, in one of a few fixed phrases."""
    message = str(error)
    return next((ours for theirs, ours in _REASONS if theirs in message), "no answer that we know")


_NOT_REGISTERED = {
    "materialization_dataset_fkey",
    "staging_lease_dataset_fkey",
    "materialization_input_asset_fkey",
    "materialization_input_read_fkey",
    "dataset_asset_fkey",
    "relationship_source_fkey",
    "relationship_target_fkey",
}


def is_outcome_unknown(error: BaseException) -> bool:
    """Whether the transaction may or may not have happened, so that the same key must be asked again.

    True for a lost connection and for what the server takes back by itself (deadlock, serialization, shutdown).
    """
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:  # not the server's word: it is gone, or the driver would not even send what it was given
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] in {"08", "40", "57"} or state in {"55P03", "25P03"}


# Constraints of what is identified, and what it means to meet one.
_AD_HOC: Final = {
    "asset_qualified_name_check": "an asset was to be called by something that is not a canonical key",
    "alias_key_check": "an alias was to be something that is not a canonical key",
    "endpoint_slug_check": "an endpoint was to be called by something that is not a slug",
    "schema_field_id_check": "a column was to have an id that is not derived",
}


def is_taken_back(error: BaseException) -> bool:
    """Whether the server took the transaction back by itself: a deadlock, a serialization failure. Nothing happened."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith("40")


_SAYS_NO_DATA: Final = {"08", "25", "28", "40", "42", "53", "55", "57", "XX"}
"""Classes of SQLSTATE whose messages tell of the schema, of rights or of the server, and not of values."""


def redacted(error: psycopg.Error) -> psycopg.Error:
    """The same error without values: its class, SQLSTATE and constraint; what it says only where that is no data.

    What libpq or the driver itself says is left out, too: it may repeat a URL.
    """
    constraint, message = error.diag.constraint_name, error.diag.message_primary
    said = [type(error).__name__, f"SQLSTATE {error.sqlstate}" if error.sqlstate else "not from the server"]
    said += [f"constraint {constraint}"] if constraint else []
    said += [scrub(message)] if message and (error.sqlstate or "")[:2] in _SAYS_NO_DATA else []
    if error.sqlstate is None and "permission denied to set role" in str(error):
        said += ["permission denied to set role"]
    clean = type(error)(", ".join(said))
    clean.sqlstate = error.sqlstate
    return clean


def translated(error: psycopg.Error) -> MetadataError | None:
    """Our error for a state or constraint that we raise on purpose; None for anything else."""
    detail = error.diag.message_primary or ""
    if (error.sqlstate or "").startswith("MA") and (refusal := REFUSALS.get(error.diag.constraint_name or "")):
        return refusal(error)
    match error.sqlstate:
        case "MA409" if error.diag.constraint_name:
            return IdentityCollision(detail=detail)
        case "MA409":
            return IdempotencyConflict(key=error.diag.message_detail or "?")
        case "MA404" | "MA422" if error.diag.constraint_name == "endpoint_alias":
            return EndpointAliasRefused(detail=detail)
        case "MA404" if error.diag.constraint_name == "asset_key":
            return UnknownName(detail=detail)
        case "MA404" if error.diag.constraint_name == "task_attempt":
            return UnknownAttempt(detail=detail)
        case "MA410" if error.diag.constraint_name == "attempt_ended":
            return AttemptEnded(detail=detail)
        case "MA412" if error.diag.constraint_name == "lease_epoch":
            return LeaseTakenOver(detail=detail)
        case "MA423" if error.diag.constraint_name == "attempt_lease":
            return AttemptHeld(detail=detail)
        case "MA404":
            return UnknownMaterialization(detail=detail)
        case "MA422" if error.diag.constraint_name == "asset_open_name_key":
            return NameTaken(detail=detail)
        case "MA422" if error.diag.constraint_name == "rename_batch":
            return RenameRefused(detail=detail)
        case "MA422" if error.diag.constraint_name == "legacy_endpoint":
            return ReservedEndpoint(detail=detail)
        case "MA422" if error.diag.constraint_name == "merge":
            return MergeRefused(detail=detail)
        case "23505" if error.diag.constraint_name in {"asset_open_name_key", "alias_open_key"}:
            return NameTaken(detail="somebody gave the same name to something else in this moment")
        case "MA422" if error.diag.constraint_name == "adhoc_identity":
            return AdHocIdentity(detail=detail)
        case "23514" if error.diag.constraint_name in _AD_HOC:
            return AdHocIdentity(detail=_AD_HOC[str(error.diag.constraint_name)])
        case "MA422" if error.diag.constraint_name == "condemned":
            return DataCollected(detail=detail)
        case "MA422":
            return AmbiguousPublish(detail=detail)
        case "MA423" if "staging lease" in detail:
            return LeaseLost(attempt=detail.split()[1])
        case "MA423":
            return WriteRefused(detail=detail)
        case "23503" if error.diag.constraint_name == "check_result_materialization_fkey":
            return UnknownChecked()
        case "23503" if error.diag.constraint_name in _NOT_REGISTERED:
            return NotRegistered(constraint=str(error.diag.constraint_name))
        case "23503" if (error.diag.constraint_name or "").endswith("_tenant_id_fkey"):
            return TenantUnknown(tenant="of this session")
        case _:
            return None
