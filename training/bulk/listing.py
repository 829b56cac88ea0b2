"""Which files are embedded: the pictures of a folder, or those of a list."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from model.errors import DataError
from training.bulk.image_files import ImageTask
from training.bulk.parts import PART_FILES, Part
from training.data.lists import read_lines
from training.data.pictures import ENDINGS

# Part of what a stored part is recognised by. Raise it when a change of the code may change rows.
ROWS_VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files by their names in `root`, or by whole paths."""

    root: Path
    names: Sequence[str]

    @classmethod
    def of(cls, source: Path) -> "Listing":
        """The pictures of a folder and of the folders in it, or a list with a path a line, from the list's folder.

        Raises DataError if there are none.
        """
        if source.is_dir():
            found = cls(root=source, names=list(_walk(source)))
            wanted = f"a picture ({', '.join(sorted(ENDINGS))})"
        else:
            lines = (line.strip() for line in read_lines(source, "a list of files"))
            found, wanted = cls(root=source.parent, names=[line for line in lines if line]), "a path"
        if not found.names:
            raise DataError(f"{source}: has not one file to embed; expected at least {wanted}")
        return found

    def parts(self, folder: Path, task: ImageTask) -> Iterator[Part]:
        """The parts, to be stored in `folder` under names that change with the files and the task."""
        for number, start in enumerate(range(0, len(self.names), PART_FILES)):
            names = tuple(self.names[start : start + PART_FILES])
            digest = _digest(self.root, names, task)
            yield Part(root=self.root, names=names, path=folder / f"{number:06d}-{digest[:20]}.parquet")


def digest_of(parts: Iterable[Part]) -> str:
    """A digest of everything that the rows depend on."""
    return hashlib.sha256("\n".join(part.path.name for part in parts).encode()).hexdigest()


def _walk(folder: Path, inside: str = "", above: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names of all pictures, sorted within each folder. Hidden files and folders are left out.

    Links to folders are followed, but not to those that they lie in: `above` has the real paths. Raises DataError.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    _, folders, files = next(os.walk(folder, onerror=_refuse))
    for name in sorted(files):
        if name[0] != "." and os.path.splitext(name)[1].lower() in ENDINGS:
            yield f"{inside}{name}"
    for name in sorted(folders):
        if name[0] != ".":
            yield from _walk(folder / name, f"{inside}{name}/", above | {real})


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: the folder cannot be read: {error.strerror}; make it readable, or move it away")


def _digest(root: Path, names: Sequence[str], task: ImageTask) -> str:
    described = [ROWS_VERSION, *astuple(task)[1:], [[name, *_status(root / name)] for name in names]]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _status(path: Path) -> tuple[int, int]:
    """The size and the time of the last change; -1 for a file that cannot be read, which its row will say."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns
