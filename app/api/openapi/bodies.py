"""The bodies that routes take: JSON first, since generators of clients take the first, and then multipart/form-data."""

from collections.abc import Sequence
from typing import Any

from app.api.inputs import CHOICES, CHOICES_OF_EMBED, CROPS, ENCODINGS, ON_ERROR
from app.api.schemas.compare_request import ONE_RULE
from app.settings import Settings
from model.imaging.formats.recognition import TAKEN

JSON, MULTIPART = "application/json", "multipart/form-data"
IMAGE = {
    JSON: {"type": "string", "format": "byte", "minLength": 1, "description": f"{TAKEN} in base64, or as a data URI"},
    MULTIPART: {"type": "string", "format": "binary", "description": TAKEN},
}
IMAGES = "one or more images"
IMAGES_OF_PERSON = "one or more images of the person; embeddings are averaged"
ONE_IMAGE = "one image"
IMAGES_OF_PAIRS = "the images of the pairs, as many as of the other side; or one, which is in each pair"
THRESHOLD = {"type": "number", "minimum": 0, "maximum": 1, "description": "the similarity that counts as same"}
MAX_FMR = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "instead of threshold: the false match rate that chooses it, such as 0.01",
}
FACE = {
    "type": "string",
    "enum": list(CHOICES.values()),
    "description": "which face of each image, the largest if not said; none: the picture is in the model's frame "
    "already, as all are for a model of whole pictures",
}
FACE_OF_EMBED = FACE | {"enum": list(CHOICES_OF_EMBED.values())}
ENCODING = {"type": "string", "enum": list(dict.fromkeys(ENCODINGS.values())), "default": "float"}
WHEN_UNUSABLE = {
    "type": "string",
    "enum": list(dict.fromkeys(ON_ERROR.values())),
    "default": "refuse",
    "description": "what happens if an image cannot be used: the request is refused, or the image's problem is "
    "reported and the others are answered",
}
CROP_FORMAT = {
    "type": "string",
    "enum": list(dict.fromkeys(CROPS.values())),
    "default": "none",
    "description": "png: each face has its straightened crop, as the network sees it",
}
FACE_NUMBER = {
    "type": "integer",
    "minimum": 0,
    "default": 0,
    "description": "the number of the face in its image, as /detect counts them; 0 is the largest",
}
FIELDS_OF_PAIR = {"threshold": THRESHOLD, "max_fmr": MAX_FMR, "face": FACE}


# Of each route with images: what they are called, what they are, and the further fields.
FORMS: dict[str, tuple[Sequence[str], str, dict[str, Any]]] = {
    "Verify": (["image1", "image2"], IMAGES_OF_PERSON, FIELDS_OF_PAIR),
    "Batch": (["image1", "image2"], IMAGES_OF_PAIRS, FIELDS_OF_PAIR),
    "Embed": (["image"], IMAGES, {"encoding_format": ENCODING, "face": FACE_OF_EMBED, "on_error": WHEN_UNUSABLE}),
    "Detect": (["image"], IMAGES, {"crops": CROP_FORMAT, "on_error": WHEN_UNUSABLE}),
    "Explain": (["image1", "image2"], ONE_IMAGE, {"face1": FACE_NUMBER, "face2": FACE_NUMBER}),
}
# The ends of the names of a route's two schemas.
ENDS = {JSON: "Request", MULTIPART: "Form"}


def form_schemas(settings: Settings) -> dict[str, Any]:
    """The schemas of the bodies with images, by their names."""
    return {name + end: _schema(kind, *form, settings) for name, form in FORMS.items() for kind, end in ENDS.items()}


def _schema(kind: str, images: Sequence[str], about: str, fields: dict[str, Any], settings: Settings) -> dict[str, Any]:
    # All sides together have the limit, and each has an image.
    most = 1 if about == ONE_IMAGE else max(settings.max_images - len(images) + 1, 1)
    several = {"type": "array", "items": IMAGE[kind], "minItems": 1, "maxItems": most, "description": about}
    # Of a form, where all values are text, tools do not understand it.
    exclusive = ONE_RULE if kind == JSON and "max_fmr" in fields else {}
    return {
        "type": "object",
        "required": list(images),
        "properties": dict.fromkeys(images, several) | fields,
        "additionalProperties": False,
        **exclusive,
    }


def _body(schemas: dict[str, str]) -> dict[str, Any]:
    """A body of one of these schemas, by content type."""
    content = {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}} for kind, name in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


VERIFY_BODY, BATCH_BODY, EMBED_BODY, DETECT_BODY, EXPLAIN_BODY = (
    _body({kind: name + end for kind, end in ENDS.items()}) for name in FORMS
)
COMPARE_BODY = _body({JSON: "CompareRequest"})
