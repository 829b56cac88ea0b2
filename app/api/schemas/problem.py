"""The body of every error."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.api.problems import KINDS
from app.api.schemas import examples


class ProblemDetail(BaseModel):
    """Every error answer (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROBLEM]})

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(json_schema_extra={"enum": [kind.code for kind in KINDS]})]
    field: str | None
    request_id: str
