"""Pictures of a data set after a change, with faces found and straightened by the service's code, and cached.

K wanted pictures, N pictures with a face, H W pixels
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from model.arrays import Array, Points
from model.errors import DataError, FaceError
from model.files import replacing
from model.imaging import analysis, decoding, detection
from model.imaging.preprocessing import MAX_SIDE_PX, PreprocessingConfig
from training.data.album import Album, Key, name_of
from training.data.change import Change, encode, generator_for
from training.data.changes import NONE
from training.data.source import DataSource

# How changed pictures are saved before they are sent through the service's code.
JPEG_QUALITY = 95
# Part of what a cache is recognised by. Raise it when code changes the pixels of changed pictures or of their crops.
VERSION = 1
# In the place of landmarks where nothing is changed.
NOWHERE: Points = np.zeros((5, 2))
# "shared": every picture gets the change's usual parameters; "drawn": each picture gets parameters of its own.
Parameters = Literal["shared", "drawn"]


@dataclass(frozen=True, kw_only=True)
class ChangedPictures:
    """The changed pictures in which a face was found: an album of N crops, and what was detected in each.

    Landmarks float64 (N, 5, 2) and `sizes` (N, 2), width and height, are in pixels of the changed picture.
    """

    album: Album
    landmarks: NDArray[np.float64]
    sizes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def indices(self, keys: Sequence[Key]) -> NDArray[np.int64]:
        """The place of each key, or -1 for a picture without a face."""
        places = self.album.index()
        return np.array([places.get(key, -1) for key in keys], np.int64)


def prepare_unchanged(source: DataSource, album: Album, keys: Sequence[Key]) -> ChangedPictures:
    """The pictures `keys` of the album, saved again without a change, from the cache or prepared now.

    Raises DataError if the album's faces are not aligned.
    """
    if album.preprocessing.alignment is None:
        raise DataError("changes need a network that was trained on aligned faces")
    return _prepare(source, album.preprocessing, dict.fromkeys(keys, NOWHERE), NONE, "shared", album.sha256)


def prepare_changed(
    source: DataSource, before: ChangedPictures, keys: Sequence[Key], change: Change, kind: Parameters
) -> ChangedPictures:
    """The pictures `keys` after the change, from the cache or prepared now.

    `before` has the unchanged pictures, with the landmarks that the change is made by. Pictures without a face in it
    are left out. Raises DataError.
    """
    places = before.album.index()
    landmarks = {key: before.landmarks[places[key]] for key in keys if key in places}
    return _prepare(source, before.album.preprocessing, landmarks, change, kind, before.album.sha256)


def _prepare(
    source: DataSource,
    config: PreprocessingConfig,
    landmarks: Mapping[Key, Points],
    change: Change,
    kind: Parameters,
    pictures_sha256: str,
) -> ChangedPictures:
    known = [VERSION, pictures_sha256, config.model_dump(), list(landmarks), change.name, kind]
    spans = {name: asdict(span) for name, span in change.spans.items()}
    fingerprint = hashlib.sha256(json.dumps([*known, spans]).encode()).hexdigest()
    name = change.name.replace(" ", "-")
    path = source.cache / "changed" / f"{source.title}-{name}-{kind}-{fingerprint[:16]}.npz"
    arrays = _read_cache(path)
    if arrays is None:
        arrays = _make(source, config, landmarks, change, kind)
        _write_cache(path, arrays)
    return _pictures(arrays, config)


def _make(
    source: DataSource, config: PreprocessingConfig, landmarks: Mapping[Key, Points], change: Change, kind: Parameters
) -> dict[str, Array]:
    keys = list(landmarks)
    files, finder = source.files(keys), detection.FaceFinder()
    if missing := [name_of(key) for key in keys if key not in files]:
        raise DataError(f"{source.images}: {len(missing)} pictures are missing, such as {missing[0]}")

    full_size = config.model_copy(update={"colour": "rgb", "draft_margin": MAX_SIDE_PX})

    def one(key: Key) -> analysis.ImageAnalysis | None:
        try:
            draws = generator_for(0, change.name, *key)
            values = change.usual if kind == "shared" else change.draw(draws)
            photo = decoding.decode(files[key], full_size)
            changed = change(np.asarray(photo.picture), landmarks[key], values, draws)
            return analysis.analyse(decoding.decode(encode(changed, JPEG_QUALITY), config), "center", config, finder)
        except FaceError:
            return None

    with ThreadPoolExecutor() as threads:
        progress = tqdm(
            threads.map(one, keys), total=len(keys), desc=change.name, unit=" pictures", mininterval=1, disable=None
        )
        results = {key: found for key, found in zip(keys, progress, strict=True) if found}
    if not results:
        raise DataError(f"{source.images}: no picture has a face after the change {change.name!r}")
    faces = [found.faces[0].face for found in results.values()]
    return {
        "keys": np.array(list(results)),
        "pixels": np.stack([found.pixels for found in results.values()]),
        "landmarks": np.stack([face.landmarks for face in faces]),
        "sizes": np.array([[found.width_px, found.height_px] for found in results.values()], np.float64),
        "scores": np.array([face.score for face in faces]),
    }


def _pictures(arrays: Mapping[str, Array], config: PreprocessingConfig) -> ChangedPictures:
    pixels = arrays["pixels"]
    album = Album(
        keys=[(str(person), str(stem)) for person, stem in arrays["keys"]],
        pixels=torch.from_numpy(pixels),
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        preprocessing=config,
    )
    return ChangedPictures(album=album, landmarks=arrays["landmarks"], sizes=arrays["sizes"], scores=arrays["scores"])


def _write_cache(path: Path, arrays: Mapping[str, Array]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise DataError(f"{path}: cannot be saved; choose another folder with --cache: {error}") from error


def _read_cache(path: Path) -> dict[str, Array] | None:
    """The cached arrays, or None if the file is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("keys", "pixels", "landmarks", "sizes", "scores")}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
