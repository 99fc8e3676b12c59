"""The package without torch, which is optional."""

import subprocess
import sys

import pytest

import moe_costmodel

_WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name == "torch" else find(name, *more)
"""


def run(code):
    command = [sys.executable, "-c", _WITHOUT_TORCH + code]
    subprocess.run(command, check=True, timeout=500)


def test_all_names_are_imported_without_torch():
    run(
        "from moe_costmodel import *\n"
        "assert {'FAMILIES', 'RoutingTrace', 'LatencyModel', 'Placement'} <= set(dir())\n"
        "assert FAMILIES[0].name == 'Mixtral'\n"
        "assert 'measure_kernels' not in dir() and 'torch' not in sys.modules"
    )


def test_names_that_need_torch_say_so():
    run(
        "import moe_costmodel\n"
        "for name in moe_costmodel._RUN_TORCH:\n"
        "    try:\n"
        "        getattr(moe_costmodel, name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert error.name == 'torch'\n"
        "        how = f\"moe_costmodel.{name} needs torch: pip install 'moela[torch]'.\"\n"
        "        assert str(error) == how, error\n"
        "    else:\n"
        "        raise AssertionError(name)"
    )


@pytest.mark.parametrize(
    ("words", "user"),
    [
        ("kernels.padded_batch", "moe_costmodel.kernels.padded_batch"),
        ("example.load_model()", "load_model()"),
        ("example.excerpts", "moe_costmodel.example.excerpts"),
        ("Hardware.here()", "Hardware.here()"),
    ],
)
def test_errors_about_torch_name_its_user_and_the_extra(words, user):
    run(
        "import moe_costmodel, moe_costmodel.kernels, moe_costmodel.example\n"
        "try:\n"
        f"    moe_costmodel.{words}\n"
        "except ModuleNotFoundError as error:\n"
        f"    assert str(error).startswith('{user} needs '), error\n"
        "    assert str(error).endswith(\": pip install 'moela[torch]'.\"), error\n"
        "else:\n"
        "    raise AssertionError\n"
    )


def test_with_torch_no_name_is_left_out():
    pytest.importorskip("torch")
    assert set(moe_costmodel._RUN_TORCH) <= set(moe_costmodel.__all__)
