"""Composes scenes from the data set that resemble users' photos, and scores a checkpoint on them.

Each scene shows the face of one test picture as its largest face, among smaller faces of training people.
"""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFilter
from tqdm import tqdm

from model.arrays import Pixels
from model.checkpoint import Checkpoint
from model.errors import DataError, FaceError
from model.imaging import analysis, decoding, detection
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.calibrated import restore_calibrated
from training import scoring
from training.data import lists
from training.data.album import Album, Key, name_of
from training.data.source import DataSource
from training.statistics import rates

# The position of something pasted: its centre (x, y), and half its side.
Place = tuple[float, float, float]

ATTEMPTS = 200
BICUBIC = Image.Resampling.BICUBIC
SIZE = (1000, 750)
# The width of a face in LFW, as a share of the frame: LFW's frames are 2.2 times as wide as Viola and Jones's boxes.
FACE = 1 / 2.2
# The share of a frame's side that is pasted: its middle, with soft edges.
PASTED = 0.76
SOFT = 0.04
MAX_OTHERS = 3
# How a file of each EXIF orientation stores an upright picture.
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
LARGE = (4000, 3000)
QUALITY = 92
# The wanted face was taken if its landmarks' mean is this near to the frame's centre, as a share of the frame's side.
NEAR = 0.12


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of scene: whether the picture is pasted into one, tilted, turned by EXIF, enlarged."""

    name: str
    composed: bool = True
    most_tilt_deg: float = 0.0
    turned: bool = False
    large: bool = False


KINDS = (
    Kind(name="the picture itself", composed=False),
    Kind(name="among smaller faces"),
    Kind(name="and tilted by up to 30 degrees", most_tilt_deg=30.0),
    Kind(name="and turned by EXIF", most_tilt_deg=30.0, turned=True),
    Kind(name="and enlarged to 12 megapixels", most_tilt_deg=30.0, turned=True, large=True),
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture file, with the centre of the wanted frame in the upright picture, and the frame's side in pixels."""

    data: bytes
    centre: tuple[float, float]
    frame_px: float


@dataclass(frozen=True, kw_only=True)
class SceneResult:
    """The result for one kind of scene. A pair without a face counts as wrong.

    `found` is the number of pictures whose wanted face was taken, None if the network does not look for faces.
    """

    kind: str
    accuracy: rates.Estimate
    pairs: int
    found: int | None
    pictures: int


@dataclass(frozen=True, kw_only=True)
class Material:
    """The material for scenes: test pairs, their picture files, and picture files of training people."""

    pairs: Sequence[lists.Pair]
    pictures: Mapping[Key, bytes]
    others: Sequence[bytes]


def read_material(source: DataSource) -> Material:
    """The test pairs, and the first picture of every eighth training person. Raises DataError for missing pictures."""
    pairs = lists.read_pairs(source.find_list("test_pairs") or source.folder / source.test_pairs)
    others = source.first_pictures(list(source.people("train_people"))[::8])
    shown = [key for pair in pairs for key in (pair.left, pair.right)]
    files = source.files({*shown, *others})
    if missing := sorted(name_of(key) for key in shown if key not in files):
        raise DataError(f"{source.images}: {len(missing)} of the pairs' pictures are missing, such as {missing[0]}")
    crowd = [files[key] for key in others if key in files]
    if len(crowd) <= MAX_OTHERS:
        raise DataError(
            f"{source.images}: scenes need {1 + MAX_OTHERS} pictures of training people; there are {len(crowd)}"
        )
    return Material(pairs=pairs, pictures=files, others=crowd)


def measure_scenes(checkpoint: Checkpoint, material: Material, kind: Kind) -> SceneResult:
    """Scores the pairs with each picture in its own scene. Raises DataError for a picture that cannot be decoded."""
    finder, config, pairs = detection.FaceFinder(), checkpoint.header.preprocessing, material.pairs
    keys = sorted({key for pair in pairs for key in (pair.left, pair.right)})

    def one(number: int) -> tuple[Pixels | None, bool]:
        draws = np.random.default_rng([0, number])
        chosen = draws.choice(len(material.others), 1 + MAX_OTHERS, replace=False)
        others = [_open(material.others[i]) for i in chosen]
        return _seen(compose(_open(material.pictures[keys[number]]), others, kind, draws), config, finder)

    with ThreadPoolExecutor() as threads:
        progress = tqdm(
            threads.map(one, range(len(keys))), total=len(keys), desc=kind.name, unit=" pictures", disable=None
        )
        seen = dict(zip(keys, progress, strict=True))
    return SceneResult(
        kind=kind.name,
        accuracy=rates.wilson(
            _right(checkpoint, pairs, {key: pixels for key, (pixels, _) in seen.items()}), len(pairs)
        ),
        pairs=len(pairs),
        found=sum(found for _, found in seen.values()) if config.alignment else None,
        pictures=len(seen),
    )


