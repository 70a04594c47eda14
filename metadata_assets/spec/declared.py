"""What every mapping in a YAML file has in common."""

from pydantic import BaseModel, ConfigDict


class Declared(BaseModel):
    """A mapping in a YAML file: no field but these, and no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)
