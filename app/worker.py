"""`python -m app.worker`: one of several workers, as a supervisor starts it. It listens when it is warm."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

import uvicorn

from app.channel import BEAT, BEAT_S, FAILED, READY, STUCK, Channel, Orders
from app.draining import Drain, Server
from app.ending import run_and_leave
from app.listening import listen
from app.logs import configure_logging
from app.metrics import Metrics, use_worker_files
from app.settings import Settings
from model.errors import FacepairError

logger = logging.getLogger("facepair")

# How long an orphan's end may take beyond its grace: less than `draining.MARGIN_S`, after which nobody would remove the
# metrics' folder.
MARGIN_S = 2


class BeatingServer(Server):
    """Tells the supervisor when it listens, then again and again that the event loop and the network move on."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        drain_s: float,
        *,
        channel: Channel,
        fault: Callable[[], str | None],
    ) -> None:
        super().__init__(config, drain, drain_s)
        self._channel = channel
        self._fault = fault

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, which returns when connections are accepted."""
        await super().startup(sockets)
        self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        self._channel.say(READY)
        while True:
            fault = self._fault()
            if fault and not self.should_exit:  # a network that was closed is no fault
                logger.error(fault)
                self._channel.say(STUCK, fault)
                return
            self._channel.say(BEAT)
            await asyncio.sleep(BEAT_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 after an orderly end, 1 if it lost its device or cannot start, which it tells."""
    orders = Orders.model_validate_json((sys.argv[1:] if arguments is None else arguments)[0])
    channel, orphaned = Channel(orders.channel), threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: sys.exit(0))
    threading.Thread(target=_leave_with_supervisor, args=(orders, channel, orphaned), daemon=True).start()
    configure_logging(orders.settings.log_level, worker=orders.number)
    try:
        return _serve(orders, channel)
    except FacepairError as error:
        channel.say(FAILED, str(error))
        return 1
    finally:
        if orphaned.is_set():
            shutil.rmtree(orders.metrics, ignore_errors=True)


def share_device(device: str, number: int, gpus: int) -> str:
    """The device of worker `number`: where GPUs are wanted and none is named, one after the other."""
    return f"cuda:{number % gpus}" if device in ("auto", "cuda") and gpus else device


def _serve(orders: Orders, channel: Channel) -> int:
    """The exit status. Raises FacepairError."""
    from app.serving import open_replica

    settings = _share(orders.settings, orders.number)
    use_worker_files(orders.metrics, orders.number)
    replica = open_replica(settings, Metrics(orders.metrics), worker=orders.number)
    listener = socket.socket(fileno=orders.listener)
    listen(listener, replica.config.backlog)
    inference = replica.app.state.inference
    server = BeatingServer(
        replica.config,
        replica.drain,
        settings.drain_s,
        channel=channel,
        fault=lambda: inference.fault(settings.hung_s),
    )
    server.run([listener])
    return 0 if server.started and not replica.drain.device_lost else 1


def _share(settings: Settings, number: int) -> Settings:
    """The settings with a worker's GPU, where there are any to share."""
    import torch

    device = share_device(settings.device, number, torch.cuda.device_count())
    return settings.model_copy(update={"device": device})


def _leave_with_supervisor(orders: Orders, channel: Channel, orphaned: threading.Event) -> None:
    """Without a supervisor the listener closes at once, and what is in progress has its grace."""
    channel.wait_for_the_end()
    orphaned.set()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(orders.settings.grace_s + MARGIN_S)  # the process usually ends meanwhile
    shutil.rmtree(orders.metrics, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    run_and_leave(main)
