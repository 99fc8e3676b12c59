"""Small runs whose indicators can be computed by hand."""

from __future__ import annotations

import numpy as np

from moela.experiments.files import Key, Run
from moela.experiments.recording import Evaluated


class Plain:
    """The attributes of a problem that recording a run needs."""

    n_ieq_constr = 1
    n_eq_constr = 0

    def __init__(self, n_obj, n_var=2):
        self.n_obj, self.n_var = n_obj, n_var

    def has_constraints(self):
        return True


def recorded(F, *, algorithm="A", seed=1, problem="P", G=None, seconds=1.0, ref_point=None):
    """Return a run that evaluated these points in this order; each design is its position."""
    F = np.asarray(F, dtype=float)
    n = len(F)
    G = np.zeros(n) if G is None else np.asarray(G, dtype=float)
    evaluated = Evaluated(
        [np.array([i, 0.5]) for i in range(n)], list(F), [g[None] for g in G], [np.empty(0)] * n
    )
    clocks = {"wall": seconds, "cpu": seconds, "evaluation_wall": 0.0, "evaluation_cpu": 0.0}
    return Run(
        Key(problem, algorithm, seed, n),
        evaluated.arrays(Plain(F.shape[1]), n),
        settings={"problem": {}, "algorithm": {"code": {}}},
        provenance={"versions": {"numpy": "2"}},
        seconds=clocks,
        ref_point=ref_point,
    )


def sphere(n, n_obj, rng, radius=1.0):
    """Return points of a concave front, all non-dominated."""
    Z = np.abs(rng.normal(size=(n, n_obj)))
    return radius * (2.0 - Z / np.linalg.norm(Z, axis=1, keepdims=True))
