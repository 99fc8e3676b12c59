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
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moela.files.guard import brief
from problems._arrays import Floats, Ints
from problems._checks import check_array, check_choice, check_int, require, setting_error
from problems.classic.base import ClassicProblem
from problems.classic.designs import Assignment
from problems.classic.front import KnownFront, sorted_front
from problems.classic.qap import instances
from problems.classic.qap.kernels import costs, enumerate_front, swap_neighbors
from problems.classic.qap.operators import CycleCrossover, ExchangeMutation, PermutationSampling

__all__ = ["MultiObjectiveQAP"]


_FRONT_CAPACITY = 200_000


class MultiObjectiveQAP(ClassicProblem[np.int64]):
    """Assign n facilities to n locations so that several flows travel little [KC03].

    A design x is a permutation: x[i] is the location, from 0, of facility i. Objective k is
    ``sum_ij distance[x[i], x[j]] * flow[k, i, j]``, minimized, in the units of the matrices.

    Parameters
    ----------
    distance : array_like, shape [n, n]
        Distances between locations: finite, non-negative, not necessarily symmetric.
    flow : array_like, shape [n_obj, n, n]
        Flows between facilities, one matrix per objective: finite, non-negative.
    instance : str
        Name for displays and saved designs.
    known_front : KnownFront, optional
        Front known from elsewhere, which `pareto_front()` then returns.

    Raises
    ------
    ValueError
        If a matrix has the wrong shape, or a negative, infinite or NaN entry; on evaluation, if a
        design is no permutation.

    Notes
    -----
    The crossover is the cycle crossover [OSH87]. In a neighbor, two facilities exchange their
    locations. The neighbors of a design are different
    up to all n(n-1)/2; any beyond those are two exchanges away.

    ``pareto_front()`` returns the front of the file if there is one, else the exact front by
    enumeration for n up to `EXACT_N`, else None. `known_front_source` tells the source.

    ``ref_point`` is the nadir of the front that came with the instance plus a tenth of its range.
    Without such a front, or in objectives in which it has no range, it is a bound that no
    assignment exceeds: the largest distances paired with the largest flows (rearrangement
    inequality).

    Examples
    --------
    >>> problem = MultiObjectiveQAP.random(n_facilities=7, n_obj=2, correlation=-0.5, seed=1)
    >>> problem.pareto_front().shape[1]
    2
    """

    EXACT_N = 11
    _instance_arrays = ("distance", "flow")
    _operators = (PermutationSampling, CycleCrossover, ExchangeMutation)

    def __init__(
        self,
        *,
        distance: ArrayLike,
        flow: ArrayLike,
        instance: str = "custom",
        known_front: KnownFront | None = None,
    ) -> None:
        owner = "MultiObjectiveQAP"
        self.distance = check_array(owner, "distance", distance, (None, None))
        n = len(self.distance)
        if self.distance.shape != (n, n) or n < 2:
            expected = "a square matrix of at least 2 locations"
            raise setting_error(owner, "distance", expected, self.distance.shape)
        self.flow = check_array(owner, "flow", flow, (None, n, n))
        ascending = np.sort(self.distance, axis=None)
        with np.errstate(over="ignore"):
            bound = np.array([ascending @ np.sort(matrix, axis=None) for matrix in self.flow])
        expected = "small enough that costs are finite; use another unit"
        require(owner, "flow", float(self.flow.max()), np.isfinite(bound).all(), expected)
        super().__init__(
            instance=instance,
            known_front=known_front,
            bound=bound,
            bound_source="largest distances on largest flows, a bound",
            n_var=n,
            n_obj=len(self.flow),
            xl=0,
            xu=n - 1,
            vtype=int,
        )
        self._flow_last = np.ascontiguousarray(self.flow.transpose(1, 2, 0))
        self._set_version("qap", 1, self.distance, self.flow, n_digits=12)

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
        """Return a random symmetric instance of one of the two generators of [KC03].

        Parameters
        ----------
        n_facilities, n_obj : int
        kind : {"uniform", "real-like"}
            Uniform: distances and flows are uniform on 1..max. Real-like: distances between points
            in clusters in the plane; flows are mostly zero or small and rarely large [T95].
        correlation : float in [-1, 1], or one for each objective after the first
            Strength with which flows follow those of the first objective. It is monotone in the
            Pearson correlation but not equal to it, as in the published generators.
        overlap : float in [0, 1]
            Real-like only: fraction of flows that follow the first matrix. The others are zero
            exactly where the first matrix is not.
        max_distance, max_flow : int
            Uniform only.
        flow_exponents : (A, B), A < B
            Real-like only: a flow is floor(10 ** u) with u uniform on [A, B].
        cluster_radius, cluster_size, point_radius : float, int, float
            Real-like only: clusters of up to `cluster_size` points, with centers within
            `cluster_radius` of the origin and points within `point_radius` of their center
            (M, K and m of the published generator).
        seed : int
            The same settings give the same instance.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        n = check_int(instances.OWNER, "n_facilities", n_facilities, 2)
        m = check_int(instances.OWNER, "n_obj", n_obj, 1)
        check_choice(instances.OWNER, "kind", kind, ("uniform", "real-like"))
        pulls = instances.correlations(correlation, m)
        rng = np.random.default_rng(check_int(instances.OWNER, "seed", seed, 0))
        if kind == "uniform":
            pairs = instances.uniform_pairs(n, pulls, max_distance, max_flow, rng)
        else:
            points = instances.clustered_points(n, cluster_radius, cluster_size, point_radius, rng)
            pairs = instances.real_like_pairs(points, pulls, overlap, flow_exponents, rng)
        distance, *flow = (instances.symmetric(n, values) for values in pairs)
        return cls(distance=distance, flow=flow, instance=f"{kind}-{n}-{m}-seed{seed}")

    @classmethod
    def from_file(cls, path: str | Path, *, front: str | Path | None = None) -> Self:
        """Read an instance in the public mQAP format [KC03].

        The format is a header with the numbers of facilities and objectives, the distance matrix,
        and one flow matrix per objective, with one matrix row per line.

        Parameters
        ----------
        path : str or Path
            The `.dat` file.
        front : str or Path, optional
            File of its Pareto set: lines of locations (from 1) and objective values, each of which
            is evaluated again. By default the file of the same name ending in `.PO`, if it exists.

        Raises
        ------
        FileNotFoundError
            If `path` or `front` does not exist.
        ValueError
            If a file is malformed. The message names the file, the line, and what was expected.
        """
        distance, flow = instances.read_instance(path)
        beside = Path(path).with_suffix(".PO")
        if front is None and beside.exists():
            front = beside
        known = None if front is None else instances.read_front(front, distance, flow)
        return cls._of_file(path, distance=distance, flow=flow, known_front=known)

    def to_file(self, path: str | Path) -> None:
        """Write the instance in the format that `from_file` reads."""
        instances.write_instance(path, self.distance, self.flow)

    def _evaluate(self, X: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        designs = self._designs(X)
        out["F"] = np.empty((len(designs), self.n_obj))
        bad = costs(designs, self.distance, self._flow_last, out["F"])
        if bad >= 0:
            raise self._no_permutation(designs, bad)

    def _no_permutation(self, designs: Ints, row: int) -> ValueError:
        return ValueError(
            f"A design of {self.name()} must be a permutation of 0..{self.n_var - 1}. "
            f"Got {designs[row].tolist()} in row {row} instead."
        )

    def _designs(self, X: ArrayLike) -> Ints:
        array = self._rows(X)
        if array.dtype == object:
            try:
                array = array.astype(np.float64)
            except (TypeError, ValueError):
                raise self._not_whole(array, 0) from None
        if array.dtype.kind not in "biuf":
            raise self._not_whole(array, 0)
        with np.errstate(invalid="ignore"):  # NaN becomes some integer; refused below
            designs = np.ascontiguousarray(array, dtype=np.int64)
        if array.dtype.kind == "f" and not np.array_equal(designs, array):
            raise self._not_whole(array, int(np.argmax((designs != array).any(axis=-1))))
        return designs

    def _not_whole(self, array: NDArray[np.generic], row: int) -> ValueError:
        return ValueError(
            f"A design of {self.name()} must hold whole numbers only. "
            f"Got {brief(array[row].tolist())} in row {row} instead."
        )

    def _solve(self) -> KnownFront | None:
        if self.n_var > self.EXACT_N:
            return None
        F, X = enumerate_front(self.distance, self._flow_last, _FRONT_CAPACITY)
        if len(F) == 0:
            return None
        # Evaluated again, because the enumeration adds in another order, which changes the last
        # digit of costs that are not whole.
        costs(X, self.distance, self._flow_last, F)
        return sorted_front(F, X, "enumeration")

    def _neighbors(self, designs: Ints, k: int, rng: np.random.Generator) -> Ints:
        wrong = (np.sort(designs, axis=1) != np.arange(self.n_var)).any(axis=1)
        if wrong.any():
            raise self._no_permutation(designs, int(wrong.argmax()))
        out = np.empty((len(designs), k, self.n_var), dtype=np.int64)
        swap_neighbors(designs, rng.random((len(designs), k, 3)), out)
        return out

    def features(self, X: ArrayLike) -> Floats:
        """Return the location of each facility in one-hot encoding, [n_designs, n * n].

        Column ``n * i + l`` is 1 if facility i is at location l. The features contain no costs,
        which would take as long as an evaluation: a model that saw them would evaluate designs
        without being charged for it.
        """
        designs = self._designs(X)
        n = self.n_var
        return np.eye(n).take(designs, axis=0).reshape(len(designs), n * n)

    def decode(self, x: ArrayLike) -> Assignment:
        """Return the assignment that the design [n] stands for, with its costs."""
        (locations,) = designs = self._designs(np.reshape(x, (1, -1)))
        return Assignment(
            instance=self.instance,
            version=self.version,
            locations=tuple(int(v) for v in locations),
            costs=tuple(float(v) for v in self.evaluate(designs)[0]),
        )
