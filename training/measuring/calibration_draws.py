"""What a calibration on some people does on the others, over random draws.

N pictures, D embedding
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from model.arrays import Embeddings
from model.checkpoint import Header
from model.errors import DataError
from model.networks.face_network import FaceNetwork
from model.similarity import Calibration, similarity
from training import scoring
from training.measuring import recalibration, samples
from training.runs.records import CalibrationDraws, Outcome, Spread
from training.statistics import operating_points, rates

# The rate whose threshold is calibrated.
WANTED = "fmr_1e-2"
# What even odds are after a fit.
EVEN_ODDS = 0.5

Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How people are drawn. Those who are not drawn are the others, with all their pictures."""

    people: int
    every_picture: bool
    draws: int


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """Embeddings float32 (N, D) and their people's numbers int64 (N,), from 0."""

    embeddings: Embeddings
    owner: Numbers

    def __getitem__(self, chosen: Numbers | NDArray[np.bool_]) -> "Photographs":
        return Photographs(embeddings=self.embeddings[chosen], owner=self.owner[chosen])

    def as_sample(self) -> samples.Sample:
        owner = torch.from_numpy(self.owner)
        return samples.Sample(embeddings=self.embeddings, owner=owner, pairs=samples.some_pairs(owner), every=True)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The rates and the area of one draw; NaN without genuine pairs."""

    fmr: float
    fnmr: float
    area: float


@dataclass(frozen=True)
class Similarities:
    """Of all genuine and of all impostor pairs of the others."""

    genuine: rates.Scores
    impostor: rates.Scores

    @cached_property
    def area(self) -> float:
        scores = np.concatenate([self.genuine, self.impostor])
        return rates.area_under_roc(scores, np.arange(len(scores)) < len(self.genuine)) if len(self.genuine) else np.nan

    def at(self, threshold: float) -> Figures:
        fnmr = float((self.genuine < threshold).mean()) if len(self.genuine) else np.nan
        return Figures(fmr=float((self.impostor >= threshold).mean()), fnmr=fnmr, area=self.area)


def measure_draws(header: Header, network: FaceNetwork, photographs: Photographs, rule: Rule) -> CalibrationDraws:
    """Draws people, calibrates on them, and measures on the others. `network` is the checkpoint's with calibration.

    Raises DataError if the network has no embeddings of length 1 or is centred, or there are too few people.
    """
    if not network.unit_length:
        raise DataError(f"{header.name}: has no embeddings of length 1; take a network that learned from people")
    if header.calibration.mean:
        raise DataError(f"{header.name}: is centred already; take the checkpoint that it was made from")
    people = int(photographs.owner.max()) + 1
    if people < rule.people + 2:
        raise DataError(f"there are {people} people; {rule.people + 2} are needed for --calibrate {rule.people}")
    draws, supported = np.random.default_rng(0), 0
    found: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(rule.draws):
        drawn = draws.permutation(people)[: rule.people]
        inside = np.isin(photographs.owner, drawn)
        used = np.flatnonzero(inside) if rule.every_picture else one_each(photographs.owner, drawn, draws)
        here, others = photographs[used].as_sample(), photographs[~inside]
        supported += _is_supported(here.score(network, Calibration()))
        for kind, figures in _measure(header, network, here, others):
            found[kind].append(figures)
    outcomes = {kind: _outcome(figures) for kind, figures in found.items()}
    return CalibrationDraws(
        people=rule.people,
        every_picture=rule.every_picture,
        draws=rule.draws,
        supported=supported / rule.draws,
        shipped=outcomes.get("shipped"),
        shipped_centred=outcomes.get("shipped_centred"),
        calibrated=outcomes["calibrated"],
        calibrated_centred=outcomes["calibrated_centred"],
        default=outcomes.get("default"),
        default_refitted=outcomes.get("default_refitted"),
    )


def one_each(owner: Numbers, people: Numbers, draws: np.random.Generator) -> Numbers:
    """The place of a random picture of each of these people."""
    return np.array([draws.choice(np.flatnonzero(owner == person)) for person in people])


def _measure(
    header: Header, network: FaceNetwork, here: samples.Sample, others: Photographs
) -> Iterator[tuple[str, Figures]]:
    """The outcomes of `CalibrationDraws` on the others of one draw, by their names."""
    shipped = next((point.threshold for point in header.operating_points if point.name == WANTED), None)
    scored, there = here.score(network, Calibration()), _score(network, Calibration(), others)
    yield "calibrated", there.at(_threshold(scored))
    if shipped is not None:
        yield "shipped", there.at(shipped)
    if here.genuine >= recalibration.MIN_GENUINE:
        fitted = recalibration.refit(scored, Calibration())
        yield "default", there.at(header.threshold.value)
        yield "default_refitted", there.at(_before(fitted, EVEN_ODDS))
    mean, unit_parts = samples.mean_of_people(here.embeddings, here.owner), header.network.unit_parts
    there = _score(network, Calibration.centring(mean, unit_parts), others)
    yield "calibrated_centred", there.at(_threshold(here.score_without_own_mean(network, unit_parts)))
    if shipped is not None:
        yield "shipped_centred", there.at(shipped)


def _threshold(scored: samples.Scored) -> float:
    return calibrated_threshold(similarity(scored.impostor))


def calibrated_threshold(similarities: rates.Scores) -> float:
    """The lowest threshold that keeps the wanted rate on these impostor pairs, (P,); 1 if none does."""
    threshold = operating_points.lowest_threshold(similarities, operating_points.WANTED[WANTED])
    return 1.0 if threshold is None else threshold


def _is_supported(scored: samples.Scored) -> bool:
    """Whether `calibrate` would write the operating point."""
    found = operating_points.operating_points(similarity(scored.impostor), scored.left, scored.right, "")
    return WANTED in {point.name for point in operating_points.supported(found, scored.left, scored.right)[0]}


def _before(fitted: Calibration, value: float) -> float:
    """The similarity before a calibration without mean of a pair that has the similarity `value` after it."""
    return float(similarity(np.array([(np.log(value / (1 - value)) - fitted.bias) / fitted.scale]))[0])


def _score(network: FaceNetwork, fitted: Calibration, others: Photographs) -> Similarities:
    rows = torch.from_numpy(fitted.centre(others.embeddings)).to(network.device)
    found = scoring.score_all(network, rows, torch.from_numpy(others.owner))
    return Similarities(similarity(found.genuine.astype(np.float64)), similarity(found.impostor.astype(np.float64)))


def _outcome(found: list[Figures]) -> Outcome:
    fmr, fnmr, area = (np.array([getattr(each, name) for each in found]) for name in ("fmr", "fnmr", "area"))
    genuine = not np.isnan(fnmr).any()
    return Outcome(fmr=spread(fmr), fnmr=spread(fnmr) if genuine else None, area=spread(area) if genuine else None)


def spread(values: NDArray[np.float64]) -> Spread:
    """Over the draws, (N,)."""
    low, high = np.percentile(values, [5, 95])
    return Spread(mean=float(values.mean()), deviation=float(values.std()), low=float(low), high=float(high))
