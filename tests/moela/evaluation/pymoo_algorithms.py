"""All algorithms of pymoo that can be instantiated, on problems whose evaluations fail.

`violations` runs the matrix of an algorithm, and tells what must never be.
"""

import functools
import importlib
import inspect
import itertools
import pkgutil
import warnings
import zlib

import numpy as np
import pymoo.algorithms
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import failed

# Directions of two objectives, as many as there are members of a population.
DIRECTIONS = get_reference_directions("uniform", 2, n_partitions=11)
# Parameters that an algorithm needs, or that make its populations small.
SETTINGS = {
    "CTAEA": {"ref_dirs": DIRECTIONS},
    "MOEAD": {"ref_dirs": DIRECTIONS, "n_neighbors": 4},
    "ParallelMOEAD": {"ref_dirs": DIRECTIONS, "n_neighbors": 4},
    "NSGA3": {"ref_dirs": DIRECTIONS},
    "NSDER": {"ref_dirs": DIRECTIONS},
    "UNSGA3": {"ref_dirs": DIRECTIONS},
    "RVEA": {"ref_dirs": DIRECTIONS},
    "RNSGA2": {"ref_points": np.array([[0.3, 0.3], [0.8, 0.2]]), "pop_size": 12},
    "RNSGA3": {"ref_points": np.array([[0.3, 0.3], [0.8, 0.2]]), "pop_per_ref_point": 6},
    "CMAES": {"popsize": 6},
    "BIPOPCMAES": {"popsize": 6},
    "SimpleCMAES": {"opts": {"popsize": 6, "verbose": -9}},
    "BRKGA": {"n_elites": 4, "n_offsprings": 6, "n_mutants": 2},
    "ES": {"n_offsprings": 12, "pop_size": 4},
    "ISRES": {"n_offsprings": 12, "pop_size": 4},
    "SRES": {"n_offsprings": 12, "pop_size": 4},
    "RandomSearch": {"n_points_per_iteration": 12},
}
# Those that are no algorithm by themselves, and why.
NOT_ALONE = {
    "GeneticAlgorithm": "a base class",
    "LocalSearch": "a base class",
    "LineSearch": "a base class",
    "MetaAlgorithm2": "wraps another algorithm",
    "BracketSearch": "a base class of searches along a line",
    "ExponentialSearch": "searches along a line",
    "GoldenSectionSearch": "searches along a line",
    "QuadraticInterpolationSearch": "searches along a line",
    "WolfeSearch": "searches along a line, with gradients",
    "PINSGA2": "asks a person",
    "BGA": "needs designs of bits",
    "KGB": "needs a problem that changes with time",
    "DNSGA2": "needs a problem that changes with time",
}


@functools.cache
def kinds():
    """Return every class of an algorithm that pymoo defines, by name."""
    found = {}
    for module in pkgutil.walk_packages(pymoo.algorithms.__path__, "pymoo.algorithms."):
        if module.name.endswith(".optuna"):
            continue  # needs a package that is not installed
        for name, kind in vars(importlib.import_module(module.name)).items():
            own = inspect.isclass(kind) and kind.__module__ == module.name
            if own and issubclass(kind, Algorithm):
                found[name] = kind
    return found


def make(name, **settings):
    """Make an algorithm of pymoo's by name, with a small population."""
    kind = kinds()[name]
    parameters = inspect.signature(kind.__init__).parameters
    small = {"pop_size": 12} if "pop_size" in parameters and name not in SETTINGS else {}
    return kind(**{**small, **SETTINGS.get(name, {}), **settings})


def names(n_obj):
    """Return the names of those for one objective, or for several."""
    part = ".soo." if n_obj == 1 else ".moo."
    return sorted(
        name for name, kind in kinds().items() if part in kind.__module__ and name not in NOT_ALONE
    )


