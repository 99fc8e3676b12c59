"""Digests of code change with the code, in whatever way it was installed or written."""

import compileall
import functools
import importlib
import sys
import types
import warnings
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from moela.provenance.code import BYTECODE, GLOBALS, code_of
from moela.provenance.content import content_of, doubts
from moela.provenance.distributions import same_release
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


def test_a_distribution_without_a_record_counts_by_its_version(site):
    install(site, "different", "1.0", {"pack_a.py": A}, RECORD=None, **{"top_level.txt": "pack_a"})
    assert code_in(site) == {"pack_a": "1.0"}
    install(site, "pack_b", "3.0", {"pack_b/__init__.py": A}, RECORD=None)
    assert code_in(site, "pack_b") == {"pack_b": "3.0"}


def test_a_package_of_no_distribution_counts_by_its_files(site):
    write(site, {"pack_a/__init__.py": A, "pack_a/other.py": "x = 1"})
    before = code_in(site)
    assert before["pack_a"].startswith("files ")
    write(site, {"pack_a/data.txt": "no code"})
    assert code_in(site) == before
    write(site, {"pack_a/other.py": "x = 2"})
    assert code_in(site) != before


def test_a_single_file_of_no_distribution_counts_alone(site):
    write(site, {"pack_a.py": A, "pack_b.py": A})
    before = code_in(site)
    write(site, {"pack_b.py": ""})
    assert code_in(site) == before
    write(site, {"pack_a.py": A.replace("1", "2")})
    assert code_in(site) != before


def test_what_does_not_come_from_an_index_counts_by_version_and_files(site):
    url = {"direct_url.json": '{"url": "file:///home/me/pack", "dir_info": {}}'}
    install(site, "pack-a", "1.0", {"pack_a/__init__.py": A}, **url)
    before = code_in(site)["pack_a"]
    assert before.startswith("1.0, files ")
    assert same_release(before, "1.0")
    assert same_release("1.0", before)
    assert not same_release(before, "1.0.1")
    install(site, "pack-a", "1.0", {"pack_a/__init__.py": A.replace("1", "2")}, **url)
    after = code_in(site)["pack_a"]
    assert after != before
    assert not same_release(before, after)


def test_parts_of_a_namespace_belong_to_their_distributions(site):
    base = "class Base:\n    pass\n"
    plugin = "from company.core import Base\n\nclass A(Base):\n    pass\n"
    install(site, "company", "9.0", {"company/else.py": ""})
    install(site, "company-core", "1.0", {"company/core.py": base})
    install(site, "company-plugins", "3.0", {"company/plugins/part.py": plugin})
    assert code_in(site, "company.core", "Base") == {"company": "1.0"}
    assert code_in(site, "company.plugins.part") == {
        "company": "company-core 1.0, company-plugins 3.0"
    }
    install(site, "company-core", "1.1", {"company/core.py": base})
    assert code_in(site, "company.plugins.part") == {
        "company": "company-core 1.1, company-plugins 3.0"
    }


def test_a_namespace_without_a_distribution_counts_by_its_files(site):
    write(site, {"company/core.py": A})
    before = code_in(site, "company.core")
    write(site, {"company/core.py": A.replace("1", "2")})
    assert code_in(site, "company.core") != before


def test_what_an_interrupted_installation_has_left_is_passed_over(site):
    write(site, {"~ack_a-1.0.dist-info/RECORD": "", "0-1.0.dist-info/top_level.txt": "pack_a\n"})
    install(site, "zzz", "1.0", {"pack_a.py": A})
    assert code_in(site) == {"pack_a": "1.0"}
    install(site, "zzz", "1.0", {"pack_a.py": A}, METADATA=None)
    assert code_in(site)["pack_a"].startswith("files ")


def test_links_to_a_folder_of_packages_are_followed(site, tmp_path):
    install(site, "different", "1.0", {"pack_a/__init__.py": A})
    (tmp_path / "lib64").mkdir()
    link = tmp_path / "lib64" / "site-packages"
    link.symlink_to(site)
    assert code_in(link) == {"pack_a": "1.0"}


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


def test_a_namespace_in_a_working_tree_counts_by_its_sources(tmp_path):
    main = "from .helper import f\n\nclass A:\n    g = f\n"
    write(tmp_path, {"company/part/main.py": main, "company/part/helper.py": "f = 1"})
    before = code_in(tmp_path, "company.part.main")
    assert [*before] == ["sources"]
    write(tmp_path, {"company/part/helper.py": "f = 2"})
    assert code_in(tmp_path, "company.part.main") != before


def test_the_bytes_of_an_extension_module_count(tmp_path):
    # Nothing is loaded, so the bytes need no program.
    fast = f"pack_a/fast{EXTENSION_SUFFIXES[0]}"
    main = "class A:\n    def f(self):\n        from pack_a import fast\n        return fast.f()\n"
    write(tmp_path, {"pack_a/__init__.py": "", "pack_a/main.py": main, fast: b"\x7fELF\x00\x01"})
    before = code_in(tmp_path, "pack_a.main")
    write(tmp_path, {fast: b"\x7fELF\x00\x02"})
    assert code_in(tmp_path, "pack_a.main") != before


