"""Which files of a checkout an uploaded image passes until it has a similarity, found by running the service.

A service with the checkout's code handles one `POST /verify` while `file_tracer` watches its processes. An image
*passes* a file when a function there gets or returns it: as bytes, photo, crop, embedding or another array made from
it, by itself or in a list, dictionary or dataclass. Files that run without the image (settings, queue slots, periodic
checks) are listed separately. The path ends with the call that turns logits into similarities.
"""

import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.settings import SHIPPED
from benchmarks.file_tracer import LOG_VARIABLE, ROOT_VARIABLE
from benchmarks.http import drawn_photographs
from benchmarks.service import HOST, ServiceError, serving

# The function of model/ that turns logits into similarities.
END = "similarity"
ANSWER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Event:
    """A function was called; `handed` if it got or returned an image. Times are of the monotonic clock."""

    at_ns: int
    file: str
    function: str
    handed: bool


@dataclass(frozen=True, kw_only=True)
class ImagePath:
    """The files that were handed an image, and the others, each in alphabetical order."""

    passed: list[str]
    others: list[str]

    def report(self) -> list[str]:
        """Lines to print."""
        return [
            f"files that an uploaded image passes before its similarity: {len(self.passed)}",
            *(f"  {file}" for file in self.passed),
            f"files that run meanwhile without it: {len(self.others)}",
            *(f"  {file}" for file in self.others),
        ]


def trace(root: Path, weights: Path | None = None) -> ImagePath:
    """The path in a checkout's code, with `weights` or that checkout's shipped checkpoint. Raises ServiceError."""
    root = root.resolve()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(Path(__file__).with_name("file_tracer.py"), Path(folder) / "sitecustomize.py")
        log = Path(folder) / "log"
        # A confined decoder cannot write to the log.
        variables = {"PYTHONPATH": folder, "FACEPAIR_SANDBOX": "off", ROOT_VARIABLE: str(root), LOG_VARIABLE: str(log)}
        served = weights or root / SHIPPED.relative_to(SHIPPED.parent.parent)
        with serving(served, "cpu", root=root, variables=variables) as service:
            _verify(service.port)  # the first request loads modules
            started_ns = time.monotonic_ns()
            _verify(service.port)
            ended_ns = time.monotonic_ns()
        events = [event for event in map(_parse, log.read_text().splitlines()) if started_ns <= event.at_ns <= ended_ns]
    return find_path(events)


def find_path(events: Iterable[Event]) -> ImagePath:
    """The files of the events up to the last call of END. Raises ServiceError if there is none."""
    in_order = sorted(events, key=lambda event: event.at_ns)
    ends = [event.at_ns for event in in_order if event.function == END and event.file.startswith("model/")]
    if not ends:
        raise ServiceError(f"no function {END} of model/ was called")
    before = [event for event in in_order if event.at_ns <= ends[-1]]
    passed = {event.file for event in before if event.handed}
    return ImagePath(passed=sorted(passed), others=sorted({event.file for event in before} - passed))


def _verify(port: int) -> None:
    first, second, *_ = drawn_photographs()
    answer = httpx.post(f"http://{HOST}:{port}/verify", files={"image1": first, "image2": second}, timeout=ANSWER_S)
    if not answer.is_success:
        raise ServiceError(f"the service answered {answer.text}")


def _parse(line: str) -> Event:
    at_ns, file, function, handed = line.split("\t")
    return Event(at_ns=int(at_ns), file=file, function=function, handed=handed == "1")
