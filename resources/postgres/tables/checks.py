"""check_result: what checks found. candidate: what a run's checks examine, and which of them decide about it."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, ForeignKeyConstraint, Index, Table, Text

from resources.postgres.tables.base import METADATA, document, moment, tenant_id, uuid, words
from resources.postgres.tables.versions import dataset, materialization

check_result = Table(
    "check_result",
    METADATA,
    tenant_id(),
    uuid("materialization_id", key=True),
    words("name", key=True),
    words("run_id", key=True),
    Column(
        "evaluation",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Orders the evaluations of one check: a later one is larger",
    ),
    Column("passed", Boolean, nullable=False),
    Column("blocking", Boolean, nullable=False),
    words("severity"),
    words("description", nullable=True),
    document("metadata"),
    words("actor"),
    moment("at"),
    ForeignKeyConstraint(
        ["tenant_id", "materialization_id"],
        [materialization.c.tenant_id, materialization.c.materialization_id],
    ),
)

candidate = Table(
    "candidate",
    METADATA,
    tenant_id(),
    words("run_id", key=True),
    uuid("dataset_id", key=True),
    words("partition_key", key=True),
    uuid("materialization_id"),
    Column("awaited", ARRAY(Text), comment="The blocking checks that publish it; null where a person does"),
    words("actor"),
    moment("at"),
    ForeignKeyConstraint(
        ["tenant_id", "materialization_id"],
        [materialization.c.tenant_id, materialization.c.materialization_id],
    ),
    ForeignKeyConstraint(["tenant_id", "dataset_id"], [dataset.c.tenant_id, dataset.c.dataset_id]),
    Index("candidate_materialization_idx", "tenant_id", "materialization_id"),
)
