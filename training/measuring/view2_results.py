"""What is known of the folds of View 2: the mean accuracy over those that are done, and its standard error."""

from math import sqrt
from statistics import fmean, stdev

from pydantic import BaseModel, ConfigDict

VIEW2_FILE = "view2.json"


class Fold(BaseModel):
    """A fold, scored by a network that saw only the others; its threshold is from people held out of those."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fold: int
    accuracy: float
    pairs: int
    threshold: float
    checkpoint_sha256: str


class View2(BaseModel):
    """The folds that are done, of so many; at least one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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


def format_view2(found: View2) -> str:
    """One line, which says so if folds are missing."""
    error = found.standard_error
    spread = f" ± {error:.4f} (standard error)" if error is not None else ""
    lacking = f"; not done: {', '.join(map(str, found.missing))}" if found.missing else ""
    return f"{found.name}: {found.mean:.4f}{spread} over {len(found.done)} of {found.of_folds} folds{lacking}"
