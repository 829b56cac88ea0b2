"""A checkpoint: the network's tensors and, in the header, all that is needed to use and to judge them.

One safetensors file; its metadata has one entry, `facepair`, with the JSON of `Header`. Kernels and matrices
are stored in half precision, vectors (biases, batch normalisation) in single. Nothing in it can execute.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.canary import canary_embeddings, canary_similarity
from model.errors import CheckpointError
from model.files import replacing
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import QualityRanges
from model.networks.architecture import AnyNetworkConfig, FaceNetwork, build
from model.networks.residual import ResidualConfig
from model.networks.siamese import NetworkConfig
from model.similarity import FalseMatchCurve, OperatingPoint, Threshold, similarity

METADATA_KEY = "facepair"


class Metric(BaseModel):
    """One measured figure, with how many pairs it rests on and its 95% interval where it has one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    split: str
    value: float
    pairs: int
    interval: tuple[float, float] | None = None


class Provenance(BaseModel):
    """Where a checkpoint comes from.

    `data_sha256` is over the prepared pictures, `pairs_sha256` over the pairs of training and of validation.
    `code_version` is the code that the run began with, `measured_with` the code that chose the threshold and measured.
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


class Description(BaseModel):
    """What a training run says of its network when it saves it.

    Fields that the first checkpoints lacked are left out at their defaults, so that older digests hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    network: AnyNetworkConfig
    preprocessing: PreprocessingConfig
    threshold: Threshold
    trained_on: QualityRanges | None = Field(default=None, exclude_if=lambda ranges: ranges is None)
    operating_points: tuple[OperatingPoint, ...] = Field(default=(), exclude_if=lambda points: not points)
    false_match_curve: FalseMatchCurve | None = Field(default=None, exclude_if=lambda curve: curve is None)
    metrics: tuple[Metric, ...] = ()
    provenance: Provenance

    @model_validator(mode="after")
    def _inputs_agree(self) -> Self:
        if self.network.input_shape != self.preprocessing.input_shape:
            raise ValueError("the network and the preprocessing disagree on side_px or colour")
        return self


class Header(Description):
    """A description as stored: with the canary's score and the two digests."""

    format: Literal["facepair-checkpoint-1"] = "facepair-checkpoint-1"
    canary_similarity: float
    embedding_sha256: str
    """Over all that an embedding and its comparison depend on: tensors, architecture, preprocessing."""
    checkpoint_sha256: str = ""
    """Over everything, thresholds included."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified header and its network: float32, on the CPU, in evaluation mode."""

    header: Header
    network: FaceNetwork


@torch.no_grad()
def round_to_storage(network: FaceNetwork) -> None:
    """Rounds the weights, in place, to what a checkpoint stores; measure after this, and save loses nothing more."""
    for tensor in network.state_dict().values():
        tensor.copy_(tensor.to(_storage_dtype(tensor)))


def save(path: Path, network: FaceNetwork, description: Description) -> Header:
    """Writes a checkpoint atomically and returns its header. Raises CheckpointError if it is not fit to serve."""
    tensors = {name: tensor.detach().cpu().to(_storage_dtype(tensor)).contiguous()
               for name, tensor in network.state_dict().items()}  # fmt: skip
    _refuse_non_finite(tensors)
    stored = _network(description.network, tensors)
    _refuse_unreachable(stored, description.threshold)
    score = canary_similarity(stored, canary_embeddings(stored, description.preprocessing))
    if not math.isfinite(score):
        raise CheckpointError("the network gives the canary pair a similarity that is not finite")
    header = Header(
        **dict(description),
        canary_similarity=score,
        embedding_sha256=_embedding_digest(description, tensors),
    )
    header = header.model_copy(update={"checkpoint_sha256": _checkpoint_digest(header)})
    try:
        with replacing(path) as partial:
            save_file(tensors, partial, metadata={METADATA_KEY: header.model_dump_json()})
            partial.chmod(0o644)  # safetensors makes private files; a container reads this one as another user
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be saved: {error}") from error
    return header


def load(path: Path) -> Checkpoint:
    """Reads and verifies a checkpoint. Raises CheckpointError, in one line, for anything but a sound one."""
    header, tensors = _read(path)
    _check_tensors(path, header, tensors)
    try:
        _refuse_non_finite(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; take another checkpoint") from error
    if _embedding_digest(header, tensors) != header.embedding_sha256:
        raise CheckpointError(f"{path}: the tensors do not match their digest; the file is damaged or was edited")
    if _checkpoint_digest(header) != header.checkpoint_sha256:
        raise CheckpointError(f"{path}: the header does not match its digest; the file is damaged or was edited")
    return Checkpoint(header=header, network=_network(header.network, tensors))


def _read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    try:
        path.open("rb").close()  # safetensors says of a file that may not be read that there is none
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            # copies: what stays mapped would change with the file, and end the process if that were cut short
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a safetensors file, or a truncated or damaged one") from error
    if text is None:
        raise CheckpointError(f"{path}: a safetensors file, but not one of facepair's checkpoints")
    try:
        return Header.model_validate_json(text), tensors
    except ValidationError as error:
        first = error.errors()[0]
        where = ascii(".".join(map(str, first["loc"])) or "the whole")
        raise CheckpointError(f"{path}: the header does not fit this version: {where}: {first['msg']}") from error


def _check_tensors(path: Path, header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Every tensor that the architecture has, in the shape and type that it has there, and no other."""
    with torch.device("meta"):
        expected = build(header.network).state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise CheckpointError(f"{path}: tensor {name!r} is {'missing' if name in expected else 'not of this network'}")
    for name, tensor in tensors.items():
        wanted = (expected[name].shape, _storage_dtype(expected[name]))
        if (tensor.shape, tensor.dtype) != wanted:
            raise CheckpointError(f"{path}: tensor {name} has the wrong shape or type")


def _network(config: NetworkConfig | ResidualConfig, tensors: Mapping[str, Tensor]) -> FaceNetwork:
    with torch.device("meta"):
        network = build(config)
    single = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    network.load_state_dict(single, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _storage_dtype(tensor: Tensor) -> torch.dtype:
    """Half precision for kernels and matrices, single for vectors, as it is for counters."""
    if not tensor.is_floating_point():
        return tensor.dtype
    return torch.float16 if tensor.ndim >= 2 else torch.float32


def _refuse_non_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"tensor {name} has values that are not finite")


def _refuse_unreachable(network: FaceNetwork, threshold: Threshold) -> None:
    """A threshold above what identical pictures score, where that is known, would call them different."""
    logit = network.identical_logit()
    if logit is not None and threshold.value > (identical := float(similarity(logit))):
        raise CheckpointError(
            f"the threshold {threshold.value:.6f} lies above {identical:.6f}, the similarity of two identical pictures"
        )


def _embedding_digest(description: Description, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(_canonical(description.model_dump(mode="json", include={"network", "preprocessing"})))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(_canonical([name, str(tensor.dtype), list(tensor.shape)]))
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _checkpoint_digest(header: Header) -> str:
    """The header names the tensors' digest, so a digest of the header, without itself, covers everything."""
    return hashlib.sha256(_canonical(header.model_dump(mode="json", exclude={"checkpoint_sha256"}))).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
