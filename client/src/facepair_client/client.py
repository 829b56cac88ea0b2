"""The two clients, which differ in how they wait."""

import re
from asyncio import sleep as sleep_async
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from time import sleep
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import httpx

from facepair_client import calls
from facepair_client.calls import Call
from facepair_client.errors import error_of
from facepair_client.retries import BROKEN, Retries

# An upload may take 180 s, and the work after it 30; a balancer may let it wait for 5.
TIMEOUT = httpx.Timeout(connect=5.0, read=45.0, write=180.0, pool=45.0)

P = ParamSpec("P")
T = TypeVar("T")


def _method(build: Callable[P, Call[T]]) -> Callable[Concatenate["Facepair", P], T]:
    """A method that sends the call which `build` makes."""

    def send(self: "Facepair", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(*args, **kwargs))

    update_wrapper(send, build)
    return send


def _coroutine(build: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncFacepair", P], Coroutine[Any, Any, T]]:
    """The same, to be awaited."""

    async def send(self: "AsyncFacepair", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(build(*args, **kwargs))

    update_wrapper(send, build)
    return send


def _configure(url: str, api_key: str | None, options: dict[str, Any]) -> dict[str, Any]:
    headers = httpx.Headers(options.get("headers"))
    if api_key is not None:
        headers["Authorization"] = f"Bearer {_plain(api_key)}"
    return {"base_url": url, "timeout": TIMEOUT} | options | {"headers": headers}


def _plain(api_key: str) -> str:
    """A key without the spaces and line ends around it, which files have. Errors must not show it."""
    key = api_key.strip()
    if not re.fullmatch("[!-~]+", key):
        raise ValueError("api_key must be one line of visible ASCII characters without spaces")
    return key


class Facepair:
    """The service at `url`. Close it, or use it as a context.

    Its methods raise ServiceError, and httpx.TransportError if the service cannot be reached. `options` go to
    httpx.Client.
    """

    def __init__(self, url: str, *, api_key: str | None = None, retries: Retries | None = None, **options: Any) -> None:
        self._retries = retries or Retries()
        self._http = httpx.Client(**_configure(url, api_key, options))

    verify = _method(calls.verify)
    verify_batch = _method(calls.verify_batch)
    embed = _method(calls.embed)
    detect = _method(calls.detect)
    compare = _method(calls.compare)
    info = _method(calls.info)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call[T]) -> T:
        for attempt in range(1, self._retries.attempts + 1):
            try:
                response = self._http.request(call.method, call.path, **call.sent)
            except BROKEN:
                wait_s = self._retries.wait_s(attempt, None)
                if wait_s is None:
                    raise
            else:
                if response.is_success:
                    break
                wait_s = self._retries.wait_s(attempt, response)
                if wait_s is None:
                    raise error_of(response)
            sleep(wait_s)
        return cast("T", response.json())


class AsyncFacepair:
    """`Facepair` for asyncio: the same methods, as coroutines. `options` go to httpx.AsyncClient."""

    def __init__(self, url: str, *, api_key: str | None = None, retries: Retries | None = None, **options: Any) -> None:
        self._retries = retries or Retries()
        self._http = httpx.AsyncClient(**_configure(url, api_key, options))

    verify = _coroutine(calls.verify)
    verify_batch = _coroutine(calls.verify_batch)
    embed = _coroutine(calls.embed)
    detect = _coroutine(calls.detect)
    compare = _coroutine(calls.compare)
    info = _coroutine(calls.info)

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: Call[T]) -> T:
        for attempt in range(1, self._retries.attempts + 1):
            try:
                response = await self._http.request(call.method, call.path, **call.sent)
            except BROKEN:
                wait_s = self._retries.wait_s(attempt, None)
                if wait_s is None:
                    raise
            else:
                if response.is_success:
                    break
                wait_s = self._retries.wait_s(attempt, response)
                if wait_s is None:
                    raise error_of(response)
            await sleep_async(wait_s)
        return cast("T", response.json())
