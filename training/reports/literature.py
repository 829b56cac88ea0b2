"""Others' results on LFW and its terms: the reference that this project reproduces, published results on View 2."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from model.checkpoint import Header

# The SHA-256 of the sorted lines "PERSON/FILE<tab>PERSON/FILE" of pairsDevTest.txt.
VIEW_1_SHA256 = "676bbae1f2b6281bfeff5aa57dceaa9c688172a96108d06e939778c47449405c"

RESTRICTED = "image-restricted, no outside data"
FOLDER = Path(__file__).parent
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


@dataclass(frozen=True, kw_only=True)
class Published:
    """The mean accuracy over the ten folds, its standard error if known, and its source."""

    system: str
    paper: str
    category: str
    accuracy: float
    error: float | None
    origin: Origin


REFERENCES = TypeAdapter(tuple[Reference, ...]).validate_json((FOLDER / "references.json").read_bytes())
PUBLISHED = TypeAdapter(tuple[Published, ...]).validate_json((FOLDER / "published.json").read_bytes())


def is_view_1(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether pairs of pictures PERSON/FILE are those of pairsDevTest, on which LFW's View 1 is tested."""
    lines = sorted("\t".join(pair) for pair in pairs)
    return sha256("\n".join(lines).encode()).hexdigest() == VIEW_1_SHA256


def category(header: Header) -> str:
    """LFW's category: what the run learned from (people or only pairs), and whether it used data from outside LFW.

    The face detector was trained on other faces, without names.
    """
    experiment = json.loads(header.provenance.experiment)
    # Only experiments that learn from people hold people out.
    learned = "unrestricted" if "held_out" in experiment else "image-restricted"
    if experiment.get("teaching"):
        return f"{learned}, taught by {' and '.join(experiment['teaching']['teachers'])}"
    if experiment.get("start"):
        return f"{learned}, started from {experiment['start']['checkpoint']}"
    return f"{learned}, {'label-free outside data' if header.preprocessing.alignment else 'no outside data'}"