class Flaky(ElementwiseProblem):
    """Fails for a share of its designs, as if at random; its objectives may have any scale.

    The designs that fail would be the best of all.
    """

    def __init__(
        self, share, *, n_obj=2, n_ieq_constr=0, scale=1.0, shift=0.0, how="raise", first=0
    ):
        super().__init__(n_var=3, n_obj=n_obj, n_ieq_constr=n_ieq_constr, xl=0.0, xu=1.0)
        self.share = share
        self.scale = scale
        self.shift = shift
        self.how = how
        self.first = first  # evaluations that fail in any case
        self._n = 0

    def fails(self, x):
        return zlib.crc32(np.ascontiguousarray(x).tobytes()) / 2**32 < self.share

    def _evaluate(self, x, out, *args, **kwargs):
        self._n += 1
        if self._n <= self.first or self.fails(x):
            if self.how == "raise":
                raise ZeroDivisionError("the simulator broke")
            out["F"] = np.full(self.n_obj, {"inf": np.inf, "-inf": -np.inf}[self.how])
        else:
            g = 1.0 + x[1] + x[2]
            F = np.array([x[0], g * (1.0 - np.sqrt(x[0] / g))])[-self.n_obj :]
            out["F"] = self.scale * F + self.shift
        if self.n_ieq_constr:
            out["G"] = [0.3 - x[1]]


# Objectives f become scale * f + shift.
SCALES = {
    "plain": (1.0, 0.0),
    "huge and of both signs": (1e300, -5e299),
    "subnormal": (1e-310, 0.0),
}
# Scale, share of designs that fail, number of evaluations that fail first, and seed. The first
# population is one of 12 designs.
CELLS = [
    ("plain", 0.1, 0, 1),
    ("plain", 0.5, 0, 1),
    ("plain", 0.9, 0, 1),
    ("plain", 1.0, 0, 1),
    ("huge and of both signs", 0.5, 13, 2),
    ("subnormal", 0.5, 13, 2),
]
N_EVAL = 36  # three populations of 12


def solve(name, problem, evaluator, seed=1, n_eval=N_EVAL, **options):
    """Run an algorithm of pymoo's; only warnings that moela raises are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="moela")
        return minimize(
            problem,
            make(name),
            ("n_eval", n_eval),
            seed=seed,
            evaluator=evaluator,
            return_least_infeasible=True,
            **options,
        )


def scaled(name, scale, share, **settings):
    """Return a problem that suits an algorithm."""
    factor, shift = SCALES[scale]
    n_obj = 1 if name in names(1) else 2
    return Flaky(share, n_obj=n_obj, scale=factor, shift=shift, **settings)


def runs_without_failures(name, scale, n_ieq_constr):
    """Return whether pymoo's algorithm can solve the problem if no evaluation fails."""
    try:
        solve(name, scaled(name, scale, 0.0, n_ieq_constr=n_ieq_constr), PymooEvaluator())
    except Exception:
        return False
    return True


def violation(name, scale, share, first, seed, n_ieq_constr):
    """Run one cell of the matrix; return what is wrong with its result, or None."""
    problem = scaled(name, scale, share, n_ieq_constr=n_ieq_constr, first=first)
    with Evaluator(on_error="infeasible", progress=False) as evaluator:
        result = solve(name, problem, evaluator, seed)
    parts = (result.X, result.F, result.opt)
    if share == 1.0:
        return None if all(part is None for part in parts) else "a result without any success"
    if any(part is None for part in parts):
        return None if share == 0.9 or first else "no result"
    if failed(result.opt).any():
        return "a failure in opt"
    if any(problem.fails(x) for x in np.atleast_2d(result.X)):
        return "a failure in X"
    best, (factor, shift) = np.atleast_2d(result.F), SCALES[scale]
    if not (np.isfinite(best).all() and (np.abs(best) <= 10 * factor + abs(shift)).all()):
        return f"F = {result.F}"
    return None


def violations(name):
    """Yield each cell of the matrix with what is wrong with its result, or None.

    Cells in which pymoo's algorithm stops by itself, without any failure, are left out.
    """
    for n_ieq_constr, scale in itertools.product((0, 1), SCALES):
        if runs_without_failures(name, scale, n_ieq_constr):
            for cell in CELLS:
                if cell[0] == scale:
                    yield (*cell, n_ieq_constr), violation(name, *cell, n_ieq_constr)
