"""Values that checkpoints hold and digests cover, with more fields now than the first checkpoints had."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


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
