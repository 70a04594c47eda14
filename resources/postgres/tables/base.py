"""What all tables share: the schema, and the shapes of columns that recur."""

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "metadata"
METADATA = MetaData(schema=SCHEMA)


def tenant_id() -> Column[Any]:
    return Column("tenant_id", Uuid, primary_key=True)


def uuid(name: str, *, key: bool = False, nullable: bool = False) -> Column[Any]:
    return Column(name, Uuid, primary_key=key, nullable=nullable and not key)


def words(name: str, *, key: bool = False, nullable: bool = False) -> Column[Any]:
    return Column(name, Text, primary_key=key, nullable=nullable and not key)


def document(name: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


def moment(name: str, *, nullable: bool = False) -> Column[Any]:
    """A point in time by the database's clock; one that may be null has no default."""
    default = None if nullable else text("clock_timestamp()")
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)
