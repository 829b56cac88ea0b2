"""When a request is sent again, and after how long."""

import email.utils
import random
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

# The service is busy, or leaves; another attempt, or another replica, can answer.
BUSY = (429, 503)
# The connection failed or broke. A verification changes nothing, so it may be sent twice.
BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError)


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How many times a request is sent at most, and the longest wait before it is sent again.

    Without Retry-After the wait is `first_wait_s`, and twice as long each time. A little is added by chance, so that
    clients that were refused together do not come again together.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts counts the first one too, so it is at least 1")

    def wait_s(self, attempt: int, response: httpx.Response | None) -> float | None:
        """Seconds until the next attempt after this one, counted from 1; None if there is to be none.

        `response` is None if the connection broke.
        """
        if attempt >= self.attempts or (response is not None and response.status_code not in BUSY):
            return None
        asked_s = None if response is None else _retry_after_s(response)
        wait_s = self.first_wait_s * 2 ** (attempt - 1) if asked_s is None else asked_s
        if wait_s > self.longest_wait_s:
            return None if asked_s is not None else self.longest_wait_s
        return wait_s * random.uniform(1, 1.25)  # noqa: S311 (nothing is secret here)


def _retry_after_s(response: httpx.Response) -> float | None:
    """The header's seconds, or those until its date; None without one that can be read."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # a zone of -0000; HTTP knows none but GMT
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
