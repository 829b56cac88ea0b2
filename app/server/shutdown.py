"""How a replica leaves without failing requests behind a balancer.

On SIGTERM readiness turns 503 at once, while the listener stays open for the drain time, so that the balancer notices
before a connection is refused. Answers close their connections meanwhile. Then the listener closes, and requests in
progress have the grace time to end; so has a replica whose device was lost, without the drain time. What does not end
by then, such as a pass of the network that hangs, ends with the process. After a second signal it ends at once.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from app.lifecycle import Drain, end, end_within

# How often uvicorn calls `on_tick`.
TICKS_A_SECOND = 10
# How long shutdown may take after the grace time, or after a second signal.
MARGIN_S = 3.0


class Server(uvicorn.Server):
    """uvicorn's server that drains after SIGTERM, but not after SIGINT (Ctrl-C) or the loss of the device.

    If a health problem lasts, such as a network that hangs, it ends the process, to be replaced.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        drain_s: float,
        *,
        health_problem: Callable[[], str | None],
        patience_s: float,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_s = drain_s
        self._health_problem = health_problem
        self._max_unhealthy_ticks = round(TICKS_A_SECOND * patience_s)
        self._unhealthy_ticks = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called when a signal arrives."""
        if self._drain.begun:
            self.force_exit = True
            end_within(MARGIN_S)
        if self._drain.begun or sig == signal.SIGINT or not self._drain_s:
            self._drain.begun = True
            super().handle_exit(sig, frame)
            return
        self._drain.begun = True
        loop, leave = asyncio.get_running_loop(), super().handle_exit
        loop.call_soon_threadsafe(lambda: loop.call_later(self._drain_s, leave, sig, frame))

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the service in order.

        It counts ticks and not seconds, since seconds also pass while the whole process is stopped.
        """
        problem = self._health_problem()
        self._unhealthy_ticks = self._unhealthy_ticks + 1 if problem else 0
        if self._unhealthy_ticks > self._max_unhealthy_ticks:
            end(f"{problem}, and that lasts; the process ends, to be started again")
        return await super().on_tick(counter) or self._drain.device_lost

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called to close the listener: requests in progress have the grace time, and threads a little longer."""
        end_within((self.config.timeout_graceful_shutdown or 0) + MARGIN_S)
        await super().shutdown(sockets)
