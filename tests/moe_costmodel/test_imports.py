"""The package without torch, which is optional."""

import subprocess
import sys

import pytest

import moe_costmodel

# One process shows all of it: a new interpreter and its imports take seconds.
WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name == "torch" else find(name, *more)

from moe_costmodel import *
import moe_costmodel, moe_costmodel.kernels
from moe_costmodel import example

assert {"FAMILIES", "RoutingTrace", "LatencyModel", "Placement"} <= set(dir())
assert FAMILIES[0].name == "Mixtral"
assert "measure_kernels" not in dir()
for name in ("hardware", "latency", "memory", "rest", "shape"):
    getattr(example, f"example_{name}")(*[2] * (name == "hardware"))
RoutingTrace.load(example.trace_path("code")).describe()

USERS = {
    "moe_costmodel.kernels.padded_batch": lambda: moe_costmodel.kernels.padded_batch,
    "load_model()": lambda: example.load_model(),
    "moe_costmodel.example.excerpts": lambda: example.excerpts,
    "Hardware.here()": lambda: Hardware.here(),
}
for name in moe_costmodel._RUN_TORCH:
    USERS[f"moe_costmodel.{name}"] = lambda name=name: getattr(moe_costmodel, name)
for user, use in USERS.items():
    try:
        use()
    except ModuleNotFoundError as error:
        assert error.name == "torch"
        assert str(error).startswith(f"{user} needs "), error
        assert str(error).endswith(": pip install 'moela[torch]'."), error
    else:
        raise AssertionError(user)
assert not {"torch", "transformers", "pymoo"} & set(sys.modules)
"""


def test_the_package_works_without_torch_and_says_what_needs_it():
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True, timeout=240)


def test_with_torch_no_name_is_left_out():
    pytest.importorskip("torch")
    assert set(moe_costmodel._RUN_TORCH) <= set(moe_costmodel.__all__)
