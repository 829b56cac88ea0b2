"""Albums prepared from picture files by the service's own code, once, and cached in one file each."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import torch
from tqdm import tqdm

from model.arrays import Pixels
from model.errors import DataError, FaceError, ImageError
from model.files import replacing
from model.imaging import analysis, crops, decoding, detection
from model.imaging.formats.recognition import TAKEN
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import Quality
from training.data.album import Album, Key, MeasuredFace, composed, key_of
from training.data.pictures import picture_files, picture_paths, size_and_time

# How many broken pictures a message lists.
NAMED = 10
READ_AHEAD = 64
# Part of what a cache is recognised by. Raise it when a change of the code may change the crops of some pictures.
CROPS_VERSION = 3
# Which of several faces is taken. LFW's pictures show their person in the centre.
FaceOf = Literal["center", "largest"]


def open_album(
    source: Path, cache: Path, config: PreprocessingConfig, face: FaceOf = "center", *, skip_broken: bool = False
) -> Album:
    """The album of a folder or archive, from the cache if it is up to date, otherwise prepared and cached now.

    With alignment, `face` says which of several faces is taken. Raises DataError with the names of broken files, unless
    they are left out by `skip_broken`.
    """
    fingerprint = _fingerprint(source, config, face)
    aligned = "-aligned" if face == "center" else f"-aligned-{face}"
    if config.alignment and config.alignment.refinement != "settled":
        aligned += f"-{config.alignment.refinement}"
    kind = (aligned if config.alignment else "") + ("-rgb" if config.colour == "rgb" else "")
    path = cache / f"{source.absolute().name.removesuffix('.tgz')}-{config.side_px}{kind}.npz"
    album = _read_cache(path, fingerprint, config)
    if album is None:
        album = _prepare(source, config, face, skip_broken=skip_broken)
        _write_cache(path, fingerprint, album)
    if not skip_broken:
        _require_whole(source, album.broken)
    return album


def _require_whole(source: Path, broken: Mapping[Key, str]) -> None:
    if broken:
        more = f"; and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        named = "; ".join(list(broken.values())[:NAMED])
        raise DataError(f"{source}: repair or remove broken files, or leave them out by --skip-broken: {named}{more}")


def _prepare(source: Path, config: PreprocessingConfig, face: FaceOf, *, skip_broken: bool) -> Album:
    finder = detection.FaceFinder() if config.alignment else None
    if finder:
        crops.require_detector(config, finder)
    pictures: dict[Key, _Picture | None] = {}
    broken: dict[Key, str] = {}
    files = tqdm(picture_files(source), desc=f"preparing {source.name}", unit=" pictures", mininterval=1)
    for name, picture in _in_parallel(lambda data: _picture(data, config, finder, face), files):
        key = key_of(name)
        if key in pictures or key in broken:
            raise DataError(f"{source}: {name}: another picture of this person has the same name; remove or rename one")
        if isinstance(picture, ImageError):
            broken[key] = f"{'/'.join(name.parts[-2:])}: {picture}"
        elif isinstance(picture, DataError):
            broken[key] = str(picture)
        else:
            pictures[key] = picture
    prepared = {key: picture for key, picture in sorted(pictures.items()) if picture}
    if not skip_broken or not prepared:
        _require_whole(source, broken)
    if not prepared:
        wanted = f"{TAKEN} with a face in it" if finder else f"{TAKEN} in it"
        raise DataError(f"{source}: has no pictures; expected a folder for each person with {wanted}")
    keys, pixels = list(prepared), np.stack([picture.pixels for picture in prepared.values()])
    return Album(
        keys=keys,
        pixels=torch.from_numpy(pixels),
        sha256=_digest(keys, pixels),
        preprocessing=config,
        faces=[picture.face for picture in prepared.values() if picture.face],
        faceless=sorted(key for key, picture in pictures.items() if picture is None),
        broken=broken,
    )


@dataclass(frozen=True, kw_only=True)
class _Picture:
    pixels: Pixels
    face: MeasuredFace | None = None


# None without a face that is large enough, an error for a picture that cannot be used.
_Prepared = _Picture | ImageError | DataError | None


def _picture(
    data: bytes | DataError, config: PreprocessingConfig, finder: detection.FaceFinder | None, face: FaceOf
) -> _Prepared:
    if isinstance(data, DataError):
        return data
    try:
        found = analysis.analyse(decoding.decode(data, config), face, config, finder)
    except FaceError:
        return None
    except ImageError as error:
        return error
    faces = [MeasuredFace(count=found.faces_found or 0, quality=each.quality) for each in found.faces]
    return _Picture(pixels=found.pixels, face=faces[0] if faces else None)


def _in_parallel(
    work: Callable[[bytes | DataError], _Prepared], files: Iterable[tuple[Path, bytes | DataError]]
) -> Iterator[tuple[Path, _Prepared]]:
    """Each file's name with the result of `work`, in order."""
    waiting: deque[tuple[Path, Future[_Prepared]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for name, data in files:
            waiting.append((name, threads.submit(work, data)))
            if len(waiting) > READ_AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for last, future in waiting:
            yield last, future.result()


def _fingerprint(source: Path, config: PreprocessingConfig, face: FaceOf) -> str:
    """A digest that changes with the source's files, the preprocessing and CROPS_VERSION. Reads no pictures."""
    files = picture_paths(source) if source.is_dir() else [source]
    stats = [(path.parent.name, path.name, *size_and_time(path)) for path in files]
    chosen = [face] if config.alignment and face != "center" else []
    return hashlib.sha256(json.dumps([CROPS_VERSION, stats, config.model_dump(), *chosen]).encode()).hexdigest()


def _digest(keys: list[Key], pixels: Pixels) -> str:
    digest = hashlib.sha256(json.dumps(keys).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def _write_cache(path: Path, fingerprint: str, album: Album) -> None:
    try:
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                keys=np.array(album.keys),
                pixels=album.pixels.numpy(),
                faces=np.array([[face.count, *astuple(face.quality)] for face in album.faces], np.float64),
                faceless=np.array(album.faceless, np.str_),
                broken=np.array([(*key, reason) for key, reason in album.broken.items()], np.str_),
                fingerprint=np.array(fingerprint),
            )
    except OSError as error:
        raise DataError(f"{path}: cannot be saved; choose another folder with --cache: {error}") from error


def _read_cache(path: Path, fingerprint: str, config: PreprocessingConfig) -> Album | None:
    """The cached album, or None if it is missing, damaged or of other pictures."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["fingerprint"]) != fingerprint:
                return None
            keys = [_key(row) for row in stored["keys"]]
            pixels: Pixels = stored["pixels"]
            faces = [MeasuredFace(count=int(count), quality=_quality(values)) for count, *values in stored["faces"]]
            faceless = [_key(row) for row in stored["faceless"]]
            # Caches were written without it, before files could be left out.
            rows = stored.get("broken", [])
            broken = {_key((person, stem)): str(reason) for person, stem, reason in rows}
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None
    return Album(
        keys=keys,
        pixels=torch.from_numpy(pixels),
        sha256=_digest(keys, pixels),
        preprocessing=config,
        faces=faces,
        faceless=faceless,
        broken=broken,
    )


def _key(row: Sequence[str]) -> Key:
    person, stem = row
    return composed(str(person)), composed(str(stem))


def _quality(values: Sequence[float]) -> Quality:
    names = [each.name for each in fields(Quality)]
    return Quality(**dict(zip(names, map(float, values), strict=True)))
