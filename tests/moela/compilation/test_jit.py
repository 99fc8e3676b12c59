"""Compiled functions work where neither the installation nor the home folder can be written."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numba.core.caching
import pytest

import moe_costmodel
import moela
import problems
from moela.compilation.jit import cached_njit

IMPORT_ALL = """
import importlib, sys
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []  # numba finds no folder that can be written
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def double(x):
    return 2 * x


def test_machine_code_is_kept():
    assert cached_njit()(double)(4) == 8
    assert cached_njit(nogil=True)(double).stats.cache_path


def test_without_a_folder_the_function_is_compiled(monkeypatch):
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(double)
    assert cached_njit(nogil=True)(double)(4) == 8


def files_of(dispatcher):
    return dispatcher._cache._cache_file


@pytest.fixture
def half(tmp_path, monkeypatch):
    """Return a function that no other test compiles."""
    (tmp_path / "halves.py").write_text("def half(x):\n    return x / 2\n")
    spec = spec_from_file_location("halves", tmp_path / "halves.py")
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "halves", module)
    spec.loader.exec_module(module)
    return module.half


def test_processes_that_compile_for_other_types_at_once_keep_their_code_apart(half):
    one, other, third = (files_of(cached_njit()(half)) for _ in range(3))
    seen = one._load_index()
    one._load_index = lambda: dict(seen)  # as it was before the other process wrote

    def late(name, data, save=other._save_data):
        one.save("int", "code for int")
        save(name, data)

    other._save_data = late
    other.save("float", "code for float")
    assert third.load("int") in ("code for int", None)
    assert third.load("float") in ("code for float", None)


def test_machine_code_is_found_by_the_next_process(half):
    assert [cached_njit()(half)(value) for value in (3, 3.0)] == [1.5, 1.5]
    again = cached_njit()(half)
    assert [again(value) for value in (3, 3.0)] == [1.5, 1.5]
    assert len(again.stats.cache_hits) == 2
    assert not again.stats.cache_misses


def test_all_modules_import_where_nothing_can_be_written(tmp_path):
    sources = {
        module.name: Path(module.module_finder.path, *module.name.rsplit(".", 1)[1:])
        for package in (moela, problems, moe_costmodel)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.ispkg
    }
    texts = {name: path.with_suffix(".py").read_text() for name, path in sources.items()}
    compiled = sorted(
        name
        for name, text in texts.items()
        if "njit" in text and ("import torch\n" not in text or find_spec("torch"))
    )
    assert len(compiled) > 25
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *compiled],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
