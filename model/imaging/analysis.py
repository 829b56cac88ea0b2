"""From a photo to the crops that the network sees: the requested faces, with their quality and warnings.

H W pixels
"""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.arrays import Pixels, Points
from model.errors import TooManyFaces
from model.imaging.alignment import fit_similarity
from model.imaging.conditions import RELIABLE_SCORE, WARNINGS, ConditionDetectors
from model.imaging.crop_features import features
from model.imaging.crops import (
    Crop,
    FaceChoice,
    align,
    choose,
    find_faces,
    find_largest,
    require_face,
    require_size,
    resize,
)
from model.imaging.decoding import Photo
from model.imaging.detection import Face, FaceFinder
from model.imaging.formats.recognition import Format
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import MIN_INTER_EYE_PX, Quality, QualityRanges, warnings_of

# One face, or "none" for the whole photo, or every face: "all" requires at least one, "any" does not.
Choice = FaceChoice | Literal["none", "all", "any"]

# A second face of at least this share of the chosen face's size is worth a warning.
SIMILAR_SIZE = 0.8
# The middle part of a crop that the face fills, as a share of the crop's side; and its corners, in sides of the crop.
FACE_SHARE = 0.7
FACE_CORNERS = 0.5 + FACE_SHARE / 2 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
MSG_NOT_DETECTED = "no face was looked for: the image is assumed to be in the model's frame already"
MSG_ANOTHER_FACE = "another face is nearly as large as the chosen one"
MSG_LEAVES_IMAGE = "the face reaches beyond the image's edge"
MSG_TURNED = {
    90: "the photo was turned by 90 degrees clockwise to find the face; send it upright",
    180: "the photo was turned by 180 degrees to find the face; send it upright",
    270: "the photo was turned by 90 degrees anticlockwise to find the face; send it upright",
}


@dataclass(frozen=True, kw_only=True)
class AnalysedFace:
    """A face, in pixels of the upright image, and its crop, `pixels`: uint8 (H, W) or (H, W, 3).

    `index` is its place among the photo's faces, 0 for the largest. `conditions` is None if nobody looked for them.
    """

    index: int
    face: Face
    quality: Quality
    pixels: Pixels
    conditions: list[str] | None = None
    warnings: list[str]

    @property
    def usable(self) -> bool:
        """Whether the face has enough pixels to be embedded."""
        return self.quality.inter_eye_px >= MIN_INTER_EYE_PX


@dataclass(frozen=True, kw_only=True)
class ImageAnalysis:
    """What the network sees of one image. The photo is not kept, since it can take many megabytes.

    `whole` is the crop of the whole photo if no face was looked for. Otherwise `faces` has the chosen face or, with
    `all_faces`, every face, out of `faces_found`. Detection and alignment took `face_s` seconds.
    """

    format: Format
    width_px: int
    height_px: int
    orientation: int
    whole: Pixels | None = None
    faces: list[AnalysedFace]
    all_faces: bool = False
    faces_found: int | None = None
    warnings: list[str]
    face_s: float

    @property
    def pixels(self) -> Pixels:
        """The crop of the chosen face, or of the whole photo."""
        return self.faces[0].pixels if self.whole is None else self.whole


class TooManyTogether(TooManyFaces):
    """The images of a request together have more faces than a request may have."""


class FaceAllowance:
    """How many faces the images of one request may have. A decoder process gets a copy with each image."""

    def __init__(self, max_faces: int) -> None:
        self._max_faces = self._left = max_faces

    @property
    def left(self) -> int:
        """How many faces the next image may have."""
        return self._left

    def require(self, faces: int) -> None:
        """Checks the faces of one image before any work is done on them.

        Raises TooManyFaces if the image alone has too many, TooManyTogether if it has with the images before it.
        """
        if faces > self._max_faces:
            raise TooManyFaces(f"there are {faces} faces, and a request may have {self._max_faces}; crop the image")
        if faces > self._left:
            raise TooManyTogether(
                f"the images have more than the {self._max_faces} faces that a request may have; send fewer images"
            )

    def take(self, faces: int) -> None:
        """Counts the faces of one image. Raises as `require` does."""
        self.require(faces)
        self._left -= faces


