"""A call of each route, as both clients send it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from facepair_client.answers import BatchVerification, Comparison, Detection, Embeddings, Info, Verification

BYTES = bytes | bytearray | memoryview
# The bytes of a file, or its path.
Image = BYTES | str | PathLike[str]
Images = Image | Sequence[Image]
Embedding = Sequence[float] | str
Side = Embedding | Sequence[Embedding]
Names = Sequence[str] | Sequence[Sequence[str] | None]
FaceChoice = Literal["largest", "center", "only", "none"]
OnError = Literal["refuse", "report"]

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Call(Generic[AnswerT]):
    """A request: its method, its path, and what httpx sends with it. The answer is an AnswerT."""

    method: str
    path: str
    sent: dict[str, Any]


def verify(
    image1: Images,
    image2: Images,
    *,
    threshold: float | None = None,
    max_fmr: float | None = None,
    face: FaceChoice | None = None,
) -> Call[Verification]:
    """Whether two photographs show the same person; several of one side are averaged."""
    images = {"image1": image1, "image2": image2}
    return _upload("/v1/verify", images, threshold=threshold, max_fmr=max_fmr, face=face)


def verify_batch(
    image1: Images,
    image2: Images,
    *,
    threshold: float | None = None,
    max_fmr: float | None = None,
    face: FaceChoice | None = None,
) -> Call[BatchVerification]:
    """The same for several pairs: the images in the same place, or a side's only image with each of the other."""
    images = {"image1": image1, "image2": image2}
    return _upload("/v1/verify/batch", images, threshold=threshold, max_fmr=max_fmr, face=face)


def embed(
    images: Images,
    *,
    face: FaceChoice | Literal["all"] | None = None,
    encoding_format: Literal["float", "base64"] | None = None,
    on_error: OnError | None = None,
) -> Call[Embeddings]:
    """The embeddings of images, to be stored."""
    return _upload("/v1/embed", {"image": images}, face=face, encoding_format=encoding_format, on_error=on_error)


def detect(
    images: Images, *, crops: Literal["png", "none"] | None = None, on_error: OnError | None = None
) -> Call[Detection]:
    """Every face of images; with `crops="png"` also what the network sees of each."""
    return _upload("/v1/detect", {"image": images}, crops=crops, on_error=on_error)


def compare(
    embedding1: Side,
    embedding2: Side,
    *,
    embedding_sha256: str,
    conditions1: Names | None = None,
    conditions2: Names | None = None,
    threshold: float | None = None,
    max_fmr: float | None = None,
) -> Call[Comparison]:
    """Whether stored embeddings are of the same person; several of one side are averaged."""
    body = {
        "embedding1": _as_list(embedding1),
        "embedding2": _as_list(embedding2),
        "embedding_sha256": embedding_sha256,
        "conditions1": conditions1,
        "conditions2": conditions2,
        "threshold": threshold,
        "max_fmr": max_fmr,
    }
    return Call("POST", "/v1/compare", {"json": {name: value for name, value in body.items() if value is not None}})


def info() -> Call[Info]:
    """The model that is served, and the limits of a request."""
    return Call("GET", "/v1/info", {})


def _upload(path: str, images: Mapping[str, Images], **fields: str | float | None) -> Call[Any]:
    """A multipart form of images and of the fields that are not None."""
    files = [(name, ("image", _read(image))) for name, some in images.items() for image in _as_images(some)]
    data = {name: str(value) for name, value in fields.items() if value is not None}
    return Call("POST", path, {"files": files, "data": data})


def _as_images(images: Images) -> list[Image]:
    """Raises TypeError for what is no image, and ValueError if there are none."""
    some: list[Any] = list(images) if isinstance(images, Sequence) and not isinstance(images, BYTES | str) else [images]
    if not some:
        raise ValueError("there are no images")
    for each in some:
        if not isinstance(each, BYTES | str | PathLike):
            raise TypeError(f"an image is a path or bytes, not {type(each).__name__}; several are a list")
    return some


def _read(image: Image) -> bytes:
    return bytes(image) if isinstance(image, BYTES) else Path(image).read_bytes()


def _as_list(side: Any) -> Any:
    """Arrays and tuples as lists, which JSON has; base64 as it is."""
    if isinstance(side, str):
        return side
    return [_as_list(each) if hasattr(each, "__len__") else float(each) for each in side]
