"""`python -m benchmarks.structure`: metrics of the structure of model/, app/ and training/.

`--root FOLDER` reads another checkout, such as an older one. Only `--trace` needs more than the standard library.

| metric | how it is counted |
|---|---|
| files, lines | Python files and their lines, including blank lines |
| in a folder | modules without `__init__`, in the package's largest folder |
| floors | modules in the longest chain of imports inside the package; imports inside functions count |
| import lines | lines of `import` statements, in % of all lines |
| names | names that files import from files of the same package, per 1,000 lines |
| circles | groups of modules of the package that import each other |
| isinstance calls | checks for a class of the project, without exceptions; class patterns of `match` count too |
| isinstance lines | lines with such a check for a network, experiment or data set, by the ending of the class's name |
| mannerisms | per 1,000 words of docstrings and comments, and of the Markdown pages; see `benchmarks.prose` |
| image path | with `--trace`: files that an uploaded image passes until its similarity; see `benchmarks.image_path` |
"""

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.prose import code_prose, mannerisms_per_thousand_words, page_prose
from benchmarks.source_tree import PACKAGES, Module, circles, import_graph, longest_chain, read_modules

ROOT = Path(__file__).parent.parent
# How the names of classes of networks, their configurations and heads, experiments, recipes and data sets end.
KINDS = ("Network", "Config", "Head", "Experiment", "Recipe", "Data", "Dataset")
EXCEPTIONS = ("Exception", "Error", "Warning")
HEADINGS = ("", "files", "in a folder", "lines", "floors", "import lines", "names", "circles")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The metrics of one package."""

    package: str
    files: int
    in_folder: int
    lines: int
    floors: int
    import_share: float
    names_per_thousand: float
    circles: int

    def cells(self) -> list[str]:
        """The row of the table, in the order of HEADINGS."""
        shares = [f"{self.import_share:.1%}", f"{self.names_per_thousand:.0f}"]
        counts = [self.files, self.in_folder, self.lines, self.floors]
        return [self.package, *map(str, counts), *shares, str(self.circles)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.structure", description="Figures of the code's structure."
    )
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="the checkout (default: this one)")
    parser.add_argument(
        "--trace", action="store_true", help="also send two photographs through a service and list its files"
    )
    options = parser.parse_args(arguments)
    modules = read_modules(options.root)
    print("\n".join(_table([list(HEADINGS), *(measure(package, modules).cells() for package in PACKAGES)])))
    print()
    print("\n".join(_totals(modules, options.root)))
    if options.trace:
        from benchmarks.image_path import trace  # needs httpx and what the service needs

        print("\n".join(trace(options.root).report()))
    return 0


def measure(package: str, modules: Sequence[Module]) -> Shape:
    """The metrics of a package, from all modules of a checkout."""
    own = [module for module in modules if module.package == package]
    graph = import_graph(own)
    lines = sum(module.lines for module in own)
    folders = Counter(module.path.parent for module in own if not module.is_init)
    return Shape(
        package=package,
        files=len(own),
        in_folder=max(folders.values(), default=0),
        lines=lines,
        floors=longest_chain(graph),
        import_share=sum(module.import_lines for module in own) / max(lines, 1),
        names_per_thousand=1000 * sum(module.names for module in own) / max(lines, 1),
        circles=len(circles(graph)),
    )


def type_checks(modules: Sequence[Module]) -> list[tuple[str, int, frozenset[str]]]:
    """The module, line and classes of each `isinstance` call and each class pattern."""
    return [
        (module.name, node.lineno, frozenset(_names(classes)))
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call | ast.MatchClass) and (classes := _checked_classes(node))
    ]


def project_classes(modules: Sequence[Module]) -> set[str]:
    """The names of all classes that the modules define, except exceptions."""
    bases = {
        node.name: {name for base in node.bases for name in _names(base)}
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }

    def is_exception(name: str) -> bool:
        return name.endswith(EXCEPTIONS) or any(is_exception(base) for base in bases.get(name, ()) if base != name)

    return {name for name in bases if not is_exception(name)}


def _checked_classes(node: ast.Call | ast.MatchClass) -> ast.expr | None:
    """The expression that names the classes of a type check."""
    if isinstance(node, ast.MatchClass):
        return node.cls
    is_check = isinstance(node.func, ast.Name) and node.func.id == "isinstance" and len(node.args) == 2
    return node.args[1] if is_check else None


def _names(expression: ast.expr) -> Iterator[str]:
    """The last part of each name in an expression: `Linear` of `nn.Linear`."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _totals(modules: Sequence[Module], root: Path) -> list[str]:
    classes, checks = project_classes(modules), type_checks(modules)
    kinds = {(name, line) for name, line, checked in checks if any(each.endswith(KINDS) for each in checked)}
    return [
        f"lines of code in all: {sum(module.lines for module in modules):,}",
        f"isinstance calls on classes of the project: {sum(bool(checked & classes) for *_, checked in checks)}",
        f"isinstance lines on networks, experiments and data: {len(kinds)}",
        f"mannerisms per 1,000 words of docstrings and comments: {mannerisms_per_thousand_words(code_prose(root)):.1f}",
        f"mannerisms per 1,000 words of the pages: {mannerisms_per_thousand_words(page_prose(root)):.1f}",
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first column aligned left and the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
