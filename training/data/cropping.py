"""From picture files to crops, as threads or processes do it while an album is prepared. Imports no torch.

H W pixels
"""

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import cache
from multiprocessing import current_process, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Literal

from model.arrays import Pixels
from model.errors import DataError, FaceError, ImageError
from model.imaging import analysis, decoding, detection
from model.imaging.preprocessing import PreprocessingConfig
from training.data.pictures import read_picture

# Which of several faces is taken. LFW's pictures show their person in the centre.
FaceOf = Literal["center", "largest"]
# A picture file, or its bytes from an archive.
File = Path | bytes


@dataclass(frozen=True, kw_only=True)
class Cropping:
    """How crops are made; `face` says which of several faces is taken if faces are aligned."""

    config: PreprocessingConfig
    face: FaceOf


@dataclass(frozen=True, kw_only=True)
class Cropped:
    """A crop uint8 (H, W) or (H, W, 3) and, if faces are aligned, the number of faces and the taken one's `Quality`."""

    pixels: Pixels
    measures: tuple[float, ...] = ()


@dataclass(frozen=True)
class Broken:
    """Why a picture cannot be used, with its name."""

    reason: str


@dataclass(frozen=True)
class Unreadable:
    """Why a file cannot be read, which may be another time."""

    reason: str


# None without a face that is large enough.
Outcome = Cropped | Broken | None


def crop_all(files: Sequence[tuple[Sequence[str], File]], cropping: Cropping) -> list[Outcome | Unreadable]:
    """The outcome of each file, which comes with the person's and the file's name."""
    return [_crop(name, file, cropping) for name, file in files]


def _crop(name: Sequence[str], file: File, cropping: Cropping) -> Outcome | Unreadable:
    config, finder = cropping.config, _finder() if cropping.config.alignment else None
    try:
        data = file if isinstance(file, bytes) else read_picture(file)
        found = analysis.analyse(decoding.decode(data, config), cropping.face, config, finder)
    except DataError as error:
        return Unreadable(str(error))
    except FaceError:
        return None
    except ImageError as error:
        return Broken(f"{'/'.join(name)}: {error}")
    if not found.faces:
        return Cropped(pixels=found.pixels)
    return Cropped(pixels=found.pixels, measures=(found.faces_found or 0, *astuple(found.faces[0].quality)))


@cache
def _finder() -> detection.FaceFinder:
    """The detector of this process."""
    return detection.FaceFinder()


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(*, processes: bool) -> Iterator[Executor]:
    """Threads, or processes for more pictures, one for each core. What has not begun is dropped at the end."""
    pool: Executor
    if processes:
        # Not forked: this process has threads, and locks that a fork would leave locked.
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        pool = ProcessPoolExecutor(cores(), context, _begin_process)
    else:
        pool = ThreadPoolExecutor(cores())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def require_guarded_script() -> None:
    """Raises RuntimeError in a worker that imports a script without a guard, and would wait for the script forever."""
    if getattr(current_process(), "_inheriting", False):
        raise RuntimeError(
            "pictures are prepared in processes: put the script's calls under if __name__ == '__main__':"
        )


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process is interrupted, too, and ends this one
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the first one was killed, which nothing else tells it."""
    first = parent_process()
    assert first
    first.join()
    os._exit(1)
