"""Classes are found in the modules that pickles of earlier versions name."""

from __future__ import annotations

import pickle

import pytest

FORMER = {
    "moe_costmodel.offloading.replay": ("Admission",),
    "moela.evaluation.storage.reader": ("StoredEvaluation", "StoredRun", "StoredRuns"),
    "moela.functions.model.outputs": ("Constraint", "Objective"),
    "moela.functions.model.problem": (
        "BinaryFunctionProblem",
        "FunctionProblem",
        "PermutationFunctionProblem",
    ),
}


@pytest.mark.parametrize(("module", "names"), FORMER.items())
def test_pickles_find_classes_that_have_moved(module, names):
    for name in names:
        found = pickle.loads(pickle.GLOBAL + f"{module}\n{name}\n.".encode())
        assert found.__name__ == name
        assert found.__module__ != module
