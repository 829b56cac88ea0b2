"""Fits the conditions of a checkpoint: what finds them, and the rates of pairs that share them."""

from collections.abc import Collection
from dataclasses import dataclass

from model.conditions import ALIKE, ConditionRates
from model.errors import DataError
from model.imaging.conditions import ConditionDetectors
from model.networks.face_network import FaceNetwork
from training.conditions.condition_rates import measure_conditions
from training.conditions.detectors import NOT_MEASURED, fit_detectors, replaced
from training.conditions.examples import Examples, training_examples
from training.conditions.held_out import HeldOutPictures
from training.data.changes import CHANGES
from training.data.datasets import PeopleData
from training.data.drawn_heads import DRAWN_HEADS
from training.data.source import DataSource


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What finds conditions, and the rates of pairs that share them."""

    detectors: ConditionDetectors
    rates: tuple[ConditionRates, ...]


def fit_conditions(network: FaceNetwork, source: DataSource, data: PeopleData) -> Fitted:
    """Detectors fitted on training people's changed pictures, and rates over those of held-out people.

    The network includes the checkpoint's calibration. Raises DataError if the data set's faces are not aligned.
    """
    held_out = HeldOutPictures(network, source, data)
    clean = held_out.unchanged()
    detectors = fit_detectors(_examples(source, data), clean.features[clean.there])
    scored = [held_out.after(change) for change in CHANGES]
    return Fitted(detectors=detectors, rates=measure_conditions(held_out, [clean, *scored], detectors))


def refit_conditions(
    old: Fitted, only: Collection[str], network: FaceNetwork, source: DataSource, data: PeopleData
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
        new = fit_detectors(_examples(source, data), clean.features[clean.there], names)
    wanted = set(only) - NOT_MEASURED
    scored = [clean, *(held_out.after(change) for change in CHANGES if change.condition in wanted)]
    found = {each.condition: each for each in measure_conditions(held_out, scored, new) if each.condition in wanted}
    if ALIKE in wanted - found.keys():
        raise DataError(f"--only {ALIKE}: too few held-out pictures are alike, or their embeddings have no thumbnails")
    rates = [found.pop(each.condition, each) for each in old.rates]
    return Fitted(detectors=replaced(old.detectors, new), rates=(*found.values(), *rates))


def _examples(source: DataSource, data: PeopleData) -> Examples:
    """With drawn heads, on which no rates are measured: nothing of a person stays in them."""
    return training_examples(source, data, (*CHANGES, *DRAWN_HEADS))
