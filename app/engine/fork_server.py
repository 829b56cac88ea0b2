"""`python -m app.engine.fork_server ORDERS`: the process that decoders are forked from, and the service's end of it.

It has loaded what a decoder needs and runs one thread: a new decoder is ready within some thousandths of
a second and shares most of its memory. If the fork server ends, the service starts another; if the service ends, the
fork server ends, too.
"""

import logging
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from pydantic import BaseModel, ConfigDict

from app.engine.sandbox.confinement import be_ended_first, gain_no_privileges
from app.lifecycle import describe, forbid_core_dumps, run_and_leave
from app.logs import configure_logging
from model.errors import FacepairError

logger = logging.getLogger("facepair")

COMMAND = (sys.executable, "-m", "app.engine.fork_server")
ENVIRONMENT = {
    # A fork copies no threads but the one that calls it, so numpy must not start any.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # The memory of a large picture goes back to the system: another decoder may have the next one. Below these numbers
    # an ordinary photograph's memory would be asked for again each time: one of 1 megapixel would take a fifth longer.
    "MALLOC_MMAP_THRESHOLD_": str(4 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(8 * 2**20),
}
# Comes with a decoder's end of its channel: the length of the configuration that follows, 0 for the same as before.
FORK = struct.Struct("!I")
# A process that is stopped, or still starting, does not see that the service has closed its end.
CLOSING_S = 5.0


class ForkServerError(FacepairError):
    """The process could not be started."""


class Orders(BaseModel):
    """The process's configuration, as JSON on its command line; `channel` is an inherited descriptor."""

    model_config = ConfigDict(frozen=True)

    channel: int
    log_level: str


class ForkServer:
    """The service's end. A process that has ended is started again when a decoder is wanted."""

    def __init__(self, log_level: str = "info") -> None:
        """Starts the process and does not wait until it is ready. Raises ForkServerError."""
        self._log_level = log_level
        self._process: subprocess.Popen[bytes]
        self._channel: socket.socket
        self._config: bytes
        self._start()

    def fork(self, config: bytes) -> socket.socket:
        """The service's end of the channel of a new decoder with this pickled `DecoderConfig`.

        The other end is closed when the decoder ends. Raises ForkServerError or OSError.
        """
        if (status := self._process.poll()) is not None:
            logger.error("fork server ended", extra={"fields": {"reason": describe(status)}})
            self._channel.close()
            self._start()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                news = b"" if config == self._config else config
                socket.send_fds(self._channel, [FORK.pack(len(news))], [theirs.fileno()])
                self._channel.sendall(news)
            except OSError:
                ours.close()
                raise
        self._config = config
        return ours

    def kill(self) -> None:
        """Ends a process that hangs; the next call of `fork` starts another."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the process, by force if it does not end by itself. Decoders that it has forked go on."""
        self._channel.close()
        try:
            self._process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _start(self) -> None:
        self._config = b""
        self._channel, theirs = socket.socketpair()
        with theirs:
            orders = Orders(channel=theirs.fileno(), log_level=self._log_level)
            try:
                self._process = subprocess.Popen(  # noqa: S603 (ourselves)
                    [*COMMAND, orders.model_dump_json()],
                    pass_fds=[orders.channel],
                    env=os.environ | ENVIRONMENT,
                    start_new_session=True,  # so that a terminal's Ctrl-C reaches the service alone
                )
            except OSError as error:
                raise ForkServerError(f"the fork server could not be started: {error.strerror}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Forks a decoder for each request until the service closes its end. Returns the exit status."""
    orders = Orders.model_validate_json((sys.argv[1:] if arguments is None else arguments)[0])
    for each in (signal.SIGTERM, signal.SIGINT):  # systemd sends them to all processes; the service decides
        signal.signal(each, signal.SIG_IGN)
    configure_logging(orders.log_level, threads=False)
    forbid_core_dumps()
    gain_no_privileges()
    from app.engine.decoder import prepare, serve, warm_up

    warm_up()
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=orders.channel) as channel:
        while received := _receive(channel):
            descriptor, config = received
            with socket.socket(fileno=descriptor) as theirs:
                if config:
                    prepared = prepare(config)
                if _fork() == 0:
                    channel.close()
                    _run(partial(serve, theirs, prepared))
    return 0


def _receive(channel: socket.socket) -> tuple[int, bytes] | None:
    """A decoder's end of its channel, and its configuration if it is new; None when the service has closed its end."""
    message, descriptors, _, _ = socket.recv_fds(channel, FORK.size, 1)
    if not descriptors:
        return None
    [missing] = FORK.unpack(message)
    config = bytearray()
    while missing and (part := channel.recv(missing)):
        config += part
        missing -= len(part)
    return descriptors[0], bytes(config)


def _fork() -> int | None:
    """0 in the new process; None if the system has no process left, which the service sees as a decoder that ended."""
    try:
        return os.fork()
    except OSError as error:
        logger.error("decoder could not be forked", extra={"fields": {"reason": error.strerror}})
        return None


def _run(serve: Callable[[], None]) -> NoReturn:
    """The forked process, to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        be_ended_first()
        serve()
        status = 0
    except Exception:
        logger.exception("decoder failed")
    finally:
        os._exit(status)


def _reap(*_: object) -> None:
    """Called when decoders have ended; status 0 means that the service closed the socket."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if status:
            fields = {"pid": pid, "reason": describe(os.waitstatus_to_exitcode(status))}
            logger.error("decoder ended", extra={"fields": fields})


if __name__ == "__main__":
    run_and_leave(main)
