"""A client that uploads a whole body and closes the connection before it has the answer."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from tests.app.support.requests import MULTIPART


async def post_and_leave(app: FastAPI, path: str, body: bytes, leave: Callable[[], Awaitable[object]]) -> int:
    """The status of the answer that nobody receives; the client leaves when `leave` returns."""
    headers = [(name.lower().encode(), value.encode()) for name, value in {"Host": "test", **MULTIPART}.items()]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("test", 80)}  # fmt: skip
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent = []

    async def receive() -> dict[str, object]:
        if messages:
            return messages.pop()
        await leave()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[arg-type]  # a plain message is one
    status = sent[0]["status"]
    assert isinstance(status, int)
    return status
