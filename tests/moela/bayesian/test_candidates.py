"""Tests of candidates for the infill: in which form, and which description processes use."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import PermutationRandomSampling
from pymoo.problems import get_problem

import moela
from moela import MOELA
from moela.bayesian.alternatives import AlternativeProcesses
from moela.bayesian.candidates import _BY_USE, CodedVectors, OwnDesigns, Vectors
from moela.learning.permutations import ASPECTS, n_columns, ones

pytestmark = pytest.mark.few_evaluations


def started(problem, budget=40):
    """Return MOELA after the first designs of a run."""
    algorithm = MOELA()
    algorithm.setup(problem, termination=("n_eval", budget), seed=1)
    algorithm.evaluator.eval(problem, asked := algorithm.ask())
    algorithm.tell(infills=asked)
    return algorithm


def candidates_of(problem):
    return started(problem).infill_few.candidates


def function_of(**variables):
    def function(d):
        numbers = [zlib.crc32(str(value).encode()) % 97 / 97.0 for value in d.values()]
        return sum(numbers), -numbers[0]

    return moela.problem(function, variables=variables, objectives=["a", "b"])


class Tour(Problem):
    """Two lengths of a tour, the same in both directions."""

    def __init__(self, m=10):
        super().__init__(n_var=m, n_obj=2, xl=0, xu=m - 1, vtype=int)
        self.places = np.random.default_rng(3).random((2, m, 2))

    def operators(self):
        return {
            "sampling": PermutationRandomSampling(),
            "crossover": OrderCrossover(),
            "mutation": InversionMutation(),
        }

    def _evaluate(self, X, out, *args, **kwargs):
        steps = [np.linalg.norm(p[X] - p[np.roll(X, -1, axis=1)], axis=2) for p in self.places]
        out["F"] = np.column_stack([length.sum(axis=1) for length in steps])


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (get_problem("zdt1", n_var=5), Vectors),
        (function_of(x=(0.0, 1.0), y=(-1.0, 1.0)), CodedVectors),
        (function_of(x=(0.0, 1.0), n=(1, 5)), CodedVectors),
        (function_of(x=(0.0, 1.0), n=(1, 5), k=(1, 5)), OwnDesigns),
        (function_of(x=(0.0, 1.0), y=(0.0, 1.0), kind=["a", "b"]), OwnDesigns),
        (function_of(x=(0.0, 1.0), order=moela.permutation(4)), OwnDesigns),
        (function_of(order=moela.permutation(6)), OwnDesigns),
        (Tour(), OwnDesigns),
    ],
)
def test_vectors_of_mostly_real_numbers_have_trust_regions(problem, kind):
    assert type(candidates_of(problem)) is kind


def test_coded_vectors_are_designs_that_exist():
    variables = {
        "x": (-2.0, 3.0),
        "y": moela.real(1.0, 100.0, log=True),
        "n": (1, 6),
        "k": moela.integer(1, 1000, log=True),
    }
    problem = function_of(**variables)
    source = candidates_of(problem)
    known = source.of(problem.operators()["sampling"](problem, 12).get("X"))
    made, parents = source.varied(known, 200)
    assert made.shape == (200, 4)
    assert parents.max() < 12
    assert made.min() >= 0.0
    assert made.max() <= 1.0
    X = source.population(made).get("X")
    np.testing.assert_array_equal(X, problem.canonical(X))
    np.testing.assert_allclose(source.of(X), made, atol=1e-9)
    np.testing.assert_allclose(source.features(made), problem.features(X), atol=1e-9)
    np.testing.assert_array_equal(source.is_real, [True, True, False, True])
    near = source.within(made, known[:1].repeat(200, axis=0), 0.1)
    assert np.abs(near[:, 0] - known[0, 0]).max() <= 0.1 + 1e-9
    # An integer may always take a step.
    steps = np.abs(near[:, 2] - known[0, 2]) * source.span[2]
    assert steps.max() == pytest.approx(1.0)


def test_permutations_are_described_by_all_aspects():
    source = candidates_of(Tour())
    X = np.array([np.random.default_rng(seed).permutation(10) for seed in range(3)])
    features = source.features(X)
    assert features.shape == (3, sum(n_columns(10, aspect) for aspect in ASPECTS))
    groups = source.descriptions.groups(np.ones(features.shape[1], dtype=bool))
    for aspect, (at, scales) in zip(_BY_USE, groups, strict=True):
        assert not scales.any()
        np.testing.assert_array_equal(features[:, at], ones(X.argsort(axis=1), aspect))


def test_a_process_uses_the_description_that_explains_most():
    rng = np.random.default_rng(5)
    X = rng.integers(0, 2, (90, 60)).astype(float)
    groups = [np.arange(20), np.arange(20, 40), np.arange(40, 60)]
    shared = [(at, np.zeros(20, dtype=int)) for at in groups]
    for used, at in enumerate(groups):
        y = X[:, at] @ rng.normal(size=20)
        y = (y - y.mean()) / y.std()
        process = AlternativeProcesses(shared, 60)
        process.fit(X[:60], y[:60])
        assert process.used == used
        mean, deviation = process.predict(X[60:])
        assert np.corrcoef(mean, y[60:])[0, 1] > 0.9
        assert (np.abs(mean - y[60:]) < 4.0 * deviation).mean() > 0.9
        assert process.correlation > 0.9
        process.learn(X, y)
        np.testing.assert_allclose(process.predict(X)[0], y, atol=0.1)


MIXED = {
    "first": moela.permutation(6),
    "size": (1.0, 3.0),
    "kind": ["a", "b", "c"],
    "second": moela.permutation(list("xyzw")),
    "n": (1, 6),
}


def test_orders_beside_other_variables_are_described_by_aspects():
    problem = function_of(**MIXED)
    source = candidates_of(problem)
    X = problem.operators()["sampling"](problem, 12).get("X")
    features = source.features(X)
    used = np.ones(features.shape[1], dtype=bool)
    designs = [problem.decode(x) for x in X]
    assert len(source.descriptions.groups(used)) == len(_BY_USE)
    for aspect, (at, scales) in zip(_BY_USE, source.descriptions.groups(used), strict=True):
        columns = features[:, at]
        np.testing.assert_allclose(columns[:, 0], [(d["size"] - 1.0) / 2.0 for d in designs])
        np.testing.assert_allclose(columns[:, 1], [(d["n"] - 0.5) / 6.0 for d in designs])
        kinds = [[d["kind"] == option for option in "abc"] for d in designs]
        np.testing.assert_array_equal(columns[:, 2:5], kinds)
        first = np.array([np.argsort(d["first"]) for d in designs])
        second = np.array(
            [np.argsort(["xyzw".index(item) for item in d["second"]]) for d in designs]
        )
        parts = [ones(first, aspect), ones(second, aspect)]
        np.testing.assert_array_equal(columns[:, 5:], np.concatenate(parts, axis=1))
        # Each column of its own, then the two orders.
        lengths = [1] * 5 + [part.shape[1] for part in parts]
        np.testing.assert_array_equal(scales, np.arange(7).repeat(lengths))


def test_columns_that_do_not_vary_are_left_out_of_the_groups():
    problem = function_of(**MIXED)
    source = candidates_of(problem)
    features = source.features(problem.operators()["sampling"](problem, 12).get("X"))
    used = np.ones(features.shape[1], dtype=bool)
    used[[0, 3]] = False
    for columns, scales in source.descriptions.groups(used):
        assert columns.max() < used.sum()
        np.testing.assert_array_equal(np.unique(scales), np.arange(5))


def test_tours_are_predicted_by_their_neighbors():
    algorithm = started(Tour(), budget=60)
    while algorithm.has_next():
        asked = algorithm.ask()
        algorithm.evaluator.eval(algorithm.problem, asked)
        algorithm.tell(infills=asked)
    chosen = {process.used for process in algorithm.infill_few._objectives}
    assert chosen == {_BY_USE.index("neighbors")}


@pytest.mark.parametrize(("m", "n_aspects"), [(40, 4), (50, 3), (70, 2), (100, 1), (120, 0)])
def test_long_permutations_have_fewer_aspects(m, n_aspects):
    source = candidates_of(Tour(m))
    X = np.array([np.random.default_rng(seed).permutation(m) for seed in range(3)])
    features = source.features(X)
    if n_aspects:
        expected = sum(n_columns(m, aspect) for aspect in _BY_USE[:n_aspects])
        assert features.shape == (3, expected)
        assert len(source.descriptions.groups(np.ones(expected, dtype=bool))) == n_aspects
    else:
        np.testing.assert_allclose(features, X.argsort(axis=1) / (m - 1.0))


def test_real_variables_of_any_range_have_no_number_of_values():
    with np.errstate(all="raise"):
        candidates = candidates_of(function_of(a=(-1e300, 1e300), b=(0.0, 1.0)))
    assert candidates.is_real.all()
