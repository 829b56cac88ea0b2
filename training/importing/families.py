"""What families of face networks from elsewhere need, and where each value was read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, inf, isfinite
from typing import Literal

import numpy as np

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import OnnxConfig
from model.onnx.trial import GraphInput, Trial
from training.learning.experiments import LEARNED_ALIGNMENT, LFW_ALIGNMENT

Template = tuple[tuple[float, float], ...]

# How grey levels x of 0 to 255 reach a network, as the mean and deviation of x / 255; None is per picture.
VALUES: dict[str, tuple[float, float] | None] = {
    "centred": (0.5, 0.5),  # (x - 127.5) / 127.5
    "centred-128": (0.5, 128 / 255),  # (x - 127.5) / 128
    "levels": (0.0, 1 / 255),  # x
    "unit": (0.0, 1.0),  # x / 255
    "standardised": None,
}
# The five points of InsightFace's `face_align.arcface_dst`, in a picture of 112 pixels.
ARCFACE_POINTS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
ARCFACE = tuple((x / 112, y / 112) for x, y in ARCFACE_POINTS)
# dlib's `get_face_chip_details` for 68 points with its padding of 0.25: the mean of each eye's six points, the tip of
# the nose, and the corners of the mouth.
DLIB_POINTS = ((0.2255, 0.2160), (0.7547, 0.2160), (0.4901, 0.5156), (0.2541, 0.7802), (0.7261, 0.7802))
DLIB = tuple(((x + 0.25) / 1.5, (y + 0.25) / 1.5) for x, y in DLIB_POINTS)
# The detector's boxes of 150 training people of LFW, widened by 32 pixels as FaceNet's `align_dataset_mtcnn` does, as
# squares of the same area, made symmetric. FaceNet's own crops stretch the box to a square.
FACENET = ((0.342, 0.387), (0.658, 0.387), (0.5, 0.558), (0.369, 0.697), (0.631, 0.697))
# Where the eyes stand in the frame that landmarks are refined in.
FRAME_INTER_EYE = LFW_ALIGNMENT.template[1][0] - LFW_ALIGNMENT.template[0][0]
DRAFT_MARGIN = 10


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a network is said to need. The template's points are shares of the crop's side; `zoom` 1.1 shows more.

    `source` says where the values were read.
    """

    family: str
    side_px: int
    template: Template
    order: Literal["rgb", "bgr"] = "rgb"
    values: tuple[float, float] | None
    zoom: float = 1.0
    flip_average: bool = False
    unit_length: bool = True
    source: str

    @property
    def frame(self) -> float:
        """Which share of the side of the frame, in which landmarks are refined, the template's crop shows."""
        eyes = np.array(self.template[1]) - self.template[0]
        return float(FRAME_INTER_EYE / np.hypot(*eyes))

    @property
    def crop(self) -> float:
        """The share that the network's crop shows."""
        return round(self.frame * self.zoom, 6)

    def preprocessing(self, entry: GraphInput) -> PreprocessingConfig:
        """How crops are made for this network. Raises DataError if they would show more than the frame."""
        frame, crop = self.frame, self.crop
        if not crop > 0:
            raise DataError(f"--zoom is above 0, about 1, and not {self.zoom:g}")
        if crop > 1:
            raise DataError(self._beyond_frame())
        placed = tuple((round((x - 0.5) * frame + 0.5, 6), round((y - 0.5) * frame + 0.5, 6)) for x, y in self.template)
        mean, std = self.values or (0.5, 0.5)
        return PreprocessingConfig(
            side_px=self.side_px,
            colour="rgb" if entry.channels == 3 else "grey",
            mean=mean,
            std=std,
            draft_margin=DRAFT_MARGIN,
            crop=crop,
            standardised=self.values is None,
            alignment=LEARNED_ALIGNMENT.model_copy(update={"template": placed}),
        )

    def _beyond_frame(self) -> str:
        """Which option is to blame for a crop that shows more than the frame in which landmarks are refined."""
        if self.frame <= 1:
            return (
                f"a zoom of {self.zoom:g} shows {self.crop:.2f} of the frame's side; at most 1 is possible, which is a "
                f"--zoom of {floor(100 / self.frame) / 100:.2f} with this template"
            )
        apart_px = self.side_px * FRAME_INTER_EYE / self.frame
        return (
            f"the template's eyes are {apart_px:.1f} pixels apart in a crop of {self.side_px}; at least "
            f"{ceil(10 * apart_px * self.crop) / 10:.1f} are possible: correct --template, or lower --zoom"
        )

    def network(self, trial: Trial, graph_bytes: int) -> OnnxConfig:
        """The configuration of the checkpoint's network."""
        return OnnxConfig(
            family=self.family,
            side_px=self.side_px,
            input_channels=trial.input.channels,
            layout=trial.input.layout,
            channel_order=self.order,
            batch=trial.batch,
            cpu_runtime=trial.runtime,
            output=trial.output,
            dimension=trial.dimension,
            flip_average=self.flip_average,
            unit_length=self.unit_length,
            graph_bytes=graph_bytes,
        )


