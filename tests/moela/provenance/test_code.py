"""Digests of code change with the code, in whatever way it was installed or written."""

import functools
import importlib
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from moela.provenance.code import BYTECODE, GLOBALS, code_of
from moela.provenance.content import content_of, doubts
from tests.moela.provenance.layouts import install, process, write

A = "class A:\n    def f(self):\n        return 1\n"


@pytest.fixture
def site(tmp_path):
    return tmp_path / "site-packages"


def code_in(folder, module="pack_a", name="A", *more):
    """Return the digests of an object of a class that a new process imports."""
    with process(folder, *more):
        return code_of(getattr(importlib.import_module(module), name)())


# ---- installed packages --------------------------------------------------------------------------


@pytest.mark.parametrize("files", [{"pack_a.py": A}, {"pack_a/__init__.py": A}])
@pytest.mark.parametrize("name", ["pack-a", "quite-different"])
def test_a_wheel_counts_by_its_version(site, name, files):
    for version in ("1.0", "2.0"):
        install(site, name, version, files)
        assert code_in(site) == {"pack_a": version}


def test_a_package_of_no_distribution_counts_by_its_files(site):
    write(site, {"pack_a/__init__.py": A, "pack_a/other.py": "x = 1"})
    before = code_in(site)
    assert before["pack_a"].startswith("files ")
    write(site, {"pack_a/data.txt": "no code"})
    assert code_in(site) == before
    write(site, {"pack_a/other.py": "x = 2"})
    assert code_in(site) != before


# ---- working trees -------------------------------------------------------------------------------


def test_an_editable_installation_counts_by_its_sources(site, tmp_path):
    tree = tmp_path / "src"
    write(tree, {"pack_a/__init__.py": "from pack_a.part import A", "pack_a/part.py": A})
    install(
        site, "pack-a", "1.0", {"__editable__.pack_a.pth": str(tree)},
        **{"direct_url.json": '{"url": "file:///src", "dir_info": {"editable": true}}'},
    )  # fmt: skip
    before = code_in(tree, "pack_a", "A", site)
    assert [*before] == ["sources"]
    write(tree, {"pack_a/part.py": "# A comment.\n" + A})
    assert code_in(tree, "pack_a", "A", site) == before
    write(tree, {"pack_a/part.py": A.replace("1", "2")})
    assert code_in(tree, "pack_a", "A", site) != before


def test_the_bytes_of_an_extension_module_count(tmp_path):
    # Nothing is loaded, so the bytes need no program.
    fast = f"pack_a/fast{EXTENSION_SUFFIXES[0]}"
    main = "class A:\n    def f(self):\n        from pack_a import fast\n        return fast.f()\n"
    write(tmp_path, {"pack_a/__init__.py": "", "pack_a/main.py": main, fast: b"\x7fELF\x00\x01"})
    before = code_in(tmp_path, "pack_a.main")
    write(tmp_path, {fast: b"\x7fELF\x00\x02"})
    assert code_in(tmp_path, "pack_a.main") != before


HELD = """
from pymoo.core.problem import Problem

class Mine(Problem):
    def __init__(self, hidden):
        super().__init__(n_var=1, n_obj=1)
        self._hidden = hidden

    def _evaluate(self, X, out):
        out["F"] = X
"""


# ---- code without a file -------------------------------------------------------------------------

CELL = """
FACTOR = 3

class A:
    table = (1, 2)

    def f(self, k=1):
        return FACTOR * k + 1
"""


@pytest.mark.parametrize("namespace", [{"__name__": "__main__"}, {"__name__": "notebook"}, {}])
def test_code_of_main_and_of_notebooks_counts(namespace):
    def digests(text=CELL, name="A"):
        scope = dict(namespace)
        exec(text, scope)
        return code_of(scope[name]())

    before = digests()
    assert [*before] == [BYTECODE, GLOBALS]
    assert digests() == before
    assert digests("# A comment.\n" + CELL.replace("f(self", "f(self  ")) == before
    assert digests(CELL.replace("+ 1", "+ 2"))[BYTECODE] != before[BYTECODE]
    for changed in ("FACTOR = 4", "table = (1, 3)", "k=2"):
        name = changed.partition("=")[0]
        lines = [
            line.replace(line.strip(), changed) if line.strip().startswith(f"{name}= ") else line
            for line in CELL.splitlines()
        ]
        text = "\n".join(lines) if name != "k" else CELL.replace("k=1", changed)
        assert digests(text) != before


def test_content_of_a_problem_without_a_named_module_is_seen():
    def content(factor):
        scope = {}
        exec(HELD.replace('"] = X', f'"] = {factor} * X'), scope)
        return content_of(scope["Mine"](1))

    assert not doubts(content(2).record(), content(2))
    assert doubts(content(2).record(), content(3)).bytecode == (
        "problem (class Mine._evaluate) (code)",
    )


# ---- what an object runs -------------------------------------------------------------------------


def test_the_function_below_partials_and_wrappers_counts(tmp_path):
    class Compiled:
        def __init__(self, function):
            functools.update_wrapper(self, function)

        def __call__(self):
            return self.__wrapped__()

    write(tmp_path, {"pack_a.py": A + "def f():\n    return 1\n"})
    with process(tmp_path):
        module = importlib.import_module("pack_a")
        code = code_of(module.f)
        assert [*code] == ["sources"]
        assert code_of(functools.partial(functools.partial(module.f))) == code
        assert code_of(Compiled(module.f)) == code
        assert code_of(functools.partial(Compiled(module.f))) == code
        assert code_of(module.A) == code_of(module.A()) == code


def test_functions_of_python_have_no_code():
    assert code_of(len) == code_of(str.join) == code_of("".join) == code_of(functools.reduce) == {}
