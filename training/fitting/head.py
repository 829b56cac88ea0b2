"""After the training: the head is fitted on the people trained on, calibrated on people held out."""

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import round_to_storage
from model.networks.residual import ResidualNetwork
from training import scoring
from training.data.datasets import PeopleData
from training.data.splits import owners
from training.fitting import joint_bayesian
from training.statistics import calibration, operating_points

SPLIT = "held-out people"


def fit_head(network: ResidualNetwork, config: PreprocessingConfig, data: PeopleData) -> None:
    """Fits the head in place, in the precision in which it is stored, and calibrates it. Sets evaluation mode.

    Raises TrainingError if people held out look no more like themselves than like others.
    """
    if network.config.head == "joint-bayesian":
        pictures, people = owners(data.training)
        embeddings = scoring.embed_all(network, config, data.album.pixels[pictures]).cpu()
        joint_bayesian.fit_joint_bayesian(network.head, joint_bayesian.scatter(embeddings, people))
        round_to_storage(network)
    scores, same = scoring.raw_scores(network, config, data.album, data.validation)
    scale, bias = calibration.platt(scores, same)
    if scale <= 0:
        raise TrainingError(
            f"the network tells people apart no better than chance in {len(scores)} pairs of held-out people; "
            "train on more people, or on more pictures of each"
        )
    network.head.scale.fill_(scale)
    network.head.bias.fill_(bias)


def held_out_rates(
    network: ResidualNetwork, config: PreprocessingConfig, data: PeopleData
) -> operating_points.FalseMatchRates:
    """Over every impostor pair of the people held out."""
    impostors = scoring.score_impostors(network, config, data.album, data.held_out)
    return operating_points.false_match_rates(*impostors, SPLIT)
