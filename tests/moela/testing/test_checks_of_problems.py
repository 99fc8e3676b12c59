"""Each conformance check of problems finds the fault that it is for."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from moela.testing import (
    ToyConstrained,
    ToyMixed,
    ToyPermutation,
    ToyReal,
    check_problem,
    problems,
)


def broken(base=ToyPermutation, **methods):
    return type("Broken", (base,), methods)()


def flat(self, x, out, *args, **kwargs):
    out["F"] = np.ones((len(x), 2))
    out["F"][0, 0] = np.nan


def by_batch(self, x, out, *args, **kwargs):
    out["F"] = np.column_stack([x.sum(axis=1), x.max(axis=1) + len(x)]).astype(float)


def in_place(self, x, out, *args, **kwargs):
    x.sort(axis=1)
    out["F"] = x[:, :2].astype(float)


def noisy(self, x, out, *args, **kwargs):
    self.calls = getattr(self, "calls", 0) + 1
    out["F"] = x[:, :2] + float(self.calls)


def complex_objectives(self, x, out, *args, **kwargs):
    ToyReal._evaluate(self, x, out)
    out["F"] = out["F"] + 1j


def changes_dictionaries(self, x, out, *args, **kwargs):
    ToyMixed._evaluate(self, x, out)
    for design in x:
        design["width"] = 0.0


def with_operator(kind, act):
    """Return an `operators` method, of which one operator is `act`."""

    def operators(self):
        own = ToyPermutation.operators(self)
        own[kind] = copy.copy(own[kind])
        own[kind]._do = act
        return own

    return operators


def mutate_to_nan(problem, X, **kwargs):
    return np.full(X.shape, np.nan)


def mutate_after_seeding(problem, X, **kwargs):
    np.random.seed(1)  # noqa: NPY002
    return X


def sample_the_same(problem, n, **kwargs):
    rng = np.random.default_rng(0)
    return np.array([rng.permutation(8) for _ in range(n)])


def sample_ten(problem, n, *, random_state, **kwargs):
    return np.array([random_state.permutation(8) for _ in range(10)])


def few_neighbors(self, x, k, rng):
    return np.array([np.roll(x, i) for i in range(1, 8)])[np.arange(min(k, 7))]


def neighbors_in_one_array(self, x, k, rng):
    self.near = getattr(self, "near", np.empty((1000, 8), dtype=int))
    self.near[:k] = [np.roll(x, i) for i in rng.integers(1, 8, k)]
    return self.near[:k]


def other_constraints(self, x, out, *args, **kwargs):
    out["F"], out["G"] = np.ones((len(x), 2)), x[:, :2] - 0.5


def random_sampling(self):
    own = ToyPermutation.operators(self)
    own["sampling"] = copy.copy(own["sampling"])
    own["sampling"]._do = lambda problem, n, **kwargs: np.array(
        [np.random.permutation(8) for _ in range(n)]  # noqa: NPY002
    )
    return own


class OwnPermutations(Sampling):
    """Makes permutations, of which algorithms know nothing without a crossover for them."""

    def _do(self, problem, n_samples, *args, random_state=None, **kwargs):
        return np.array([random_state.permutation(problem.n_var) for _ in range(n_samples)])


def counting(self):
    return {"sampling": OwnPermutations()}


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ("check_evaluation", broken(_evaluate=flat)),
        ("check_evaluation", broken(bounds=lambda self: (np.ones(8), np.zeros(8)))),
        ("check_rows_are_independent", broken(_evaluate=by_batch)),
        ("check_evaluation_changes_nothing", broken(_evaluate=in_place)),
        ("check_evaluation_changes_nothing", broken(_evaluate=noisy)),
        ("check_evaluation", broken(ToyReal, _evaluate=complex_objectives)),
        ("check_evaluation_changes_nothing", broken(ToyMixed, _evaluate=changes_dictionaries)),
        ("check_operators_are_legal", broken(operators=counting)),
        ("check_operators_are_legal", broken(operators=with_operator("mutation", mutate_to_nan))),
        ("check_operators_are_legal", broken(operators=with_operator("sampling", sample_ten))),
        ("check_neighbors", broken(neighbors=few_neighbors)),
        ("check_operators_are_legal", broken(check=lambda self, X: False)),
        ("check_operators_randomness", broken(operators=random_sampling)),
        (
            "check_operators_randomness",
            broken(operators=with_operator("sampling", sample_the_same)),
        ),
        (
            "check_operators_randomness",
            broken(operators=with_operator("mutation", mutate_after_seeding)),
        ),
        ("check_neighbors", broken(neighbors=neighbors_in_one_array)),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: None)),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.tile(x, (k, 1)))),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.tile(x[::-1], (1, 1)))),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.full((k, 8), 3))),
        ("check_neighbors_many", broken(neighbors_many=lambda self, X, k, rng: X[:, ::-1])),
        ("check_canonical", broken(canonical=lambda self, X: X[:, ::-1])),
        ("check_canonical", broken(canonical=lambda self, X: np.sort(X, axis=1))),
        (
            "check_canonical",
            broken(
                ToyConstrained,
                _evaluate=other_constraints,
                canonical=lambda self, X: np.sort(X, axis=1),
            ),
        ),
        ("check_ref_point", broken(ref_point=np.ones(3))),
        ("check_ref_point", broken(ref_point=np.array([1.0, np.inf]))),
        ("check_features", broken(features=lambda self, X: X.sum(axis=1) * 1.0)),
        ("check_features", broken(features=lambda self, X: X - X.mean(axis=0))),
        ("check_features", broken(features=lambda self, X: np.where(X == 3, np.nan, X))),
        ("check_neighbor_features", broken(neighbor_features=lambda self, X, near: near * 1.0)),
        (
            "check_neighbor_features",
            broken(
                features=lambda self, X: X * 1.0,
                neighbor_features=lambda self, X, near: near[:, ::-1] * 1.0,
            ),
        ),
        (
            "check_neighbor_features",
            broken(
                features=lambda self, X: X * 1.0,
                neighbor_features=lambda self, X, near: near[0] * 1.0,
            ),
        ),
        (
            "check_describe_differences",
            broken(describe_differences=lambda self, x, y: [] if (x == y).all() else [1]),
        ),
        ("check_describe_differences", broken(describe_differences=lambda self, x, y: ["all"])),
        ("check_decode", broken(decode=lambda self, x: x, encode=lambda self, d: d[::-1])),
        ("check_version", broken(version=["3"])),
        ("check_version", broken(version="")),
    ],
)
def test_each_problem_check_finds_its_culprit(check, problem):
    getattr(problems, check)(ToyPermutation())
    with pytest.raises((AssertionError, ValueError)):
        getattr(problems, check)(problem)


def test_a_copy_that_evaluates_otherwise_is_found():
    class Drifts(ToyReal):
        def __deepcopy__(self, memo):
            return ToyReal(scale=2.0)

        def __reduce__(self):
            return (ToyReal, ())

    with pytest.raises(AssertionError, match="deep copy of the problem"):
        problems.check_problem_copies(Drifts())


class Word:
    """A design of a class of its own, which says nothing of equality."""

    def __init__(self, letters):
        self.letters = [int(letter) for letter in letters]


class WordSampling(Sampling):
    def _do(self, problem, n, *args, random_state=None, **kwargs):
        X = np.empty((n, 1), dtype=object)
        X[:, 0] = [Word(letters) for letters in random_state.integers(0, 9, (n, 4))]
        return X


class WordCrossover(Crossover):
    def __init__(self):
        super().__init__(2, 2)

    def _do(self, problem, X, *args, **kwargs):
        off = np.empty_like(X)
        for j, (a, b) in enumerate(zip(*X[:, :, 0], strict=True)):
            off[0, j, 0] = Word(a.letters[:2] + b.letters[2:])
            off[1, j, 0] = Word(b.letters[:2] + a.letters[2:])
        return off


class WordMutation(Mutation):
    in_place = False

    def _do(self, problem, X, *args, random_state=None, **kwargs):
        off = X if self.in_place else copy.deepcopy(X)
        for (word,) in off:
            word.letters[random_state.integers(4)] = int(random_state.integers(9))
        return off


class Words(Problem):
    """Words of four letters: objects without bounds, as with pymoo's custom variables."""

    def __init__(self):
        super().__init__(n_var=1, n_obj=2)

    def _evaluate(self, X, out, *args, **kwargs):
        letters = np.array([word.letters for (word,) in X])
        out["F"] = np.column_stack([letters.sum(axis=1), -letters[:, 0] * letters[:, 3]]) * 1.0

    def operators(self):
        return {
            "sampling": WordSampling(),
            "crossover": WordCrossover(),
            "mutation": WordMutation(),
        }

    def neighbors(self, x, k, random_state):
        near = np.empty((k, 1), dtype=object)
        for i, place in enumerate(random_state.integers(0, 4, k)):
            letters = list(x[0].letters)
            letters[place] = (letters[place] + 1) % 9
            near[i, 0] = Word(letters)
        return near

    def canonical(self, X):
        return X


