"""Compiled functions work where neither the installation nor the home folder can be written."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from importlib.util import find_spec
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
