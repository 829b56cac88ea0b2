"""What each experiment is, whose it is, and how long it took, in words for `run --help`."""

from dataclasses import dataclass

KOCH = "Koch"
REPORT = "the report"
FACEPAIR = "facepair"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """`minutes` is the sum over the epochs of the recorded run on two cores, None if none is recorded."""

    what: str
    whose: str
    minutes: int | None


CATALOGUE = {
    "experiment-1": Entry(what="the network of the paper (2015), as the report trains it", whose=KOCH, minutes=22),
    "experiment-2": Entry(what="with batch normalisation, ReLU and augmentation", whose=REPORT, minutes=47),
    "experiment-3": Entry(what="Experiment 2 with dropout, weight decay and falling rates", whose=REPORT, minutes=26),
    "experiment-4": Entry(what="Experiment 2 with the squared error and early stopping", whose=REPORT, minutes=47),
    "grid-winner": Entry(what="the best combination of the report's grid search", whose=REPORT, minutes=23),
    "grid-best": Entry(what="the best combination of our grid search", whose=FACEPAIR, minutes=None),
    "experiment-2-aligned": Entry(what="Experiment 2 on aligned faces", whose=FACEPAIR, minutes=49),
    "experiment-5": Entry(what="learns from people: two towers, aligned, in colour", whose=FACEPAIR, minutes=70),
    "experiment-5-unaligned": Entry(what="without a detector: no outside data", whose=FACEPAIR, minutes=83),
    "experiment-5-colour": Entry(what="both towers in colour", whose=FACEPAIR, minutes=63),
    "experiment-5-grey": Entry(what="both towers in grey", whose=FACEPAIR, minutes=34),
    "experiment-5-grey-unaligned": Entry(what="in grey, without a detector", whose=FACEPAIR, minutes=52),
    "experiment-5-one-view": Entry(what="the first version, with one tower", whose=FACEPAIR, minutes=62),
    "experiment-5-short": Entry(what="one tower, 12 epochs, to compare alignments", whose=FACEPAIR, minutes=None),
    "experiment-5-short-smooth": Entry(what="the same with smooth landmarks", whose=FACEPAIR, minutes=None),
    "experiment-6": Entry(what="Experiment 5 with conditions that strangers share", whose=FACEPAIR, minutes=60),
    "experiment-7": Entry(what="Experiment 6 with learned landmarks", whose=FACEPAIR, minutes=48),
    "experiment-8": Entry(what="a smaller network, taught by 5 and 7", whose=FACEPAIR, minutes=68),
    "experiment-9": Entry(what="Experiment 8 trained further, with more covers", whose=FACEPAIR, minutes=81),
    "experiment-10": Entry(what="Experiment 9 with a head that tells alike pictures", whose=FACEPAIR, minutes=0),
    "experiment-12": Entry(
        what="Experiment 10 with gradient histograms and a fused head; the default network", whose=FACEPAIR, minutes=0
    ),
    "smoke": Entry(what="a narrow network for two epochs, to check an installation", whose=FACEPAIR, minutes=None),
}


def describe() -> str:
    """A line for each experiment, and how its values are changed."""
    width = max(map(len, CATALOGUE))
    rows = [f"  {name:<{width}}  {entry.what} ({entry.whose}{_time(entry)})" for name, entry in CATALOGUE.items()]
    lines = [
        "experiments, by whom, and the minutes that the epochs took on two cores:",
        *rows,
        "",
        'Koch is the paper "Siamese Neural Networks for One-shot Image Recognition" (2015); the report is unpublished,',
        "and docs/reproduction.md compares with it. Every value of an experiment is an option, too, such as --epochs 3",
        "or --learning-rate 1e-3; `run EXPERIMENT --help` lists them.",
    ]
    return "\n".join(lines)


def _time(entry: Entry) -> str:
    return "" if entry.minutes is None else f", {entry.minutes} min"