def test_objects_may_be_designs():
    check_problem(Words())


def test_an_operator_that_changes_parents_that_are_objects_is_found(monkeypatch):
    monkeypatch.setattr(WordMutation, "in_place", True)
    monkeypatch.setattr(WordCrossover, "_do", lambda self, problem, X, *args, **kwargs: X)
    with pytest.raises(AssertionError, match="must not change parents"):
        problems.check_operators_leave_parents(Words())


class Writes(ToyReal):
    def _evaluate(self, x, out, *args, **kwargs):
        x += 0.0
        super()._evaluate(x, out)


class TooWide(ToyReal):
    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = x[:, :3]


class OneArgument(ToyReal):
    def neighbors(self, x):
        return x


class Noisy(ToyReal):
    rng = np.random.default_rng(1)

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        out["F"] += self.rng.random(out["F"].shape)


def with_function():
    problem = ToyReal()
    problem.function = lambda x: x
    return problem


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Writes(), "must not change X. It writes into it"),
        (TooWide(), r"must end without an exception. Got .*expected shape \(17, 2\)"),
        (OneArgument(), "Got TypeError: .*neighbors"),
        (Noisy(), "The same X must give the same F"),
        (with_function(), "must be picklable, with all attributes. Got"),
        (3, "must be an instance of pymoo's Problem. Got 3"),
        (ToyReal, "Got the class ToyReal instead; call it"),
    ],
)
def test_every_mistake_is_an_assertion_error(problem, message):
    with pytest.raises(AssertionError, match=message):
        check_problem(problem)


def test_without_assert_statements_no_check_passes():
    code = "from moela.testing import ToyReal, check_problem; check_problem(ToyReal())"
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-O", "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert "RuntimeError: The checks of moela.testing are assert statements" in run.stderr
