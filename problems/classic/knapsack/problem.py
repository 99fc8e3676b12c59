"""The multi-objective 0/1 knapsack problem as a pymoo problem.

References
----------
[ZT99] E. Zitzler, L. Thiele. Multiobjective evolutionary algorithms: a comparative case study and
    the strength Pareto approach. IEEE Transactions on Evolutionary Computation 3(4), 1999,
    257-271.
[BHV09] C. Bazgan, H. Hugot, D. Vanderpooten. Solving efficiently the 0-1 multi-objective knapsack
    problem. Computers & Operations Research 36(1), 2009, 260-279.
[J02] A. Jaszkiewicz. On the performance of multiple-objective genetic local search on the 0/1
    knapsack problem. IEEE Transactions on Evolutionary Computation 6(4), 2002, 402-412.
"""

from __future__ import annotations

from itertools import combinations, count
from math import comb
from pathlib import Path
from typing import Any, Self

import numpy as np

from problems._arrays import Bools, Floats, Ints
from problems._checks import check_int, check_random_state, check_whole
from problems.classic.base import ClassicProblem, reference_point
from problems.classic.designs import Packing
from problems.classic.front import KnownFront, nondominated, sorted_front
from problems.classic.knapsack import instances, kernels
from problems.classic.knapsack.front import solve
from problems.classic.knapsack.operators import (
    GreedyRepair,
    GreedySampling,
    PackingCrossover,
    PackingMutation,
)

__all__ = ["MultiObjectiveKnapsack"]


_N_BANDS = 10
_MIN_ORDERS = 50