_ARCFACE = Declaration(
    family="arcface",
    side_px=112,
    template=ARCFACE,
    values=VALUES["centred"],
    source="insightface, model_zoo/arcface_onnx.py and utils/face_align.py",
)
FAMILIES = {
    each.family: each
    for each in (
        _ARCFACE,
        replace(
            _ARCFACE,
            family="mobilefacenet",
            values=VALUES["centred-128"],
            source="Chen et al. 2018, MobileFaceNets; the points of insightface, utils/face_align.py",
        ),
        replace(
            _ARCFACE,
            family="sface",
            values=VALUES["levels"],
            source="OpenCV, objdetect/src/face_recognize.cpp: blobFromImage with swapRB, so red is first",
        ),
        replace(
            _ARCFACE,
            family="adaface",
            order="bgr",
            unit_length=False,
            source="AdaFace, inference.py (to_input); the length says how good the picture is",
        ),
        replace(
            _ARCFACE,
            family="magface",
            order="bgr",
            values=VALUES["unit"],
            unit_length=False,
            source="MagFace, inference/gen_feat.py; the length says how good the picture is",
        ),
        replace(_ARCFACE, family="edgeface", source="EdgeFace, README (Normalize 0.5, 0.5)"),
        replace(
            _ARCFACE,
            family="ghostfacenet",
            values=VALUES["centred-128"],
            source="GhostFaceNets, evals.py ((x - 127.5) * 0.0078125)",
        ),
        Declaration(
            family="facenet",
            side_px=160,
            template=FACENET,
            values=VALUES["centred-128"],
            source="davidsandberg/facenet, align_dataset_mtcnn.py with a margin of 32; the points are an approximation",
        ),
        Declaration(
            family="dlib",
            side_px=150,
            template=DLIB,
            values=VALUES["levels"],
            source="dlib, image_transforms/interpolation.h (get_face_chip_details) and dnn/input.h",
        ),
    )
}
# Families whose files often normalise the crops themselves, as InsightFace tells them.
MAY_NORMALISE = {"arcface", "mobilefacenet"}
CUSTOM = "custom"


def points_of(numbers: Sequence[float], side_px: int) -> Template:
    """Ten numbers x, y in pixels of the crop -> a template.

    Raises DataError unless they are the points of an upright face in the crop.
    """
    if len(numbers) != 10:
        raise DataError("a template has ten numbers: x and y of both eyes, the nose and the corners of the mouth")
    points = np.array(numbers).reshape(5, 2)
    if not ((points >= 0) & (points <= side_px)).all():  # a NaN is nowhere
        raise DataError(f"--template: a point is outside the crop; give x and y in pixels from 0 to {side_px}")
    eyes, nose, mouth = points[:2], points[2], points[3:]
    if min(np.diff(eyes[:, 0]), np.diff(mouth[:, 0])) <= 0 or not eyes[:, 1].mean() < nose[1] < mouth[:, 1].mean():
        raise DataError(
            "--template: these are not the points of an upright face; give x and y of the eyes from left to right in "
            "the picture, of the nose below them, and of the corners of the mouth from left to right below it"
        )
    if points.max() <= 1:
        raise DataError(f"--template: these are shares of the crop's side; multiply them by {side_px} to give pixels")
    return tuple((float(x) / side_px, float(y) / side_px) for x, y in points)


def values_of(text: str) -> tuple[float, float] | None:
    """A name of VALUES, or MEAN/DEVIATION in grey levels -> the mean and deviation of x / 255. Raises DataError."""
    if text in VALUES:
        return VALUES[text]
    try:
        mean, deviation = map(float, text.split("/"))
        if 0 < deviation < inf and isfinite(mean):
            return mean / 255, deviation / 255
    except ValueError:
        pass
    raise DataError(f"unknown values {text!r}; use {', '.join(VALUES)}, or MEAN/DEVIATION such as 127.5/128")


def describe_values(values: tuple[float, float] | None) -> str:
    """The name of VALUES, or the mean and deviation in grey levels."""
    for name, known in VALUES.items():
        if values == known:
            return name
    assert values
    return f"{255 * values[0]:g}/{255 * values[1]:g}"
