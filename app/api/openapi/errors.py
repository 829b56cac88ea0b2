"""The errors of each route, by their status."""

from typing import Any

from app.api.problems import BY_CODE

Responses = dict[int | str, dict[str, Any]]

OF_EVERY = "invalid_host internal_error"
OF_BODIES = (
    "unauthorized unexpected_query malformed_json invalid_field too_many_bytes unsupported_content_type queue_full "
    "not_ready out_of_memory device_lost deadline_passed unsupported_transfer_encoding"
)
OF_FORMS = (
    "malformed_multipart missing_part duplicate_part unexpected_part too_many_images too_many_pixels whole_pictures"
)
OF_IMAGES = "unsupported_image empty_image undecodable_image image_too_small too_much_memory"
OF_FACES = "no_face several_faces face_too_small"
OF_EMBEDDINGS = "too_many_embeddings malformed_embedding foreign_embedding"


def header(description: str) -> dict[str, Any]:
    """A header of a response."""
    return {"description": description, "schema": {"type": "string"}}


RETRY_AFTER = {"Retry-After": header("seconds after which the request may be sent again")}
ALLOW = {"Allow": header("of 405: the methods that there are")}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": header("the scheme of the header Authorization")},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}
CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}}


def responses_of(*groups: str) -> Responses:
    """The responses to these codes, by status, and to any other error."""
    codes = " ".join((OF_EVERY, *groups)).split()
    by_status: dict[int, list[str]] = {}
    for kind in BY_CODE.values():
        if kind.code in codes:
            by_status.setdefault(kind.status, []).append(f"`{kind.code}`: {kind.title}.")
    responses: Responses = {
        status: {"description": " ".join(lines), "content": CONTENT, "headers": HEADERS.get(status, {})}
        for status, lines in sorted(by_status.items())
    }
    return responses | {"default": {"description": "Every error has this shape.", "content": CONTENT, "headers": ALLOW}}
