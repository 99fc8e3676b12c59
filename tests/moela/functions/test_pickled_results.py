"""Pickles of results that earlier versions made find their classes."""

from __future__ import annotations

import importlib
import io
import operator
import pickle
from pathlib import Path

import pytest
from function_cases import QUIET

import moela

# The classes and functions of moela in pickles of results so far. If one moves, an import at its
# old place keeps old pickles readable; a new one is added.
NAMES = (Path(__file__).parent / "pickled_names.txt").read_text().split()
VARIABLES = {
    "kinds": {
        "x": (0.0, 1.0), "n": (1, 9), "size": moela.real(1, 9, log=True), "on": bool,
        "tool": ["a", "b"], "count": moela.integer(1, 99, log=True),
        "order": moela.permutation(3), "rpm": moela.real(1, 9, when={"on": True}),
    },
    "booleans": {"x": bool, "n": bool, "more": bool, "on": bool, "off": bool, "last": bool},
    "order": {"x": moela.permutation(6)},
}  # fmt: skip


class Names(pickle.Unpickler):
    """Collects what a pickle imports from moela."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.found = set()

    def find_class(self, module, name):
        if module.startswith("moela"):
            self.found.add(f"{module}:{name}")
        return super().find_class(module, name)


def first_two(design):
    x = design["x"]
    return (x[0], x[1]) if isinstance(x, list) else (x, design["n"])


@pytest.mark.few_evaluations
@pytest.mark.parametrize("algorithm", ["moela", "nsga2"])
@pytest.mark.parametrize("kind", VARIABLES)
def test_pickles_hold_known_names_only(kind, algorithm):
    result = moela.minimize(
        first_two, variables=VARIABLES[kind], objectives={"p": "min", "q": "max"},
        n_eval=40, algorithm=algorithm, **QUIET,
    )  # fmt: skip
    names = Names(pickle.dumps(result))
    assert names.load().front.designs == result.front.designs
    assert sorted(names.found - set(NAMES)) == []


@pytest.mark.parametrize("name", NAMES)
def test_names_in_pickles_are_where_they_were(name):
    module, _, qualified = name.partition(":")
    assert callable(operator.attrgetter(qualified)(importlib.import_module(module)))
