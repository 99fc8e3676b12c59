"""The layout keeps its promises: import order, circles, sizes of folders, words, complexity."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("moela", "problems", "moe_costmodel")
PAGE = ROOT / "docs" / "architecture.md"
MOST_MODULES = 14

# Imports inside functions that run against the order or close a circle. Each is a method of a
# central class that hands over to a module which needs the class itself; the reason follows.
FACADES = {
    ("moe_costmodel/traces/trace.py", "moe_costmodel/traces"): "methods of RoutingTrace",
    ("moe_costmodel/plans/plan.py", "moe_costmodel/plans"): "methods of Plan: save, load, exports",
    ("moela/comparison/comparison.py", "moela/comparison/report"): "Comparison.report",
}


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module, by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each module of ours that a file imports, and whether a function does so.

    What only type checkers import does not count. An `__init__` of a public package is a facade:
    its names come from where the facade takes them.
    """
    known = modules()

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, lazy) for alias in child.names if alias.name in known)
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    if full in known:
                        yield full, lazy
                    elif child.module in known:
                        yield child.module, lazy
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from walk(child, lazy or inside)

    yield from walk(tree(path), False)


def folder(path: Path) -> str:
    return path.relative_to(ROOT).parent.as_posix()


def order() -> dict[str, int]:
    """Read the layers from docs/architecture.md, ground first; folders in one line are equals."""
    text = PAGE.read_text(encoding="utf-8")
    block = re.search(r"<!-- import order -->\n```\n(.*?)```", text, flags=re.DOTALL)
    assert block, f"{PAGE} has no block of code below <!-- import order -->"
    ranks = {}
    for rank, line in enumerate(block.group(1).splitlines()):
        for name in line.split("#")[0].replace(",", " ").split():
            ranks[name] = rank
    return ranks


def is_facade(path: Path, target: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return path.name == "__init__.py" or (name, folder(target)) in FACADES


def test_every_folder_has_its_place_in_the_order():
    assert sorted({folder(path) for path in modules().values()} - set(order())) == []


def test_folders_import_downward():
    ranks, known = order(), modules()
    upward = set()
    for path in known.values():
        for name, _ in imports(path):
            target = known[name]
            runs_up = folder(path) != folder(target) and (
                ranks[folder(target)] >= ranks[folder(path)]
            )
            if runs_up and not is_facade(path, target):
                upward.add(f"{path.relative_to(ROOT)} imports {name}")
    assert sorted(upward) == []


def test_no_circle_of_modules():
    known = modules()
    graph = {
        name: {target for target, _ in imports(path) if not is_facade(path, known[target])}
        for name, path in known.items()
    }
    state: dict[str, int] = defaultdict(int)
    circles = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        state[name] = 1
        for target in sorted(graph[name] - {name}):
            if state[target] == 1:
                circles.append(" -> ".join([*way[way.index(target) :], target]))
            elif state[target] == 0:
                visit(target, (*way, target))
        state[name] = 2

    for name in graph:
        if state[name] == 0:
            visit(name, (name,))
    assert circles == []


def test_facades_are_needed():
    known = modules()
    used = {
        (path.relative_to(ROOT).as_posix(), folder(known[name]))
        for path in known.values()
        for name, lazy in imports(path)
        if lazy
    }
    assert sorted(set(FACADES) - used) == []


def test_no_folder_is_crowded():
    counts: dict[str, int] = defaultdict(int)
    for path in modules().values():
        counts[folder(path)] += path.name != "__init__.py"
    assert {name: n for name, n in counts.items() if n > MOST_MODULES} == {}
