"""Published results on LFW's View 2 that were learned from LFW's labels, with the results page's own categories."""

from dataclasses import dataclass
from typing import Literal

from model.checkpoint import Header
from model.networks.configurations import ResidualConfig

Origin = Literal["LFW results page", "quoted, not looked up", "the paper, not looked up again"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """Mean accuracy over the ten folds, its standard error where known, and where the figure is from."""

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


def category(header: Header) -> str:
    """In LFW's words: whether it learned from people or from pairs alone, and whether anything saw other faces.

    A detector that finds the faces was trained on others, without their names.
    """
    learned = "unrestricted" if isinstance(header.network, ResidualConfig) else "image-restricted"
    return f"{learned}, {'label-free outside data' if header.preprocessing.alignment else 'no outside data'}"
