"""Counts mannerisms: phrases that are unusual in other projects' documentation.

`benchmarks.structure` prints how many there are per 1,000 words. Needs only the standard library.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.source_tree import PACKAGES

PAGES = ("*.md", "docs/*.md", "benchmarks/*.md", "deploy/**/*.md", "weights/*.md", "examples/*.md")
# Pages that commands write. The rows of their tables are data.
GENERATED = ("docs/accuracy.md", "docs/reproduction.md", "weights/*.md")

MANNERISMS = re.compile(
    r"""\b(?:
        so\ (?:many|much|few|little|long)
      | of\ (?:which|whom)
      | whoever | whomever | whichever | whatever | nobody | none\ of | ha(?:s|ve)\ none
      | anew | beside | lone | in\ vain | at\ hand
      | (?:is|are|was|were)\ no(?!\ longer)
      | (?:were|had|should)\ (?:it|they)
      | of\ ours | let\ go | told\ otherwise | what\ becomes\ of
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
WORD = re.compile(r"[a-z][\w'-]*", re.IGNORECASE)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`]*`")
TABLE_ROW = re.compile(r"^\|.*$", re.MULTILINE)


def code_prose(root: Path) -> str:
    """The docstrings and comments in a checkout's packages."""
    sources = [path.read_text() for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    return "\n\n".join(text for source in sources for text in (*_docstrings(source), *_comments(source)))


def page_prose(root: Path) -> str:
    """A checkout's Markdown pages, without code blocks and without the tables of generated pages."""
    generated = {path for pattern in GENERATED for path in root.glob(pattern)}
    return "\n\n".join(
        TABLE_ROW.sub("", text) if path in generated else text
        for path in sorted({path for pattern in PAGES for path in root.glob(pattern)})
        for text in [FENCED.sub("", path.read_text())]
    )


def count_mannerisms(text: str) -> Counter[str]:
    """How often each mannerism occurs, by its lower case; code in backquotes does not count."""
    return Counter(match.lower() for match in MANNERISMS.findall(_plain(text)))


def mannerisms_per_thousand_words(text: str) -> float:
    """0 for a text without words."""
    words = len(WORD.findall(_plain(text)))
    return 1000 * count_mannerisms(text).total() / words if words else 0.0


def _plain(text: str) -> str:
    """The text on one line, so that phrases are found across line breaks."""
    return " ".join(INLINE_CODE.sub("", text).split())


def _docstrings(source: str) -> Iterator[str]:
    """Includes the strings that document the attribute above them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def _comments(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")
