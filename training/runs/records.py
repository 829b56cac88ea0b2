"""The files of a run's folder, and what the measurements of its checkpoint leave beside them, as values."""

from math import sqrt
from statistics import fmean, stdev

from pydantic import BaseModel, ConfigDict

from model.similarity import Metric

RESULT_FILE = "result.json"
SCORES_FILE = "test-scores.csv"
SUMMARY_FILE = "test-summary.json"
ALL_PAIRS_FILE = "all-pairs.json"
ERRORS_FILE = "errors.json"
VARIANTS_FOLDER = "evaluations"
VIEW2_FILE = "view2.json"


class Record(BaseModel):
    """A value that is kept as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Variant(Record):
    """What `evaluate` found; `over_people` are the same metrics of the test pairs with their intervals over people.

    `what` says in words what was changed, and is empty where nothing was; `left_out` pairs have a picture that is not
    there, or without a face.
    """

    name: str
    checkpoint_sha256: str
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

    `fnmr` is over all genuine pairs, of which whoever has many pictures has most; for `even_fnmr` every person who has
    genuine pairs counts alike.
    """

    max_fmr: float
    fnmr: float
    interval: tuple[float, float]
    even_fnmr: float
    even_interval: tuple[float, float]


class AllPairsRates(Record):
    """Error rates of a checkpoint over all pairs of the pictures at hand of a list of people; `missing` are not."""

    name: str
    checkpoint_sha256: str
    people_list: str
    images: str
    data_sha256: str
    people: int
    pictures: int
    missing: int
    genuine: int
    impostor: int
    rates: tuple[RateAt, ...]


class Bin(Record):
    """The pairs of a bin: how many, how many decided rightly with Wilson's 95% interval, and how many of each kind."""

    label: str
    pairs: int
    right: int
    interval: tuple[float, float]
    genuine: int
    genuine_right: int


class ScoredPair(Record):
    """A pair by the names of its pictures, and its similarity."""

    left: str
    right: str
    similarity: float


class ErrorAnalysis(Record):
    """Of a run's test pairs. `faceless` pairs have a picture in which no face was found; no table has them."""

    name: str
    checkpoint_sha256: str
    threshold: float
    pairs: int
    faceless: int
    tables: dict[str, tuple[Bin, ...]]
    hardest: dict[str, tuple[ScoredPair, ...]]


class Fold(Record):
    """A fold, scored by a network that saw only the others; its threshold is from people held out of those."""

    fold: int
    accuracy: float
    pairs: int
    threshold: float
    checkpoint_sha256: str


class View2(Record):
    """The folds of View 2 that are done, at least one, and how many there are."""

    name: str
    category: str
    of_folds: int
    done: tuple[Fold, ...]

    @property
    def mean(self) -> float:
        """Over the folds that are done."""
        return fmean(fold.accuracy for fold in self.done)

    @property
    def standard_error(self) -> float | None:
        """The folds' deviation over the square root of their number, as LFW defines it; None for a single fold."""
        if len(self.done) < 2:
            return None
        return stdev(fold.accuracy for fold in self.done) / sqrt(len(self.done))

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the folds that are not done."""
        return tuple(sorted(set(range(1, self.of_folds + 1)) - {fold.fold for fold in self.done}))

    def __str__(self) -> str:
        """One line, which says so if folds are missing."""
        error = self.standard_error
        spread = f" ± {error:.4f} (standard error)" if error is not None else ""
        lacking = f"; not done: {', '.join(map(str, self.missing))}" if self.missing else ""
        return f"{self.name}: {self.mean:.4f}{spread} over {len(self.done)} of {self.of_folds} folds{lacking}"
