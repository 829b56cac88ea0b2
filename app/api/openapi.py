"""What FastAPI cannot learn from the routes for /openapi.json: bodies that are read in chunks, errors, headers."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.api.inputs import CHOICES, CHOICES_OF_EMBED, ENCODINGS, ON_ERROR
from app.api.schemas import answers, compare_request, decisions, images, info, problem
from app.api.schemas.compare_request import CompareRequest
from app.api.schemas.problem import ProblemDetail
from model.imaging.formats.recognition import TAKEN


def _body(images: Sequence[str], description: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A body of multipart/form-data or JSON with these parts."""
    content = {}
    for kind, image in (("multipart/form-data", FILE), ("application/json", TEXT)):
        several = {"type": "array", "items": image, "minItems": 1, "description": description}
        properties = dict.fromkeys(images, several) | fields
        schema = {"type": "object", "required": list(images), "properties": properties, "additionalProperties": False}
        content[kind] = {"schema": schema}
    return {"requestBody": {"required": True, "content": content}}


FILE = {"type": "string", "format": "binary", "description": TAKEN}
TEXT = {"type": "string", "format": "byte", "description": f"{TAKEN} in base64, or as a data URI"}
IMAGES = "one or more images"
IMAGES_OF_PAIRS = "the images of the pairs, as many as of the other side; or one, which is in each pair"
IMAGES_OF_PERSON = "one or more images of the person; embeddings are averaged"
# Blank is as good as absent. "Try it out" at /docs fills in the first example of a number, and 1 where there is none.
BLANK = {"examples": [""]}
THRESHOLD = BLANK | {"type": "number", "minimum": 0, "maximum": 1, "description": "the similarity that counts as same"}
MAX_FMR = BLANK | {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "instead of threshold: the operating point calibrated for this false match rate, such as 0.01",
}
FACE: dict[str, Any] = {
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
# Schemas that FastAPI does not find by itself.
SCHEMAS: tuple[type[BaseModel], ...] = (CompareRequest, ProblemDetail)
MODULES = (answers, compare_request, decisions, images, info, problem)


def _reference(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


REQUEST_ID = {
    "X-Request-ID": _header("the request's own, if it was short and plain, or a new one; as in a body that has it")
}
VERIFY_BODY = _body(["image1", "image2"], IMAGES_OF_PERSON, {"threshold": THRESHOLD, "max_fmr": MAX_FMR, "face": FACE})
BATCH_BODY = _body(["image1", "image2"], IMAGES_OF_PAIRS, {"threshold": THRESHOLD, "max_fmr": MAX_FMR, "face": FACE})
EMBED_BODY = _body(["image"], IMAGES, {"encoding_format": ENCODING, "face": FACE_OF_EMBED, "on_error": WHEN_UNUSABLE})
DETECT_BODY = _body(["image"], IMAGES, {"on_error": WHEN_UNUSABLE})
COMPARE_BODY = {"requestBody": {"required": True, "content": {"application/json": _reference(CompareRequest)}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Every error has this shape.",
        "content": {"application/problem+json": _reference(ProblemDetail)},
        "headers": {
            "Retry-After": _header("of 429 and 503: seconds after which the request may be sent again"),
            "Allow": _header("of 405: the methods that there are"),
            "WWW-Authenticate": _header("of 401: the scheme of the header Authorization"),
        },
    }
}


SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "an API key; needed where the operator listed keys in FACEPAIR_API_KEYS_FILE",
}


def _models() -> dict[str, Any]:
    """What the modules of schemas define, by its name."""
    return {name: value for module in MODULES for name, value in vars(module).items()}


def name_operation(route: APIRoute) -> str:
    """The id of an operation, the name of its method in generated clients: the name of its function."""
    return route.name


def complete(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI document, with additions to what FastAPI makes."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        defined, models = document["components"]["schemas"], _models()
        for model in SCHEMAS:
            defined[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, schema in defined.items():
            if "examples" in schema:  # from which FastAPI takes every null
                schema["examples"] = models[name].model_json_schema()["examples"]
        document["components"]["securitySchemes"] = {"ApiKey": SECURITY_SCHEME}
        # An empty requirement means that the key may be left out.
        document["security"] = [{"ApiKey": []}, *([] if app.state.settings.api_keys_file else [{}])]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if "/health/" in path:
                    operation["security"] = []
                for response in operation["responses"].values():
                    response["headers"] = REQUEST_ID | response.get("headers", {})
        app.openapi_schema = document
    return app.openapi_schema
