"""Fits the conditions of a checkpoint: what finds them, and the rates of pairs that share them."""

from collections.abc import Sequence

from model.conditions import ConditionRates
from model.imaging.conditions import ConditionDetectors
from model.networks.face_network import FaceNetwork
from training.conditions.condition_rates import measure_conditions
from training.conditions.detectors import fit_detectors
from training.conditions.examples import training_examples
from training.conditions.held_out import HeldOutPictures
from training.data.change import Change
from training.data.datasets import PeopleData
from training.data.source import DataSource


def fit_conditions(
    network: FaceNetwork, source: DataSource, data: PeopleData, changes: Sequence[Change]
) -> tuple[ConditionDetectors, tuple[ConditionRates, ...]]:
    """Detectors fitted on training people, and the rates over held-out people, by the network's similarities.

    The network includes the checkpoint's calibration. Raises DataError if the data set's faces are not aligned.
    """
    held_out = HeldOutPictures(network, source, data)
    clean = held_out.unchanged()
    detectors = fit_detectors(training_examples(source, data, changes), clean.features[clean.there])
    scored = [held_out.after(change) for change in changes]
    return detectors, measure_conditions(held_out, [clean, *scored], detectors)
