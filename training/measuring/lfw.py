"""LFW's terms for a run: its category, by what it learned from, and whether it was tested on View 1."""

import json
from collections.abc import Sequence
from hashlib import sha256

from model.checkpoint import Header

# The SHA-256 of the sorted lines "PERSON/FILE<tab>PERSON/FILE" of pairsDevTest.txt.
VIEW_1_SHA256 = "676bbae1f2b6281bfeff5aa57dceaa9c688172a96108d06e939778c47449405c"


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
