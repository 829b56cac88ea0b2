"""What is fitted after training: the head and its calibration, and the threshold.

All heads but the cosine have the Joint Bayesian model of Chen et al., "Bayesian Face Revisited" (2012), in closed form.
An embedding is modelled as a person's mean plus a picture's deviation, both Gaussian, with covariances `between` and
`within`. The log likelihood ratio of "same person" for two embeddings is a quadratic form in both.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.errors import TrainingError
from model.networks import architecture, embedder, heads, residual
from model.networks.face_network import FaceNetwork
from model.similarity import Threshold
from training import scoring
from training.data.album import owners
from training.data.datasets import PeopleData
from training.statistics import calibration, operating_points, rates, similar_people, streamed_rates

SPLIT = "held-out people"
# How much of `within` is replaced by the same variance in every direction: the pictures of training people vary less
# than those of other people. Chosen on the held-out people of Experiment 5, by the area under ROC: 0.946 at 0.1, 0.957
# at 0.5, 0.961 at 0.9 and 0.97; the cosine has 0.957.
SHRINKAGE = 0.9
# By how much the logit is lower for two pictures with the same thumbnail than for two that have nothing in common.
# Strangers whose pictures are alike resemble each other for that reason. Chosen on held-out people, whose FNMR at a
# false match rate of 1%, with at most 15 genuine pairs of each, is 32.9% at 0, 32.4% at 1.5, 32.2% at 2, 32.7% at 2.5,
# and 33.8% at 3.
ALIKE = 2.0
# Components of a thumbnail that deviate less than this share of the first are left out: few people have fewer.
LEAST_DEVIATION = 1e-4
# All pairs of more held-out pictures are not held in memory at once, but computed several times.
MOST_AT_ONCE = 4000
# Rows of embeddings in double precision at once.
ROWS = 2**16


def fit_head(network: residual.ResidualNetwork, data: PeopleData) -> None:
    """Fits the head in place, in the precision of checkpoints, and calibrates it. Sets evaluation mode.

    Of the head "fused" the weights stay as they are (`training.people.fused_head`). Raises TrainingError if the network
    is no better than chance on pairs of held-out people.
    """
    if network.config.head != "cosine":
        pictures, people = owners(data.training)
        _fit_thumbnail(network, data)
        embeddings = scoring.embed_all(network, data.album, pictures)[:, : network.config.tower_values].cpu()
        fit_joint_bayesian(network.head, scatter(embeddings, people))
        architecture.round_to_storage(network)
    if network.thumbnail and network.config.head == "joint-bayesian":
        thumbnail = network.head.get_buffer("cross")[network.config.tower_values :]
        thumbnail.fill_(0)
        calibrate(network, data)
        # The thumbnail has half of an embedding's squared length.
        thumbnail.fill_(-2 * ALIKE / float(network.head.scale))
    calibrate(network, data)


def calibrate(network: residual.ResidualNetwork, data: PeopleData) -> None:
    """Sets the head's scale and bias by the validation pairs; raises TrainingError as `fit_head`."""
    scores, same = scoring.raw_scores(network, data.album, data.validation)
    scale, bias = calibration.platt(scores, same)
    if scale <= 0:
        raise TrainingError(
            f"the network is no better than chance on {len(scores)} pairs of held-out people; "
            "train on more people, or on more pictures of each"
        )
    network.head.scale.fill_(scale)
    network.head.bias.fill_(bias)


@torch.no_grad()
def _fit_thumbnail(network: residual.ResidualNetwork, data: PeopleData) -> None:
    """Sets the mean and the projection of the thumbnail, if there is one, by a picture of each training person.

    They are principal components, each divided by the square root of its deviation: undivided, the largest, which are
    those of the light, would count for nearly all, and divided by their deviations themselves, noise would.
    """
    thumbnail = network.thumbnail
    if thumbnail is None:
        return
    rows = []
    for chosen in torch.stack([each[0] for each in data.training.values()]).split(scoring.BATCH):
        crops = embedder.to_unit(data.album.pixels[chosen].to(network.device))
        rows.append(thumbnail.cells(embedder.normalise(crops, data.album.preprocessing)).double())
    cells = torch.cat(rows)
    _, deviations, components = torch.linalg.svd(cells - cells.mean(0), full_matrices=False)
    taken = int((deviations[: network.config.thumbnail_values] > LEAST_DEVIATION * deviations[0]).sum())
    thumbnail.mean.copy_(cells.mean(0))
    thumbnail.projection.zero_()[:taken] = components[:taken] * (deviations[0] / deviations[:taken, None]).sqrt()


