"""After the training: the head is fitted on the people trained on, calibrated on people held out."""

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import round_to_storage
from model.networks.residual import ResidualNetwork
from model.similarity import FalseMatchCurve, OperatingPoint
from training.data.datasets import PeopleData
from training.data.splits import owners
from training.fitting.joint_bayesian import fit_joint_bayesian, scatter
from training.scoring import embed_all, raw_scores, score_impostors
from training.statistics.calibration import platt
from training.statistics.operating_points import false_match_curve, operating_points

SPLIT = "held-out people"


def fit_head(network: ResidualNetwork, config: PreprocessingConfig, data: PeopleData) -> None:
    """Fits the head in place, in the precision in which it is stored, and calibrates it. Sets evaluation mode.

    Raises TrainingError if people held out look no more like themselves than like others.
    """
    if network.config.head == "joint-bayesian":
        pictures, people = owners(data.training)
        found = scatter(embed_all(network, config, data.album.pixels[pictures]).cpu(), people)
        fit_joint_bayesian(network.head, found)
        round_to_storage(network)
    scores, same = raw_scores(network, config, data.album, data.validation)
    scale, bias = platt(scores, same)
    if scale <= 0:
        raise TrainingError(
            f"the network tells people apart no better than chance in {len(scores)} pairs of held-out people; "
            "train on more people, or on more pictures of each"
        )
    network.head.scale.fill_(scale)
    network.head.bias.fill_(bias)


def held_out_rates(
    network: ResidualNetwork, config: PreprocessingConfig, data: PeopleData
) -> tuple[tuple[OperatingPoint, ...], FalseMatchCurve | None]:
    """The operating points and the false match rates over every impostor pair of the people held out."""
    impostors = score_impostors(network, config, data.album, data.held_out)
    return operating_points(*impostors, SPLIT), false_match_curve(*impostors, SPLIT)
