"""Values that checkpoints hold and digests cover, with more fields now than the first checkpoints had."""

from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue


class Growing(BaseModel):
    """Frozen; fields named in `later` are left out at their defaults, so that digests of older checkpoints still hold.

    Such a default stands for what older checkpoints did, and can never change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialize(self)
        left_out = {name for name in self.later if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in values.items() if name not in left_out}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """That of the fields; the serializer would make it one of any object."""
        return handler(_without_serializer(core_schema))


def _without_serializer(schema: Any) -> Any:
    """A model's schema, of which each validator is a layer."""
    plain = {key: value for key, value in schema.items() if key != "serialization"}
    return plain if plain["type"] == "model" else plain | {"schema": _without_serializer(plain["schema"])}
