"""Trained networks that teach another one which pictures resemble each other, and how much.

Labels say only that strangers differ. The cosines of trained networks also say which strangers are alike, and several
networks agree on what is true more than on their errors (distillation: Hinton et al. 2015; of relations: Park et al.
2019). Teachers see the same augmented picture as the network that learns (Beyer et al. 2022), but without the changes
that a batch's pictures share: what they teach is how the faces resemble each other, not the conditions.

B pictures that teachers see, b of them in this process, C channels, H W pixels, D embedding, R regions, T teachers
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks import residual
from model.networks.architecture import restore
from model.networks.embedder import normalise
from training.learning import parallel, starting
from training.learning.experiment import Precision
from training.learning.shares import Shares
from training.people.losses import relational_distillation, split_regions


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """The shipped checkpoints that teach, with their `embedding_sha256`, and how much they weigh.

    The loss compares the distributions of a softmax over cosines divided by `temperature`. Teachers see every
    `one_in`-th picture of a batch, to save time.
    """

    teachers: tuple[str, ...]
    embedding_sha256: tuple[str, ...]
    temperature: float = 0.2
    weight: float = 2.0
    one_in: int = 2

    def __post_init__(self) -> None:
        if not self.teachers or len(self.teachers) != len(self.embedding_sha256):
            raise TrainingError("teaching: every teacher needs its embedding_sha256, and there must be one at least")
        if self.temperature <= 0 or self.weight < 0 or self.one_in < 1:
            raise TrainingError("teaching: temperature must be positive, weight not negative, one_in at least 1")


class Teachers(nn.Module):
    """The networks of a `Teaching`, which do not learn, and the loss by what they see."""

    def __init__(
        self, teaching: Teaching, preprocessing: PreprocessingConfig, regions: int, shares: Shares, precision: Precision
    ) -> None:
        """`shares` says which pictures of a batch each process has.

        Raises TrainingError for other weights than the experiment's, for networks that see other crops, and for a
        process without a picture for the teachers.
        """
        super().__init__()
        self._teaching, self._preprocessing, self._precision = teaching, preprocessing, precision
        self.networks = nn.ModuleList(
            _network(name, digest, preprocessing, regions)
            for name, digest in zip(teaching.teachers, teaching.embedding_sha256, strict=True)
        )
        self.requires_grad_(False).eval()
        step = teaching.one_in
        self._shares = Shares(tuple(places[places % step == 0] // step for places in shares.places))
        if not all(map(len, self._shares.places)):
            raise TrainingError("teaching: a process has no picture for the teachers; lower teaching.one_in")
        self.seen = (shares.mine % step == 0).nonzero().flatten()
        """Which of this process's pictures they see, int64 (b,)."""
        self._anchors = self._shares.mine if parallel.world_size() > 1 else None

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(b, C, H, W), normalised -> (b, T D): the embeddings of all teachers side by side."""
        return torch.cat([network(images).float() for network in self.networks], dim=1)

    def loss(self, embeddings: list[Tensor], images: Tensor) -> Tensor:
        """The weighted distillation, averaged over the regions.

        `embeddings` are each region's (..., D / R) of unit length, of all pictures of the batch; `images` float32
        (b, C, H, W), 0..1, are those that the teachers see.
        """
        device = embeddings[0].device
        seen = normalise(images.to(device, non_blocking=True), self._preprocessing)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            found = self(seen.contiguous(memory_format=torch.channels_last))
        wanted = self._cosines(self._shares.gather(found), len(embeddings))
        anchors = None if self._anchors is None else self._anchors.to(device)
        losses = [
            relational_distillation(region[:: self._teaching.one_in], cosines, self._teaching.temperature, anchors)
            for region, cosines in zip(embeddings, wanted, strict=True)
        ]
        return self._teaching.weight * torch.stack(losses).mean()

    def _cosines(self, embeddings: Tensor, regions: int) -> list[Tensor]:
        """(B, T D) -> for each of R regions the mean of the teachers' cosines (B, B)."""
        parts = [split_regions(each, regions) for each in embeddings.chunk(len(self.networks), dim=1)]
        return [torch.stack([part @ part.T for part in region]).mean(0) for region in zip(*parts, strict=True)]


def _network(name: str, digest: str, preprocessing: PreprocessingConfig, regions: int) -> residual.ResidualNetwork:
    checkpoint = starting.shipped(name, digest)
    network = restore(checkpoint)
    same = _crops_of(checkpoint.header.preprocessing) == _crops_of(preprocessing)
    if not isinstance(network, residual.ResidualNetwork) or len(network.config.views) != regions or not same:
        path = starting.shipped_path(name)
        raise TrainingError(f"{path}: cannot teach a network that sees other crops, or other regions of them")
    return network.to(memory_format=torch.channels_last)


def _crops_of(config: PreprocessingConfig) -> tuple[object, ...]:
    """What crops look like, however the landmarks were found."""
    template = config.alignment.template if config.alignment else None
    return config.model_dump(exclude={"draft_margin", "alignment"}), template
