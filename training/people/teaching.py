"""Trained networks that teach another one which pictures resemble each other, and how much.

Labels say only that strangers differ. The cosines of trained networks also say which strangers are alike, and several
networks agree on what is true more than on their errors (distillation: Hinton et al. 2015; of relations: Park et al.
2019). Teachers see the same augmented picture as the network that learns (Beyer et al. 2022), but without the changes
that a batch's pictures share: what they teach is how the faces resemble each other, not the conditions.

B pictures in the batch, b of them in this process, D embedding, R regions, T teachers
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoint import load
from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks import residual
from model.networks.calibrated import restore_calibrated
from training.learning.shares import Shares
from training.people.losses import split_regions

WEIGHTS = Path(__file__).parents[2] / "weights"
# How a face was found does not count: teachers see the crops of the network that learns.
UNCOUNTED = {"alignment", "draft_margin"}


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """The shipped checkpoints that teach, with their `embedding_sha256`, and how much they weigh.

    The loss compares the distributions of a softmax over cosines divided by `temperature`. Teachers see one in
    `one_in` of a batch's pictures, since each costs a third of what the network's own step costs.
    """

    teachers: tuple[str, ...]
    embedding_sha256: tuple[str, ...]
    temperature: float = 0.2
    weight: float = 2.0
    one_in: int = 2


class Teachers(nn.Module):
    """The networks of a `Teaching`, which do not learn."""

    def __init__(self, teaching: Teaching, preprocessing: PreprocessingConfig, regions: int) -> None:
        """Raises TrainingError for other weights than the experiment's, and for networks that see other crops."""
        super().__init__()
        self.regions, self.one_in = regions, teaching.one_in
        self.networks = nn.ModuleList(
            _network(WEIGHTS / f"{name}.safetensors", digest, preprocessing, regions)
            for name, digest in zip(teaching.teachers, teaching.embedding_sha256, strict=True)
        )
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(b, C, H, W), normalised -> (b, T D): the embeddings of all teachers side by side."""
        return torch.cat([network(images).float() for network in self.networks], dim=1)

    def shared(self, shares: Shares) -> Shares:
        """Which of the pictures that teachers see each process has, counted among these alone."""
        return Shares(tuple(places[places % self.one_in == 0] // self.one_in for places in shares.places))

    def cosines(self, embeddings: Tensor) -> list[Tensor]:
        """(B, T D) -> for each of R regions the mean of the teachers' cosines (B, B)."""
        parts = [split_regions(each, self.regions) for each in embeddings.chunk(len(self.networks), dim=1)]
        return [torch.stack([region @ region.T for region in regions]).mean(0) for regions in zip(*parts, strict=True)]


def _network(path: Path, digest: str, preprocessing: PreprocessingConfig, regions: int) -> residual.ResidualNetwork:
    checkpoint = load(path)
    header = checkpoint.header
    if header.embedding_sha256 != digest:
        raise TrainingError(
            f"{path}: has the embeddings {header.embedding_sha256}; the experiment learned from {digest}"
        )
    network = restore_calibrated(checkpoint)
    same = header.preprocessing.model_dump(exclude=UNCOUNTED) == preprocessing.model_dump(exclude=UNCOUNTED)
    if not isinstance(network, residual.ResidualNetwork) or len(network.config.views) != regions or not same:
        raise TrainingError(f"{path}: cannot teach a network with other crops or regions")
    return network.to(memory_format=torch.channels_last)
