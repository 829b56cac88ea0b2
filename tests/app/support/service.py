"""The service as a process of its own on a loopback port, always ended."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.settings import PREFIX

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"
PATIENCE_S = 60
LISTENING = re.compile(r"https?://127\.0\.0\.1:(\d+)")

Line = dict[str, Any]


def command(*flags: str, module: str = "app") -> list[str]:
    """`python -m app` with flags."""
    return [sys.executable, "-m", module, *flags]


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without the service's, but for its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | dict(own or {})


def start_in_vain(
    *flags: str, variables: Mapping[str, str] | None = None, module: str = "app"
) -> subprocess.CompletedProcess[str]:
    """Runs a service that cannot start to its end."""
    return subprocess.run(
        command(*flags, module=module),
        env=environment(variables),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


class Service:
    """A started process; its log is read as it is written, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self.port = 0
        self.url = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_until_it_listens(self) -> None:
        """Learns the port, which the system chose, from the log."""
        found = LISTENING.search(self.wait_for(lambda line: bool(LISTENING.search(line["message"])))["message"])
        assert found is not None
        self.url, self.port = found[0], int(found[1])

    def wait_for(self, wanted: Callable[[Line], bool]) -> Line:
        """The next line of the log that is wanted."""
        while True:
            text = self._new.get(timeout=PATIENCE_S)
            assert text is not None, "the service ended: " + "".join(self.log)
            line: Line = json.loads(text)
            if wanted(line):
                return line

    def end(self, wanted: signal.Signals) -> int:
        """Sends a signal that ends it; the exit status."""
        self.process.send_signal(wanted)
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self.log.append(text)
            self._new.put(text)
        self._new.put(None)


@contextmanager
def serving(weights: Path, *flags: str, module: str = "app") -> Iterator[Service]:
    """A service of a checkpoint that listens."""
    line = command("--weights", str(weights), "--device", "cpu", "--port", "0", *flags, module=module)
    with subprocess.Popen(line, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        service = Service(process)
        try:
            service.wait_until_it_listens()
            yield service
        finally:
            service.end(signal.SIGKILL)
