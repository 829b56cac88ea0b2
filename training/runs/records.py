"""The values that a run's folder stores as JSON, besides its header: later measurements of its checkpoint, View 2."""

from math import sqrt
from statistics import fmean, stdev

from pydantic import BaseModel, ConfigDict

from model.similarity import Metric


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Measurement(Record):
    """A later measurement of a run's checkpoint."""

    name: str
    checkpoint_sha256: str


class Variant(Measurement):
    """The result of `evaluate`. `over_people` has the test pairs' metrics with intervals over people.

    `what` describes the change, "" for none. In `left_out` pairs a picture or a face was missing.
    """

    what: str
    images: str
    pairs_list: str
    data_sha256: str
    left_out: int
    threshold: float
    metrics: tuple[Metric, ...]
    over_people: tuple[Metric, ...]


class RateAt(Record):
    """The FNMR where the FMR is at most `max_fmr`, and its 95% interval over people.

    Most genuine pairs belong to people with many pictures. `even_fnmr` gives every person the same weight.
    """

    max_fmr: float
    fnmr: float
    interval: tuple[float, float]
    even_fnmr: float
    even_interval: tuple[float, float]


class AllPairsRates(Measurement):
    """A checkpoint's error rates over all pairs of a list's pictures, `missing` of which do not exist."""

    people_list: str
    images: str
    data_sha256: str
    people: int
    pictures: int
    missing: int
    genuine: int
    impostor: int
    rates: tuple[RateAt, ...]


class Share(Record):
    """A share of pairs with its 95% interval over people."""

    value: float
    interval: tuple[float, float]


class RatesAtThreshold(Record):
    """The error rates at a threshold: the default, which promises no `max_fmr`, or an operating point's.

    `fmr_of_similar` is over pairs of each person and the most similar other people
    (`statistics.similar_people`). It and `fnmr` are None if too few people have several pictures.

    At an operating point pairs that share a condition may be undecided: `undecided` is the share of genuine pairs, and
    `fmr_decided` the FMR if only "same" counts as accepted. None at the default, and without conditions.
    """

    name: str
    max_fmr: float | None
    threshold: float
    fmr: Share
    fmr_of_similar: Share | None
    fnmr: Share | None
    fmr_decided: Share | None = None
    undecided: float | None = None


class Spread(Record):
    """One figure over random draws: its mean, standard deviation, and the range of the middle 90%."""

    mean: float
    deviation: float
    low: float
    high: float


class Outcome(Record):
    """The error rates at a threshold, and the area under ROC, on the people who were not drawn.

    Without genuine pairs there are only false match rates.
    """

    fmr: Spread
    fnmr: Spread | None
    area: Spread | None


class CalibrationDraws(Record):
    """What a calibration on `people` people does on the others, over `draws` random draws of these people.

    Those drawn have one picture each, or all with `every_picture`; the others have all. Outcomes are at the operating
    point for 1%: as shipped and as calibrated, with and without the mean subtracted. `supported` is the share of draws
    in which `calibrate` writes this point. `default` is at the shipped default threshold, and `default_refitted` at
    even odds after scale and bias were fitted, both None if those drawn have too few genuine pairs.
    """

    people: int
    every_picture: bool
    draws: int
    shipped: Outcome | None
    shipped_centred: Outcome | None
    calibrated: Outcome
    calibrated_centred: Outcome
    supported: float
    default: Outcome | None
    default_refitted: Outcome | None


class Elsewhere(Measurement):
    """A checkpoint on other people's photographs: as it is, and after calibrations on some of these people.

    `held_out` people are those of the checkpoint's own run. `length` is that of the mean embedding of different people,
    None for embeddings without length 1. `left_out` pictures are not measured: identical to others, or too many.
    """

    images: str
    held_out: bool
    face: str
    data_sha256: str
    people: int
    pictures: int
    left_out: int
    genuine: int
    impostor: int
    length: float | None
    area: Share | None
    rates: tuple[RatesAtThreshold, ...]
    calibrations: tuple[CalibrationDraws, ...]


class Bin(Record):
    """The pairs of a bin: all, those decided correctly with Wilson's 95% interval, and both numbers of genuine ones."""

    label: str
    pairs: int
    right: int
    interval: tuple[float, float]
    genuine: int
    genuine_right: int


class ScoredPair(Record):
    left: str
    right: str
    similarity: float


class ErrorAnalysis(Measurement):
    """Errors on a run's test pairs. In `faceless` pairs a face was not found; the tables leave them out."""

    threshold: float
    pairs: int
    faceless: int
    tables: dict[str, tuple[Bin, ...]]
    hardest: dict[str, tuple[ScoredPair, ...]]


class Fold(Record):
    """A fold, scored by a network that was trained on the others; people held out of those gave its threshold."""

    fold: int
    accuracy: float
    pairs: int
    threshold: float
    checkpoint_sha256: str


class View2(Record):
    """The finished folds of View 2, at least one, and the number of all folds."""

    name: str
    category: str
    of_folds: int
    done: tuple[Fold, ...]

    @property
    def mean(self) -> float:
        return fmean(fold.accuracy for fold in self.done)

    @property
    def standard_error(self) -> float | None:
        """The folds' standard deviation over the square root of their number, as LFW defines it; None for one fold."""
        if len(self.done) < 2:
            return None
        return stdev(fold.accuracy for fold in self.done) / sqrt(len(self.done))

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(sorted(set(range(1, self.of_folds + 1)) - {fold.fold for fold in self.done}))

    def __str__(self) -> str:
        error = self.standard_error
        spread = f" ± {error:.4f} (standard error)" if error is not None else ""
        lacking = f"; not done: {', '.join(map(str, self.missing))}" if self.missing else ""
        return f"{self.name}: {self.mean:.4f}{spread} over {len(self.done)} of {self.of_folds} folds{lacking}"