def test_the_bytes_of_the_extension_module_that_defines_a_class_count(tmp_path, monkeypatch):
    path = tmp_path / f"fast_a{EXTENSION_SUFFIXES[0]}"
    module = types.ModuleType("fast_a")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "fast_a", module)
    kind = type("A", (), {"__module__": "fast_a"})
    digests = []
    for content in (b"\x00 1", b"\x00 2", b"\x00 1"):
        path.write_bytes(content)
        with process():
            digests.append(code_of(kind())["sources"])
    assert digests[0] == digests[2] != digests[1]


def test_bytecode_without_its_source_counts(tmp_path):
    digests = []
    for number in (1, 2):
        write(tmp_path, {"pack_a.py": A.replace("1", str(number))})
        compileall.compile_file(tmp_path / "pack_a.py", legacy=True, force=True, quiet=1)
        (tmp_path / "pack_a.py").unlink()
        digests.append(code_in(tmp_path)["sources"])
    assert digests[0] != digests[1]


def test_code_in_a_zip_file_counts_by_its_bytecode(tmp_path):
    digests = []
    for number in (1, 2):
        archive = tmp_path / f"code_{number}.zip"
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("pack_a.py", A.replace("1", str(number)))
        digests.append(code_in(archive)[BYTECODE])
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    "content",
    [
        "# coding: latin-1\nname = 'Größe'\n".encode("latin-1") + A.encode(),
        b"\xef\xbb\xbf" + A.encode(),
        A.encode() + b"    text = '\\d'\n",
    ],
)
def test_sources_in_other_encodings_are_read(tmp_path, content):
    write(tmp_path, {"pack_a.py": content})
    before = code_in_quietly(tmp_path)
    write(tmp_path, {"pack_a.py": content + b"# a comment\n"})
    assert code_in_quietly(tmp_path) == before
    write(tmp_path, {"pack_a.py": content.replace(b"return 1", b"return 2")})
    assert code_in_quietly(tmp_path) != before


def code_in_quietly(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the import, not of the digest
        return code_in(folder)


def test_a_module_that_is_no_python_counts_by_its_bytes(tmp_path):
    main = "try:\n    from pack_a.old import x\nexcept SyntaxError:\n    x = 1\n" + A
    write(tmp_path, {"pack_a/__init__.py": main, "pack_a/old.py": "print 1"})
    before = code_in(tmp_path)
    write(tmp_path, {"pack_a/old.py": "print 2"})
    assert code_in(tmp_path) != before


def test_only_what_type_checkers_read_is_left_out(tmp_path):
    head = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    x = 0\nelse:\n    x = 1\n"
    write(tmp_path, {"pack_a.py": head + A})
    before = code_in(tmp_path)
    write(tmp_path, {"pack_a.py": head.replace("x = 0", "x = 5") + A})
    assert code_in(tmp_path) == before
    write(tmp_path, {"pack_a.py": head.replace("x = 1", "x = 5") + A})
    assert code_in(tmp_path) != before


def test_a_module_of_the_user_may_have_the_name_of_one_of_python(tmp_path):
    write(tmp_path, {"this.py": A})
    before = code_in(tmp_path, "this")
    assert [*before] == ["sources"]
    write(tmp_path, {"this.py": A.replace("1", "2")})
    assert code_in(tmp_path, "this") != before


HELD = """
from pymoo.core.problem import Problem

class Mine(Problem):
    def __init__(self, hidden):
        super().__init__(n_var=1, n_obj=1)
        self._hidden = hidden

    def _evaluate(self, X, out):
        out["F"] = X
"""


@pytest.mark.parametrize("name", ["problems", "this"])
def test_content_of_a_problem_whose_module_has_a_known_name_is_seen(tmp_path, name, monkeypatch):
    monkeypatch.delitem(sys.modules, name, raising=False)
    write(tmp_path, {f"{name}.py": HELD})
    with process(tmp_path):
        mine = importlib.import_module(name).Mine
        old = content_of(mine(1))
        assert not doubts(old.record(), content_of(mine(1)))
        assert doubts(old.record(), content_of(mine(2))).hidden == ("problem._hidden",)
        assert old.bytecode


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


@pytest.mark.parametrize("namespace", [{"__name__": "__main__"}, {}])
def test_functions_without_a_file_count(namespace):
    def digests(number):
        scope = dict(namespace)
        exec(f"def f(x):\n    return x + {number}", scope)
        return code_of(scope["f"])

    assert digests(1) == digests(1)
    assert digests(1)[BYTECODE] != digests(2)[BYTECODE]


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
