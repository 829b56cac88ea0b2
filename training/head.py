"""After the training: the head is fitted on the people trained on, calibrated on people held out.

N pictures, P pairs, D embedding
"""

import torch
from torch import Tensor

from model.checkpoint import round_to_storage
from model.heads import JointBayesianHead
from model.preprocessing import PreprocessingConfig
from model.residual import ResidualNetwork
from model.similarity import FalseMatchCurve, OperatingPoint, similarity
from training.calibration import platt
from training.joint_bayesian import fit_joint_bayesian, scatter
from training.operating import false_match_curve, operating_points
from training.people import impostor_pairs, owners
from training.people_data import PeopleData
from training.scoring import embed_all, raw_scores

CHUNK = 16_384
SPLIT = "held-out people"


def fit_head(network: ResidualNetwork, config: PreprocessingConfig, data: PeopleData) -> None:
    """Fits the head in place, in the precision in which it is stored, and calibrates it. Sets evaluation mode."""
    if isinstance(network.head, JointBayesianHead):
        pictures, people = owners(data.training)
        found = scatter(embed_all(network, config, data.album.pixels[pictures]).cpu(), people)
        fit_joint_bayesian(network.head, found)
        round_to_storage(network)
    scores, same = raw_scores(network, config, data.album, data.validation)
    scale, bias = platt(scores, same)
    network.head.scale.fill_(scale)
    network.head.bias.fill_(bias)


def held_out_rates(
    network: ResidualNetwork, config: PreprocessingConfig, data: PeopleData
) -> tuple[tuple[OperatingPoint, ...], FalseMatchCurve]:
    """The operating points and the false match rates over every impostor pair of the people held out."""
    left, right = impostor_pairs(data.held_out)
    pictures, people = owners(data.held_out)
    place = torch.zeros(len(data.album.keys), dtype=torch.int64)
    place[pictures] = torch.arange(len(pictures))
    embeddings = embed_all(network, config, data.album.pixels[pictures])
    scores = _similarities(network, embeddings, place[left], place[right]).cpu().numpy()
    strangers = people[place[left]].numpy(), people[place[right]].numpy()
    return operating_points(scores, *strangers, SPLIT), false_match_curve(scores, *strangers, SPLIT)


@torch.no_grad()
def _similarities(network: ResidualNetwork, embeddings: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """(N, D) and the places of P pairs in it -> (P,) float64."""
    chunks = zip(left.split(CHUNK), right.split(CHUNK), strict=True)
    return torch.cat([similarity(network.compare(embeddings[a], embeddings[b])) for a, b in chunks])
