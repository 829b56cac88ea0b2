"""Which conditions the picture of a face is in, such as blur, bad light or glasses, by its crop and its landmarks.

F features
"""

from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from model.arrays import Features
from model.imaging.preprocessing import PreprocessingConfig

# The number of features of a crop, which `imaging.crop_features` makes; version 1 had the first of them.
FEATURES = {"grey": 359, "rgb": 402}
FEATURES_1 = {"grey": 321, "rgb": 364}
# The detector hardly recognises a face. This condition is found by its score alone.
UNCERTAIN_FACE = "uncertain_face"
# Of the faces of 2,000 people in LFW, 7 score lower.
RELIABLE_SCORE = 0.86
# The words for a person. `imaging.quality` and `imaging.analysis` have words for blur, darkness and what is cut off.
WARNINGS = {
    "backlit": "the light comes from behind the face; turn towards the light",
    "covered_eyes": "the eyes are covered, perhaps by dark glasses; send an image without them",
    "covered_mouth": "the mouth is covered, perhaps by a mask; send an image without it",
    "noisy": "the image is noisy; take it in better light",
    "not_photograph": "the image looks like a drawing; the network has learned from photographs only",
    "one_sided_light": "the light comes from one side; take the image in even light",
    "overexposed": "the face is overexposed; take the image with less light",
}


class ConditionDetector(BaseModel):
    """A linear function of a crop's features: the picture is in the condition where it is above 0.

    It is above 0 for the share `flagged` of the unchanged photographs of held-out people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    condition: str
    weights: tuple[float, ...]
    bias: float
    flagged: float


class ConditionDetectors(BaseModel):
    """What finds a picture's conditions, as a checkpoint stores it.

    `features` is the version of `imaging.crop_features`; a change that gives other numbers for photographs like
    LFW's must raise it. Detectors of version 1 weigh the first features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: Literal[1, 2] = 2
    detectors: tuple[ConditionDetector, ...]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len({len(each.weights) for each in self.detectors}) > 1:
            raise ValueError("the detectors of conditions need one weight for each feature")
        return self

    def suit(self, config: PreprocessingConfig) -> bool:
        """Whether crops of this kind have the features that the detectors weigh."""
        wanted = (FEATURES_1 if self.features == 1 else FEATURES)[config.colour]
        return config.alignment is not None and all(len(each.weights) == wanted for each in self.detectors)

    def find(self, features: Features, score: float) -> list[str]:
        """The conditions, sorted, of a face with these features (F,) and this score of the face detector."""
        names = {each.condition for each, value in zip(self.detectors, self.values(features), strict=True) if value > 0}
        return sorted(names | {UNCERTAIN_FACE} if score < RELIABLE_SCORE else names)

    def values(self, features: Features) -> NDArray[np.float64]:
        """float32 (..., F) -> float64 (..., number of detectors)."""
        return np.asarray(features[..., : self._weights.shape[1]] @ self._weights.T + self._biases)

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        return np.array([each.weights for each in self.detectors], np.float64)

    @cached_property
    def _biases(self) -> NDArray[np.float64]:
        return np.array([each.bias for each in self.detectors], np.float64)
