"""The OpenAPI document, and its variant for the page at /docs."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.api.openapi.bodies import ENDS, FORMS, JSON, MULTIPART, form_schemas
from app.api.openapi.errors import header
from app.api.schemas import answers, compare_request, decisions, explanation, images, info, problem
from app.api.schemas.compare_request import CompareRequest
from app.api.schemas.problem import ProblemDetail

# Schemas that FastAPI does not find by itself.
SCHEMAS: tuple[type[BaseModel], ...] = (CompareRequest, ProblemDetail)
MODULES = (answers, compare_request, decisions, explanation, images, info, problem)
REQUEST_ID = {
    "X-Request-ID": header("the request's own, if it was short and plain, or a new one; as in a body that has it")
}
# Without an optional parameter openapi-python-client 0.29 writes code that lacks an import.
PARAMETERS = [
    {
        "name": "X-Request-ID",
        "in": "header",
        "required": False,
        "description": "an id for the request, up to 64 letters, digits, dots, dashes and underscores; the log has it",
        "schema": {"type": "string"},
    }
]
SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "an API key; needed where the operator listed keys in FACEPAIR_API_KEYS_FILE",
}
SERVERS = [{"url": "/", "description": "this service"}]
CONTACT = {"name": "who runs this service"}
TAGS = [
    {"name": "images", "description": "Faces in images are found, embedded and compared."},
    {"name": "embeddings", "description": "Stored embeddings are compared."},
    {"name": "service", "description": "What is served, and how it is."},
]
DOCS_DOCUMENT = "/docs/openapi.json"


def name_operation(route: APIRoute) -> str:
    """The id of an operation, the name of its method in generated clients: the name of its function."""
    return route.name


def complete(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI document, with additions to what FastAPI makes."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        _add_schemas(document["components"]["schemas"], form_schemas(app.state.settings))
        _add_security(document, needed=app.state.settings.api_keys_file is not None)
        for operation in _operations(document):
            operation["parameters"] = PARAMETERS
            for response in operation["responses"].values():
                response["headers"] = REQUEST_ID | response.get("headers", {})
        app.openapi_schema = document
    return app.openapi_schema


def for_docs(document: dict[str, Any]) -> dict[str, Any]:
    """The document for Swagger UI: multipart is the form that it shows first, with files to choose, and its boxes for
    numbers are empty. It fills them with the first example, or with the maximum if there is none.
    """
    document = deepcopy(document)
    for operation in _operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if MULTIPART in content:
            operation["requestBody"]["content"] = {MULTIPART: content[MULTIPART], JSON: content[JSON]}
    for name in FORMS:
        parts = document["components"]["schemas"][name + ENDS[MULTIPART]]["properties"]
        for part, schema in parts.items():
            if schema["type"] == "number":
                parts[part] = schema | {"examples": [""]}  # blank is as good as absent
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _add_schemas(defined: dict[str, Any], forms: dict[str, Any]) -> None:
    models = {name: value for module in MODULES for name, value in vars(module).items()}
    defined |= forms
    for model in SCHEMAS:
        defined[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, schema in defined.items():
        if "examples" in schema:  # from which FastAPI takes every null
            schema["examples"] = models[name].model_json_schema()["examples"]
        _visit(schema, _describe_items)


def _add_security(document: dict[str, Any], *, needed: bool) -> None:
    document["components"]["securitySchemes"] = {"ApiKey": SECURITY_SCHEME}
    # An empty requirement means that the key may be left out.
    document["security"] = [{"ApiKey": []}, *([] if needed else [{}])]
    for path, operations in document["paths"].items():
        if "/health/" in path:
            for operation in operations.values():
                operation["security"] = []


def _visit(value: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes each object within a value."""
    if isinstance(value, dict):
        change(value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _visit(inner, change)


def _describe_items(schema: dict[str, Any]) -> None:
    """Says of a tuple of equal items what one of them is, as generators of clients expect it."""
    items = schema.get("prefixItems")
    if isinstance(items, list) and items and all(item == items[0] for item in items):
        del schema["prefixItems"]
        schema["items"] = items[0]
