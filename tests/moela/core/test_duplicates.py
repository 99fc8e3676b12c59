from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from moela._arrays import rows
from moela.core.duplicates import Duplicates
from moela.testing import ToyMixed, ToyReal


def test_claims_the_first_new_ones_only():
    duplicates = Duplicates(ToyReal())
    X = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert duplicates.claim(X, 2).tolist() == [True, False, True, False]
    assert len(duplicates) == 2
    assert duplicates.claim(X).tolist() == [False, False, False, True]


def test_the_sign_of_zero_makes_no_difference():
    duplicates = Duplicates(ToyReal())
    duplicates.add(np.array([[0.0, 1.0]]))
    assert duplicates.first_of_each(np.array([[-0.0, 1.0]])).tolist() == [False]


def test_order_matters_unless_the_problem_says_otherwise():
    problem = ToyReal()
    duplicates = Duplicates(problem)
    duplicates.add(np.array([[1.0, 2.0]]))
    assert duplicates.first_of_each(np.array([[2.0, 1.0]])).tolist() == [True]
    problem.canonical = lambda X: np.sort(X, axis=1)
    duplicates = Duplicates(problem)
    duplicates.add(np.array([[1.0, 2.0]]))
    assert duplicates.first_of_each(np.array([[2.0, 1.0]])).tolist() == [False]


def test_dictionaries_compare_by_value_not_by_order_or_number_type():
    duplicates = Duplicates(ToyMixed())
    duplicates.add(rows([{"width": 1.0, "layers": 2, "sealed": True, "metal": "tin"}]))
    same = {"metal": np.str_("tin"), "sealed": np.True_, "layers": np.int64(2), "width": 1.0}
    other = {**same, "layers": 3}
    assert duplicates.first_of_each(rows([same, other])).tolist() == [False, True]


class Tree:
    """A design of its own class, whose content is in private attributes, too."""

    def __init__(self, label, *children):
        self._label, self.children, self.names = label, list(children), {label, "root"}


def test_objects_compare_by_content_and_not_by_address():
    def designs():
        loop = Tree("a", Tree("b"))
        loop.children.append(loop)
        kinds = [Fraction(1, 3), "word", b"1", (1, 2), {"k": [1.5]}, Tree("a", Tree("b")), loop]
        kinds += [Tree, re.compile("a"), np.arange(3), frozenset("xyz"), 10**30, None, 1j]
        X = np.empty((len(kinds), 1), dtype=object)
        for i, value in enumerate(kinds):
            X[i, 0] = value
        return X

    duplicates = Duplicates(ToyReal())
    assert duplicates.claim(designs()).all()
    assert not duplicates.first_of_each(designs()).any()
    X = np.array([[Tree("a", Tree("c"))], [Tree("c", Tree("b"))]], dtype=object)
    assert duplicates.first_of_each(X).all()
    assert duplicates.claim(np.array([["longer"], ["word"]])).tolist() == [True, False]
    assert duplicates.claim(np.array([[0.0], [-0.0]], dtype=object)).tolist() == [True, False]


def test_fingerprints_of_objects_are_those_of_any_process():
    X = np.array([[Fraction(1, 3), "b", frozenset(["x", "y", "zz"])]], dtype=object)
    assert Duplicates(ToyReal()).keys(X) == [4420213546706497247]


def test_content_that_cannot_be_pickled_is_named():
    X = np.array([[(i for i in range(3))]], dtype=object)
    with pytest.raises(TypeError, match=r"Got <generator .*; give the problem a method canonical"):
        Duplicates(ToyReal()).keys(X)
