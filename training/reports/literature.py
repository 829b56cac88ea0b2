"""Others' results on LFW and its terms: the reference that this project reproduces, published results on View 2.

The published systems learned from LFW's labels; their categories are those of LFW's results page.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from model.checkpoint import Header

# The SHA-256 of the sorted lines "PERSON/FILE<tab>PERSON/FILE" of pairsDevTest.txt.
VIEW_1_SHA256 = "676bbae1f2b6281bfeff5aa57dceaa9c688172a96108d06e939778c47449405c"

Origin = Literal["LFW results page", "quoted, not looked up", "the paper, not looked up again"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A row of the reference's results, in its own words where it gives no single number."""

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


@dataclass(frozen=True, kw_only=True)
class Published:
    """The mean accuracy over the ten folds, its standard error if known, and its source."""

    system: str
    paper: str
    category: str
    accuracy: float
    error: float | None
    origin: Origin


RESTRICTED = "image-restricted, no outside data"
UNRESTRICTED = "unrestricted, label-free outside data"

PUBLISHED = (
    Published(
        system="Nowak and Jurie, funneled",
        paper="Huang, Jain, Learned-Miller: Unsupervised joint alignment of complex images, ICCV 2007",
        category=RESTRICTED,
        accuracy=0.7393,
        error=0.0049,
        origin="LFW results page",
    ),
    Published(
        system="V1-like with multiple kernels, funneled",
        paper="Pinto, DiCarlo, Cox: How far can you get with a modern face recognition test set, CVPR 2009",
        category=RESTRICTED,
        accuracy=0.7935,
        error=0.0055,
        origin="LFW results page",
    ),
    Published(
        system="Fisher vector faces",
        paper="Simonyan, Parkhi, Vedaldi, Zisserman: Fisher vector faces in the wild, BMVC 2013",
        category=RESTRICTED,
        accuracy=0.8747,
        error=0.0149,
        origin="the paper, not looked up again",
    ),
    Published(
        system="MRF fusion with kernel discriminants (MRF-Fusion-CSKDA)",
        paper="Arashloo, Kittler: Class-specific kernel fusion of multiple descriptors, TIFS 2014",
        category=RESTRICTED,
        accuracy=0.959,
        error=None,
        origin="quoted, not looked up",
    ),
    Published(
        system="Combined multishot, aligned",
        paper="Taigman, Wolf, Hassner: Multiple one-shots for utilizing class label information, BMVC 2009",
        category=UNRESTRICTED,
        accuracy=0.8950,
        error=0.0051,
        origin="LFW results page",
    ),
    Published(
        system="Joint Bayesian, four descriptors combined",
        paper="Chen, Cao, Wang, Wen, Sun: Bayesian face revisited, ECCV 2012",
        category=UNRESTRICTED,
        accuracy=0.9090,
        error=0.0148,
        origin="the paper, not looked up again",
    ),
    Published(
        system="High-dimensional LBP with Joint Bayesian",
        paper="Chen, Cao, Wen, Sun: Blessing of dimensionality, CVPR 2013",
        category=UNRESTRICTED,
        accuracy=0.9318,
        error=0.0107,
        origin="the paper, not looked up again",
    ),
    Published(
        system="MDML-DCPs with PLDA and an SVM",
        paper="Ding, Choi, Tao, Davis: Multi-directional multi-level dual-cross patterns, TPAMI 2016",
        category=UNRESTRICTED,
        accuracy=0.9558,
        error=None,
        origin="quoted, not looked up",
    ),
)


def is_view_1(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether pairs of pictures PERSON/FILE are those of pairsDevTest, on which LFW's View 1 is tested."""
    lines = sorted("\t".join(pair) for pair in pairs)
    return sha256("\n".join(lines).encode()).hexdigest() == VIEW_1_SHA256


def category(header: Header) -> str:
    """LFW's category: what the run learned from (people or only pairs), and whether it used data from outside LFW.

    The face detector was trained on other faces, without names.
    """
    # Only experiments that learn from people hold people out.
    learned = "unrestricted" if "held_out" in json.loads(header.provenance.experiment) else "image-restricted"
    return f"{learned}, {'label-free outside data' if header.preprocessing.alignment else 'no outside data'}"
