"""Chooses the similarity from which two pictures count as the same person, on validation pairs."""

import numpy as np

from model.networks.face_network import FaceNetwork
from model.networks.heads import similarity
from model.similarity import Threshold
from training.statistics import calibration, rates

# Similarities are clipped to MIN_SIMILARITY from 0 and 1, and logits to MAX_LOGIT, so that both stay finite.
MIN_SIMILARITY, MAX_LOGIT = 1e-12, 40.0


def for_run(network: FaceNetwork, scores: rates.Scores, same: rates.Labels) -> Threshold:
    """The threshold of a finished run, by the scores of its validation pairs."""
    return even_odds(len(scores)) if network.calibrated else choose_threshold(network, scores, same)


def even_odds(pairs: int) -> Threshold:
    """0.5, for similarities that were calibrated on `pairs` validation pairs.

    This is the best threshold for a calibrated probability if both kinds of error cost the same.
    """
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


def fit_even_odds(network: FaceNetwork, scores: rates.Scores, same: rates.Labels) -> Threshold:
    """The similarity at which "same" and "different" are equally likely by Platt's sigmoid, with equal priors.

    Every pair influences it, but only the few nearest pairs decide the threshold of highest accuracy. It is at most the
    similarity of identical pictures. If genuine pairs score no higher than impostor pairs, it is the threshold of
    highest accuracy.
    """
    inside = np.clip(scores, MIN_SIMILARITY, 1 - MIN_SIMILARITY)
    scale, bias = calibration.platt(np.log(inside / (1 - inside)), same)
    best = choose_threshold(network, scores, same)
    if scale <= 0:
        return best
    crossing = 1 / (1 + np.exp(np.clip(bias / scale, -MAX_LOGIT, MAX_LOGIT)))
    value = min(float(crossing), _similarity_of_identical(network))
    return best.model_copy(update={"value": value, "method": "even odds, by Platt's sigmoid"})


def _similarity_of_identical(network: FaceNetwork) -> float:
    """The similarity of two identical pictures, or 1 if it depends on the picture."""
    identical = network.identical_logit()
    return 1.0 if identical is None else float(similarity(identical))
