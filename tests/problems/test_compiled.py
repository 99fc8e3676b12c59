"""A change of any called function makes compiled functions compile again."""

from __future__ import annotations

import importlib
import pkgutil

import numba.core.dispatcher
import pytest

import problems

MODULES = [
    module.name
    for module in pkgutil.walk_packages(problems.__path__, "problems.")
    if module.name.startswith(("problems.classic", "problems.moe"))
]


def compiled(module):
    return {
        name: function
        for name, function in vars(module).items()
        if isinstance(function, numba.core.dispatcher.Dispatcher)
    }


@pytest.mark.parametrize("name", MODULES)
def test_compiled_callees_are_in_the_file_of_their_caller(name):
    # numba's cache checks only the file of the calling function.
    module = importlib.import_module(name)
    functions = compiled(module)
    elsewhere = {
        f"{caller} calls {callee}"
        for caller, function in functions.items()
        if function.py_func.__module__ == name
        for callee in function.py_func.__code__.co_names
        if callee in functions and functions[callee].py_func.__module__ != name
    }
    assert elsewhere == set()


def test_there_are_compiled_functions():
    assert sum(len(compiled(importlib.import_module(name))) for name in MODULES) > 20
