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
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from problems._arrays import Bools, Floats, Ints
from problems._checks import check_int, check_whole, require
from problems.classic.base import BitProblem
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


class MultiObjectiveKnapsack(BitProblem):
    """Choose items of limited total weight with high values in every objective [ZT99].

    A design x is one bit per item. Values are maximized, so objective k is their negative,
    ``F_k = -sum_i values[i, k] x[i]``. The one constraint is ``G = sum_i weights[i] x[i] -
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
        Front known from elsewhere (of F, so of negated values), which `pareto_front()` then
        returns.

    Raises
    ------
    ValueError
        If a shape is wrong, or a number is negative, not whole, infinite or NaN; on evaluation, if
        a design holds anything but 0 and 1.

    Notes
    -----
    Files have the format of the public mobkp collection: ``n m``, the capacity, n lines
    ``weight value_1 .. value_m``, and optionally the number of points on the exact front and their
    values. Values in the file are maximized; F, the front included, holds their negatives. A point
    of the front is refused if a weighted sum of its values exceeds what the capacity allows where
    one item may be split. Up to 33 weightings are tried; whether a packing has just these values is
    not checked.

    In a neighbor, one or two items leave (more if the new item needs the room), another enters,
    and the remaining room is filled by value per weight, as in [J02]. The weighting is mostly the
    one whose order puts the chosen items first, else random. Of two random items, the worse one
    leaves; of two others, the better one enters. Infeasible designs are repaired first.

    ``pareto_front()`` returns the front of the file if the file has one. Otherwise it computes the
    exact front by dynamic programming [BHV09], and returns None if more than `MAX_STATES` (two
    objectives) or `MAX_STATES_MANY` (more objectives) states are alive at once: several hundred
    items are possible with two objectives, about 40 with three. `known_front_source` tells the
    source of the front.

    ``ref_point`` is the nadir of the front that came with the instance. Without such a front, or
    in objectives in which it has no range, it is the value of the empty knapsack, 0.

    Examples
    --------
    >>> problem = MultiObjectiveKnapsack.random(n_items=20, n_obj=2, seed=1)
    >>> bool((problem.pareto_front() < 0).all())
    True
    """

    MAX_STATES = 2_000_000
    MAX_STATES_MANY = 40_000
    _margin = 0.0
    _instance_arrays = ("weights", "values")
    _operators = (GreedySampling, PackingCrossover, PackingMutation, GreedyRepair)

    def __init__(
        self,
        *,
        weights: ArrayLike,
        values: ArrayLike,
        capacity: int,
        instance: str = "custom",
        known_front: KnownFront | None = None,
    ) -> None:
        owner = "MultiObjectiveKnapsack"
        self.weights = check_whole(owner, "weights", weights, (None,))
        self.values = check_whole(owner, "values", values, (len(self.weights), None))
        self.capacity = check_int(owner, "capacity", capacity, 0, 2**53)
        n, m = self.values.shape
        for name, totals in (("weights", self.weights[:, None]), ("values", self.values)):
            largest = float(totals.sum(axis=0, dtype=np.float64).max())
            expected = "whole numbers of a total up to 2**53, below which floats are exact"
            require(owner, name, largest, largest <= 2**53, expected)
        super().__init__(
            instance=instance,
            known_front=known_front,
            bound=np.zeros(m),
            bound_source="the empty knapsack",
            n_var=n,
            n_obj=m,
            n_ieq_constr=1,
        )
        capacities = np.array([self.capacity], dtype=np.int64)
        self._set_version("knapsack", 1, self.weights, self.values, capacities, n_digits=12)
        # Whole numbers below 2**53 are exact in floats, and only floats multiply fast.
        self._table = np.column_stack([-self.values, self.weights]).astype(np.float64)
        self._orders = self.greedy_orders(_lattice(m) if m > 1 else np.ones((1, 1)))
        self._ranks = np.ascontiguousarray(np.argsort(self._orders, axis=1))
        self._bands, self._band_sizes = self._feature_table()

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
        """Return a random instance with uniform weights and values, and correlated values.

        Parameters
        ----------
        n_items, n_obj : int
        correlation : float
            Pearson correlation between the values of any two objectives. The lowest possible
            correlation is near -1/(n_obj - 1); the error message gives it.
        max_value, max_weight : int
            Values and weights are uniform on 1..max.
        tightness : float in [0, 1]
            Capacity divided by total weight; the capacity is rounded up.
        seed : int
            The same settings give the same instance.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        weights, values, capacity = instances.random_instance(
            n_items, n_obj, correlation, max_value, max_weight, tightness, seed
        )
        instance = f"random-{n_items}-{n_obj}-{correlation:g}-seed{seed}"
        return cls(weights=weights, values=values, capacity=capacity, instance=instance)

    @classmethod
    def _read(cls, path: str | Path) -> dict[str, object]:
        weights, values, capacity, front = instances.read_instance(path)
        return {"weights": weights, "values": values, "capacity": capacity, "known_front": front}

    def to_file(self, path: str | Path) -> None:
        """Write the instance, and its front if known, in the format that `from_file` reads."""
        front = self._known_front or self._exact_front
        instances.write_instance(path, self.weights, self.values, self.capacity, front)

    def _evaluate(self, X: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        sums = self._designs(X).astype(np.float64) @ self._table
        out["F"] = sums[:, :-1]
        out["G"] = sums[:, -1:] - self.capacity

    def greedy_orders(self, mixes: Floats) -> Ints:
        """Return the items by weighted value per weight, best first, [n_mixes, n].

        Each row of `mixes` [n_mixes, n_obj] holds weights of the objectives.
        """
        worth = np.asarray(mixes) @ self.values.T / np.maximum(self.weights, 1e-9)
        return np.ascontiguousarray(np.argsort(-worth, axis=1, kind="stable"))

    def fill(self, orders: Ints) -> Bools:
        """Return packings [n_rows, n], each filled in its own order [n_rows, n] of the items."""
        chosen = np.zeros(orders.shape, dtype=bool)
        kernels.fill(chosen, self.weights, self.capacity, orders)
        return chosen

    def repair(self, X: ArrayLike, random_state: np.random.Generator | None = None) -> Bools:
        """Return feasible packings to which no item can be added.

        Items are dropped, worst first, until the rest fits; then items that fit are added, best
        first. The order is by value per weight under a weighting of the objectives: the weighting
        whose order puts the chosen items first or, given a `random_state`, sometimes a random one.
        Feasible packings to which no item can be added are returned unchanged.
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

    def _neighbors(self, designs: Bools, k: int, rng: np.random.Generator) -> Bools:
        chosen = np.array(designs, order="C")
        heavy = chosen.astype(np.float64) @ self._table[:, -1] > self.capacity
        chosen[heavy] = self.repair(chosen[heavy], rng)
        out = np.empty((len(chosen), k, self.n_var), dtype=bool)
        uniforms = rng.random((len(chosen), k, 16))
        kernels.exchange(
            chosen, self.weights, self.capacity, self._orders, self._ranks, uniforms, out
        )
        return out

    def _solve(self) -> KnownFront | None:
        limit = self.MAX_STATES if self.n_obj == 2 else self.MAX_STATES_MANY
        known = self._good_packings(np.random.default_rng(0))
        front = solve(self.weights, self.values, self.capacity, known, max_states=limit)
        if front is None:
            return None
        totals, packings = front
        return sorted_front(-totals.astype(np.float64), packings, "dynamic programming")

    def _good_packings(self, rng: np.random.Generator) -> Bools:
        """Return the packings of a short Pareto local search, to bound the exact front."""
        packings = self.fill(self.greedy_orders(rng.dirichlet(np.ones(self.n_obj), size=500)))
        for _ in range(30):
            packings = packings[nondominated(packings.astype(np.float64) @ self._table[:, :-1])]
            moved = self.neighbors_many(packings, max(1, 4000 // len(packings)), rng)
            packings = np.vstack([packings, moved.reshape(-1, self.n_var)])
        return packings

    def _feature_table(self) -> tuple[Floats, Floats]:
        """Return the weights and bands of the items, [n, 1 + 10 * n_obj], and their sizes."""
        columns, sizes = [self.weights.astype(np.float64)], [max(self.capacity, 1)]
        for order in self.greedy_orders(np.eye(self.n_obj)):
            for band in np.array_split(order, _N_BANDS):
                columns.append(np.isin(np.arange(self.n_var), band).astype(np.float64))
                sizes.append(max(len(band), 1))
        return np.column_stack(columns), np.array(sizes, dtype=np.float64)

    def features(self, X: ArrayLike) -> Floats:
        """Return a compact description of each packing, [n_designs, 1 + 10 * n_obj].

        The columns are weight divided by capacity; then, for each objective, the fraction of
        chosen items in each tenth of the items, ordered by that objective's value per weight.
        """
        return self._designs(X).astype(np.float64) @ self._bands / self._band_sizes

    def decode(self, x: ArrayLike) -> Packing:
        """Return the packing that the design [n] stands for, with its weight and values."""
        (chosen,) = self._designs(np.reshape(x, (1, -1)))
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
    """Return the weightings of m > 1 objectives, evenly over the simplex."""
    steps = next(s for s in count(1) if comb(s + m - 1, m - 1) >= instances.MIN_ORDERS)
    bars = np.array(list(combinations(range(steps + m - 1), m - 1)))
    edges = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), steps + m - 1)])
    return np.asarray((np.diff(edges, axis=1) - 1) / steps)
