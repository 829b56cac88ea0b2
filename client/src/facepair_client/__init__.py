"""A client of facepair, synchronous and asynchronous."""

from facepair_client.answers import (
    BatchVerification,
    Comparison,
    Decided,
    Detection,
    EmbeddedFace,
    Embeddings,
    Face,
    ImageReport,
    Info,
    Pair,
    Problem,
    Verification,
)
from facepair_client.client import AsyncFacepair, Facepair
from facepair_client.errors import ServiceError
from facepair_client.retries import Retries

__all__ = [
    "AsyncFacepair",
    "BatchVerification",
    "Comparison",
    "Decided",
    "Detection",
    "EmbeddedFace",
    "Embeddings",
    "Face",
    "Facepair",
    "ImageReport",
    "Info",
    "Pair",
    "Problem",
    "Retries",
    "ServiceError",
    "Verification",
]
