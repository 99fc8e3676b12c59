"""Functions of real variables with many local fronts."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.problems import get_problem

from moela import MOELA
from moela._arrays import Floats
from moela.rivals import BatchMOEAD
from tests.benchmarks.rivals import AgeMoea
from tests.benchmarks.search.functions import EVOLUTION, Case, case
from tests.benchmarks.search.reports import study_of_functions
from tests.benchmarks.search.study import OURS


def function_of_vector(function: Any, n: int, low: float, high: float) -> Case:
    """Return a case of n real variables whose function takes a vector of them."""
    names = [f"x{i}" for i in range(n)]
    return case(
        lambda d: function(np.array([d[name] for name in names])),
        dict.fromkeys(names, (low, high)),
        ["first", "second"],
    )


def _waves(distance: Floats, height: float) -> float:
    """Return the function of Rastrigin with waves of some height, 0 at distance 0."""
    return float((distance**2 + height * (1.0 - np.cos(2.0 * math.pi * distance))).sum())


def rastrigin(n: int = 20) -> Case:
    """Two functions of Rastrigin whose minima differ in four variables, or in all if fewer."""
    rng = np.random.default_rng(41)
    first = rng.uniform(-4.0, 4.0, n)
    second = np.concatenate([rng.uniform(-4.0, 4.0, min(n, 4)), first[4:]])
    return function_of_vector(
        lambda x: (_waves(x - first, 5.0), _waves(x - second, 5.0)), n, -5.0, 5.0
    )


def rotated(n: int = 15) -> Case:
    """The functions of Ackley and of Rastrigin, whose axes are turned at random."""
    rng = np.random.default_rng(42)
    center = rng.uniform(-2.0, 2.0, n)
    other = center + 0.3 * rng.normal(size=n)
    axes = np.linalg.qr(rng.normal(size=(n, n)))[0]

    def both(x: Floats) -> tuple[float, float]:
        y = (x - center) @ axes
        flat = 20.0 * math.exp(-0.2 * math.sqrt((y**2).mean()))
        ackley = 20.0 + math.e - flat - math.exp(np.cos(2.0 * math.pi * y).mean())
        return ackley, _waves((x - other) @ axes, 2.0)

    return function_of_vector(both, n, -3.0, 3.0)


def network(n_hidden: int = 6) -> Case:
    """Training of a small neural network: its error and the size of its weights."""
    rng = np.random.default_rng(43)
    inputs = rng.normal(size=(80, 3))
    wanted = np.sin(2.0 * inputs[:, 0]) * inputs[:, 1] + np.abs(inputs[:, 2])

    def train(w: Floats) -> tuple[float, float]:
        layer, shift, out = np.split(w, [3 * n_hidden, 4 * n_hidden])
        found = np.tanh(inputs @ layer.reshape(3, n_hidden) + shift) @ out
        return float(((found - wanted) ** 2).mean()), float(np.abs(w).sum())

    return function_of_vector(train, 5 * n_hidden, -3.0, 3.0)


def atoms(n: int = 7) -> Case:
    """Atoms of different radius in a plane: the energy of Lennard-Jones, and the extent."""
    radius = np.random.default_rng(44).uniform(0.4, 0.6, n)
    pairs = np.triu_indices(n, 1)
    sums = (radius[:, None] + radius)[pairs]

    def energy(x: Floats) -> tuple[float, float]:
        places = x.reshape(n, 2)
        apart = np.linalg.norm(places[:, None] - places, axis=2)[pairs]
        power = (sums / np.maximum(apart, 0.6)) ** 6
        across = places[:, 0] - places[:, 0].mean()
        extent = (across**2).sum() + 0.3 * np.abs(places[:, 1]).sum()
        return float(4.0 * (power**2 - power).sum()), float(extent)

    return function_of_vector(energy, 2 * n, -2.0, 2.0)


def sines(n: int = 4) -> Case:
    """A sum of sines through given points: the error and the sum of amplitudes."""
    rng = np.random.default_rng(45)
    at = np.linspace(0.0, 1.0, 60)

    def curve(amplitudes: Floats, rates: Floats, phases: Floats) -> Floats:
        return np.asarray(amplitudes @ np.sin(np.outer(rates, at) + phases[:, None]))

    given = curve(rng.uniform(0.5, 2.0, n), rng.uniform(2.0, 25.0, n), rng.uniform(0.0, 6.0, n))

    def fit(x: Floats) -> tuple[float, float]:
        amplitudes, rates, phases = np.split(x, 3)
        found = curve(2.0 * amplitudes, 2.0 + 23.0 * rates, 2.0 * math.pi * phases)
        return float(((found - given) ** 2).mean()), float(2.0 * amplitudes.sum())

    return function_of_vector(fit, 3 * n, 0.0, 1.0)


def kursawe(n: int) -> Case:
    """The problem of Kursawe (1990), whose front has four parts, with n variables."""

    def both(x: Floats) -> tuple[float, float]:
        first = -10.0 * np.exp(-0.2 * np.hypot(x[:-1], x[1:])).sum()
        return float(first), float((np.abs(x) ** 0.8 + 5.0 * np.sin(x**3)).sum())

    return function_of_vector(both, n, -5.0, 5.0)


def michalewicz(n: int) -> Case:
    """Two functions of Michalewicz, one of them with its variables mirrored."""
    i = np.arange(1, n + 1)

    def steep(x: Floats) -> float:
        return -float((np.sin(x) * np.sin(i * x**2 / math.pi) ** 20).sum())

    return function_of_vector(lambda x: (steep(x), steep(math.pi - x)), n, 0.0, math.pi)


MANY_FRONTS: dict[str, Any] = {
    "zdt4": lambda: {"function": get_problem("zdt4")},
    "zdt4, 30 variables": lambda: {"function": get_problem("zdt4", n_var=30)},
    "dtlz1, 20 variables": lambda: {"function": get_problem("dtlz1", n_var=20, n_obj=2)},
    "dtlz3": lambda: {"function": get_problem("dtlz3", n_var=12, n_obj=3)},
    "rastrigin": rastrigin,
    "rotated": rotated,
    "network": network,
    "atoms": atoms,
    "sines": sines,
}
FEW_VARIABLES: dict[str, Any] = {
    "kursawe, 3 variables": partial(kursawe, 3),
    "kursawe, 5": partial(kursawe, 5),
    "kursawe, 10": partial(kursawe, 10),
    "rastrigin, 3": partial(rastrigin, 3),
    "rastrigin, 5": partial(rastrigin, 5),
    "rastrigin, 10": partial(rastrigin, 10),
    "rotated, 3": partial(rotated, 3),
    "rotated, 5": partial(rotated, 5),
    "michalewicz, 5": partial(michalewicz, 5),
    "michalewicz, 10": partial(michalewicz, 10),
    "dtlz4": lambda: {"function": get_problem("dtlz4", n_var=12, n_obj=3)},
    "wfg9": lambda: {"function": get_problem("wfg9", n_var=12, n_obj=2)},
}

_MANY, _AS_MANY = "MOELA, 50 survivors", "MOELA, as many"
LOCAL_FRONTS = study_of_functions(
    title="Many local fronts",
    about="Problems of real variables with many local fronts before the global one: ZDT4, DTLZ1 "
    "and DTLZ3; two functions of Rastrigin; rotated functions of Ackley and of Rastrigin; the "
    "weights of a small neural network; atoms in a plane; a sum of sines through given points. "
    "Hypervolume of the front relative to that of the best rival: medians over the seeds. The box "
    "in which it is measured holds the fronts of all runs with the same budget. The number after "
    "a name is the size of the population. `MOELA, 50 survivors` draws half of the parents from 50 "
    "survivors by dominance instead of 70 % from 20, and is no rival.",
    problems=MANY_FRONTS,
    algorithms={
        OURS: MOELA,
        _MANY: partial(MOELA._tuned, n_survivors=50),
        **EVOLUTION,
        "MOEA/D batch": partial(BatchMOEAD, n_subproblems=50),
    },
    store="local_fronts",
    budgets=(3000, 10_000),
    quick={"problems": ["rastrigin", "atoms"], "budgets": [60]},
    no_rivals=(_MANY,),
    least=0.95,
)
EXPLORATION = study_of_functions(
    title="Children that explore, few evaluations",
    about="Problems of few variables with many local fronts, where random children are wasted, and "
    "two problems that need them, DTLZ4 and WFG9. Hypervolume of the front relative to that of the "
    "best rival: medians over the seeds. The box in which it is measured holds the fronts of all "
    "runs with the same budget. All rivals have 20 members. `MOELA, as many` makes a quarter of "
    "the children at random and a tenth at bounds, whether these enter the archive or not, and is "
    "no rival.",
    problems=FEW_VARIABLES,
    algorithms={
        OURS: MOELA,
        _AS_MANY: partial(MOELA._tuned, least_exploring=1.0),
        "NSGA-II, 20": partial(NSGA2, pop_size=20),
        "AGE-MOEA-II, 20": partial(AgeMoea, pop_size=20),
        "MOEA/D batch": partial(BatchMOEAD, n_subproblems=20),
    },
    store="exploration",
    budgets=(300, 1000),
    quick={"problems": ["kursawe, 3 variables", "dtlz4"], "budgets": [60]},
    no_rivals=(_AS_MANY,),
    least=0.65,
)
