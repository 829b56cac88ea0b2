"""The body of /compare."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import examples
from app.api.schemas.decisions import Rate, Similarity

# Validation stops at the first value that is not a number: to list all would block the event loop for tenths of a
# second.
# What has a length of 0 is refused later, with an error that says what is wrong.
FILLED: dict[str, Any] = {"minItems": 1}
Values = Annotated[list[float], Field(fail_fast=True, json_schema_extra=FILLED)]
Base64 = Annotated[str, Field(json_schema_extra={"minLength": 1})]
Names = Annotated[list[str], Field(fail_fast=True)] | Annotated[list[list[str] | None], Field(fail_fast=True)]
Side = Values | Base64 | Annotated[list[Values | Base64], Field(fail_fast=True, json_schema_extra=FILLED)]
DIGEST: dict[str, Any] = {"pattern": "^[0-9a-f]{64}$"}
# A request has one of the two, or none; a null is as good as none.
ONE_RULE: dict[str, Any] = {
    "not": {
        "required": ["threshold", "max_fmr"],
        "properties": {"threshold": {"type": "number"}, "max_fmr": {"type": "number"}},
    }
}


class CompareRequest(BaseModel):
    """Embeddings of one model, as /embed gives them, and the digest that came with them: one for each side, or a list
    of several of one person, which are averaged. `conditions1` and `conditions2` are the conditions that came with the
    embeddings of each side: a list for one embedding, or a list with a list or null for each.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [examples.COMPARE_REQUEST, examples.COMPARE_REQUEST_OF_SEVERAL], **ONE_RULE},
    )

    embedding1: Side
    embedding2: Side
    embedding_sha256: Annotated[str, Field(json_schema_extra=DIGEST)]
    conditions1: Names | None = None
    conditions2: Names | None = None
    threshold: Similarity | None = None
    max_fmr: Rate | None = None
