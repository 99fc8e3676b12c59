"""The multi-objective quadratic assignment problem (mQAP) as a pymoo problem.

References
----------
[KC03] J. Knowles, D. Corne. Instance generators and test suites for the multiobjective quadratic
    assignment problem. Evolutionary Multi-Criterion Optimization (EMO), LNCS 2632, 2003, 295-310.
[T95] E. D. Taillard. Comparison of iterative searches for the quadratic assignment problem.
    Location Science 3(2), 1995, 87-105.
[OSH87] I. M. Oliver, D. J. Smith, J. R. C. Holland. A study of permutation crossover operators on
    the traveling salesman problem. International Conference on Genetic Algorithms, 1987, 224-230.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import check_array, check_int, check_random_state, setting_error
from problems.classic.base import ClassicProblem, reference_point
from problems.classic.designs import Assignment
from problems.classic.front import KnownFront, sorted_front
from problems.classic.qap import instances
from problems.classic.qap.kernels import costs, enumerate_front, swap_neighbors
from problems.classic.qap.operators import (
    CycleCrossover,
    ExchangeMutation,
    PermutationSampling,
)

__all__ = ["MultiObjectiveQAP"]


_FRONT_CAPACITY = 200_000


class MultiObjectiveQAP(ClassicProblem):
    """Assign n facilities to n locations so that several flows travel little [KC03].

    A design x is a permutation: x[i] is the location, from 0, of facility i. Objective k is
    ``sum_ij distance[x[i], x[j]] * flow[k, i, j]``, minimized, in the units of the matrices.

    Parameters
    ----------
    distance : array_like, shape [n, n]
        Distance between locations; finite, non-negative, need not be symmetric.
    flow : array_like, shape [n_obj, n, n]
        Flow between facilities, one matrix an objective; finite, non-negative.
    instance : str
        Name for displays and saved designs.
    known_front : KnownFront, optional
        A front known from elsewhere, which `pareto_front()` then returns.

    Raises
    ------
    ValueError
        If a matrix has the wrong shape, or a negative, infinite or NaN entry; on evaluation, if a
        design is no permutation.

    Notes
    -----
    ``pareto_front()`` returns the front of the file, where one came with it, else the exact front
    by enumeration for n up to `EXACT_N`, else None. `known_front_source` says which.

    ``ref_point`` is the nadir of the front that came with the instance plus a tenth of its range.
    Where none came, or an objective has no range on it, it is a bound that no assignment exceeds:
    the largest distances paired with the largest flows (rearrangement inequality).

    Examples
    --------
    >>> problem = MultiObjectiveQAP.random(n_facilities=7, n_obj=2, correlation=-0.5, seed=1)
    >>> problem.pareto_front().shape[1]
    2
    """

    EXACT_N = 11

    def __init__(
        self,
        *,
        distance: Any,
        flow: Any,
        instance: str = "custom",
        known_front: KnownFront | None = None,
    ) -> None:
        self.distance = check_array("MultiObjectiveQAP", "distance", distance, (None, None))
        n = len(self.distance)
        if self.distance.shape != (n, n) or n < 2:
            raise setting_error(
                "MultiObjectiveQAP",
                "distance",
                "a square matrix of at least 2 locations",
                self.distance.shape,
            )
        self.flow = check_array("MultiObjectiveQAP", "flow", flow, (None, n, n))
        super().__init__(
            instance=instance,
            known_front=known_front,
            n_var=n,
            n_obj=len(self.flow),
            xl=0,
            xu=n - 1,
            vtype=int,
        )
        self._flow_last = np.ascontiguousarray(self.flow.transpose(1, 2, 0))
        self._set_identity("qap", 1, self.distance, self.flow)
        ascending = np.sort(self.distance, axis=None)
        bound = np.array([ascending @ np.sort(matrix, axis=None) for matrix in self.flow])
        self.ref_point, self.ref_point_source = reference_point(
            known_front, bound, "largest distances on largest flows, a bound", margin=0.1
        )

    @classmethod
    def random(
        cls,
        *,
        n_facilities: int = 20,
        n_obj: int = 2,
        kind: str = "uniform",
        correlation: float | Sequence[float] = 0.0,
        overlap: float = 0.7,
        max_distance: int = 100,
        max_flow: int = 100,
        flow_exponents: tuple[float, float] = (-2.0, 4.0),
        cluster_radius: float = 0.0,
        cluster_size: int = 1,
        point_radius: float = 100.0,
        seed: int = 0,
    ) -> Self:
        """Return a random symmetric instance after the two generators of [KC03].

        Parameters
        ----------
        n_facilities, n_obj : int
        kind : {"uniform", "real-like"}
            Uniform: distances and flows uniform on 1..max. Real-like: distances between points in
            clusters in the plane, flows that are mostly zero or small and rarely large [T95].
        correlation : float in [-1, 1], or one for each objective after the first
            How strongly flows follow those of the first objective: the generators' own setting,
            monotone in the Pearson correlation but not equal to it.
        overlap : float in [0, 1]
            Real-like only: share of flows that follow the first matrix; the rest is zero where
            the first matrix is not, and the other way round.
        max_distance, max_flow : int
            Uniform only.
        flow_exponents : (A, B), A < B
            Real-like only: a flow is floor(10 ** u) with u uniform on [A, B].
        cluster_radius, cluster_size, point_radius : float, int, float
            Real-like only: clusters of up to `cluster_size` points, their centers within
            `cluster_radius` of the origin, their points within `point_radius` of the center
            (M, K and m of the published generator).
        seed : int
            Same settings, same instance.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        distance, flow = instances.random_instance(
            n_facilities=n_facilities,
            n_obj=n_obj,
            kind=kind,
            correlation=correlation,
            overlap=overlap,
            max_distance=max_distance,
            max_flow=max_flow,
            flow_exponents=flow_exponents,
            cluster_radius=cluster_radius,
            cluster_size=cluster_size,
            point_radius=point_radius,
            seed=seed,
        )
        instance = f"{kind}-{n_facilities}-{n_obj}-seed{seed}"
        return cls(distance=distance, flow=flow, instance=instance)

    @classmethod
    def from_file(cls, path: str | Path, *, front: str | Path | None = None) -> Self:
        """Read an instance in the public mQAP format [KC03].

        A header with the numbers of facilities and objectives, the distance matrix, then one flow
        matrix an objective, one matrix row a line.

        Parameters
        ----------
        path : str or Path
            The `.dat` file.
        front : str or Path, optional
            Its Pareto set: lines of locations (from 1) and objective values. Unless given, a file
            of the same name ending in `.PO` is read where there is one. Every line is evaluated
            again.

        Raises
        ------
        FileNotFoundError
            If `path`, or `front` where given, does not exist.
        ValueError
            If a file is malformed; the message names file, line, what was expected and what came.
        """
        distance, flow = instances.read_instance(path)
        beside = Path(path).with_suffix(".PO")
        if front is None and beside.is_file():
            front = beside
        known = None if front is None else instances.read_front(front, distance, flow)
        return cls(distance=distance, flow=flow, instance=Path(path).stem, known_front=known)

    def to_file(self, path: str | Path) -> None:
        """Write the instance in the format that `from_file` reads."""
        instances.write_instance(path, self.distance, self.flow)

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        designs = self._designs(X)
        out["F"] = np.empty((len(designs), self.n_obj))
        bad = costs(designs, self.distance, self._flow_last, out["F"])
        if bad >= 0:
            raise ValueError(
                f"A design of {self.name()} must be a permutation of 0..{self.n_var - 1}. "
                f"Got {designs[bad].tolist()} in row {bad} instead."
            )

    def _designs(self, X: Any) -> Ints:
        array = np.asarray(X)
        with np.errstate(invalid="ignore"):  # NaN casts to something; told below
            designs = np.ascontiguousarray(array, dtype=np.int64)
        if array.dtype.kind == "f" and not np.array_equal(designs, array):
            raise ValueError(f"A design of {self.name()} must hold whole numbers only.")
        return designs

    def _solve(self) -> KnownFront | None:
        if self.n_var > self.EXACT_N:
            return None
        F, X = enumerate_front(self.distance, self._flow_last, _FRONT_CAPACITY)
        if len(F) == 0:
            return None
        # Evaluated again: the enumeration adds in another order, which shows in the last digit of
        # costs that are not whole.
        costs(X, self.distance, self._flow_last, F)
        return sorted_front(F, X, "enumeration")

    def operators(self) -> dict[str, Any]:
        """Return sampling, crossover [OSH87] and mutation for pymoo's algorithms."""
        return {
            "sampling": PermutationSampling(),
            "crossover": CycleCrossover(),
            "mutation": ExchangeMutation(),
        }

    def neighbors_many(
        self, X: np.ndarray[Any, Any], k: int, random_state: np.random.Generator
    ) -> Ints:
        """Return `k` neighbors of each design: two facilities exchange their locations.

        The neighbors of a design differ from each other up to all n(n-1)/2; any beyond that are
        two exchanges away.

        Parameters
        ----------
        X : ndarray of int, shape [n_designs, n]
        k : int
        random_state : numpy.random.Generator

        Returns
        -------
        ndarray of int, shape [n_designs, k, n]
        """
        check_int("neighbors_many", "k", k, 1)
        rng = check_random_state("neighbors_many", random_state)
        designs = self._designs(X)
        out = np.empty((len(designs), k, self.n_var), dtype=np.int64)
        swap_neighbors(designs, rng.random((len(designs), k, 3)), out)
        return out

    def features(self, X: np.ndarray[Any, Any]) -> Floats:
        """Return who is where, one column a pair, for learned models.

        Nothing of the costs is in it: they take as long as an evaluation, and a model that saw
        them would evaluate without being charged.

        Parameters
        ----------
        X : ndarray of int, shape [n_designs, n]

        Returns
        -------
        ndarray of float, shape [n_designs, n * n]
            1 in column ``n * i + l`` where facility i is at location l, else 0.
        """
        designs = self._designs(X)
        n = self.n_var
        out = np.zeros((len(designs), n * n))
        out[np.arange(len(designs))[:, None], np.arange(n) * n + designs] = 1.0
        return out

    def decode(self, x: np.ndarray[Any, Any]) -> Assignment:
        """Return the assignment that the design [n] stands for, with its costs."""
        designs = self._designs(np.asarray(x)[None])
        return Assignment(
            instance=self.instance,
            version=self.version,
            locations=tuple(int(v) for v in designs[0]),
            costs=tuple(float(v) for v in self.evaluate(designs)[0]),
        )
