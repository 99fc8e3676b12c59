"""The size of the house, against the limits that pyproject.toml states.

    python -m tests.size            # every figure; exits with 1 if one is above its limit
    python -m tests.size moela      # the folders of a package, file by file

A code line has code: blank lines, comments and docstrings are left out. Needs the standard library
only, and imports nothing of the packages.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("moela", "problems", "moe_costmodel")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def code_lines(path: Path) -> int:
    """Return the number of lines of a file that have code."""
    text = path.read_text(encoding="utf-8").splitlines()
    lines = {i for i, line in enumerate(text, 1) if line.strip() and line.strip()[0] != "#"}
    docstrings: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            lines |= lines_of(node)  # a text of several lines may have empty ones
        elif isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstrings |= lines_of(node.body[0])
    return len(lines - docstrings)


def lines_of(node: ast.expr | ast.stmt) -> set[int]:
    """Return the numbers of the lines of a node."""
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below these folders of the tree."""
    return sorted(path for name in folders for path in (ROOT / name).rglob("*.py"))


def words(*patterns: str) -> int:
    """Return the number of words of the pages that match these patterns in docs."""
    pages = {page for pattern in patterns for page in (ROOT / "docs").glob(pattern)}
    return sum(len(page.read_text(encoding="utf-8").split()) for page in pages)


# ---------------------------------------------------------------------------------------- imports


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def facade(package: str) -> dict[str, tuple[str, str]]:
    """Return module and name behind each name that a public package takes from its modules."""
    stub = ROOT.joinpath(*package.split("."), "__init__.pyi")
    path = stub if stub.exists() else stub.with_suffix(".py")
    found = {}
    for node in tree(path).body if path.exists() else ():
        if isinstance(node, ast.ImportFrom):
            level = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(filter(None, (level, node.module)))
            found |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
    return found


def imports() -> dict[str, set[str]]:
    """Return the modules of ours that each module imports.

    Imports for types and inside functions count. A name that is taken from a package counts as an
    import of the module that defines it.
    """
    known = {name_of(path) for path in python_files(*PACKAGES)}

    def targets(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (
                    full
                    if full in known
                    else facade(node.module).get(alias.name, (node.module, ""))[0]
                    if node.module in known
                    else ""
                )

    graph = {}
    for path in python_files(*PACKAGES):
        found = {name for node in ast.walk(tree(path)) for name in targets(node)}
        graph[name_of(path)] = (found & known) - {name_of(path)}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import one another, directly or over others."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, ahead = set(), [start]
        while ahead:
            new = graph[ahead.pop()] - seen
            seen |= new
            ahead += new
        reached[start] = seen
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return sorted(map(list, groups), key=len, reverse=True)


def names_in_reference() -> Counter[str]:
    """Return the number of public names by package, each name once."""
    page = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    found: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for package in re.findall(r"^packages/(.+)$", page, flags=re.MULTILINE):
        for name, origin in facade(package).items():
            if not name.startswith("_") and origin not in seen:
                seen.add(origin)
                found[package] += 1
    return found


# ----------------------------------------------------------------------------------------- figures


def figures() -> dict[str, int]:
    """Return every figure that has a limit, by its name in pyproject.toml."""
    found = {package: sum(map(code_lines, python_files(package))) for package in PACKAGES}
    modules = python_files(*PACKAGES)
    names = names_in_reference()
    groups = circles(imports())
    return found | {
        "tests": sum(map(code_lines, python_files("tests"))),
        "tests/benchmarks": sum(map(code_lines, python_files("tests/benchmarks"))),
        "modules": len(modules),
        "folders": len({path.parent for path in modules}),
        "words of docs": words("*.md"),
        "words of recipes": words("recipes/*.md"),
        "benchmark pages": len(list((ROOT / "docs" / "benchmarks").glob("*.md"))),
        "words of benchmark pages": words("benchmarks/*.md"),
        "names in the reference": names.total(),
        "names of moe_costmodel": names["moe_costmodel"],
        "import circles": len(groups),
        "modules of the largest circle": max(map(len, groups), default=0),
    }


def limits() -> dict[str, int]:
    """Return the limits that pyproject.toml states."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, int] = tomllib.load(file)["tool"]["moela"]["limits"]
    return table


def folder_lines(package: str, depth: int) -> Counter[str]:
    """Return the code lines below a folder, by the names of folders down to a depth."""
    lines: Counter[str] = Counter()
    for path in python_files(package):
        parts = path.relative_to(ROOT).parts
        lines["/".join(parts[: min(depth, len(parts) - 1)])] += code_lines(path)
    return lines


def main(arguments: list[str]) -> int:
    """Print the figures; return 1 if one is above its limit."""
    if arguments:
        for path in python_files(*arguments):
            print(f"{code_lines(path):7,}  {path.relative_to(ROOT)}")
        return 0
    for package in (*PACKAGES, "tests"):
        for name, lines in sorted(folder_lines(package, 2).items()):
            print(f"{lines:7,}  {name}")
    found, allowed = figures(), limits()
    print(f"\n{'figure':28}{'now':>8}{'limit':>8}")
    for name in found:
        over = found[name] > allowed[name]
        print(f"{name:28}{found[name]:8,}{allowed[name]:8,}{'  above the limit' * over}")
    for circle in circles(imports()):
        print(f"circle of {len(circle)}: {', '.join(circle)}")
    above = [name for name in found if found[name] > allowed[name]]
    if above:
        print(
            f"Above the limit: {', '.join(above)}. Make it smaller, or raise the limit in "
            "pyproject.toml and say why in the first line of the commit."
        )
    return int(bool(above))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
