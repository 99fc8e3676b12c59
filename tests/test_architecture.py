"""Rules of the layout: import order, import circles, sizes of folders, words, complexity."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mccabe import PathGraphingAstVisitor

ROOT = Path(__file__).parents[1]
PACKAGES = ("moela", "problems", "moe_costmodel")
PAGE = ROOT / "docs" / "architecture.md"
MOST_MODULES = 14

# Imports inside functions that run against the order or close a circle. Each is a method of a
# central class that hands over to a module which needs the class itself; the reason follows.
FACADES = {
    ("moe_costmodel/models/shape.py", "moe_costmodel/models"): "ModelShape.from_config",
    ("moe_costmodel/traces/trace.py", "moe_costmodel/traces"): "methods of RoutingTrace",
    ("moela/cli.py", "moela/commands"): "the entry, which hands over to a command",
    ("moela/evaluation/storage/reader.py", "moela/plugins"): "EvaluationStore.to_optuna",
    ("moela/comparison/comparison.py", "moela/comparison/report"): "Comparison.report",
    ("problems/noc/problem.py", "problems/noc"): "NoC3D.beside_baselines",
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


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Return each module of ours that a file imports, and whether a function does so.

    Imports for type checkers only are left out. An `__init__` of a public package is a facade: an
    import of it counts as one of the module that the facade takes the name from.
    """
    known = modules()

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):  # holds no statement
                continue
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

    return list(walk(tree(path), False))


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


# ----------------------------------------------------------------------------------------- files

# Calls that open a file for reading, or read one, by the last part of their name. Files are read
# through moela/files, which refuses pipes, large content, and damage by name.
READERS = frozenset([
    "open", "fdopen", "read_text", "read_bytes", "load", "loadtxt", "genfromtxt", "fromfile",
    "memmap", "open_memmap", "read_array", "read_csv", "read_table", "read_parquet", "ParquetFile",
    "read_json", "read_excel", "read_datasets", "ZipFile", "TarFile", "FileIO", "safe_open",
    "load_file", "connect", "from_pretrained", "fileinput", "parse",
])  # fmt: skip
LIBRARIES = frozenset(["np", "numpy", "torch", "json", "pickle", "joblib", "tomllib", "ET", "pd"])
# Functions of the door, which are called by their bare names, and methods of our classes.
OURS = frozenset(["read_text", "read_bytes", "read_array", "read_json", "connect"])
# Modules that read otherwise, each with its reason.
OTHER_READERS = {
    "moela/cli.py": "the null device, if the reader of a pipe is gone",
    "moela/evaluation/runners/worker.py": "pipes of its own process",
    "moela/evaluation/storage/rescue.py": "SQLite opens its files itself",
    "moela/evaluation/storage/sqlite.py": "SQLite opens its files itself",
    "moela/evaluation/storage/watch.py": "the log of a store that this process has open",
    "moela/provenance/code.py": "sources of modules that are imported",
    "moela/provenance/environment.py": "/proc/cpuinfo",
    "moela/comparison/report/page.py": "parts of the page, which are packaged",
    "moela/watch/page.py": "parts of the page, which are packaged",
    "moe_costmodel/example/packaged.py": "weights that are packaged",
    "moe_costmodel/example/text.py": "sources of the interpreter's library",
    "moe_costmodel/hardware.py": "/proc/cpuinfo",
    "moe_costmodel/kernels/experts.py": "mapped after the door has seen the file",
    "moe_costmodel/measure/parquet.py": "bytes that the door has read",
    "moe_costmodel/traces/files.py": "mapped after the door has seen the file",
    "moe_costmodel/traces/saved_model.py": "transformers reads a folder that the door has seen",
    "moe_costmodel/traces/members.py": "a file that the door has opened",
}


def called(node: ast.Call) -> str:
    """Return the dotted name of a called function, as far as it is one."""
    return ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""


def mode_of(node: ast.Call) -> str:
    """Return the mode in which a call of `open` opens its file."""
    given = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
    modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return next((mode for mode in modes if re.fullmatch(r"[rwxa][bt+]*", mode)), "r")


def reads(node: ast.Call) -> bool:
    """Tell whether a call reads a file otherwise than through the door."""
    name = called(node)
    owner, _, last = name.rpartition(".")
    if last not in READERS or (last in OURS and not owner):
        return False
    if last == "open":
        return "r" in mode_of(node)
    # Our own classes and modules have functions of these names, too.
    return last not in ("load", "parse", "read_csv") or owner in LIBRARIES


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree(path)))


