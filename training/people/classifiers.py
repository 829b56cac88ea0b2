"""The classifiers of the regions in several processes: each process has all people, or a part of them.

With many people a classifier is larger than the network. Sharded, each process has the directions of its own people,
compares them with the pictures of all processes, and changes them by itself.

B pictures in the batch, J of them of people that the classifiers know and b of these in this process, R regions,
D embedding, K people that the classifiers know, k of them in this process
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.learning import parallel
from training.learning.shares import Shares, collect, highest, total_with_gradients
from training.people.losses import Classifier, large_margin_cosine, sharded_large_margin_cosine


class Classifiers(nn.ModuleList):
    """A classifier for each region."""

    def forward(self, regions: Sequence[Tensor]) -> list[Tensor]:
        """R times (B, D / R) of unit length -> R times (B, K) cosines."""
        return [classifier(region) for classifier, region in zip(self, regions, strict=True)]


def _summed(cosines: Sequence[Tensor]) -> Tensor:
    """R times (B, K) -> (B, K), without gradients."""
    return torch.stack([each.detach() for each in cosines]).sum(0)


class Margins(Protocol):
    """Computes the classifiers' losses."""

    def __call__(
        self, regions: Sequence[Tensor], labels: Tensor, scale: float, margin: float
    ) -> tuple[list[Tensor], Tensor]:
        """R times (B, D / R) of unit length, int64 (B,) -> each region's mean loss, and how many of b are right.

        A prediction is right if the person's cosine, summed over the regions and without the margin, is the highest.
        """


class WholeMargins:
    """Every process has all classifiers, and judges its own pictures."""

    def __init__(self, classifiers: Sequence[Classifier], shares: Shares, judged: int) -> None:
        mine, weights = shares.mine[shares.mine < judged], [each.weight for each in classifiers]
        self._share = len(mine) / judged
        self._mine = slice(judged) if self._share == 1 else mine.to(weights[0].device)
        example = [weight.new_zeros(2, weight.shape[1]) for weight in weights]
        self._classifiers = parallel.wrap(Classifiers(classifiers), example)

    def __call__(
        self, regions: Sequence[Tensor], labels: Tensor, scale: float, margin: float
    ) -> tuple[list[Tensor], Tensor]:
        known = labels[self._mine]
        cosines = self._classifiers([region[self._mine] for region in regions])
        shares = [self._share * large_margin_cosine(each, known, scale, margin) for each in cosines]
        return [total_with_gradients(share) for share in shares], (_summed(cosines).argmax(1) == known).sum()


class Shard(Classifier):
    """This process's k of K directions. In the first process its state is that of all."""

    def __init__(self, whole: Classifier) -> None:
        people, dimension = whole.weight.shape
        self.rows = parallel.share(torch.arange(people))
        super().__init__(len(self.rows), dimension)
        self.people = people
        with torch.no_grad():
            self.weight.copy_(whole.weight[self.rows])
        # Its gradient is the sum over all processes already, where DistributedDataParallel expects to average.
        self.weight.register_hook(lambda gradient: gradient / parallel.world_size())
        self.register_state_dict_post_hook(_collect_weight)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_take_weight)  # type: ignore[no-untyped-call]

    def collect(self, rows: Tensor) -> Tensor:
        """This process's rows (k, ...) -> all (K, ...), on the CPU, in the first process. The others keep theirs."""
        return collect(rows, [len(part) for part in torch.arange(self.people).tensor_split(parallel.world_size())])

    def take(self, rows: Tensor) -> Tensor:
        """What `collect` returned -> this process's rows (k, ...)."""
        return rows[self.rows.to(rows.device)] if len(rows) == self.people else rows


class ShardedMargins:
    """Every process judges the pictures of all by its part of the people."""

    def __init__(self, shards: Sequence[Shard], shares: Shares, judged: int) -> None:
        self._shards, self._judged = Classifiers(shards), judged
        device = shards[0].weight.device
        self._mine = shares.mine[shares.mine < judged].to(device)
        self._people = shards[0].rows.to(device)

    def __call__(
        self, regions: Sequence[Tensor], labels: Tensor, scale: float, margin: float
    ) -> tuple[list[Tensor], Tensor]:
        correct = torch.eq(labels[: self._judged, None], self._people)
        cosines = self._shards([region[: self._judged] for region in regions])
        losses = [sharded_large_margin_cosine(each, correct, scale, margin) for each in cosines]
        summed = _summed(cosines)
        own = parallel.total((summed * correct).sum(1))
        return losses, (own >= highest(summed.amax(1)))[self._mine].sum()


def keep_moments_whole(optimizer: torch.optim.Optimizer, shards: Iterable[Shard]) -> None:
    """The state of the optimizer gets and takes the moments of shards as their modules do the weights."""
    of_weights = {id(shard.weight): shard for shard in shards}
    learned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = {i: of_weights[id(each)] for i, each in enumerate(learned) if id(each) in of_weights}

    def collect_moments(_: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        for number, shard in numbers.items():
            state["state"][number] = {
                name: shard.collect(tensor) if tensor.ndim else tensor
                for name, tensor in state["state"].get(number, {}).items()
            }

    def take_moments(_: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        for number, shard in numbers.items():
            moments = state["state"].get(number, {})
            state["state"][number] = {n: shard.take(tensor) if tensor.ndim else tensor for n, tensor in moments.items()}

    optimizer.register_state_dict_post_hook(collect_moments)
    optimizer.register_load_state_dict_pre_hook(take_moments)


def _collect_weight(shard: Shard, state: dict[str, Tensor], prefix: str, _: object) -> None:
    state[f"{prefix}weight"] = shard.collect(state[f"{prefix}weight"])


def _take_weight(shard: Shard, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    state[f"{prefix}weight"] = shard.take(state[f"{prefix}weight"])
