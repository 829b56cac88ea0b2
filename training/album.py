"""The pictures of a data set, prepared once: decoded and shrunk by the very code that serves, and kept in one file.

N pictures, H W pixels
"""

import gzip
import hashlib
import json
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from model.errors import DataError, ImageError
from model.files import replacing
from model.preprocessing import Pixels, PreprocessingConfig, prepare
from training.pairs import Key

ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True, kw_only=True)
class Album:
    """Prepared pictures: keys of length N, pixels uint8 (N, H, W), and a digest over both."""

    keys: list[Key]
    pixels: Tensor
    sha256: str

    def index(self) -> dict[Key, int]:
        """Where each picture is."""
        return {key: number for number, key in enumerate(self.keys)}


def open_album(source: Path, cache: Path, config: PreprocessingConfig) -> Album:
    """The album of an archive or folder, from the cache where it is up to date, else prepared into it now.

    `source` is a folder with a folder for each person, or a .tgz of one. Raises DataError naming the file.
    """
    fingerprint = _fingerprint(source, config)
    path = cache / f"{source.name.removesuffix('.tgz')}-{config.side_px}.npz"
    album = _read_cache(path, fingerprint)
    if album is None:
        album = _prepare(source, config)
        _write_cache(path, fingerprint, album)
    return album


def find_images(data: Path, name: str) -> Path:
    """`data`/`name` as an unpacked folder or as an archive `name`.tgz. Raises DataError."""
    for candidate in (data / name, data / f"{name}.tgz"):
        if candidate.exists():
            return candidate
    raise DataError(f"{data}: has neither the folder {name} nor the archive {name}.tgz")


def _prepare(source: Path, config: PreprocessingConfig) -> Album:
    pictures: dict[Key, Pixels] = {}
    for name, data in tqdm(_files(source), desc=f"preparing {source.name}", unit=" pictures", mininterval=1):
        key = (name.parent.name, name.stem)
        if key in pictures:
            raise DataError(f"{source}: {name}: there is another picture of that name with a different ending")
        try:
            pictures[key] = prepare(data, config)
        except ImageError as error:
            raise DataError(f"{source}: {name}: {error}") from error
    if not pictures:
        raise DataError(f"{source}: has no pictures; expected a folder for each person with JPEG, PNG or WebP in it")
    keys = sorted(pictures)
    pixels = np.stack([pictures[key] for key in keys])
    return Album(keys=keys, pixels=torch.from_numpy(pixels), sha256=_digest(keys, pixels))


def _files(source: Path) -> Iterator[tuple[Path, bytes]]:
    """Every picture's path, of which the last two parts count, and its bytes."""
    if source.is_dir():
        for path in _picture_paths(source):
            yield path, _read(path)
        return
    try:
        with gzip.open(source) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file and Path(member.name).suffix.lower() in ENDINGS:
                    yield Path(member.name), file.read()
            plain.read()  # to the end, where gzip checks that nothing is missing or damaged
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{source}: not a readable archive: {error}") from error


def _picture_paths(folder: Path) -> list[Path]:
    """Files alone: a folder may be called d.jpg. Raises DataError for a link that leads nowhere."""
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in ENDINGS)
    return [path for path in paths if stat.S_ISREG(_stat(path).st_mode)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read, so repair or remove it: {error}")


def _fingerprint(source: Path, config: PreprocessingConfig) -> str:
    """Changes when a file of the source or the preprocessing does; reads no pictures."""
    files = _picture_paths(source) if source.is_dir() else [source]
    found = [(path, _stat(path)) for path in files]
    stats = [(path.parent.name, path.name, status.st_size, status.st_mtime_ns) for path, status in found]
    return hashlib.sha256(json.dumps([stats, config.model_dump()]).encode()).hexdigest()


def _digest(keys: list[Key], pixels: Pixels) -> str:
    digest = hashlib.sha256(json.dumps(keys).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def _write_cache(path: Path, fingerprint: str, album: Album) -> None:
    try:
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, keys=np.array(album.keys), pixels=album.pixels.numpy(), fingerprint=np.array(fingerprint))
    except OSError as error:
        raise DataError(f"{path}: cannot be saved, so choose another folder with --cache: {error}") from error


def _read_cache(path: Path, fingerprint: str) -> Album | None:
    """The cached album, or None where there is none, a damaged one, or one of other pictures."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["fingerprint"]) != fingerprint:
                return None
            keys = [(str(person), str(stem)) for person, stem in stored["keys"]]
            pixels: Pixels = stored["pixels"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return Album(keys=keys, pixels=torch.from_numpy(pixels), sha256=_digest(keys, pixels))
