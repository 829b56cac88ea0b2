"""What counts as prose, and as a mannerism in it."""

from pathlib import Path

import pytest

from benchmarks.prose import code_prose, count_mannerisms, mannerisms_per_thousand_words, page_prose

SOURCE = '''"""A module."""

name = "so many words of a string"  # a comment
size = 1
"""Of an attribute."""


def function() -> str:
    """Of a function."""
    return "whoever"
'''


@pytest.mark.parametrize(
    "text", ["So many", "so\nmany", "of which", "whoever", "anew.", "beside", "there is no", "were it so", "are no"]
)
def test_a_mannerism_is_found(text: str) -> None:
    assert count_mannerisms(text).total() == 1


@pytest.mark.parametrize(
    "text", ["besides", "is not", "is no longer", "many", "alone", "it were", "`beside`", "this noble"]
)
def test_ordinary_words_are_none(text: str) -> None:
    assert not count_mannerisms(text)


def test_the_rate_is_of_words() -> None:
    assert mannerisms_per_thousand_words("Whoever reads 12 `lines of code`, it's fine") == pytest.approx(1000 / 4)
    assert mannerisms_per_thousand_words("") == 0


def test_docstrings_and_comments_are_prose_and_strings_are_not(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "module.py").write_text(SOURCE)
    assert code_prose(tmp_path).split("\n\n") == ["A module.", "Of an attribute.", "Of a function.", "a comment"]


def test_code_and_tables_of_figures_are_left_out_of_pages(tmp_path: Path) -> None:
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "README.md").write_text("Read.\n\n```sh\nbeside\n```\n\n| a | table |\n")
    (tmp_path / "docs" / "accuracy.md").write_text("Figures.\n\n| whoever |\n")
    (tmp_path / "docs" / "results" / "run.md").write_text("anew\n")
    prose = page_prose(tmp_path)
    assert prose.split() == ["Read.", "|", "a", "|", "table", "|", "Figures."]
