"""Checkpoints: a network's tensors, and a header with everything needed to use and to judge them.

A checkpoint is one safetensors file. Its metadata has one entry, `facepair`: the JSON of `Header`. Kernels and matrices
are stored in half precision, vectors (biases, batch normalisation) in single precision. The graph of a network from
elsewhere is stored as its bytes. Loading executes no code.

This module needs only NumPy; `networks.architecture` converts between checkpoints and networks.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from model.arrays import Array, Tensors
from model.conditions import ConditionRates
from model.errors import CheckpointError
from model.files import replacing
from model.imaging.conditions import ConditionDetectors
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import QualityRanges
from model.networks.configurations import GRAPH, AnyNetworkConfig
from model.similarity import Calibration, FalseMatchCurve, Metric, OperatingPoint, Threshold

METADATA_KEY = "facepair"


class ChangedValue(BaseModel):
    """A value of a run that is not its experiment's: the field's dotted name, and both values as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    named: str
    value: str


class Changes(BaseModel):
    """How a run differs from the experiment of that name, besides its own name and its seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    values: tuple[ChangedValue, ...]

    def __str__(self) -> str:
        values = ", ".join(f"{each.field} {each.value} (not {each.named})" for each in self.values)
        return f"{self.experiment} with {values}"


class Provenance(BaseModel):
    """Where a checkpoint comes from.

    `data_sha256` covers the prepared crops, `pairs_sha256` the training and validation pairs. `code_version` is the
    code at the start of the run, `resumed_with` the code that went on with it, and `measured_with` the code that chose
    the threshold and measured. `torch_version` has every version that trained, in the order of use; `threads` of the
    CPU did. `changes` is how the run differs from the experiment that it varies. A network from elsewhere has
    `source` and `license`, in the words of whoever imported it, and no seed and epochs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    experiment: str
    seed: int
    epochs: int
    data_sha256: str
    pairs_sha256: str = ""
    validation_pairs_sharing_people: int | None = None
    code_version: str
    measured_with: str = ""
    torch_version: str
    created_utc: str
    resumed_with: tuple[str, ...] = Field(default=(), exclude_if=lambda versions: not versions)
    threads: int | None = Field(default=None, exclude_if=lambda threads: threads is None)
    changes: Changes | None = Field(default=None, exclude_if=lambda changes: changes is None)
    source: str = Field(default="", exclude_if=lambda text: not text)
    license: str = Field(default="", exclude_if=lambda text: not text)


class Description(BaseModel):
    """What a training run records about the network that it saves.

    `canary_photo_sha256` is what `imaging.canary` gave with the libraries of the training run. Fields added since the
    first checkpoints are omitted at their defaults, so that older digests stay valid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    network: AnyNetworkConfig
    preprocessing: PreprocessingConfig
    calibration: Calibration = Field(default=Calibration(), exclude_if=lambda each: each == Calibration())
    threshold: Threshold
    trained_on: QualityRanges | None = Field(default=None, exclude_if=lambda ranges: ranges is None)
    operating_points: tuple[OperatingPoint, ...] = Field(default=(), exclude_if=lambda points: not points)
    false_match_curve: FalseMatchCurve | None = Field(default=None, exclude_if=lambda curve: curve is None)
    conditions: ConditionDetectors | None = Field(default=None, exclude_if=lambda detectors: detectors is None)
    condition_rates: tuple[ConditionRates, ...] = Field(default=(), exclude_if=lambda rates: not rates)
    metrics: tuple[Metric, ...] = ()
    canary_photo_sha256: str = Field(default="", exclude_if=lambda digest: not digest)
    provenance: Provenance

    @property
    def rates_hold_for(self) -> str:
        """For which photographs the thresholds and rates hold, in words."""
        if self.calibration.made_on:
            return f"photographs like those of the calibration ({self.calibration.made_on})"
        return "photographs like the training data's; calibrate with your own for others"

    @model_validator(mode="after")
    def _check_inputs(self) -> Self:
        if self.network.input_shape != self.preprocessing.input_shape:
            raise ValueError("the network and the preprocessing disagree on side_px or colour")
        return self

    @model_validator(mode="after")
    def _check_conditions(self) -> Self:
        if self.conditions and not self.conditions.suit(self.preprocessing):
            raise ValueError("the conditions need aligned faces, and a weight for each feature of a crop")
        if len(self.network.unit_parts) < 2 and any(each.likeness is not None for each in self.condition_rates):
            raise ValueError("the rates of pictures that are alike need embeddings with thumbnails")
        return self

    @model_validator(mode="after")
    def _check_mean(self) -> Self:
        network, mean = self.network, self.calibration.mean
        if mean and (not network.unit_length or len(mean) != network.dimension):
            raise ValueError("the calibration's mean needs embeddings of length 1 and as many values as they have")
        if self.calibration.unit_parts not in ((), network.unit_parts):
            raise ValueError("the calibration's unit_parts are not those of the network")
        return self


class Header(Description):
    """A description as stored, with the canary pair's similarity, before the calibration, and the two digests."""

    format: Literal["facepair-checkpoint-1"] = "facepair-checkpoint-1"
    canary_similarity: float
    embedding_sha256: str
    """Covers what embeddings depend on: tensors, architecture, preprocessing."""
    checkpoint_sha256: str = ""
    """Covers everything, including the calibration, thresholds and metrics."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified header and the network's tensors as stored."""

    header: Header
    tensors: Tensors