def analyse(
    photo: Photo,
    choice: Choice,
    config: PreprocessingConfig,
    finder: FaceFinder | None = None,
    *,
    trained_on: QualityRanges | None = None,
    conditions: ConditionDetectors | None = None,
    allowance: FaceAllowance | None = None,
) -> ImageAnalysis:
    """The crops of a photo. Requests and training both make their crops here.

    Without an `alignment`, and with `choice` "none", the crop is the whole photo and no `finder` is needed. With "all"
    and "any" the `allowance` is checked before faces are aligned. Raises FaceError.
    """
    started = time.perf_counter()
    whole: Pixels | None = None
    faces: list[AnalysedFace] = []
    found: list[Face] | None = None
    warnings = list(photo.warnings)
    if config.alignment is None or choice == "none":
        whole = resize(photo, config)
        warnings += [MSG_NOT_DETECTED] if config.alignment else []
    else:
        assert finder
        glance = config.alignment.refinement == "learned"
        chosen, found = _choose_faces(photo, choice, finder, allowance, glance=glance)
        crops = [align(photo, found[index], config, finder) for index in chosen]
        if choice not in ("all", "any"):
            require_size(crops[0].quality)
        faces = [
            _describe_face(*each, photo, config, trained_on, conditions) for each in zip(crops, chosen, strict=True)
        ]
        if choice not in ("all", "any"):
            warnings += faces[0].warnings + _similar_faces(found, chosen[0])
    return ImageAnalysis(
        format=photo.format,
        width_px=photo.width_px,
        height_px=photo.height_px,
        orientation=photo.orientation,
        whole=whole,
        faces=faces,
        all_faces=whole is None and choice in ("all", "any"),
        faces_found=None if found is None else len(found),
        warnings=warnings,
        face_s=time.perf_counter() - started,
    )


def _choose_faces(
    photo: Photo, choice: Choice, finder: FaceFinder, allowance: FaceAllowance | None, *, glance: bool
) -> tuple[list[int], list[Face]]:
    """The indices of the requested faces, and all faces, largest first.

    `glance` is whether the landmarks need not be exact, since a network refines them.
    """
    if glance and choice == "largest":
        found = find_largest(photo, finder)
    else:
        found = find_faces(photo, finder, include_small=choice in ("only", "all", "any"))
    if choice in ("largest", "center", "only"):
        return [choose(found, choice, photo)], found
    if choice == "all":
        require_face(found)
    if allowance:
        allowance.require(len(found))
    return list(range(len(found))), found


def _describe_face(
    crop: Crop,
    index: int,
    photo: Photo,
    config: PreprocessingConfig,
    trained_on: QualityRanges | None,
    conditions: ConditionDetectors | None,
) -> AnalysedFace:
    assert config.alignment
    template = config.alignment.points(config.side_px, config.crop)
    eyes = template[:2]
    turned_deg = crop.face.turned_deg
    warnings = warnings_of(crop.quality, trained_on, float(eyes[1, 0] - eyes[0, 0]), turned_deg)
    if _leaves_image(crop.face, photo, config.alignment.points(1, config.crop)):
        warnings.append(MSG_LEAVES_IMAGE)
    found: list[str] | None = None
    if conditions:
        size = (photo.width_px, photo.height_px)
        measured = features(crop.pixels, crop.face.landmarks, template, size, crop.face.score)
        found = conditions.find(measured, crop.face.score)
        warnings += [WARNINGS[name] for name in found if name in WARNINGS]
    if not warnings and crop.face.score < RELIABLE_SCORE:  # another warning already explains a low score
        warnings.append(f"the face has a score of {crop.face.score:.2f}: it may be covered or turned away")
    if turned_deg:
        warnings.insert(0, MSG_TURNED[turned_deg])
    return AnalysedFace(
        index=index,
        face=crop.face,
        quality=crop.quality,
        pixels=crop.pixels,
        conditions=found,
        warnings=warnings,
    )


def _leaves_image(face: Face, photo: Photo, template: Points) -> bool:
    """Whether the middle part of the crop, which the face fills, reaches beyond the photo."""
    placed = fit_similarity(template, face.landmarks)(FACE_CORNERS)
    return bool(placed.min() < 0 or (placed > (photo.width_px, photo.height_px)).any())


def _similar_faces(found: list[Face], taken: int) -> list[str]:
    least = SIMILAR_SIZE * found[taken].size_px
    return [MSG_ANOTHER_FACE] if any(face.size_px >= least for i, face in enumerate(found) if i != taken) else []
