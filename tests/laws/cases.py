"""Functions, variables, algorithms and numbers of examples that the laws share."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from pymoo.algorithms.moo.age import AGEMOEA
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.util.ref_dirs import get_reference_directions

import moela
from tests.conformance.test_algorithms import ALGORITHMS as OURS

QUIET = {"verbose": False, "progress": False}
DIRECTIONS = get_reference_directions("das-dennis", 2, n_partitions=9)

PYMOO = {
    "NSGA2": partial(NSGA2, pop_size=10),
    "NSGA3": partial(NSGA3, DIRECTIONS, pop_size=10),
    "MOEAD": partial(MOEAD, DIRECTIONS, n_neighbors=4),
    "AGEMOEA": partial(AGEMOEA, pop_size=10),
    "SMSEMOA": partial(SMSEMOA, pop_size=10),
}
ALGORITHMS = OURS | PYMOO
ONE_OBJECTIVE = {"GA": partial(GA, pop_size=10), "the default": lambda: None}

VARIABLES = {
    "reals": {"x": (0.0, 4.0), "y": (-1.0, 5.0), "z": moela.real(1e-3, 1e3, log=True)},
    "mixed": {
        "x": (0.0, 4.0),
        "n": (1, 40),
        "s": ["a", "bb", "ccc"],
        "b": bool,
        "p": moela.permutation(4),
        "r": moela.real(1, 2, when={"b": True}),
        "q": moela.choice([1, 2, 4], when={"s": ["a", "bb"]}),
    },
    "booleans": dict.fromkeys("abcdefghijkl", bool),
    "an order": {"p": moela.permutation(7)},
}
LIMIT = {"limit": (None, 4)}


def examples(n: int) -> settings:
    """Return settings of n examples in CI, and as many times more as the profile of hours has."""
    return settings(max_examples=max(1, n * settings.default.max_examples // 100))


def number(value: object) -> float:
    """Return a number that depends on a value of any variable."""
    if isinstance(value, list):
        return float(np.dot(value, 0.5 ** np.arange(len(value))))
    return float(len(value) if isinstance(value, str) else value)


def goals(design: dict[str, object]) -> dict[str, float]:
    """Return two objectives in conflict, and a number to bound, of any design."""
    values = [number(value) for value in design.values()]
    small = sum(k * v for k, v in enumerate(values, 1))
    near = -sum((v - 5.0 * k) ** 2 for k, v in enumerate(values, 1))
    return {"small": small, "near": near, "limit": small % 5}


def minimized(function, kind, name, seed, n_eval, *, batch_size=None, **settings):
    """Run an algorithm, by its name in `ALGORITHMS` or `ONE_OBJECTIVE`, on a function."""
    made = {} if batch_size is None else {"batch_size": batch_size}
    single = name in ONE_OBJECTIVE
    if name == "MOEAD":  # that of pymoo takes no constraints
        settings.pop("constraints", None)
    return moela.minimize(
        function,
        variables=VARIABLES[kind],
        objectives="small" if single else {"small": "min", "near": "max"},
        algorithm=(ONE_OBJECTIVE if single else ALGORITHMS)[name](**made),
        n_eval=n_eval,
        seed=seed,
        **{"version": "1", **QUIET, **settings},
    )


def rows(result):
    """Return everything that a run has evaluated, in order, as plain values."""
    return [
        (ind.X.tolist(), ind.F.tolist(), ind.G.tolist(), ind.H.tolist())
        for ind in result.population
    ]


def front_rows(result):
    """Return designs and objectives of the front of a run, in order."""
    return [(found.design, found.objectives) for found in result.front]


kinds = st.sampled_from(sorted(VARIABLES))
algorithms = st.sampled_from(sorted(ALGORITHMS))
seeds = st.integers(0, 2**31)
