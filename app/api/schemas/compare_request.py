"""The body of /compare."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import examples
from app.api.schemas.decisions import Rate, Similarity

# Validation stops at the first value that is not a number: to list all would block the event loop for tenths of a
# second.
Values = Annotated[list[float], Field(fail_fast=True)]
Names = Annotated[list[str], Field(fail_fast=True)] | Annotated[list[list[str]], Field(fail_fast=True)]
Side = Values | str | Annotated[list[Values | str], Field(fail_fast=True)]


class CompareRequest(BaseModel):
    """Embeddings of one model, as /embed gives them, and the digest that came with them: one for each side, or a list
    of several of one person, which are averaged. `conditions1` and `conditions2` are the conditions that came with the
    embeddings of each side: a list for one embedding, or a list of lists.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [examples.COMPARE_REQUEST, examples.COMPARE_REQUEST_OF_SEVERAL]},
    )

    embedding1: Side
    embedding2: Side
    embedding_sha256: str
    conditions1: Names | None = None
    conditions2: Names | None = None
    threshold: Similarity | None = None
    max_fmr: Rate | None = None