@cache
def calls() -> list[tuple[str, ast.Call]]:
    """Return every call of the packages, and the module in which it stands, except of the door."""
    found = []
    for path in modules().values():
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("moela/files/"):
            found += [(name, n) for n in nodes(path) if isinstance(n, ast.Call)]
    return found


def test_files_are_read_through_the_door():
    found = {f"{name}:{node.lineno}: {called(node)}" for name, node in calls() if reads(node)}
    assert sorted(f for f in found if f.partition(":")[0] not in OTHER_READERS) == []


def test_modules_that_read_otherwise_do():
    assert sorted(set(OTHER_READERS) - {name for name, node in calls() if reads(node)}) == []


def test_the_test_of_readers_sees_them():
    for text in (
        "open(p)", "open(p, 'rb')", "p.open()", "p.open(mode='r+')", "io.open(p)", "p.read_text()",
        "np.load(p)", "json.load(f)", "numpy.loadtxt(p)", "zipfile.ZipFile(p)", "torch.load(p)",
        "sqlite3.connect(p)", "pq.read_table(p)", "os.open(p, 0)", "Path(p).read_bytes()",
    ):  # fmt: skip
        assert any(reads(n) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)), text
    for text in ("open(p, 'w')", "p.open('wb')", "read_text(p)", "Plan.load(p)", "json.loads(t)"):
        assert not any(reads(n) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)), text


def test_text_is_read_and_written_in_a_stated_encoding():
    """The default differs between systems: on Windows it is no UTF-8."""
    found = set()
    for name, node in calls():
        last = called(node).rpartition(".")[2]
        text = last in ("read_text", "write_text") and "." in called(node)
        text |= last == "open" and called(node) != "os.open" and "b" not in mode_of(node)
        text &= not (last == "open" and called(node).startswith(("self", "tarfile", "zipfile")))
        # Given without its name, or a file of importlib.metadata, which is UTF-8.
        text &= not (last == "read_text" and node.args)
        if text and "encoding" not in {k.arg for k in node.keywords}:
            found.add(f"{name}:{node.lineno}: {called(node)}")
    assert sorted(found) == []


# ----------------------------------------------------------------------------------------- words

# Private words of earlier versions, which terms of the field have replaced (CHANGELOG.md). No name
# may contain one.
GONE_WORDS = frozenset([
    "kick", "kicks", "kicking", "turns", "credit", "credits", "seen", "assistance", "assisted",
    "teaching", "teach", "ladder", "ladders", "remark", "remarks", "growth", "home",
    "homes", "way", "ways", "landscape", "told", "came",
])  # fmt: skip
# Removed names whose words are terms of the field in other names, such as `to_frame`.
GONE_NAMES = frozenset(["Frame", "frame", "Region", "region"])
# Public names of the field that contain such a word.
KEPT = frozenset(["MNKLandscape"])


def names(path: Path) -> Iterator[str]:
    """Yield the names of a module's classes, functions, parameters, and attributes, and its own."""
    yield path.stem
    for node in nodes(path):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_private_words_are_gone():
    found = sorted(
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules().values()
        for name in set(names(path)) - KEPT
        if words_of(name) & GONE_WORDS or name in GONE_NAMES
    )
    assert found == []


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, those below constants and attributes included."""
    for node in nodes(path):
        constant = node.value if isinstance(node, ast.Expr) else None
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
            yield constant.value.strip()


def test_docstrings_do_not_begin_with_a_riddle():
    riddles = sorted(
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in modules().values()
        for text in docstrings(path)
        if re.match(r"(What|Where|There|One)\b", text)
    )
    assert riddles == []


# ------------------------------------------------------------------------------- size and types

# The linter holds Python functions to a complexity of 20; it skips the files of compiled kernels,
# whose loops cannot be handed to numpy.
MOST_COMPLEX = 25
# The few longer files hold one class or one kernel that is read as a whole.
MOST_LINES = 460
# Values that pymoo, scikit-learn, or a user's object leave untyped. A hundred of them are in the
# digests of objects of other libraries and in the values of `out` that a store keeps.
MOST_ANY = 310


def test_no_function_is_too_complex():
    complex_ones = {}
    for path in modules().values():
        visitor = PathGraphingAstVisitor()
        visitor.preorder(tree(path), visitor)
        for graph in visitor.graphs.values():
            if graph.complexity() > MOST_COMPLEX:
                complex_ones[f"{path.relative_to(ROOT)}: {graph.entity}"] = graph.complexity()
    assert complex_ones == {}


def test_files_fit_in_a_head():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules().values()
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_any_is_rare():
    lines = [
        line
        for path in modules().values()
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\bAny\b", line)
    ]
    assert len(lines) < MOST_ANY
