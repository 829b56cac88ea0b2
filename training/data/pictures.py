"""The picture files of a folder of people, or of an archive of one: finding, listing and reading them."""

import gzip
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from model.errors import DataError

ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".heic", ".heif", ".hif", ".avif"}
# In a folder of people a picture is NAME/FILE.
PARTS = 2
# How many kinds of other files a message lists.
NAMED = 10


def find_images(data: Path, name: str) -> Path:
    """`data`/`name` as an unpacked folder or as an archive `name`.tgz. Raises DataError."""
    for candidate in (data / name, data / f"{name}.tgz"):
        if candidate.exists():
            return candidate
    raise DataError(f"{data}: has neither the folder {name} nor the archive {name}.tgz")


def describe_ignored(source: Path) -> str:
    """A folder's files that are not pictures of a person, by their ending or place; "" if there are none."""
    files = [Path(folder, name) for folder, _, names in os.walk(source) for name in names if name[0] != "."]
    pictures = [path for path in files if _is_picture(path)]
    endings = sorted({path.suffix or path.name for path in set(files) - set(pictures)})
    elsewhere = sum(len(path.relative_to(source).parts) != PARTS for path in pictures)
    named = ", ".join(endings[:NAMED]) + (", ..." if len(endings) > NAMED else "")
    said = [f"other files ({len(files) - len(pictures)}: {named})"] if endings else []
    said += [f"pictures not in NAME/FILE ({elsewhere})"] if elsewhere else []
    return ", ".join(said)


def picture_files(source: Path) -> Iterator[tuple[Path, bytes]]:
    """Every picture's path, which ends with PERSON/FILE, and its bytes. Raises DataError if one cannot be read."""
    if source.is_dir():
        for path in picture_paths(source):
            yield path, _read(path)
        return
    first: Path | None = None
    try:
        with gzip.open(source) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                path = Path(member.name)
                if _is_picture(path) and not member.isdir():
                    first = first or path
                    _require_beside(source, first, path, member)
                    if file := archive.extractfile(member):
                        yield path, file.read()
            plain.read()  # to the end, where gzip checks the archive's length and checksum
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{source}: not a readable archive: {error}") from error


def _require_beside(source: Path, first: Path, path: Path, member: tarfile.TarInfo) -> None:
    """Raises DataError for a picture of an archive that its unpacked folder would not have, or elsewhere."""
    if member.issym() or member.islnk():
        raise DataError(f"{source}: {path} is a link; pack with tar --dereference --hard-dereference")
    if path.parent.parent != first.parent.parent:
        raise DataError(
            f"{source}: {first} and {path} are not both NAME/FILE in one folder; pack one folder of people, without "
            "folders inside a person's"
        )


def picture_paths(folder: Path) -> list[Path]:
    """Only regular files: a folder may be called d.jpg. Raises DataError for a broken link."""
    paths = sorted(path for path in folder.glob("*/*") if _is_picture(path))
    return [path for path in paths if stat.S_ISREG(status_of(path).st_mode)]


def _is_picture(path: Path) -> bool:
    """Decides by the name. Hidden files are not pictures: macOS adds `._NAME.jpg` to each file on foreign disks."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def status_of(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read; repair or remove it: {error}")
