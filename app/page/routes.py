"""The routes of the page. It is made of files that lie beside this module, and asks the API like any other client."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Response

FOLDER = Path(__file__).parent
SCRIPT = "text/javascript"
# The media type of each file; index.html is at `/`, the others are below `/page/`.
FILES = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": SCRIPT,
    "client.js": SCRIPT,
    "photos.js": SCRIPT,
    "camera.js": SCRIPT,
    "answer.js": SCRIPT,
    "elements.js": SCRIPT,
    "orientation.js": SCRIPT,
    "explanation.js": SCRIPT,
    # Drawn by the functions of tests/faces.py.
    "head-1.webp": "image/webp",
    "head-1-again.webp": "image/webp",
    "head-2.webp": "image/webp",
}
HEADERS = {
    # Nothing inline, nothing from another host, in no frame; `data:` is for the icon that is none.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_router() -> APIRouter:
    """A route for each file of the page, which are read now. They are no part of /openapi.json."""
    router = APIRouter(include_in_schema=False)
    for name, media_type in FILES.items():
        path = "/" if name == "index.html" else f"/page/{name}"
        answer = partial(Response, (FOLDER / name).read_bytes(), media_type=media_type, headers=HEADERS)
        router.add_api_route(path, _showing(answer), methods=["GET", "HEAD"])
    return router


def _showing(answer: Callable[[], Response]) -> Callable[[], Awaitable[Response]]:
    async def show() -> Response:
        return answer()

    return show
