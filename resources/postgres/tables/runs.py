"""dag_version and active_dag, job, task, task_attempt and its lease, and how far an event log was mirrored."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from resources.postgres.tables.base import METADATA, document, moment, tenant_id, uuid, words
from resources.postgres.tables.tenancy import tenant

_GIVEN = text("gen_random_uuid()")

dag_version = Table(
    "dag_version",
    METADATA,
    tenant_id(),
    Column("dag_version_id", uuid("dag_version_id").type, primary_key=True, server_default=_GIVEN),
    words("code_location"),
    Column("content_sha256", LargeBinary, nullable=False),
    document("metadata"),
    moment("first_seen"),
    UniqueConstraint("tenant_id", "code_location", "content_sha256", name="dag_version_content_key"),
    ForeignKeyConstraint(["tenant_id"], [tenant.c.tenant_id]),
)

active_dag = Table(
    "active_dag",
    METADATA,
    tenant_id(),
    Column("active_dag_id", uuid("active_dag_id").type, primary_key=True, server_default=_GIVEN),
    words("code_location"),
    uuid("dag_version_id"),
    moment("valid_from"),
    Column(
        "valid_to",
        moment("valid_to").type,
        comment="When another version took its place; null for the present one",
    ),
    ForeignKeyConstraint(["tenant_id", "dag_version_id"], [dag_version.c.tenant_id, dag_version.c.dag_version_id]),
    Index("active_dag_open_key", "tenant_id", "code_location", unique=True, postgresql_where=text("valid_to IS NULL")),
    Index("active_dag_history_idx", "tenant_id", "code_location", "valid_from"),
)

job = Table(
    "job",
    METADATA,
    tenant_id(),
    Column("job_id", uuid("job_id").type, primary_key=True, server_default=_GIVEN),
    words("run_id"),
    words("source"),
    words("name", nullable=True),
    words("code_location", nullable=True),
    uuid("dag_version_id", nullable=True),
    words("status"),
    Column(
        "as_of",
        moment("as_of").type,
        nullable=False,
        server_default=text("'-infinity'::timestamptz"),
        comment="When its source last changed its word, by its own clock",
    ),
    moment("started_at", nullable=True),
    moment("ended_at", nullable=True),
    words("failure_class", nullable=True),
    words("failure_reason", nullable=True),
    document("tags"),
    moment("created_at"),
    moment("updated_at"),
    *(
        Column(
            f"{name}_as_of",
            moment(f"{name}_as_of").type,
            nullable=False,
            server_default=text("'-infinity'::timestamptz"),
            comment=f"When its source said {name}, by its own clock",
        )
        for name in ("name", "code_location", "tags")
    ),
    UniqueConstraint("tenant_id", "run_id", name="job_run_id_key"),
    ForeignKeyConstraint(["tenant_id"], [tenant.c.tenant_id]),
    ForeignKeyConstraint(["tenant_id", "dag_version_id"], [dag_version.c.tenant_id, dag_version.c.dag_version_id]),
    Index("job_started_idx", "tenant_id", text("started_at DESC"), "job_id"),
    Index("job_unfinished_idx", "tenant_id", "source", postgresql_where=text("ended_at IS NULL")),
)

task = Table(
    "task",
    METADATA,
    tenant_id(),
    Column("task_id", uuid("task_id").type, primary_key=True, server_default=_GIVEN),
    uuid("job_id"),
    words("step_key"),
    Column(
        "lease_epoch",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Of the newest lease; whoever holds a smaller one was overtaken",
    ),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("tenant_id", "job_id", "step_key", name="task_step_key_key"),
    ForeignKeyConstraint(["tenant_id", "job_id"], [job.c.tenant_id, job.c.job_id]),
)

task_attempt = Table(
    "task_attempt",
    METADATA,
    tenant_id(),
    Column("attempt_id", uuid("attempt_id").type, primary_key=True, server_default=_GIVEN),
    uuid("task_id"),
    Column("number", Integer, nullable=False, comment="From 0; grows with each try"),
    Column(
        "lease_epoch",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Grows with each holder of its task; 0 where a log told it",
    ),
    words("lease_owner", nullable=True),
    Column("fencing_token", BigInteger),
    words("status"),
    words("failure_class", nullable=True),
    words("failure_reason", nullable=True),
    moment("started_at", nullable=True),
    moment("ended_at", nullable=True),
    moment("created_at"),
    moment("updated_at"),
    Column("step_key", words("step_key").type, nullable=False, comment="That of its task"),
    UniqueConstraint("tenant_id", "task_id", "number", "lease_epoch", name="task_attempt_number_key"),
    ForeignKeyConstraint(["tenant_id", "task_id"], [task.c.tenant_id, task.c.task_id]),
    Index("task_attempt_lost_idx", "tenant_id", text("ended_at DESC"), postgresql_where=text("status = 'lost'")),
    Index(
        "task_attempt_undelivered_idx",
        "tenant_id",
        "step_key",
        text("created_at DESC"),
        postgresql_where=text("status <> 'succeeded'"),
    ),
)

attempt_lease = Table(
    "attempt_lease",
    METADATA,
    tenant_id(),
    uuid("attempt_id", key=True),
    moment("heartbeat_at"),
    Column("expires_at", moment("expires_at").type, nullable=False),
    ForeignKeyConstraint(["tenant_id", "attempt_id"], [task_attempt.c.tenant_id, task_attempt.c.attempt_id]),
    Index("attempt_lease_expiry_idx", "tenant_id", "expires_at"),
)

mirror_position = Table(
    "mirror_position",
    METADATA,
    tenant_id(),
    words("source", key=True),
    Column("position", JSONB, nullable=False),
    moment("updated_at"),
    ForeignKeyConstraint(["tenant_id"], [tenant.c.tenant_id]),
)
