"""Every error answer in one table: `application/problem+json` (RFC 9457), the same shape everywhere.

An answer never contains input, a library's exception text, a file name or a stack trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import TypeAdapter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from model import errors


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A row of the table. `error` is the domain error that becomes this answer, if there is one."""

    status: int
    code: str
    title: str
    error: type[errors.FacepairError] | None = None

    @classmethod
    def of(cls, error: type[errors.FacepairError], *, status: int, title: str) -> Self:
        """The row of a domain error, which has its code."""
        return cls(status=status, code=error.code, title=title, error=error)


KINDS = (
    Kind(status=400, code="invalid_host", title="The Host header is not one of this service"),
    Kind(status=400, code="malformed_multipart", title="The body is not well-formed multipart/form-data"),
    Kind(status=400, code="malformed_json", title="The body is not the JSON that this route takes"),
    Kind(status=400, code="missing_part", title="A required part is missing"),
    Kind(status=400, code="duplicate_part", title="A part was given more than once"),
    Kind(status=400, code="unexpected_part", title="There is a part that this route does not take"),
    Kind(status=400, code="unexpected_query", title="This route takes no query parameters"),
    Kind(status=400, code="too_many_images", title="There are more images than one request may have"),
    Kind(status=400, code="uneven_pairs", title="The images do not make pairs"),
    Kind(status=400, code="too_many_embeddings", title="There are more embeddings than one request may have"),
    Kind(status=400, code="invalid_field", title="A field has a value that it cannot have"),
    Kind(status=400, code="malformed_embedding", title="This is not an embedding"),
    Kind(status=401, code="unauthorized", title="This needs an API key"),
    Kind(status=404, code="not_found", title="There is nothing at this path"),
    Kind(status=405, code="method_not_allowed", title="This path does not take this method"),
    Kind(status=409, code="foreign_embedding", title="Another model made this embedding"),
    Kind(status=409, code="whole_pictures", title="This model sees whole pictures and finds no faces"),
    Kind(status=413, code="too_many_bytes", title="The upload has too many bytes"),
    Kind(status=415, code="unsupported_content_type", title="This route does not take this content type"),
    Kind.of(errors.UnsupportedImage, status=415, title="This is not an image of a format that is taken"),
    Kind.of(errors.EmptyImage, status=422, title="The image is empty"),
    Kind.of(errors.UndecodableImage, status=422, title="The image cannot be decoded"),
    Kind.of(errors.ImageTooLarge, status=422, title="The image has too many pixels"),
    Kind.of(errors.ImageTooSmall, status=422, title="The image is too small"),
    Kind.of(errors.ImageTooDemanding, status=422, title="The image takes too much memory"),
    Kind.of(errors.NoFace, status=422, title="There is no face in the image"),
    Kind.of(errors.SeveralFaces, status=422, title="There are several faces in the image"),
    Kind.of(errors.TooManyFaces, status=422, title="There are too many faces"),
    Kind.of(errors.FaceTooSmall, status=422, title="The face is too small"),
    Kind(status=429, code="queue_full", title="The replica is as busy as it may be"),
    Kind(status=500, code="internal_error", title="The service failed"),
    Kind(status=501, code="unsupported_transfer_encoding", title="The body is in a coding that is not supported"),
    Kind(status=503, code="not_ready", title="The service is not ready"),
    Kind.of(errors.DeviceExhausted, status=503, title="The device has too little memory at this moment"),
    Kind.of(errors.DeviceLost, status=503, title="The device failed"),
    Kind(status=504, code="deadline_passed", title="The request took too long"),
)  # fmt: skip
BY_CODE = {kind.code: kind for kind in KINDS}
BY_ERROR = {kind.error: kind for kind in KINDS if kind.error}

MEDIA_TYPE = b"application/problem+json"

Body = dict[str, str | int | None]
_BODY = TypeAdapter(Body)


class Problem(Exception):
    """Ends a request with the answer `code`; `detail` says what the client can do."""

    def __init__(
        self,
        code: str,
        detail: str,
        field: str | None = None,
        *,
        retry_after_s: int = 1,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`retry_after_s` is the Retry-After of 429 and 503, `headers` are further ones of the answer."""
        super().__init__(detail)
        self.kind = BY_CODE[code]
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s
        self.headers = headers or {}


def from_domain(error: errors.FacepairError, field: str | None = None) -> Problem:
    """A domain error as an answer. Raises it again if it has no row, so that it becomes an internal error."""
    kind = BY_ERROR.get(type(error))
    if kind is None:
        raise error
    return Problem(kind.code, str(error), field)


class ProblemResponse(Response):
    """The answer of a problem; when it is sent, the log line and the metrics learn its code."""

    def __init__(self, problem: Problem, request_id: str) -> None:
        retry = {"Retry-After": str(problem.retry_after_s)} if problem.kind.status in (429, 503) else {}
        super().__init__(
            _BODY.dump_json(describe(problem, request_id)), problem.kind.status, {**retry, **problem.headers}
        )
        self._code = problem.kind.code

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Called by Starlette, whose own method looks first what the headers have."""
        further = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        length = (b"content-length", str(len(self.body)).encode())
        self.raw_headers = [*further, length, (b"content-type", MEDIA_TYPE)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called with the connection."""
        scope["state"]["problem_code"] = self._code
        await super().__call__(scope, receive, send)


def describe(problem: Problem, request_id: str) -> Body:
    """The body of a problem's answer."""
    kind = problem.kind
    return {
        "type": f"urn:facepair:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "code": kind.code,
        "field": problem.field,
        "request_id": request_id,
    }
