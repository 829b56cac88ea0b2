"""Fits the conditions of a checkpoint: what finds them, and the rates of pairs that share them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from model.conditions import ALIKE, ConditionRates
from model.errors import DataError
from model.imaging.conditions import ConditionDetectors
from model.networks.face_network import FaceNetwork
from training.conditions.condition_rates import measure_conditions
from training.conditions.detectors import NOT_MEASURED, fit_detectors, replaced
from training.conditions.examples import training_examples
from training.conditions.held_out import HeldOutPictures
from training.data.change import Change
from training.data.datasets import PeopleData
from training.data.source import DataSource


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What finds conditions, and the rates of pairs that share them."""

    detectors: ConditionDetectors
    rates: tuple[ConditionRates, ...]


def fit_conditions(
    network: FaceNetwork, source: DataSource, data: PeopleData, fitted: Sequence[Change], measured: Sequence[Change]
) -> Fitted:
    """Detectors fitted on training people after the changes `fitted`, and rates over held-out people after `measured`.

    The network includes the checkpoint's calibration. Raises DataError if the data set's faces are not aligned.
    """
    held_out = HeldOutPictures(network, source, data)
    clean = held_out.unchanged()
    detectors = fit_detectors(training_examples(source, data, fitted), clean.features[clean.there])
    scored = [held_out.after(change) for change in measured]
    return Fitted(detectors=detectors, rates=measure_conditions(held_out, [clean, *scored], detectors))


def refit_conditions(
    old: Fitted,
    only: Collection[str],
    network: FaceNetwork,
    source: DataSource,
    data: PeopleData,
    fitted: Sequence[Change],
    measured: Sequence[Change],
) -> Fitted:
    """As `fit_conditions`, for the conditions in `only`; what finds the others and all their rates stay as they are.

    Raises DataError for a condition that was not found before, for ALIKE if it cannot be measured, and as
    `fit_conditions`.
    """
    known = [each.condition for each in old.detectors.detectors]
    names = set(only) - {ALIKE}
    if unknown := sorted(names - set(known)):
        raise DataError(f"--only {unknown[0]}: the checkpoint finds {', '.join(known)}")
    held_out = HeldOutPictures(network, source, data)
    clean = held_out.unchanged()
    new = old.detectors
    if names:
        new = fit_detectors(training_examples(source, data, fitted), clean.features[clean.there], names)
    wanted = set(only) - NOT_MEASURED
    scored = [clean, *(held_out.after(change) for change in measured if change.condition in wanted)]
    found = {each.condition: each for each in measure_conditions(held_out, scored, new) if each.condition in wanted}
    if ALIKE in wanted - found.keys():
        raise DataError(f"--only {ALIKE}: too few held-out pictures are alike, or their embeddings have no thumbnails")
    rates = [found.pop(each.condition, each) for each in old.rates]
    return Fitted(detectors=replaced(old.detectors, new), rates=(*found.values(), *rates))
