"""What the service refuses."""

from typing import Any

import httpx


class ServiceError(Exception):
    """An error of the service: its `status` and `code`, the part `field` that it is about, and `detail`, what to do."""

    def __init__(self, status: int, code: str, detail: str, field: str | None, request_id: str | None) -> None:
        super().__init__(f"{code} in {field}: {detail}" if field else f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.request_id = request_id


def error_of(response: httpx.Response) -> ServiceError:
    """The error that a response tells. One of a balancer or another gateway has the code "http_error"."""
    request_id = response.headers.get("X-Request-ID")
    detail = f"the answer has the status {response.status_code} and does not say why"
    body = _problem_of(response)
    return ServiceError(
        response.status_code, body.get("code", "http_error"), body.get("detail", detail), body.get("field"), request_id
    )


def _problem_of(response: httpx.Response) -> dict[str, Any]:
    """The members of a problem (RFC 9457), none if it is something else."""
    if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return {}
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
