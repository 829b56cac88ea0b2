"""Leaving in an order that suits a balancer.

On SIGTERM readiness turns 503 at once, while the listener stays open and requests are served, so that a balancer sees
it before a connection is refused; answers close their connections. When the time for that is over the listener
closes, and what is in progress has the grace to end. A second signal ends the process without either. A replica whose
device was lost has nothing to serve with: it closes the listener at once, and what is in progress has the grace. What
does not end by then, such as a pass of the network that hangs, ends with the process.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from app.lifecycle import Drain, end, end_within

# uvicorn's.
TICKS_A_SECOND = 10
# How long the end may take beyond the grace, or after a second signal.
MARGIN_S = 3.0


class Server(uvicorn.Server):
    """uvicorn's, but SIGTERM drains first; SIGINT, a person's Ctrl-C, and a lost device do not.

    When its network hangs or it has no decoders, and that lasts, it ends the process to be replaced.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        drain_s: float,
        *,
        fault: Callable[[], str | None],
        patience_s: float,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._drain_s = drain_s
        self._fault = fault
        self._patience = round(TICKS_A_SECOND * patience_s)
        self._faulty = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by a signal, between two steps of the event loop."""
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
        """Called ten times a second; true ends the service in order, which one that hangs cannot.

        Ticks are counted and not seconds, since those pass while the whole process is stopped, too.
        """
        fault = self._fault()
        self._faulty = self._faulty + 1 if fault else 0
        if self._faulty > self._patience:
            end(f"{fault}, and that lasts; the process ends, to be started again")
        return await super().on_tick(counter) or self._drain.device_lost

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called when the listener is to close: what is in progress has the grace, and then the threads a moment."""
        end_within((self.config.timeout_graceful_shutdown or 0) + MARGIN_S)
        await super().shutdown(sockets)
