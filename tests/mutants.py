"""Mutants of the packages, and how many of them the tests catch.

    python -m pytest -q -n 3 --cov --cov-context=test --cov-report= --junitxml=.benchmarks/tests.xml
    python -m tests.mutants --processes 2    # resumes; prints a table by folder
    python -m tests.mutants --again          # after a change of code or tests
    python -m tests.mutants --only moela/evaluation --number 400

A mutant changes one operator, one constant or one return value. Which ones are made depends on the
seed and the code only, and each folder has as many as its size asks for. A mutant runs against the
tests that touch its line, by the contexts of coverage.py: those of its own folder first, quick ones
first, up to a limit of seconds. Where no test is known to touch a line, as in compiled functions,
these are the tests that touch its module, or else those of its folder, the laws and the conformance
suites. A test that caught a mutant before goes first. The results are in tests/mutants.json. The
tree itself is never changed: mutants run in copies of it.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from xml.etree import ElementTree

from tests import size

ROOT = size.ROOT
RESULTS = ROOT / "tests" / "mutants.json"
GENERAL = ("tests/laws", "tests/conformance")
KINDS = ("operator", "constant", "return")
_LEFT_OUT = ("*.git", ".venv*", ".benchmarks", "_build", "dist", ".coverage*", "auto_tutorials")
_SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A change of one place of a file; `key` does not depend on its line."""

    key: str
    file: str
    line: int
    kind: str
    old: str
    new: str
    span: tuple[int, int, int, int]  # first line and column, last line and column

    @property
    def folder(self) -> str:
        """Name of the part of the house, such as moela/evaluation."""
        parts = Path(self.file).parts
        return "/".join(parts[: min(2, len(parts) - 1)])

    def applied(self, text: str) -> str:
        """Return the text of the file with the change; columns are bytes, as those of `ast`."""
        first, start, last, end = self.span
        lines = text.encode().splitlines(keepends=True)
        before, after = lines[first - 1][:start], lines[last - 1][end:]
        lines[first - 1 : last] = [before + f"({self.new})".encode() + after]
        return b"".join(lines).decode()


