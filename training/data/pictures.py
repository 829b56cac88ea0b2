"""The picture files of a folder of people, or of an archive of one: finding, listing and reading them."""

import gzip
import os
import stat
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from model.errors import DataError

ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".heic", ".heif", ".hif", ".avif"}
# In a folder of people a picture is NAME/FILE.
PARTS = 2
# How many kinds of other files a message lists.
NAMED = 10
# The ending of lists, which may lie beside the people.
LIST_ENDING = ".txt"


def find_images(data: Path, name: str) -> Path:
    """`data`/`name` as an unpacked folder or as an archive `name`.tgz. Raises DataError."""
    for candidate in (data / name, data / f"{name}.tgz"):
        if candidate.exists():
            return candidate
    raise DataError(f"{data}: has neither the folder {name} nor the archive {name}.tgz")


def describe_ignored(source: Path) -> str:
    """The files that are not pictures of a person, by their ending or place; "" if there are none.

    Raises DataError for an unusable archive.
    """
    elsewhere, others = 0, set[Path]()
    for path in _others_in_folder(source) if source.is_dir() else _files_of_archive(source):
        if _is_picture(path):
            elsewhere += len(path.parts) != PARTS
        elif len(path.parts) > 1 or path.suffix != LIST_ENDING:
            others.add(path)
    endings = sorted({path.suffix or path.name for path in others})
    named = ", ".join(endings[:NAMED]) + (", ..." if len(endings) > NAMED else "")
    said = [f"other files ({len(others)}: {named})"] if endings else []
    said += [f"pictures not in NAME/FILE ({elsewhere})"] if elsewhere else []
    return ", ".join(said)


def picture_files(source: Path) -> Iterator[tuple[Path, bytes | DataError]]:
    """Every picture's path, which ends with PERSON/FILE, and its bytes, or the error if the file cannot be read.

    An archive has the pictures that it would have as an unpacked folder. Raises DataError for an unusable archive.
    """
    if source.is_dir():
        for path in picture_paths(source):
            yield path, _read(path)
        return
    root = _root_of(source)
    for path, data in _members(source, lambda path: path.parent.parent == root and _is_picture(path)):
        if data is not None:
            yield path, data


def picture_names(source: Path) -> list[Path]:
    """NAME/FILE of every picture. Raises DataError for an unusable archive."""
    if source.is_dir():
        return [Path(path) for path, _, _ in pictures_in(source)]
    return sorted(path for path in _files_of_archive(source) if _is_picture(path) and len(path.parts) == PARTS)


def picture_paths(folder: Path) -> list[Path]:
    """The paths of `pictures_in`."""
    return [folder / path for path, _, _ in pictures_in(folder)]


def pictures_in(folder: Path) -> Iterator[tuple[str, int, int]]:
    """NAME/FILE of each picture in a folder of people, in order, with its size in bytes and time in nanoseconds.

    Of regular files, for a folder may be called d.jpg, and of links to nothing, which cannot be read: their size and
    time are 0. A folder may have half a million, so a file costs one look and no `Path`.
    """
    for person in _entries(folder):
        if not person.name.startswith(".") and os.path.isdir(person):
            for file in _entries(person):
                if _is_picture_name(file.name) and (found := _look_at(file)):
                    yield f"{person.name}/{file.name}", *found


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """In the order of their names; none if the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError:
        return []


def _look_at(file: os.DirEntry[str]) -> tuple[int, int] | None:
    """Size and time, zeros if they cannot be seen; None for what is no file."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def size_and_time(path: Path) -> tuple[int, int]:
    """A file's size in bytes and its time of modification in nanoseconds; zeros if it cannot be reached."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _others_in_folder(folder: Path) -> Iterator[Path]:
    """The files that are not pictures in NAME/FILE, relative to the folder, without hidden files."""
    for place, _, names in os.walk(folder):
        inner = Path(place).relative_to(folder)
        of_person = len(inner.parts) == PARTS - 1 and not inner.name.startswith(".")
        for name in names:
            if not name.startswith(".") and not (of_person and _is_picture_name(name)):
                yield inner / name


def _files_of_archive(source: Path) -> list[Path]:
    """Relative to the folder of people in the archive, without hidden files and files outside of it."""
    root = _root_of(source)
    return [path.relative_to(root) for path in _names(source, *size_and_time(source)) if path.is_relative_to(root)]


def _root_of(source: Path) -> Path:
    """The folder of people in an archive: it has pictures as NAME/FILE, and all others are below it.

    Of several such folders it is the one with most of these pictures, then the one named like the archive. Raises
    DataError if there is none.
    """
    pictures = [path for path in _names(source, *size_and_time(source)) if _is_picture(path)]
    counts = Counter(path.parent.parent for path in pictures if len(path.parts) >= PARTS)
    roots = [root for root in counts if all(path.is_relative_to(root) for path in pictures)]
    if not roots and counts:
        first, other = _two_places(pictures)
        raise DataError(
            f"{source}: {first} and {other} are not both NAME/FILE in one folder; pack one folder of people"
        )
    name = source.name.removesuffix(".tgz")
    return max(roots, key=lambda root: (counts[root], root.name == name, -len(root.parts)), default=Path())


def _two_places(pictures: Sequence[Path]) -> tuple[Path, Path]:
    """Two pictures that are not in one folder of people."""
    first = next(path for path in pictures if len(path.parts) >= PARTS)
    return first, next(path for path in pictures if path.parent.parent != first.parent.parent)


@lru_cache(maxsize=4)
def _names(source: Path, _size: int, _time_ns: int) -> tuple[Path, ...]:
    """The paths of an archive's files, without hidden ones; the last two arguments make an altered one another."""
    return tuple(path for path, _ in _members(source, lambda _: False) if not path.name.startswith("."))


def _members(source: Path, wanted: Callable[[Path], bool]) -> Iterator[tuple[Path, bytes | None]]:
    """The path of each file in an archive, with its bytes if it is wanted.

    Raises DataError for a damaged archive and for links, which a folder would follow.
    """
    try:
        with gzip.open(source) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                path = Path(member.name)
                _require_no_link(source, path, member)
                if member.isfile():
                    file = archive.extractfile(member) if wanted(path) else None
                    yield path, file.read() if file else None
            plain.read()  # to the end, where gzip checks the archive's length and checksum
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{source}: not a readable archive: {error}") from error


def _require_no_link(source: Path, path: Path, member: tarfile.TarInfo) -> None:
    hidden = path.name.startswith(".")
    if (member.issym() and not hidden) or (member.islnk() and _is_picture(path)):
        raise DataError(f"{source}: {path} is a link; pack with tar --dereference --hard-dereference")


def _is_picture(path: Path) -> bool:
    """Decides by the name. Hidden files are not pictures: macOS adds `._NAME.jpg` to each file on foreign disks.

    Nor is a hidden folder a person: programs keep thumbnails and deleted files there.
    """
    return _is_picture_name(path.name) and not path.parent.name.startswith(".")


def _is_picture_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in ENDINGS and not name.startswith(".")


def read_picture(path: Path) -> bytes:
    """Raises DataError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _read(path: Path) -> bytes | DataError:
    try:
        return read_picture(path)
    except DataError as error:
        return error
