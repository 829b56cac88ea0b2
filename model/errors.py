"""The exceptions of model/ and training/, as one tree. The service's own exceptions are in app/.

FacepairError
├── ImageError
│   ├── UnreadableFile
│   ├── FileTooLarge
│   ├── EmptyImage
│   ├── UnsupportedImage
│   ├── UndecodableImage
│   ├── ImageTooLarge
│   ├── ImageTooSmall
│   ├── ImageTooDemanding
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
├── RuleError
├── DataError
└── TrainingError

A message is one line that says what is wrong and, if the reader can act on it, what to do.
It never contains pixels, embeddings or the name of an uploaded file. The `code` of an error is what answers of the
service and tables of the bulk commands call it by.
"""

from typing import ClassVar

# Here, so that every runtime can say it without loading another.
MSG_DEVICE_EXHAUSTED = "the device is short of memory at the moment; try again later, or send fewer images at once"
MSG_DEVICE_LOST = "the device failed and this replica is shutting down; send the request to another replica"


class FacepairError(Exception):
    """The root of the tree."""

    code: ClassVar[str] = "internal_error"


class ImageError(FacepairError):
    """An image cannot be used."""


class UnreadableFile(ImageError):
    """A file of bulk work is missing, no plain file, or cannot be read."""

    code = "unreadable_file"


class FileTooLarge(ImageError):
    """A file of bulk work has more bytes than the service takes."""

    code = "too_many_bytes"


class EmptyImage(ImageError):
    """The image has no bytes."""

    code = "empty_image"


class UnsupportedImage(ImageError):
    """The first bytes are not those of a supported format."""

    code = "unsupported_image"


class UndecodableImage(ImageError):
    """The format is supported, but the data cannot be decoded."""

    code = "undecodable_image"


class ImageTooLarge(ImageError):
    """The image has more pixels than allowed."""

    code = "too_many_pixels"


class ImageTooSmall(ImageError):
    """A side of the image is shorter than allowed."""

    code = "image_too_small"


class ImageTooDemanding(ImageError):
    """Decoding the image takes more memory than allowed."""

    code = "too_much_memory"


class FaceError(ImageError):
    """The faces of an image cannot be used."""


class NoFace(FaceError):
    """No face was found."""

    code = "no_face"


class SeveralFaces(FaceError):
    """More than one face was found where only one is allowed."""

    code = "several_faces"


class TooManyFaces(FaceError):
    """The images have more faces than a request may have."""

    code = "too_many_faces"


class FaceTooSmall(FaceError):
    """The face has too few pixels between the eyes."""

    code = "face_too_small"


class CheckpointError(FacepairError):
    """A checkpoint is missing, damaged, of another format or not fit to serve."""


class DetectorError(FacepairError):
    """The face detector is missing, damaged, or not the one that a checkpoint was made with."""


class DeviceError(FacepairError):
    """The requested device is unknown or not available."""


class DeviceExhausted(FacepairError):
    """The device has too little memory for this pass; a smaller batch may fit."""

    code = "out_of_memory"


class DeviceLost(FacepairError):
    """The device failed and cannot be used again in this process."""

    code = "device_lost"


class InferenceError(FacepairError):
    """The network returned values that are not finite."""


class RuleError(FacepairError):
    """No such rule can decide about pairs."""


class DataError(FacepairError):
    """Training data is missing or malformed."""


class TrainingError(FacepairError):
    """A training run cannot continue."""