class MultiObjectiveKnapsack(ClassicProblem):
    """Choose items of limited total weight that are worth much in every objective [ZT99].

    A design x is a bit for each item. Values are maximized, so objective k is their negative,
    ``F_k = -sum_i values[i, k] x[i]``; the one constraint is ``G = sum_i weights[i] x[i] -
    capacity <= 0``. The operators, neighbors and the repair only return feasible packings to
    which no item can be added.

    Parameters
    ----------
    weights : array_like of whole numbers, shape [n]
    values : array_like of whole numbers, shape [n, n_obj]
    capacity : int
    instance : str
        Name for displays and saved designs.
    known_front : KnownFront, optional
        A front known from elsewhere (of F, so negated values), which `pareto_front()` then
        returns.

    Raises
    ------
    ValueError
        If a shape is wrong, or a number is negative, not whole, infinite or NaN; on evaluation, if
        a design holds anything but 0 and 1.

    Notes
    -----
    ``pareto_front()`` returns the front of the file, where one came with it, else the exact front
    by dynamic programming [BHV09] where no more than `MAX_STATES` (two objectives) or
    `MAX_STATES_MANY` (more) states are alive at once, else None: some hundreds of items with two
    objectives, some 40 with three. `known_front_source` says which.

    ``ref_point`` is the nadir of the front that came with the instance. Where none came, or an
    objective has no range on it, it is the empty knapsack, 0.

    Examples
    --------
    >>> problem = MultiObjectiveKnapsack.random(n_items=20, n_obj=2, seed=1)
    >>> bool((problem.pareto_front() < 0).all())
    True
    """

    MAX_STATES = 2_000_000
    MAX_STATES_MANY = 40_000

    def __init__(
        self,
        *,
        weights: Any,
        values: Any,
        capacity: int,
        instance: str = "custom",
        known_front: KnownFront | None = None,
    ) -> None:
        owner = "MultiObjectiveKnapsack"
        self.weights = check_whole(owner, "weights", weights, (None,))
        self.values = check_whole(owner, "values", values, (len(self.weights), None))
        self.capacity = check_int(owner, "capacity", capacity, 0)
        n, m = self.values.shape
        super().__init__(
            instance=instance,
            known_front=known_front,
            n_var=n,
            n_obj=m,
            n_ieq_constr=1,
            xl=0,
            xu=1,
            vtype=bool,
        )
        self._set_identity(
            "knapsack", 1, self.weights, self.values, np.array([self.capacity], dtype=np.int64)
        )
        self.ref_point, self.ref_point_source = reference_point(
            known_front, np.zeros(m), "the empty knapsack", margin=0.0
        )
        # Whole numbers below 2**53 are exact in floats, and only floats multiply fast.
        self._table = np.column_stack([-self.values, self.weights]).astype(np.float64)
        self._orders = self.greedy_orders(_lattice(m) if m > 1 else np.ones((1, 1)))
        self._ranks = np.ascontiguousarray(np.argsort(self._orders, axis=1))

    @classmethod
    def random(
        cls,
        *,
        n_items: int = 100,
        n_obj: int = 2,
        correlation: float = 0.0,
        max_value: int = 1000,
        max_weight: int = 1000,
        tightness: float = 0.5,
        seed: int = 0,
    ) -> Self:
        """Return a random instance: weights and values uniform, values correlated.

        Parameters
        ----------
        n_items, n_obj : int
        correlation : float
            Pearson correlation between the values of any two objectives: 0 uncorrelated, positive,
            or negative down to a limit, near -1/(n_obj - 1), that the error names.
        max_value, max_weight : int
            Values and weights are uniform on 1..max.
        tightness : float in [0, 1]
            Capacity over total weight, rounded up.
        seed : int
            Same settings, same instance.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        weights, values, capacity = instances.random_instance(
            n_items=n_items,
            n_obj=n_obj,
            correlation=correlation,
            max_value=max_value,
            max_weight=max_weight,
            tightness=tightness,
            seed=seed,
        )
        instance = f"random-{n_items}-{n_obj}-{correlation:g}-seed{seed}"
        return cls(weights=weights, values=values, capacity=capacity, instance=instance)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read an instance in the format of the public mobkp collection.

        ``n m``, the capacity, n lines ``weight value_1 .. value_m``, and, where the file goes on,
        the number of points on the exact front and their values. Values in the file are maximized;
        F, the front included, holds their negatives.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is malformed; the message names file, line, what was expected and what came.
        """
        weights, values, capacity, front = instances.read_instance(path)
        return cls(
            weights=weights,
            values=values,
            capacity=capacity,
            instance=Path(path).stem,
            known_front=front,
        )

    def to_file(self, path: str | Path) -> None:
        """Write the instance, with its front where one is known, as `from_file` reads it."""
        front = self._known_front or self._exact_front
        instances.write_instance(path, self.weights, self.values, self.capacity, front)

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        sums = self._designs(X).astype(np.float64) @ self._table
        out["F"] = sums[:, :-1]
        out["G"] = sums[:, -1:] - self.capacity

    def _designs(self, X: Any) -> Bools:
        array = np.asarray(X)
        if array.dtype == bool:
            return array
        designs = array.astype(bool)
        if not np.array_equal(designs, array):
            row = int(np.argwhere(designs != array)[0, 0])
            raise ValueError(
                f"A design of {self.name()} must hold 0 and 1 only. Got {array[row]} in row {row} "
                "instead."
            )
        return designs

    def greedy_orders(self, mixes: Floats) -> Ints:
        """Return the items by weighted value per weight, best first.

        Parameters
        ----------
        mixes : ndarray of float, shape [n_mixes, n_obj]
            Weights of the objectives.

        Returns
        -------
        ndarray of int, shape [n_mixes, n]
        """
        worth = np.asarray(mixes) @ self.values.T / np.maximum(self.weights, 1e-9)
        return np.ascontiguousarray(np.argsort(-worth, axis=1, kind="stable"))

    def fill(self, orders: Ints) -> Bools:
        """Return packings [n_rows, n], each filled in its own order [n_rows, n] of the items."""
        chosen = np.zeros(orders.shape, dtype=bool)
        kernels.fill(chosen, self.weights, self.capacity, orders)
        return chosen

    def repair(self, X: Any, random_state: np.random.Generator | None = None) -> Bools:
        """Return feasible packings to which no item can be added.

        Items are dropped, worst first, until the rest fits; then items that fit are added, best
        first. Best and worst are by value per weight under a weighting: the one whose order puts
        the chosen items first, or, given a `random_state`, now and then a random one. Whatever is
        already feasible and maximal comes back as it was.

        Parameters
        ----------
        X : ndarray of bool, shape [n_designs, n]
        random_state : numpy.random.Generator, optional
        """
        chosen = np.array(self._designs(X), order="C")
        if random_state is None:
            picks = np.full(len(chosen), -1)
        else:
            picks = random_state.integers(len(self._orders), size=len(chosen))
            picks[random_state.random(len(chosen)) < kernels.OWN] = -1
        if len(chosen):
            kernels.repair(chosen, self.weights, self.capacity, self._orders, self._ranks, picks)
        return chosen

    def operators(self) -> dict[str, Any]:
        """Return sampling, crossover, mutation and repair for pymoo's algorithms."""
        return {
            "sampling": GreedySampling(),
            "crossover": PackingCrossover(),
            "mutation": PackingMutation(),
            "repair": GreedyRepair(),
        }

    def neighbors_many(
        self, X: np.ndarray[Any, Any], k: int, random_state: np.random.Generator
    ) -> Bools:
        """Return `k` neighbors of each design: some items out, another in, refilled greedily.

        One or two items leave (more where the new one needs the room), another enters, and the
        room left is filled by value per weight, in the manner of [J02]. The weighting is mostly
        the one whose order puts the chosen items first, else random; of two random items the
        worse one leaves, of two others the better one enters. Neighbors are feasible and nothing
        can be added to them. Infeasible designs are repaired first.

        Parameters
        ----------
        X : ndarray of bool, shape [n_designs, n]
        k : int
        random_state : numpy.random.Generator

        Returns
        -------
        ndarray of bool, shape [n_designs, k, n]
        """
        check_int("neighbors_many", "k", k, 1)
        rng = check_random_state("neighbors_many", random_state)
        chosen = np.array(self._designs(X), order="C")
        over = chosen.astype(np.float64) @ self._table[:, -1] > self.capacity
        chosen[over] = self.repair(chosen[over], rng)
        out = np.empty((len(chosen), k, self.n_var), dtype=bool)
        uniforms = rng.random((len(chosen), k, 16))
        kernels.exchange(
            chosen, self.weights, self.capacity, self._orders, self._ranks, uniforms, out
        )
        return out

    def _solve(self) -> KnownFront | None:
        limit = self.MAX_STATES if self.n_obj == 2 else self.MAX_STATES_MANY
        known = self._good_packings(np.random.default_rng(0))
        found = solve(self.weights, self.values, self.capacity, known, max_states=limit)
        if found is None:
            return None
        totals, packings = found
        return sorted_front(-totals.astype(np.float64), packings, "dynamic programming")

    def _good_packings(self, rng: np.random.Generator) -> Bools:
        """Return non-dominated packings of a short Pareto local search, to bound the exact one."""
        packings = self.fill(self.greedy_orders(rng.dirichlet(np.ones(self.n_obj), size=500)))
        for _ in range(30):
            packings = packings[nondominated(packings.astype(np.float64) @ self._table[:, :-1])]
            moved = self.neighbors_many(packings, max(1, 4000 // len(packings)), rng)
            packings = np.vstack([packings, moved.reshape(-1, self.n_var)])
        return packings

    def features(self, X: np.ndarray[Any, Any]) -> Floats:
        """Return a compact picture of each packing, for learned models.

        Parameters
        ----------
        X : ndarray of bool, shape [n_designs, n]

        Returns
        -------
        ndarray of float, shape [n_designs, 1 + 10 * n_obj]
            Weight over capacity; then, for each objective, the share of items chosen in each tenth
            of the items ordered by that objective's value per weight.
        """
        chosen = self._designs(X).astype(np.float64)
        parts = [chosen @ self.weights[:, None] / max(self.capacity, 1)]
        for order in self.greedy_orders(np.eye(self.n_obj)):
            bands = np.array_split(order, _N_BANDS)
            parts += [
                chosen[:, band].mean(axis=1, keepdims=True) if len(band) else 0.0 * parts[0]
                for band in bands
            ]
        return np.hstack(parts)

    def decode(self, x: np.ndarray[Any, Any]) -> Packing:
        """Return the packing that the design [n] stands for, with its weight and values."""
        chosen = self._designs(np.asarray(x)[None])[0]
        return Packing(
            instance=self.instance,
            version=self.version,
            n_items=self.n_var,
            items=tuple(int(i) for i in np.flatnonzero(chosen)),
            weight=int(self.weights[chosen].sum()),
            capacity=self.capacity,
            values=tuple(float(v) for v in self.values[chosen].sum(axis=0)),
        )


def _lattice(m: int) -> Floats:
    """Return at least `_MIN_ORDERS` weightings of m > 1 objectives, evenly over the simplex."""
    steps = next(s for s in count(1) if comb(s + m - 1, m - 1) >= _MIN_ORDERS)
    bars = np.array(list(combinations(range(steps + m - 1), m - 1)))
    edges = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), steps + m - 1)])
    return np.asarray((np.diff(edges, axis=1) - 1) / steps)
