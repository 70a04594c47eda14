"""What a dataset promises about its data, as it is written in YAML: of a column, or of the table."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from metadata_assets.spec.declared import Declared
from metadata_assets.spec.texts import Duration, Filled, refuse

Severity = Literal["error", "warn"]
Share = Annotated[Decimal, PlainValidator(lambda value: _share(value), json_schema_input_type=str)]
"""A part of something: 0.5 for `50%`."""


def _share(value: object) -> Decimal:
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)%", value) if isinstance(value, str) else None
    if not found:
        refuse("it is not a percentage", "write a number and %, such as 50%")
    return Decimal(found[1]) / 100


def _switch(value: object) -> object:
    """`true` is the check as it comes, `false` none; a mapping says more."""
    words: dict[str, object] = {"true": {}, "false": None}
    if isinstance(value, str) and value.lower() not in words:
        refuse("it is neither true nor false", "write true, or {severity: warn}")
    return words[value.lower()] if isinstance(value, str) else value


def _list_of_values(value: object) -> object:
    return {"values": value} if isinstance(value, list) else value


class RuleFields(Declared):
    """How much it matters. An error keeps data back unless `blocking` is false; a warning never does."""

    severity: Severity = "error"
    blocking: bool | None = None

    @model_validator(mode="after")
    def _warnings_block_nothing(self) -> "RuleFields":
        if self.severity == "warn" and self.blocking:
            refuse("a warning does not keep data from being published", "write severity: error, or blocking: false")
        return self

    @property
    def blocks(self) -> bool:
        return self.severity == "error" and self.blocking is not False


class UniqueFields(RuleFields):
    """Where no value but null is there twice: in a partition, or in the whole dataset."""

    across: Literal["partition", "dataset"] = "partition"


class AcceptedFields(RuleFields):
    """The values that a column may have; null is another matter."""

    values: tuple[str, ...]

    @model_validator(mode="after")
    def _accepts_something(self) -> "AcceptedFields":
        if not self.values:
            refuse("it accepts nothing", "write the values: [one, two]")
        return self


class RelationshipFields(RuleFields):
    """The column of another dataset that has every value of this one."""

    dataset: str
    column: Filled


class TableColumnsFields(RuleFields):
    """Whether the table may have columns that are not declared."""

    others: bool = True


class RowCountFields(RuleFields):
    """How many rows, by themselves and as against what is published."""

    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None
    max_fall: Share | None = None
    max_rise: Share | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "RowCountFields":
        if not {"min", "max", "max_fall", "max_rise"} & self.model_fields_set:
            refuse("it bounds nothing", "write min, max, max_fall or max_rise, such as {min: 1, max_fall: 50%}")
        if self.min is not None and self.max is not None and self.max < self.min:
            refuse("its max is less than its min", "exchange them")
        return self


class FreshnessFields(RuleFields):
    """How old the newest value of a column of times may be."""

    column: Filled
    within: Duration


def _not_empty(fields: "ContractFields") -> "ContractFields":
    if not fields.model_fields_set:
        refuse("it is empty", f"write one of {', '.join(type(fields).model_fields)}")
    return fields


class TableContractFields(Declared):
    """What the table as a whole promises."""

    columns: Annotated[
        TableColumnsFields | None, BeforeValidator(_switch, json_schema_input_type=bool | TableColumnsFields)
    ] = None
    row_count: RowCountFields | None = None
    freshness: FreshnessFields | None = None


ContractFields = Annotated[TableContractFields, AfterValidator(_not_empty)]
Accepted = Annotated[
    AcceptedFields | None, BeforeValidator(_list_of_values, json_schema_input_type=list[str] | AcceptedFields)
]
Single = Annotated[UniqueFields | None, BeforeValidator(_switch, json_schema_input_type=bool | UniqueFields)]
Switched = Annotated[RuleFields | None, BeforeValidator(_switch, json_schema_input_type=bool | RuleFields)]
