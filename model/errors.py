"""The exceptions of model/ and training/, as one tree. The service's own exceptions are in app/.

FacepairError
├── ImageError
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
├── DataError
└── TrainingError

A message is one line that says what is wrong and, if the reader can act on it, what to do.
It never contains pixels, embeddings or the name of an uploaded file.
"""

# Here, so that every runtime can say it without loading another.
MSG_DEVICE_EXHAUSTED = "the device is short of memory at the moment; try again later, or send fewer images at once"
MSG_DEVICE_LOST = "the device failed and this replica is shutting down; send the request to another replica"


class FacepairError(Exception):
    """The root of the tree."""


class ImageError(FacepairError):
    """An image cannot be used."""


class EmptyImage(ImageError):
    """The image has no bytes."""


class UnsupportedImage(ImageError):
    """The first bytes are not those of a supported format."""


class UndecodableImage(ImageError):
    """The format is supported, but the data cannot be decoded."""


class ImageTooLarge(ImageError):
    """The image has more pixels than allowed."""


class ImageTooSmall(ImageError):
    """A side of the image is shorter than allowed."""


class ImageTooDemanding(ImageError):
    """Decoding the image takes more memory than allowed."""


class FaceError(ImageError):
    """The faces of an image cannot be used."""


class NoFace(FaceError):
    """No face was found."""


class SeveralFaces(FaceError):
    """More than one face was found where only one is allowed."""


class TooManyFaces(FaceError):
    """The images have more faces than a request may have."""


class FaceTooSmall(FaceError):
    """The face has too few pixels between the eyes."""


class CheckpointError(FacepairError):
    """A checkpoint is missing, damaged, of another format or not fit to serve."""


class DetectorError(FacepairError):
    """The face detector is missing, damaged, or not the one that a checkpoint was made with."""


class DeviceError(FacepairError):
    """The requested device is unknown or not available."""


class DeviceExhausted(FacepairError):
    """The device has too little memory for this pass; a smaller batch may fit."""


class DeviceLost(FacepairError):
    """The device failed and cannot be used again in this process."""


class InferenceError(FacepairError):
    """The network returned values that are not finite."""


class DataError(FacepairError):
    """Training data is missing or malformed."""


class TrainingError(FacepairError):
    """A training run cannot continue."""
