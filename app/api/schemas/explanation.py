"""The answer of /explain."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.api.schemas.decisions import ModelName, Similarity


class ExplainedImage(BaseModel):
    """One image: which face was taken (null for a model of whole pictures), what the network sees of it as a PNG in
    base64, and what each of its parts adds.

    `influence` has the parts row by row, in log odds: how much less alike the two sides are once this part is blurred.
    Positive parts speak for one person, negative ones against.
    """

    field: str
    face: int | None
    crop: Annotated[str, Field(description="PNG in base64")]
    influence: list[list[float]]


class Explanation(BaseModel):
    """The answer of /explain. It says what this network reacts to, not why people look alike."""

    similarity: Similarity
    images: list[ExplainedImage]
    model: ModelName
    request_id: str
