"""Every way in which the network and the training fail, as one tree; the service's own errors are beside its settings.

FacepairError
├── ImageError                 a picture that cannot be used
│   ├── EmptyImage             no bytes at all
│   ├── UnsupportedImage       not JPEG, PNG or WebP
│   ├── UndecodableImage       one of these, but truncated or damaged
│   ├── ImageTooLarge          more pixels than the limit allows
│   ├── ImageTooSmall          a side shorter than the limit allows
│   └── FaceError              a picture whose face cannot be used
│       ├── NoFace             no face was found
│       ├── SeveralFaces       more than one, where only one may be
│       ├── TooManyFaces       more than a request may have
│       └── FaceTooSmall       too few pixels between the eyes
├── CheckpointError            a checkpoint that is damaged, foreign or not fit to serve
├── DetectorError              a face detector that is missing, damaged or not the one a checkpoint was made with
├── DeviceError                a device that was asked for and is not there
├── DeviceExhausted            a device without the memory for this pass; a smaller one may fit
├── DeviceLost                 a device that failed, and computes no more in this process
├── InferenceError             the network answered with numbers that are not finite
├── DataError                  training data that is missing or malformed
└── TrainingError              a run that cannot go on

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
