"""Designs that are no numbers: strings and objects of a class (pymoo's custom variable type)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.sampling import Sampling
from pymoo.optimize import minimize

from moela import MOELA
from moela.learning.features import encode
from moela.plugins import LearnedLocalSearch
from moela.rivals import MOOSTAGE, VSRLS

LETTERS = list("abcdefgh")


class Word:
    """A string in a private attribute; two of them are never equal for Python."""

    def __init__(self, text):
        self._text = text

    def __str__(self):
        return self._text


class Texts(Sampling):
    def _do(self, problem, n_samples, *args, random_state=None, **kwargs):
        X = np.empty((n_samples, 1), dtype=object)
        for i in range(n_samples):
            X[i, 0] = problem.kind("".join(random_state.choice(LETTERS, 6)))
        return X


class OnePoint(Crossover):
    def __init__(self):
        super().__init__(2, 2)

    def _do(self, problem, X, *args, random_state=None, **kwargs):
        children = X.copy()
        for i in range(X.shape[1]):
            (a, b), at = map(str, X[:, i, 0]), random_state.integers(1, 6)
            children[:, i, 0] = problem.kind(a[:at] + b[at:]), problem.kind(b[:at] + a[at:])
        return children


class Letter(Mutation):
    def _do(self, problem, X, *args, random_state=None, **kwargs):
        children = X.copy()
        for i, text in enumerate(map(str, X[:, 0])):
            at = random_state.integers(6)
            new = text[:at] + random_state.choice(LETTERS) + text[at + 1 :]
            children[i, 0] = problem.kind(new)
        return children


class Spelling(ElementwiseProblem):
    """Letters that equal those of "abcdef", and the sum of the letters' numbers."""

    def __init__(self, kind=str):
        super().__init__(n_var=1, n_obj=2, n_ieq_constr=1)
        self.kind = kind

    def _evaluate(self, x, out, *args, **kwargs):
        text = str(x[0])
        out["F"] = [sum(map(str.__eq__, text, "abcdef")) * 1.0, -sum(map(ord, text)) * 1.0]
        out["G"] = [text.count("h") - 3.0]

    def operators(self):
        return {"sampling": Texts(), "crossover": OnePoint(), "mutation": Letter()}


class Described(Spelling):
    def features(self, X):
        return np.array([[str(x[0]).count(letter) for letter in LETTERS] for x in X], dtype=float)


class Moved(Described):
    """Neighbors as strings of numpy, of several lengths."""

    def neighbors(self, x, k, random_state):
        texts = [str(x[0])[: random_state.integers(3, 7)] for _ in range(k)]
        return np.array([["".join(random_state.permutation(list(t))) + "h"] for t in texts])


def evaluated(problem, algorithm, n_eval):
    seen = []
    minimize(
        problem,
        algorithm,
        ("n_eval", n_eval),
        seed=1,
        callback=lambda a: seen.extend(str(x[0]) for x in a.off.get("X")),
    )
    return seen


@pytest.mark.parametrize("n_eval", [60, 300])
@pytest.mark.parametrize("problem", [Spelling(), Spelling(Word), Described(), Described(Word)])
def test_strings_and_objects_are_searched_once_each_and_runs_repeat(problem, n_eval):
    seen = evaluated(problem, MOELA(), n_eval)
    assert len(set(seen)) == len(seen) == n_eval
    assert evaluated(problem, MOELA(), n_eval) == seen


def test_a_run_on_strings_begins_from_an_earlier_one():
    earlier = minimize(Spelling(), MOELA(), ("n_eval", 100), seed=1)
    later = minimize(Spelling(), MOELA(sampling=earlier.opt), ("n_eval", 60), seed=2)
    assert later.algorithm.front.pop.get("F").min() <= earlier.F.min()


def test_strings_have_models_only_with_features():
    for problem, learns in ((Spelling(), False), (Described(), True)):
        result = minimize(problem, MOELA(), ("n_eval", 1100), seed=1)
        guided = result.algorithm.guided
        assert (guided.move_ranking is not None) == learns
        assert (result.algorithm.log["screening"]["n_eval"] > 0) == learns


def test_neighbors_of_strings_are_not_cut():
    assert {len(text) for text in evaluated(Moved(), MOELA(), 300)} >= {4, 5, 6, 7}


def test_rivals_and_plugin_take_strings():
    assert len(set(evaluated(Spelling(), VSRLS(), 200))) == 200
    assert len(set(evaluated(Described(), MOOSTAGE(), 200))) == 200
    algorithm = NSGA2(
        20, mating=LearnedLocalSearch(), eliminate_duplicates=False, **Spelling().operators()
    )
    assert len(evaluated(Spelling(), algorithm, 100)) == 100


def test_a_rival_that_needs_a_model_asks_for_features():
    with pytest.raises(TypeError, match=r"Spelling must have a method features\(X\). Got .*\['"):
        evaluated(Spelling(), MOOSTAGE(), 500)


def test_fractions_are_numbers_for_a_model():
    X = np.array([[Fraction(1, 2)], [Fraction(3, 4)]], dtype=object)
    assert encode(Spelling(), X).tolist() == [[0.5], [0.75]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda X: np.zeros(len(X)), r"\(50, d\).* Got shape \(50,\) instead; .* column"),
        (lambda X: np.zeros((1, 2)), r"\(50, d\).* Got shape \(1, 2\) instead.$"),
        (lambda X: np.full((len(X), 2), np.nan), r"finite numbers. Got nan for feature 0 of the"),
    ],
)
def test_features_of_a_wrong_shape_or_without_a_value_are_refused(returned, message):
    problem = Spelling()
    problem.features = returned
    with pytest.raises(ValueError, match=rf"Spelling.features\(X\) must return .*{message}"):
        evaluated(problem, MOELA(), 100)
