"""How bodies are documented that the routes read themselves, as OpenAPI fragments."""

from collections.abc import Sequence
from typing import Any

from app.inputs import CHOICES, CHOICES_OF_EMBED, ENCODINGS
from app.schemas import CompareRequest, ProblemDetail


def multipart(required: Sequence[str], properties: dict[str, Any]) -> dict[str, Any]:
    """A multipart/form-data body with these parts."""
    schema = {"type": "object", "required": list(required), "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


FILE = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP"}
FILES = {"type": "array", "items": FILE, "minItems": 1, "description": "the part image, once for each"}
THRESHOLD = {"type": "number", "minimum": 0, "maximum": 1, "description": "the similarity that counts as same"}
MAX_FMR = {
    "type": "number",
    "description": "instead of threshold: the operating point calibrated for this false match rate, such as 0.01",
}
FACE: dict[str, Any] = {
    "type": "string",
    "enum": list(CHOICES.values()),
    "default": "largest",
    "description": "which face of each image; none: the picture is in the model's frame already",
}
FACE_OF_EMBED = FACE | {"enum": list(CHOICES_OF_EMBED.values())}
ENCODING = {"type": "string", "enum": list(dict.fromkeys(ENCODINGS.values())), "default": "float"}
COMPARE_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": CompareRequest.model_json_schema()}}}
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Every error has this shape.",
        "content": {"application/problem+json": {"schema": ProblemDetail.model_json_schema()}},
    }
}
