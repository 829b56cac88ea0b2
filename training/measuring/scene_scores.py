"""How a checkpoint does on test pairs sent as a person would send them: scenes composed around each test picture.

P pairs, H W pixels
"""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from model.arrays import Pixels
from model.checkpoint import Checkpoint
from model.errors import DataError, FaceError
from model.imaging.analysis import analyse
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from training.data.album import Album, Key
from training.data.lists import Pair, index_pairs
from training.measuring.scenes import MAX_OTHERS, Kind, Scene, compose
from training.scoring import score_pairs
from training.statistics.rates import Estimate, wilson

# The right face was taken if its landmarks' middle is this near to that of the frame, as a share of the frame's side.
NEAR = 0.12


@dataclass(frozen=True, kw_only=True)
class SceneResult:
    """Of one kind of scene: pairs decided rightly, a pair without a face counting as wrong; pictures whose wanted face
    was taken.
    """

    kind: str
    accuracy: Estimate
    pairs: int
    found: int | None
    pictures: int


def measure_scenes(
    checkpoint: Checkpoint, pictures: Mapping[Key, bytes], others: Sequence[bytes], pairs: Sequence[Pair], kind: Kind
) -> SceneResult:
    """Scores the pairs with each picture in a scene of its own; `others` are pictures of training people.

    Raises DataError for a picture that cannot be decoded.
    """
    finder, config = FaceFinder(), checkpoint.header.preprocessing
    keys = sorted({key for pair in pairs for key in (pair.left, pair.right)})

    def one(number: int) -> tuple[Pixels | None, bool]:
        draws = np.random.default_rng([0, number])
        chosen = draws.choice(len(others), 1 + MAX_OTHERS, replace=False)
        scene = compose(_open(pictures[keys[number]]), [_open(others[i]) for i in chosen], kind, draws)
        return _seen(scene, config, finder)

    with ThreadPoolExecutor() as threads:
        progress = tqdm(threads.map(one, range(len(keys))), total=len(keys), desc=kind.name, unit=" pictures")
        seen = dict(zip(keys, progress, strict=True))
    return SceneResult(
        kind=kind.name,
        accuracy=wilson(_right(checkpoint, pairs, {key: pixels for key, (pixels, _) in seen.items()}), len(pairs)),
        pairs=len(pairs),
        found=sum(found for _, found in seen.values()) if config.alignment else None,
        pictures=len(seen),
    )


def format_scenes(result: SceneResult) -> str:
    """One line for a terminal."""
    share = result.accuracy
    line = f"{result.kind:<34} accuracy {share.value:.4f}  95% {share.low:.4f} to {share.high:.4f}  n={result.pairs}"
    return line if result.found is None else f"{line}  wanted face taken in {result.found} of {result.pictures}"


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError("a picture cannot be decoded; `python -m training prepare` says which") from error


def _seen(scene: Scene, config: PreprocessingConfig, finder: FaceFinder) -> tuple[Pixels | None, bool]:
    """What the network sees of a scene, as in the service; and whether it is the wanted face."""
    try:
        analysis = analyse(decode(scene.data, config), "largest", config, finder)
    except FaceError:
        return None, False
    off = [np.hypot(*(each.face.landmarks.mean(axis=0) - np.array(scene.centre))) for each in analysis.faces]
    return analysis.pixels, any(distance < NEAR * scene.frame_px for distance in off)


def _right(checkpoint: Checkpoint, pairs: Sequence[Pair], seen: Mapping[Key, Pixels | None]) -> int:
    """How many pairs are decided rightly at the checkpoint's threshold."""
    found = {key: pixels for key, pixels in seen.items() if pixels is not None}
    pixels = torch.from_numpy(np.stack(list(found.values())))
    album = Album(keys=list(found), pixels=pixels, sha256="")
    index = album.index()
    both = [pair for pair in pairs if pair.left in index and pair.right in index]
    scores, same = score_pairs(restore(checkpoint), checkpoint.header.preprocessing, album, index_pairs(both, index))
    return int(((scores >= checkpoint.header.threshold.value) == same).sum())
