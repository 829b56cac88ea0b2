"""The modules of a checkout and the imports between them, read with `ast` and without importing anything.

Needs only the standard library, so that it can read any checkout with any Python.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("model", "app", "training")
# The modules that each module imports.
Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True, kw_only=True)
class Module:
    """A file, with the modules that it imports, and how many `names` it imports from its own package."""

    name: str
    path: Path
    tree: ast.Module
    lines: int
    import_lines: int
    imports: frozenset[str]
    names: int

    @property
    def package(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    @property
    def is_init(self) -> bool:
        """Whether the file is an `__init__.py`."""
        return self.path.name == "__init__.py"


def read_modules(root: Path) -> list[Module]:
    """All modules of the packages in a folder, sorted by package and path."""
    paths = {
        _name(path.relative_to(root)): path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))
    }
    return [_read(name, path, frozenset(paths)) for name, path in paths.items()]


def import_graph(modules: list[Module]) -> Graph:
    """The imports among these modules."""
    known = {module.name for module in modules}
    return {module.name: module.imports & known for module in modules}


def longest_chain(graph: Graph) -> int:
    """The number of modules in the longest chain of imports. Imports inside a circle do not count."""
    reachable = {name: _reachable(graph, name) for name in graph}

    @cache
    def chain(name: str) -> int:
        onward = (target for target in graph[name] if name not in reachable[target])
        return 1 + max(map(chain, onward), default=0)

    return max(map(chain, graph), default=0)


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that reach each other through their imports, each sorted."""
    reachable = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reached if name in reachable[other]))
        for name, reached in reachable.items()
        if name in reached
    }
    return [list(group) for group in sorted(groups)]


def _reachable(graph: Graph, start: str) -> set[str]:
    """The modules that `start` imports, directly or through others."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(graph[name])
    return found


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(name: str, path: Path, known: frozenset[str]) -> Module:
    text = path.read_text()
    tree = ast.parse(text)
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = [each for node in statements for each in _imported(node, name, path)]
    return Module(
        name=name,
        path=path,
        tree=tree,
        lines=len(text.splitlines()),
        import_lines=sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in statements),
        imports=frozenset(_target(each, known) for each in imported) & known - {name},
        names=sum(each.partition(".")[0] == name.partition(".")[0] for each in imported),
    )


def _imported(node: ast.Import | ast.ImportFrom, name: str, path: Path) -> Iterator[str]:
    """The full dotted name of each name that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    base = parents[: len(parents) - node.level + 1] if node.level else []
    source = [*base, *([node.module] if node.module else [])]
    yield from (".".join([*source, alias.name]) for alias in node.names)


def _target(imported: str, known: frozenset[str]) -> str:
    """The module of a dotted name: the name itself, or what is before its last dot."""
    return imported if imported in known else imported.rpartition(".")[0]