def held_out_rates(network: residual.ResidualNetwork, data: PeopleData) -> operating_points.FalseMatchRates:
    """The false match rates over every impostor pair of held-out people, and over each one's most similar strangers.

    A rate that these people do not support (`operating_points.supported`) has no operating point.
    """
    pictures, owner = owners(data.held_out)
    embeddings = scoring.embed_all(network, data.album, pictures)
    if len(pictures) > MOST_AT_ONCE:
        stream = streamed_rates.Stream(
            owner=owner.numpy(),
            blocks=lambda: ((first, table.numpy()) for first, table in scoring.logit_blocks(network, embeddings)),
            similarity=lambda logits: heads.similarity(torch.from_numpy(logits)).numpy(),
        )
        return streamed_rates.false_match_rates(stream, SPLIT)
    pairs = scoring.score_all(network, embeddings, owner)
    impostor = heads.similarity(torch.from_numpy(pairs.impostor)).numpy()
    points, curve = operating_points.false_match_rates(impostor, pairs.left, pairs.right, SPLIT)
    points, _ = operating_points.supported(points, pairs.left, pairs.right)
    logits = scoring.logit_table(network, embeddings, embeddings)
    return similar_people.with_similar_strangers(points, logits, owner.numpy()), curve


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """The mean (D,) and the covariances (D, D) between people and within their pictures, float64."""

    mean: Tensor
    between: Tensor
    within: Tensor


def scatter(embeddings: Tensor, labels: Tensor, shrinkage: float = SHRINKAGE) -> Scatter:
    """Embeddings (N, D) and people int64 (N,), numbered from 0 -> the estimated scatter.

    Every person counts once in `between`; both covariances are unbiased before the shrinkage.
    """
    counts, dimension = labels.bincount().double(), embeddings.shape[1]
    parts = list(zip(embeddings.split(ROWS), labels.split(ROWS), strict=True))
    means = torch.zeros(len(counts), dimension, dtype=torch.float64)
    for rows, people in parts:
        means.index_add_(0, people, rows.double())
    means /= counts[:, None]
    products = torch.zeros(dimension, dimension, dtype=torch.float64)
    for rows, people in parts:
        deviations = rows.double() - means[people]
        products += deviations.T @ deviations
    within = products / (len(embeddings) - len(counts))
    mean = means.mean(0)
    spread = (means - mean).T @ (means - mean) / (len(counts) - 1)
    between = spread - within * counts.reciprocal().mean()  # people's means also vary by a share of `within`
    even = torch.eye(len(mean), dtype=torch.float64) * within.diagonal().mean()
    return Scatter(mean=mean, between=between, within=torch.lerp(within, even, shrinkage))


def fit_joint_bayesian(head: nn.Module, found: Scatter) -> None:
    """Sets a `JointBayesianHead` so that its raw score is the log likelihood ratio without its constant.

    In a basis where `within` is the identity and `between` is diagonal with variances b, the log likelihood ratio of
    embeddings u and v is sum_d(own_d (u_d^2 + v_d^2) + cross_d u_d v_d) plus a constant, where cross = b / (1 + 2b) and
    own = -b cross / (2 (1 + b)). Directions in which people do not differ have b = 0 and contribute nothing.
    """
    projection, variances = diagonalise(found)
    cross = variances / (1 + 2 * variances)
    own = -variances * cross / (2 * (1 + variances))
    lengths = projection.norm(dim=0)
    known = len(found.mean)  # what follows of an embedding stays as it is
    head.get_buffer("mean")[:known] = found.mean
    head.get_buffer("projection")[:known, :known] = projection / lengths
    head.get_buffer("own")[:known] = own * lengths**2
    head.get_buffer("cross")[:known] = cross * lengths**2


def diagonalise(found: Scatter) -> tuple[Tensor, Tensor]:
    """P (D, D) and b (D,) with P' within P = 1 and P' between P = diag(b); negative variances become 0."""
    inverse = torch.linalg.inv(torch.linalg.cholesky(found.within))
    variances, basis = torch.linalg.eigh(inverse @ found.between @ inverse.T)
    return inverse.T @ basis, variances.clamp_min(0)


def threshold_for_run(network: FaceNetwork, scores: rates.Scores, same: rates.Labels) -> Threshold:
    """The threshold of a finished run, by the scores of its validation pairs."""
    return even_odds(len(scores)) if network.calibrated else choose_threshold(network, scores, same)


def even_odds(pairs: int) -> Threshold:
    """0.5, the best for similarities calibrated on `pairs` validation pairs if both kinds of error cost the same."""
    # Not the threshold of highest accuracy, which is mostly chance on 1,702 pairs: 0.65 for one network of Experiment
    # 5, 0.35 for another.
    return Threshold(value=0.5, method="even odds", split="validation", pairs=pairs)


def choose_threshold(network: FaceNetwork, scores: rates.Scores, same: rates.Labels) -> Threshold:
    """The threshold of highest accuracy on validation pairs, at most the similarity of identical pictures."""
    return Threshold(
        value=rates.best_threshold(scores, same, ceiling=_similarity_of_identical(network)),
        method="highest accuracy",
        split="validation",
        pairs=len(scores),
    )


def _similarity_of_identical(network: FaceNetwork) -> float:
    identical = network.identical_logit()
    return 1.0 if identical is None else float(heads.similarity(identical))
