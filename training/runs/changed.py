"""The result of `shared-changes`, as a run's folder stores it: error rates of pictures that are changed alike."""

from training.runs.records import Measurement, Record, Spread


class PointUnderChange(Record):
    """What a threshold does on changed pictures: FMR with its 95% interval over people, and FNMR, by it alone.

    With the operating point's `max_fmr` some pairs are undecided: `undecided` of the genuine ones, and `fmr_decided` is
    the FMR if only "same" counts as accepted.
    """

    name: str
    threshold: float
    fmr: float
    interval: tuple[float, float]
    fnmr: float
    fmr_decided: float
    undecided: float
    undecided_of_all: float


class CalibratedRates(Record):
    """The FMR on other people's pictures of the threshold that keeps 1% on `people` people, one picture each.

    All pictures have the change. Over `draws` draws of people.
    """

    people: int
    draws: int
    fmr: Spread


class ChangeRates(Record):
    """The rates if all pictures have one change, and the accuracy if only the first picture of each pair has it.

    A face was found in `found` of `pictures`, and the share `noticed` of those is found to be in the condition.
    `impostor` pairs are all pairs of strangers with faces. FNMR, area and undecided pairs are over the validation pairs
    with faces, of which `genuine` are genuine; `undecided_of_all` counts the balanced pairs of both kinds.
    `accuracy_of_one` is over all validation pairs, at the default threshold; a pair without a face counts as wrong.
    What finds conditions and their rates are `fitted` on changes of this kind, or not.
    """

    change: str
    condition: str
    fitted: bool
    pictures: int
    found: int
    noticed: float | None
    impostor: int
    genuine: int
    area: float
    points: tuple[PointUnderChange, ...]
    accuracy_of_one: float
    accuracy_interval: tuple[float, float]
    calibrated: CalibratedRates | None = None


class SharedChanges(Measurement):
    """The rates under each change, over `people` held-out people and `pairs` validation pairs."""

    data_sha256: str
    people: int
    pairs: int
    changes: tuple[ChangeRates, ...]

    def of(self, change: str) -> ChangeRates | None:
        """The rates under the change of that name, or None if it was not measured."""
        return next((each for each in self.changes if each.change == change), None)
