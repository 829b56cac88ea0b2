"""The figures of the reference report, which this project reproduces and is measured against, and its test pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

# Of the lines "PERSON/FILE<tab>PERSON/FILE" of pairsDevTest.txt, sorted.
VIEW_1_SHA256 = "676bbae1f2b6281bfeff5aa57dceaa9c688172a96108d06e939778c47449405c"


def is_view_1(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether pairs of pictures PERSON/FILE are those of pairsDevTest, on which LFW's View 1 is tested."""
    lines = sorted("\t".join(pair) for pair in pairs)
    return sha256("\n".join(lines).encode()).hexdigest() == VIEW_1_SHA256


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A row of the reference's results, as it words them where it gives no single figure."""

    name: str
    system: str
    validation_accuracy: str
    validation_loss: str
    test_loss: float
    test_accuracy: float
    train_loss: str
    minutes: int


REFERENCES = (
    Reference(
        name="experiment-1",
        system="Experiment 1: the paper's network",
        validation_accuracy="48.41% at first, 66.82% by epoch 16",
        validation_loss="plateau about epoch 15",
        test_loss=0.7152,
        test_accuracy=0.6600,
        train_loss="0.6922 to 0.2098",
        minutes=5,
    ),
    Reference(
        name="experiment-2",
        system="Experiment 2: batch normalisation, ReLU, augmentation",
        validation_accuracy="51.59% to 77.27% at epoch 20",
        validation_loss="0.5073 lowest",
        test_loss=0.5501,
        test_accuracy=0.7500,
        train_loss="0.7791 to 0.1417",
        minutes=7,
    ),
    Reference(
        name="experiment-3",
        system="Experiment 3: dropout, L2, step decay",
        validation_accuracy="57.5% peak, 53.18% late",
        validation_loss="about 0.6645",
        test_loss=0.6596,
        test_accuracy=0.5290,
        train_loss="0.8086 to 0.6208",
        minutes=9,
    ),
    Reference(
        name="experiment-4",
        system="Experiment 4: MSE loss, early stopping",
        validation_accuracy="72.50% at epoch 10",
        validation_loss="0.1834 at epoch 7, stopped at 11",
        test_loss=0.5455,
        test_accuracy=0.7260,
        train_loss="0.2915 to 0.1390 (MSE)",
        minutes=5,
    ),
    Reference(
        name="grid-winner",
        system="Grid's best: 20 epochs, batch 64, rate 1e-4, patience 3",
        validation_accuracy="",
        validation_loss="0.1671",
        test_loss=0.5332,
        test_accuracy=0.7280,
        train_loss="",
        minutes=240,
    ),
)
