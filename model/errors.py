"""Every way in which the network and the training fail, as one tree; the service's own errors are beside its settings.

FacepairError
├── ImageError
│   ├── EmptyImage
│   ├── UnsupportedImage
│   ├── UndecodableImage
│   ├── ImageTooLarge
│   ├── ImageTooSmall
│   └── FaceError
│       ├── NoFace
│       ├── SeveralFaces
│       ├── TooManyFaces
│       └── FaceTooSmall
├── CheckpointError
├── DetectorError
├── DeviceError
├── DeviceExhausted
├── DeviceLost
├── InferenceError
├── DataError
└── TrainingError

A message is one line. It says what is wrong and, where somebody can act on it, what to do.
It never contains pixels, embeddings or the name of an uploaded file.
"""


class FacepairError(Exception):
    """The root of the tree."""


class ImageError(FacepairError):
    """A picture that cannot be used."""


class EmptyImage(ImageError):
    """No bytes at all."""


class UnsupportedImage(ImageError):
    """The bytes do not begin like any format that is taken."""


class UndecodableImage(ImageError):
    """The bytes begin like an image, and cannot be decoded as one."""


class ImageTooLarge(ImageError):
    """More pixels than the limit allows."""


class ImageTooSmall(ImageError):
    """A side shorter than the limit allows."""


class FaceError(ImageError):
    """A picture whose face cannot be used."""


class NoFace(FaceError):
    """No face was found."""


class SeveralFaces(FaceError):
    """More than one face, where only one may be."""


class TooManyFaces(FaceError):
    """More faces than a request may have."""


class FaceTooSmall(FaceError):
    """Too few pixels between the eyes."""


class CheckpointError(FacepairError):
    """A checkpoint that is damaged, foreign or not fit to serve."""


class DetectorError(FacepairError):
    """A face detector that is missing, damaged, or not the one that a checkpoint was made with."""


class DeviceError(FacepairError):
    """A device that was asked for and is not there."""


class DeviceExhausted(FacepairError):
    """A device without the memory for this pass; a smaller one may fit."""


class DeviceLost(FacepairError):
    """A device that failed, and computes no more in this process."""


class InferenceError(FacepairError):
    """The network answered with numbers that are not finite."""


class DataError(FacepairError):
    """Training data that is missing or malformed."""


class TrainingError(FacepairError):
    """A training run that cannot go on."""
