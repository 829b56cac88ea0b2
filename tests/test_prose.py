"""The code's docstrings and comments and the Markdown pages are in plain English.

`benchmarks.prose` lists the mannerisms that count, and what counts as prose.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.prose import code_prose, count_mannerisms, mannerisms_per_thousand_words, page_prose

ROOT = Path(__file__).parent.parent
# Per 1,000 words. Comparable projects have 0 to 1 in their code.
MAX_MANNERISMS = 2.0


@pytest.mark.parametrize("prose", [code_prose, page_prose])
def test_mannerisms_are_rare(prose: Callable[[Path], str]) -> None:
    text = prose(ROOT)
    assert len(text.split()) > 10_000
    assert mannerisms_per_thousand_words(text) <= MAX_MANNERISMS, count_mannerisms(text).most_common()
