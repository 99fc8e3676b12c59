"""Problems and algorithms that the tests of experiments share."""

from __future__ import annotations

import functools

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Integer, Real

from moela.experiments.run import External

REF = {"toy": [1.1, 1.1]}


class Toy(Problem):
    """Two objectives whose front is the segment from (0, 1) to (1, 0), at `depth` 0."""

    version = "1"

    def __init__(self, depth=0.0):
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)
        self.depth = depth

    def _evaluate(self, X, out, *args, **kwargs):
        g = X[:, 1:].sum(axis=1) + self.depth
        out["F"] = np.column_stack([X[:, 0] + g, 1 - X[:, 0] + g])


class Scarce(Toy):
    """Feasible only if x0 is at most 0.5."""

    def __init__(self):
        super().__init__()
        self.n_ieq_constr = 1

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        out["G"] = X[:, :1] - 0.5


class Broken(Toy):
    """Raises for chosen seeds."""

    def __init__(self, bad=()):
        super().__init__()
        self.bad = bad
        self._calls = 0

    def _evaluate(self, X, out, *args, **kwargs):
        self._calls += 1
        if self._calls in self.bad:
            raise RuntimeError("the simulator fell over\nsee its log")
        super()._evaluate(X, out)


class Mixed(Problem):
    def __init__(self):
        variables = {
            "a": Real(bounds=(0.0, 1.0)),
            "b": Integer(bounds=(0, 3)),
            "c": Choice(options=["x", "y"]),
        }
        super().__init__(vars=variables, n_obj=2)

    def _evaluate(self, X, out, *args, **kwargs):
        low = np.array([x["c"] == "x" for x in X])
        a = np.array([float(x["a"]) for x in X])
        b = np.array([int(x["b"]) for x in X])
        out["F"] = np.column_stack([a + b + low, 1 - a + b])


def draw(problem, n_eval, seed, *, spread=1.0):
    rng = np.random.default_rng(seed)
    X = spread * rng.random((n_eval, problem.n_var))
    return X, problem.evaluate(X)


nsga2 = functools.partial(NSGA2, pop_size=20)


ALGORITHMS = {"NSGA-II": nsga2, "random": External(draw)}
