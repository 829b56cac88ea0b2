"""From which similarity two pictures are said to show the same person, chosen on validation pairs."""

import numpy as np

from model.networks.face_network import FaceNetwork
from model.networks.heads import similarity
from model.similarity import Threshold
from training.statistics.calibration import platt
from training.statistics.rates import Labels, Scores, best_threshold

# What a similarity of 0 or 1 counts as, and beyond which logit it is one.
MIN_SIMILARITY, MAX_LOGIT = 1e-12, 40.0


def for_run(network: FaceNetwork, scores: Scores, same: Labels) -> Threshold:
    """The threshold of a finished run, by the scores of its validation pairs."""
    return even_odds(len(scores)) if network.calibrated else choose_threshold(network, scores, same)


def even_odds(pairs: int) -> Threshold:
    """0.5 of similarities that were calibrated on so many validation pairs.

    Where errors of either kind cost alike, that is where a calibrated probability decides best. Of 1,702 pairs the
    threshold of highest accuracy is chance for the most part: 0.65 for one network of Experiment 5, 0.35 for another.
    """
    return Threshold(value=0.5, method="even odds", split="validation", pairs=pairs)


def choose_threshold(network: FaceNetwork, scores: Scores, same: Labels) -> Threshold:
    """The threshold of highest accuracy on validation pairs, never above what identical pictures score."""
    return Threshold(
        value=best_threshold(scores, same, ceiling=_similarity_of_identical(network)),
        method="highest accuracy",
        split="validation",
        pairs=len(scores),
    )


def fit_even_odds(network: FaceNetwork, scores: Scores, same: Labels) -> Threshold:
    """The similarity from which "same" is the likelier answer, were both as likely beforehand: by Platt's sigmoid.

    All pairs have a say in it, where the threshold of highest accuracy hangs on the few that are nearest. It is never
    above what identical pictures score; of scores that say nothing it is the threshold of highest accuracy.
    """
    inside = np.clip(scores, MIN_SIMILARITY, 1 - MIN_SIMILARITY)
    scale, bias = platt(np.log(inside / (1 - inside)), same)
    best = choose_threshold(network, scores, same)
    if scale <= 0:
        return best
    crossing = 1 / (1 + np.exp(np.clip(bias / scale, -MAX_LOGIT, MAX_LOGIT)))
    value = min(float(crossing), _similarity_of_identical(network))
    return best.model_copy(update={"value": value, "method": "even odds, by Platt's sigmoid"})


def _similarity_of_identical(network: FaceNetwork) -> float:
    """What two identical pictures score, or 1 where that depends on the picture."""
    identical = network.identical_logit()
    return 1.0 if identical is None else float(similarity(identical))
