"""The body of every error."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.problems import KINDS, Problem, describe
from app.api.schemas import examples


class ProblemDetail(BaseModel):
    """Every error answer (RFC 9457), and the error of a single image where those are reported."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROBLEM]})

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(json_schema_extra={"enum": [kind.code for kind in KINDS]})]
    field: str | None
    request_id: str

    @classmethod
    def of(cls, found: Problem, request_id: str) -> Self:
        """A problem that is reported."""
        return cls.model_validate(describe(found, request_id))
