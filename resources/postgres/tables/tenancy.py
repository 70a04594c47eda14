"""tenant, audit, idempotency, outbox."""

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from resources.postgres.tables.base import METADATA, document, moment, tenant_id, uuid, words


class Xid8(UserDefinedType[str]):
    """A 64-bit transaction id, text on the client."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        return "xid8"


tenant = Table(
    "tenant",
    METADATA,
    tenant_id(),
    words("name"),
    Column("status", Text, nullable=False, server_default=text("'ACTIVE'")),
    document("config"),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("name", name="tenant_name_key"),
)

audit = Table(
    "audit",
    METADATA,
    tenant_id(),
    Column("audit_id", BigInteger, Identity(always=True), primary_key=True),
    words("entity_type"),
    uuid("entity_id"),
    words("action"),
    words("actor"),
    words("db_user"),
    Column("before_state", JSONB),
    Column("after_state", JSONB),
    moment("at"),
    Index("audit_tenant_at_idx", "tenant_id", text("at DESC")),
    Index("audit_entity_idx", "tenant_id", "entity_type", "entity_id"),
)

idempotency = Table(
    "idempotency",
    METADATA,
    tenant_id(),
    words("op", key=True),
    words("key", key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    uuid("result_id"),
    moment("created_at"),
)

outbox = Table(
    "outbox",
    METADATA,
    tenant_id(),
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    uuid("event_id"),
    words("topic"),
    Column("payload", JSONB, nullable=False),
    moment("at"),
    Index("outbox_position_idx", "xid", "seq"),
)