def save(path: Path, tensors: Tensors, description: Description, *, canary_similarity: float) -> Header:
    """Writes a checkpoint atomically and returns its header.

    Raises CheckpointError if a tensor or the similarity is not finite, or if the file cannot be written.
    """
    require_finite(tensors)
    if not math.isfinite(canary_similarity):
        raise CheckpointError("the canary pair's similarity is not finite; the network cannot be used")
    header = Header(
        **dict(description),
        canary_similarity=canary_similarity,
        embedding_sha256=_embedding_digest(description, tensors),
    )
    header = header.model_copy(update={"checkpoint_sha256": _checkpoint_digest(header)})
    try:
        with replacing(path) as partial:
            save_file(dict(tensors), partial, metadata={METADATA_KEY: header.model_dump_json()})
            partial.chmod(0o644)  # safetensors writes private files, but a container reads this one as another user
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be saved: {error}") from error
    return header


def load(path: Path) -> Checkpoint:
    """Reads and verifies a checkpoint. Raises CheckpointError if it is missing, damaged, edited or another format."""
    header, tensors = _read(path)
    _check_tensors(path, header, tensors)
    try:
        require_finite(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; take another checkpoint") from error
    if _embedding_digest(header, tensors) != header.embedding_sha256:
        raise CheckpointError(f"{path}: the tensors do not match their digest; the file is damaged or was edited")
    if _checkpoint_digest(header) != header.checkpoint_sha256:
        raise CheckpointError(f"{path}: the header does not match its digest; the file is damaged or was edited")
    return Checkpoint(header=header, tensors=tensors)


def require_finite(tensors: Tensors) -> None:
    """Raises CheckpointError if a value is not finite."""
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"tensor {name} has values that are not finite")


def _read(path: Path) -> tuple[Header, dict[str, Array]]:
    try:
        path.open("rb").close()  # safetensors reports an unreadable file as missing
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: the file does not exist") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            # Copied, because mapped tensors change with the file and crash the process when it is truncated.
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, TypeError, AttributeError) as error:  # the last two: types that NumPy lacks
        raise CheckpointError(f"{path}: not a safetensors file, or truncated or damaged") from error
    if text is None:
        raise CheckpointError(f"{path}: a safetensors file, but not a facepair checkpoint")
    try:
        return Header.model_validate_json(text), tensors
    except ValidationError as error:
        first = error.errors()[0]
        where = ascii(".".join(map(str, first["loc"])) or "the whole")
        raise CheckpointError(f"{path}: the header does not fit this version: {where}: {first['msg']}") from error


def _check_tensors(path: Path, header: Header, tensors: Tensors) -> None:
    """Raises CheckpointError unless the file has exactly the network's tensors, with their shapes and types."""
    expected = header.network.tensor_shapes()
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise CheckpointError(f"{path}: tensor {name!r} is {'missing' if name in expected else 'not of this network'}")
    for name, tensor in tensors.items():
        if (tensor.shape, tensor.dtype) != (expected[name], _storage_dtype(name, expected[name])):
            raise CheckpointError(f"{path}: tensor {name} has the wrong shape or type")


def _storage_dtype(name: str, shape: tuple[int, ...]) -> np.dtype[Any]:
    """Half precision for kernels and matrices, single for vectors, int64 for batch normalisation's counters."""
    if name == GRAPH:
        return np.dtype(np.uint8)
    if not shape:
        return np.dtype(np.int64)
    return np.dtype(np.float16 if len(shape) >= 2 else np.float32)


def _embedding_digest(description: Description, tensors: Tensors) -> str:
    digest = hashlib.sha256(_canonical(description.model_dump(mode="json", include={"network", "preprocessing"})))
    for name in sorted(tensors):
        tensor = tensors[name]
        # PyTorch's names of types, as in the digests of the first checkpoints
        digest.update(_canonical([name, f"torch.{tensor.dtype}", list(tensor.shape)]))
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _checkpoint_digest(header: Header) -> str:
    """Covers the tensors too, since the header contains their digest."""
    return hashlib.sha256(_canonical(header.model_dump(mode="json", exclude={"checkpoint_sha256"}))).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
