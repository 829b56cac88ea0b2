"""facepair's own verifier, as the peers that serve it load it: bytes to crops to similarities, on one thread."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.arrays import Embeddings, Pixels
from model.checkpoint import load
from model.imaging.analysis import analyse
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from model.similarity import decide
from model.verifier import Verifier

CropPair = tuple[Pixels, Pixels]
Answer = dict[str, float | str]


class SameVerifier:
    """A checkpoint's verifier on the CPU, with its decoding and its face detector."""

    def __init__(self, weights: str) -> None:
        checkpoint = load(Path(weights))
        self._preprocessing = checkpoint.header.preprocessing
        self._finder = FaceFinder() if self._preprocessing.alignment else None
        self.threshold = checkpoint.header.threshold.value
        self._verifier = Verifier.of(checkpoint, "cpu")

    def crop(self, image: bytes) -> Pixels:
        """The crop of the largest face of an image file. Raises ImageError."""
        photo = decode(image, self._preprocessing)
        return analyse(photo, "largest", self._preprocessing, self._finder).pixels

    def describe(self, image: bytes) -> Embeddings:
        """The embedding (D,) of the largest face of an image file, for any number of threads. Raises ImageError."""
        embedding: Embeddings = self._verifier.embed(self.crop(image)[None])[0]
        return embedding

    def similarity(self, left: Embeddings, right: Embeddings) -> float:
        """Of two embeddings (D,)."""
        return float(self._verifier.compare(left[None], right[None])[0])

    def answer(self, pairs: Sequence[CropPair]) -> list[Answer]:
        """The answers to several requests, from one pass of the network."""
        lefts, rights = zip(*pairs, strict=True)
        embeddings = self._verifier.embed(np.stack([*lefts, *rights]))
        similarities = self._verifier.compare(embeddings[: len(pairs)], embeddings[len(pairs) :]).tolist()
        return [{"similarity": each, "decision": decide(each, self.threshold)} for each in similarities]
