"""`python -m tests.app.acting SCENE`: the supervisor of two workers that load nothing and act.

A worker is the same command with its orders behind it. In the first life of worker 0 the scene happens.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from app import supervisor
from app.channel import BEAT, BEAT_S, FAILED, READY, STUCK, Channel, Orders
from app.logs import configure_logging
from app.settings import read_settings

SETTINGS = {"workers": 2, "port": 0, "hung_s": 3, "drain_s": 60, "grace_s": 60}
HASTY = SETTINGS | {"drain_s": 0, "grace_s": 1}


def stick(channel: Channel) -> None:
    """Reports a network that hangs, while the process beats on."""
    channel.say(READY)
    channel.say(STUCK, "the network stands still")
    be_well(channel)


def be_silent(channel: Channel) -> None:
    """Was ready, then says nothing."""
    channel.say(READY)
    channel.wait_for_the_end()


def hang_up(channel: Channel) -> None:
    """Closes its channel as if it ended, and does not end."""
    channel.say(READY)
    os.closerange(3, 64)
    threading.Event().wait()


def fail(channel: Channel) -> None:
    """Cannot start."""
    channel.say(FAILED, "there is no such file")


def ignore_sigterm(channel: Channel) -> None:
    """Is well, and stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    be_well(channel)


def outstay(channel: Channel) -> None:
    """Is well, and stays, where there is little time to leave."""
    ignore_sigterm(channel)


def be_well(channel: Channel) -> None:
    """Beats until the supervisor ends."""
    channel.say(READY)
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    channel.wait_for_the_end()


def _beat(channel: Channel) -> None:
    while True:
        channel.say(BEAT)
        time.sleep(BEAT_S)


SCENES: dict[str, Callable[[Channel], None]] = {
    act.__name__: act for act in (stick, be_silent, hang_up, fail, ignore_sigterm, outstay)
}


def main(scene: str, *orders: str) -> int:
    """A supervisor, or with orders one of its workers."""
    if not orders:
        configure_logging("info")
        if scene == "outstay":
            supervisor.MARGIN_S = 0.0
        if scene == "end_at_once":
            supervisor.SETTLED_S = 60.0  # however long an interpreter takes to end
        settings = read_settings(HASTY if scene == "outstay" else SETTINGS, environment={})
        return supervisor.supervise(settings, [sys.executable, "-m", "tests.app.acting", scene])
    told = Orders.model_validate_json(orders[0])
    channel, acted = Channel(told.channel), told.metrics / "acted"
    if scene == "end_at_once":
        channel.say(READY)
        return 3
    if told.number == 0 and not acted.exists():
        acted.touch()
        SCENES[scene](channel)
    else:
        be_well(channel)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
