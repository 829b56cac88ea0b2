"""What is seen in one uploaded image: the faces that were asked for, as the network takes them, and what is wrong.

H W pixels
"""

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.arrays import Pixels, Points
from model.errors import TooManyFaces
from model.imaging.alignment import fit_similarity
from model.imaging.crops import Crop, FaceChoice, align, choose, find_faces, require_face, require_size, resize
from model.imaging.decoding import Format, Photo
from model.imaging.detection import Face, FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import MIN_INTER_EYE_PX, Quality, QualityRanges, warnings_of

# As in the model, or the whole picture, or every face; "any" is every face, and none is no error.
Choice = FaceChoice | Literal["none", "all", "any"]

NEARLY_AS_LARGE = 0.8
FACE_OF_CROP = 0.7
# Of 2,000 people's pictures in LFW the faces of 7 score lower. Turned upside down two in three are missed; in the
# rest the detector takes the mouth for eyes, and nine of ten score lower.
SURE_SCORE = 0.86
NOT_LOOKED_FOR = "no face was looked for: the picture was taken to be in the model's frame already"
ANOTHER_FACE = "another face is nearly as large as the one that was taken"
BEYOND_THE_EDGE = "the face reaches beyond the picture's edge"


@dataclass(frozen=True, kw_only=True)
class AnalysedFace:
    """One face: which it is, the largest being 0; in upright pixels of the file; and as the network sees it, uint8
    (H, W) or (H, W, 3).
    """

    index: int
    face: Face
    quality: Quality
    pixels: Pixels
    warnings: list[str]

    @property
    def usable(self) -> bool:
        """Whether it has enough pixels to be embedded."""
        return self.quality.inter_eye_px >= MIN_INTER_EYE_PX


@dataclass(frozen=True, kw_only=True)
class ImageAnalysis:
    """An image as the network sees it. The decoded picture is let go: it may take megabytes.

    `whole` is the picture as it is, where no face was looked for; else `faces` has the one that was taken, or with
    `all_faces` every one, of `faces_found`.
    """

    format: Format
    width_px: int
    height_px: int
    whole: Pixels | None = None
    faces: list[AnalysedFace]
    all_faces: bool = False
    faces_found: int | None = None
    warnings: list[str]
    face_s: float

    @property
    def pixels(self) -> Pixels:
        """Of the one face that was asked for, or of the whole picture."""
        return self.faces[0].pixels if self.whole is None else self.whole


class TooManyTogether(TooManyFaces):
    """More faces than a request may have, in all its images together."""


class FaceAllowance:
    """How many faces the images of one request may have. A decoder gets it as it is when its image begins."""

    def __init__(self, max_faces: int) -> None:
        self._max_faces = self._left = max_faces

    def require(self, faces: int) -> None:
        """Called before there is work on the faces of one image. Raises TooManyFaces if it has too many by itself,
        TooManyTogether if it has with those that were taken.
        """
        if faces > self._max_faces:
            raise TooManyFaces(f"there are {faces} faces, and a request may have {self._max_faces}; crop the picture")
        if faces > self._left:
            raise TooManyTogether(
                f"the images have more than the {self._max_faces} faces that a request may have; send fewer images"
            )

    def take(self, faces: int) -> None:
        """Takes those of one image. Raises as `require` does."""
        self.require(faces)
        self._left -= faces


def analyse(
    photo: Photo,
    choice: Choice,
    config: PreprocessingConfig,
    finder: FaceFinder | None = None,
    *,
    trained_on: QualityRanges | None = None,
    allowance: FaceAllowance | None = None,
) -> ImageAnalysis:
    """What the network sees of a decoded photo: the one way from pictures to crops, for requests and for training.

    Networks without an `alignment`, and `choice` "none", take the whole picture and need no `finder`. With "all" and
    "any" the `allowance` is asked before the faces are straightened. Raises FaceError.
    """
    started = time.perf_counter()
    whole: Pixels | None = None
    faces: list[AnalysedFace] = []
    found: list[Face] | None = None
    warnings: list[str] = []
    if config.alignment is None or choice == "none":
        whole = resize(photo, config)
        warnings = [NOT_LOOKED_FOR] if config.alignment else []
    else:
        assert finder
        chosen, found = _choose_faces(photo, choice, finder, allowance)
        crops = [align(photo, found[index], config, finder) for index in chosen]
        if choice not in ("all", "any"):
            require_size(crops[0].quality)
        faces = [_describe_face(*each, photo, config, trained_on) for each in zip(crops, chosen, strict=True)]
        if choice not in ("all", "any"):
            warnings = faces[0].warnings + _similar_faces(found, chosen[0])
    return ImageAnalysis(
        format=photo.format,
        width_px=photo.width_px,
        height_px=photo.height_px,
        whole=whole,
        faces=faces,
        all_faces=whole is None and choice in ("all", "any"),
        faces_found=None if found is None else len(found),
        warnings=warnings,
        face_s=time.perf_counter() - started,
    )


def _choose_faces(
    photo: Photo, choice: Choice, finder: FaceFinder, allowance: FaceAllowance | None
) -> tuple[list[int], list[Face]]:
    """The indices of the faces that are asked for, and all faces, the largest first."""
    found = find_faces(photo, finder, include_small=choice in ("only", "all", "any"))
    if choice in ("largest", "center", "only"):
        return [choose(found, choice, photo)], found
    if choice == "all":
        require_face(found)
    if allowance:
        allowance.require(len(found))
    return list(range(len(found))), found


def _describe_face(
    crop: Crop, index: int, photo: Photo, config: PreprocessingConfig, trained_on: QualityRanges | None
) -> AnalysedFace:
    assert config.alignment
    eyes = config.alignment.points(config.side_px, config.crop)[:2]
    warnings = warnings_of(crop.quality, trained_on, float(eyes[1, 0] - eyes[0, 0]))
    if _leaves_image(crop.face, photo, config.alignment.points(1, config.crop)):
        warnings.append(BEYOND_THE_EDGE)
    if not warnings and crop.face.score < SURE_SCORE:  # what else there is explains it
        warnings.append(f"the face has a score of {crop.face.score:.2f}: it may be covered, turned away or upside down")
    return AnalysedFace(index=index, face=crop.face, quality=crop.quality, pixels=crop.pixels, warnings=warnings)


def _leaves_image(face: Face, photo: Photo, template: Points) -> bool:
    """Whether the middle of what the network sees, where the face is, lies in part outside the picture."""
    margin = (1 - FACE_OF_CROP) / 2
    corners = np.array([[x, y] for x in (margin, 1 - margin) for y in (margin, 1 - margin)])
    placed = fit_similarity(template, face.landmarks)(corners)
    return bool((placed < 0).any() or (placed > [photo.width_px, photo.height_px]).any())


def _similar_faces(found: list[Face], taken: int) -> list[str]:
    least = NEARLY_AS_LARGE * found[taken].size_px
    return [ANOTHER_FACE] if any(face.size_px >= least for i, face in enumerate(found) if i != taken) else []
