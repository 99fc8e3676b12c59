"""A problem whose evaluations fail now and then, and a store of a run of it."""

import contextlib

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import Evaluator


class Beam(ElementwiseProblem):
    """Two objectives, one constraint; fails for small first variables."""

    def __init__(self):
        super().__init__(n_var=3, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)
        self.objective_names = ("mass <b>", "rise")

    def _evaluate(self, x, out, *args, **kwargs):
        if x[0] < 0.05:
            raise RuntimeError(f"no mesh for {x[0]} at 0x7f00aa")
        out["F"] = [x[0], 1 - np.sqrt(x[0]) + x[1:].sum()]
        out["G"] = [x[1] - 0.9]
        out["mesh"] = np.array([4, 2])


def run(path, n_eval=200, *, budget=None, seed=1, algorithm=NSGA2):
    """Run with a store; with a larger `budget` the run stops before its end."""

    class StopError(Exception):
        pass

    def stop(pop):
        if budget is not None and evaluator.n_eval >= n_eval:
            raise StopError

    evaluator = Evaluator(store=path, on_error="infeasible", callback=stop, on_mismatch="new")
    with evaluator, contextlib.suppress(StopError):
        minimize(
            Beam(),
            algorithm(pop_size=20),
            ("n_eval", budget or n_eval),
            seed=seed,
            evaluator=evaluator,
        )
    return path