def changed(node: ast.AST) -> tuple[str, ast.expr, str] | None:
    """Return kind, the changed expression and its new text, or None if a node has no mutant."""
    if isinstance(node, ast.Return) and node.value is not None:
        returned = node.value
        same = isinstance(returned, ast.Constant) and returned.value is None
        return None if same else ("return", returned, "None")
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = node.value
        new = repr(not value) if isinstance(value, bool) else repr(value + 1)
        return "constant", node, new
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        ops = [_SWAPS[type(node.ops[0])](), *node.ops[1:]]
        return "operator", node, ast.unparse(ast.Compare(node.left, ops, node.comparators))
    if isinstance(node, ast.BinOp) and type(node.op) in _SWAPS:
        other = ast.BinOp(node.left, _SWAPS[type(node.op)](), node.right)
        return "operator", node, ast.unparse(other)
    if isinstance(node, ast.BoolOp):
        return "operator", node, ast.unparse(ast.BoolOp(_SWAPS[type(node.op)](), node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return "operator", node, ast.unparse(node.operand)
    return None


def places(node: ast.AST, names: tuple[str, ...] = ()) -> Iterator[tuple[ast.AST, str]]:
    """Yield the nodes that may have a mutant, each with the name of its function.

    Annotations, texts and what only type checkers read are left out.
    """
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_comment"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield child, ".".join(names)
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield from places(child, (*names, child.name) if named else names)


def mutants_of(path: Path, seed: int) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    file, seen = path.relative_to(ROOT).as_posix(), Counter[str]()
    for node, name in places(size.tree(path)):
        if (found := changed(node)) is None:
            continue
        kind, old, new = found
        text = f"{seed} {file} {name} {kind} {ast.unparse(old)}"
        seen[text] += 1
        key = hashlib.sha256(f"{text} {seen[text]}".encode()).hexdigest()[:16]
        span = old.lineno, old.col_offset, old.end_lineno or 0, old.end_col_offset or 0
        yield Mutant(key, file, old.lineno, kind, ast.unparse(old), new, span)


def chosen(number: int, seed: int, only: str) -> list[Mutant]:
    """Return this many mutants, over the folders by size and over the kinds in turn."""
    lines = sum((size.folder_lines(package, 2) for package in size.PACKAGES), Counter[str]())
    lines = Counter({name: n for name, n in lines.items() if name.startswith(only)})
    shares = {name: number * n / lines.total() for name, n in lines.items()}
    counts = {name: int(share) for name, share in shares.items()}
    rest = sorted(shares, key=lambda name: counts[name] - shares[name])
    for name in rest[: number - sum(counts.values())]:
        counts[name] += 1
    by_folder: dict[str, dict[str, list[Mutant]]] = defaultdict(lambda: defaultdict(list))
    for path in size.python_files(*size.PACKAGES):
        for mutant in mutants_of(path, seed):
            by_folder[mutant.folder][mutant.kind].append(mutant)
    found = []
    for name, count in sorted(counts.items()):
        ranked = [sorted(by_folder[name][kind], key=lambda m: m.key) for kind in KINDS]
        turns = [m for turn in range(count) for kind in ranked for m in kind[turn : turn + 1]]
        found += turns[:count]
    return found


class Net:
    """Tests by the lines that they touch, and their seconds."""

    def __init__(self, coverage: Path, times: Path, most_seconds: float) -> None:
        self.coverage, self.most_seconds = coverage, most_seconds
        self.seconds: dict[str, float] = {}
        if times.exists():
            for case in ElementTree.parse(times).iter("testcase"):
                file = case.get("classname", "").replace(".", "/") + ".py"
                self.seconds[f"{file}::{case.get('name')}"] = float(case.get("time", 0))

    def touching(self, mutant: Mutant) -> tuple[set[str], set[str]]:
        """Return the tests that touch the line of a mutant, and those that touch its file."""
        if not self.coverage.exists():
            return set(), set()
        from coverage.numbits import num_in_numbits

        query = (
            "select context, numbits from line_bits join context on context.id = context_id "
            "join file on file.id = file_id where path like ? and context != ''"
        )
        of_line, of_file = set(), set()
        with sqlite3.connect(self.coverage) as data:
            for context, bits in data.execute(query, (f"%/{mutant.file}",)):
                test = context.rpartition("|")[0]
                of_file.add(test)
                if num_in_numbits(mutant.line, bits):
                    of_line.add(test)
        return of_line, of_file

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests to run: those of the own folder first, quick ones first."""
        of_line, of_file = self.touching(mutant)
        own = f"tests/{mutant.folder}/"
        known = {
            test
            for test in of_line or of_file
            if (ROOT / test.partition("::")[0]).exists() and test in self.seconds
        }
        order = sorted(known, key=lambda test: (not test.startswith(own), self.seconds[test]))
        total, kept = 0.0, []
        for test in order:
            total += self.seconds[test]
            if kept and total > self.most_seconds:
                break
            kept.append(test)
        near = [own, *GENERAL] if (ROOT / own).exists() else list(GENERAL)
        return kept or [name for name in near if (ROOT / name).exists()]


def run(tests: list[str], copy: Path, most_seconds: float) -> tuple[bool, str]:
    """Run tests in a copy of the tree until one fails; return whether any did, and which."""
    tests = [test for test in tests if (copy / test.partition("::")[0]).exists()]
    while tests:
        (copy / "mutant_tests.txt").write_text("\n".join(tests), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider"]
        process = subprocess.Popen(
            [*command, "@mutant_tests.txt"], cwd=copy, start_new_session=True, text=True,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            out, _ = process.communicate(timeout=2 * most_seconds + 120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True, "time is over"
        missing = set(re.findall(r"^ERROR: not found: .*?(tests/\S.*)$", out, re.MULTILINE))
        if not missing:
            named = re.search(r"^(?:FAILED|ERROR) (tests/.*?)(?: - .*)?$", out, re.MULTILINE)
            return process.returncode not in (0, 5), named.group(1) if named else ""
        # Parameters that are no more stand for the function, which is left out if it is no more.
        heads = [test.partition("[")[0] for test in tests]
        pairs = zip(tests, heads, strict=True)
        kept = [head if head in missing else test for test, head in pairs if test not in missing]
        if kept == tests:
            break
        tests = list(dict.fromkeys(kept))
    return False, ""


def copied(parent: str, number: int) -> Path:
    """Return a copy of the tree; times of files stay, so that compiled code is used again."""
    target = Path(parent, str(number))
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    return target


def attempt(mutant: Mutant, net: Net, killer: str, copy: Path) -> dict[str, object]:
    """Run a mutant; return its record."""
    path = copy / mutant.file
    before, times = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(mutant.applied(before), encoding="utf-8")
    try:
        caught, test = run([killer] if killer else [], copy, net.most_seconds)
        if not caught:
            caught, test = run(net.tests(mutant), copy, net.most_seconds)
    finally:
        path.write_text(before, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return {
        "key": mutant.key, "file": mutant.file, "line": mutant.line, "kind": mutant.kind,
        "old": mutant.old, "new": mutant.new, "caught": caught, "test": test if caught else "",
    }  # fmt: skip


def table(records: list[dict[str, object]]) -> str:
    """Return the number of mutants and of caught ones by folder."""
    all_of, caught = Counter[str](), Counter[str]()
    for record in records:
        parts = Path(str(record["file"])).parts
        for name in ("/".join(parts[: min(2, len(parts) - 1)]), parts[0], "all"):
            all_of[name] += 1
            caught[name] += bool(record["caught"])
    return "\n".join(f"{name:30}{caught[name]:5} of {all_of[name]}" for name in sorted(all_of))


def main() -> None:
    """Run the mutants that have no result yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="FOLDER", help="such as moela/evaluation")
    parser.add_argument("--again", action="store_true", help="run those with a result, too")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the tests of a mutant")
    parser.add_argument("--coverage", type=Path, default=ROOT / ".coverage")
    parser.add_argument("--times", type=Path, default=ROOT / ".benchmarks" / "tests.xml")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    net = Net(arguments.coverage, arguments.times, arguments.seconds)
    old = {}
    if arguments.results.exists():
        old = {r["key"]: r for r in json.loads(arguments.results.read_text(encoding="utf-8"))}
    wanted = chosen(arguments.number, arguments.seed, arguments.only)
    done = {} if arguments.again else {m.key: old[m.key] for m in wanted if m.key in old}
    lock = Lock()
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(arguments.processes) as pool:
        copies = [copied(parent, i) for i in range(arguments.processes)]

        def work(mutant: Mutant) -> None:
            with lock:
                copy = copies.pop()
            killer = str(old.get(mutant.key, {}).get("test", ""))
            record = attempt(mutant, net, killer if "::" in killer else "", copy)
            with lock:
                copies.append(copy)
                done[mutant.key] = record
                rows = [done[m.key] for m in wanted if m.key in done]
                lines = ",\n".join(json.dumps(row) for row in rows)
                arguments.results.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
                place = f"{mutant.file}:{mutant.line}: {mutant.old} -> {mutant.new}"
                print("caught " if record["caught"] else "missed ", place, flush=True)

        list(pool.map(work, [m for m in wanted if m.key not in done]))
    print(table([done[mutant.key] for mutant in wanted]))


if __name__ == "__main__":
    main()
