"""A fresh Python imports the packages without a warning, from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import moe_costmodel
import moela
import problems


def test_imports_give_no_warning(tmp_path):
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    statement = "import moela, problems, moe_costmodel"
    command = [sys.executable, "-W", "error", "-c", statement]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    "name", ["moela.plugins.OptunaSampler", "moela.rivals", "problems.noc.baselines"]
)
def test_parts_are_attributes_without_an_import_of_their_own(name, tmp_path):
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    statement = f"import {name.partition('.')[0]}; {name}"
    command = [sys.executable, "-W", "error", "-c", statement]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("package", "name", "advice"),
    [
        (moela, "minimise", " Did you mean 'minimize'?"),
        (problems, "NoC3d", " Did you mean 'NoC3D'?"),
        (moe_costmodel, "measure_kernel", " Did you mean 'measure_kernels'?"),
        (moela, "zzz", ""),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one(package, name, advice):
    with pytest.raises(AttributeError) as caught:
        getattr(package, name)
    message = f"module {package.__name__!r} has no attribute {name!r}.{advice}"
    assert str(caught.value) == message