def format_scenes(result: SceneResult) -> str:
    share = result.accuracy
    line = f"{result.kind:<34} accuracy {share.value:.4f}  95% {share.low:.4f} to {share.high:.4f}  n={result.pairs}"
    return line if result.found is None else f"{line}  wanted face taken in {result.found} of {result.pictures}"


def compose(picture: Image.Image, others: Sequence[Image.Image], kind: Kind, draws: np.random.Generator) -> Scene:
    """A scene of that kind with the frame `picture` in it. All pictures are RGB.

    `others` has 1 + MAX_OTHERS pictures: the first gives the background, some of the rest become smaller faces.
    """
    if not kind.composed:
        width, height = picture.size
        return Scene(data=_encode(picture, 1), centre=(width / 2, height / 2), frame_px=width)
    canvas = others[0].resize((8, 6), Image.Resampling.BOX).resize(SIZE, BICUBIC)  # colours without shapes
    face_px = draws.uniform(0.2, 0.6) * min(SIZE)
    frame_px, tilt = face_px / FACE, draws.uniform(-1, 1) * kind.most_tilt_deg
    taken: list[Place] = []
    _paste(canvas, picture, frame_px, tilt, taken, draws)
    for other in others[1 : 1 + int(draws.integers(1, MAX_OTHERS, endpoint=True))]:
        _paste(canvas, other, draws.uniform(0.25, 0.6) * frame_px, draws.uniform(-15, 15), taken, draws)
    x, y, _ = taken[0]
    scale = LARGE[0] / SIZE[0] if kind.large else 1.0
    if kind.large:
        canvas = canvas.resize(LARGE, BICUBIC)
    orientation = int(draws.integers(2, 9)) if kind.turned else 1
    return Scene(data=_encode(canvas, orientation), centre=(x * scale, y * scale), frame_px=frame_px * scale)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError("a picture cannot be decoded; run `python -m training prepare` to see which") from error


def _seen(scene: Scene, config: PreprocessingConfig, finder: detection.FaceFinder) -> tuple[Pixels | None, bool]:
    """The crop of a scene, as in the service (None without a face), and whether it shows the wanted face."""
    try:
        found = analysis.analyse(decoding.decode(scene.data, config), "largest", config, finder)
    except FaceError:
        return None, False
    off = [np.hypot(*(each.face.landmarks.mean(axis=0) - np.array(scene.centre))) for each in found.faces]
    return found.pixels, any(distance < NEAR * scene.frame_px for distance in off)


def _right(checkpoint: Checkpoint, pairs: Sequence[lists.Pair], seen: Mapping[Key, Pixels | None]) -> int:
    found = {key: pixels for key, pixels in seen.items() if pixels is not None}
    pixels = torch.from_numpy(np.stack(list(found.values())))
    album = Album(keys=list(found), pixels=pixels, sha256="", preprocessing=checkpoint.header.preprocessing)
    scores, same = scoring.score_pairs(restore_calibrated(checkpoint), album, lists.pairs_at_hand(pairs, album))
    return int(((scores >= checkpoint.header.threshold.value) == same).sum())


def _paste(
    canvas: Image.Image,
    frame: Image.Image,
    frame_px: float,
    tilt_deg: float,
    taken: list[Place],
    draws: np.random.Generator,
) -> None:
    """Pastes the middle of a frame where it covers no other, if there is room, and adds the place to `taken`."""
    side = max(8, round(frame_px * PASTED))
    place = _find_place(canvas.size, frame_px * FACE, side / 2, taken, draws)
    if place is None:
        return
    taken.append(place)
    margin = (1 - PASTED) / 2
    box = (margin * frame.width, margin * frame.height, (1 - margin) * frame.width, (1 - margin) * frame.height)
    part = frame.resize((side, side), BICUBIC, box=box).rotate(tilt_deg, BICUBIC, expand=True)
    mask = _soft_square(side).rotate(tilt_deg, BICUBIC, expand=True)
    canvas.paste(part, (round(place[0] - part.width / 2), round(place[1] - part.height / 2)), mask)


def _soft_square(side: int) -> Image.Image:
    soft = max(1, round(SOFT * side))
    mask = Image.new("L", (side, side), 0)
    mask.paste(255, (2 * soft, 2 * soft, side - 2 * soft, side - 2 * soft))
    return mask.filter(ImageFilter.GaussianBlur(soft))


def _find_place(
    size: tuple[int, int], face_px: float, half_px: float, taken: list[Place], draws: np.random.Generator
) -> Place | None:
    """The first drawn place with the face inside the picture and nothing covered; None after `ATTEMPTS` draws."""
    low = 0.75 * face_px
    for _ in range(ATTEMPTS):
        x, y = (float(draws.uniform(low, side - low)) if side > 2 * low else side / 2 for side in size)
        if all(max(abs(x - ox), abs(y - oy)) > half_px + other for ox, oy, other in taken):
            return x, y, half_px
    return None


def _encode(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = image.transpose(ORIENTATIONS[orientation]) if orientation in ORIENTATIONS else image
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=QUALITY, exif=exif.tobytes())
    return file.getvalue()
