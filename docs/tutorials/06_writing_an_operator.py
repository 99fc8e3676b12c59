"""
Writing an operator
===================

A design need not be a row of numbers between bounds. On this page it is an order of jobs in a paint
shop. Moves that a person in the shop would think of make the search efficient.
"""

# %%
# The problem
# -----------
#
# Forty jobs go through one machine. A change of color takes solvent, more of it from dark to light
# than from light to dark. Each job has an hour at which it is due. The two goals conflict.

import moocore
import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling
from pymoo.optimize import minimize

from moela import MOELA

N_JOBS = 40


class PaintShop(Problem):
    """Order the jobs; a row of X is a permutation of 0 .. 39."""

    def __init__(self):
        super().__init__(n_var=N_JOBS, n_obj=2, xl=0, xu=N_JOBS - 1, vtype=int)
        rng = np.random.default_rng(7)
        self.color = rng.integers(0, 6, N_JOBS)  # 0 is white, 5 is black
        self.hours = rng.integers(1, 9, N_JOBS)
        self.due = rng.integers(10, 180, N_JOBS)
        steps = np.arange(6)[:, None] - np.arange(6)  # from (row) to (column)
        self.solvent = np.where(steps > 0, 3.0 * steps, -1.0 * steps)  # liters

    def _evaluate(self, X, out, *args, **kwargs):
        colors = self.color[X]
        solvent = self.solvent[colors[:, :-1], colors[:, 1:]].sum(axis=1)
        late = np.maximum(self.hours[X].cumsum(axis=1) - self.due[X], 0).sum(axis=1)
        out["F"] = np.column_stack((solvent, late)).astype(float)


# %%
# Three operators
# ---------------
#
# Operators derive from pymoo's base classes. Two rules make one safe in every algorithm: use only
# the ``random_state`` that is passed in, and never return an illegal design. Work on many rows at a
# time if that is easy; loops are fine if evaluations are expensive.


class RandomOrder(Sampling):
    def _do(self, problem, n_samples, *args, random_state=None, **kwargs):
        return random_state.permuted(np.tile(np.arange(N_JOBS), (n_samples, 1)), axis=1)


def move_block(x, random_state):
    """Move up to three consecutive jobs to another position."""
    size = int(random_state.integers(1, 4))
    at = int(random_state.integers(0, N_JOBS - size + 1))
    rest = np.delete(x, slice(at, at + size))
    to = int(random_state.integers(0, len(rest)))
    to += to >= at  # any position but the current one
    return np.insert(rest, to, x[at : at + size])


class MoveBlock(Mutation):
    def _do(self, problem, X, *args, random_state=None, **kwargs):
        return np.array([move_block(x, random_state) for x in X])


class MixOrders(Crossover):
    """Keep half of the jobs in place, and fill in the others in the order of the other parent."""

    def __init__(self):
        super().__init__(n_parents=2, n_offsprings=2)

    def _do(self, problem, X, *args, random_state=None, **kwargs):
        children = X.copy()
        for k in range(X.shape[1]):
            for child, (a, b) in enumerate(((X[0, k], X[1, k]), (X[1, k], X[0, k]))):
                open_places = random_state.random(N_JOBS) < 0.5
                missing = np.isin(b, a[open_places])
                children[child, k, open_places] = b[missing]
        return children


# %%
# The problem defines them
# ------------------------
#
# ``operators()`` serves every algorithm: ``NSGA2(**problem.operators())`` and ``MOELA()``.
# ``neighbors(x, k, random_state)`` returns *k* small changes of one design, from which local
# searches choose. Here half of them move jobs at random. The other half put a job beside one of its
# own color, as a person would.


class BetterPaintShop(PaintShop):
    def operators(self):
        return {"sampling": RandomOrder(), "crossover": MixOrders(), "mutation": MoveBlock()}

    def neighbors(self, x, k, random_state):
        moves = (self._group, move_block)
        return np.array([moves[random_state.integers(2)](x, random_state) for _ in range(k)])

    def _group(self, x, random_state):
        job = random_state.integers(0, N_JOBS)
        rest = x[x != job]
        alike = np.flatnonzero(self.color[rest] == self.color[job])
        moved = x
        if len(alike):
            moved = np.insert(rest, random_state.choice(alike) + 1, job)
        return move_block(x, random_state) if (moved == x).all() else moved

    def check(self, X):
        """Refuse illegal designs; the checks below call this."""
        if (np.sort(X, axis=1) != np.arange(N_JOBS)).any():
            raise ValueError("A row is not a permutation.")


# %%
# ``check_problem`` runs the checks that this library's own problems pass: no illegal design, no
# shared random state, nothing modified, the same result in any batch, and no neighbor that equals
# the design. The first version of ``move_block`` failed the last one.

from moela.testing import check_problem

check_problem(BetterPaintShop())
print("all checks passed")

# %%
# Does it pay?
# ------------
#
# The same algorithm and budget, once with pymoo's operators for permutations and once with ours.
# Three seeds each are enough to see a large difference, but not a small one.

from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import PermutationRandomSampling

general = {
    "sampling": PermutationRandomSampling(),
    "crossover": OrderCrossover(),
    "mutation": InversionMutation(),
}
fronts = {"general operators": [], "our operators": []}
for seed in (1, 2, 3):
    plain = minimize(PaintShop(), MOELA(**general), ("n_eval", 3_000), seed=seed)
    better = minimize(BetterPaintShop(), MOELA(), ("n_eval", 3_000), seed=seed)
    fronts["general operators"].append(plain.F)
    fronts["our operators"].append(better.F)


def hypervolume(F):
    return moocore.hypervolume(F, ref=np.array([120.0, 900.0])) / 1000


for name, runs in fronts.items():
    print(f"{name}: hypervolumes", *(f"{hypervolume(F):.1f}" for F in runs))

# %%
# Each line is the front of one seed: less solvent and less delay for the same number of
# evaluations.

from matplotlib.figure import Figure

figure = Figure(figsize=(7, 4.5), layout="constrained")
axes = figure.subplots()
for (name, runs), color in zip(fronts.items(), ("#D55E00", "#0072B2"), strict=True):
    for i, F in enumerate(runs):
        F = F[F[:, 0].argsort()]
        axes.step(F[:, 0], F[:, 1], where="post", color=color, label=None if i else name)
axes.set(
    xlabel="solvent (l)",
    ylabel="hours late, all jobs together",
    title="40 jobs, 3,000 orders evaluated",
)
axes.legend()
