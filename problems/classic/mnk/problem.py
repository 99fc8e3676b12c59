"""Multi-objective NK-landscapes with correlated objectives as a pymoo problem.

References
----------
[AT07] H. E. Aguirre, K. Tanaka. Working principles, behavior, and performance of MOEAs on
    MNK-landscapes. European Journal of Operational Research 181(3), 2007, 1670-1690.
[VLJD13] S. Verel, A. Liefooghe, L. Jourdan, C. Dhaenens. On the structure of multiobjective
    combinatorial search space: MNK-landscapes with correlated objectives. European Journal of
    Operational Research 227(2), 2013, 331-342.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from problems._arrays import Bools
from problems._checks import (
    check_array,
    check_int,
    check_random_state,
    check_whole,
    setting_error,
)
from problems.classic.base import ClassicProblem, reference_point
from problems.classic.designs import BitString
from problems.classic.front import KnownFront, nondominated, sorted_front
from problems.classic.mnk import instances, kernels
from problems.classic.mnk.operators import BitCrossover, BitMutation, BitSampling

__all__ = ["MNKLandscape"]


_CHUNK = 1 << 15


class MNKLandscape(ClassicProblem):
    """Bit strings whose every bit contributes according to itself and k others [AT07].

    A design x is n bits. The fitness of objective o is the mean over bits i of
    ``tables[o, i, index]``, where bit j of the index is x at ``links[o, i, j]``. Fitness is in
    [0, 1] and maximized, so F is its negative. The larger k, the more rugged; rho correlates the
    objectives [VLJD13].

    Parameters
    ----------
    links : array_like of int, shape [n_obj, n, k + 1]
        The bits, from 0, that each contribution depends on.
    tables : array_like of float, shape [n_obj, n, 2 ** (k + 1)]
        Contributions, in [0, 1].
    rho : float
        Correlation of the objectives, for the record.
    instance : str
        Name for displays and saved designs.
    known_front : KnownFront, optional
        A front known from elsewhere (of F), which `pareto_front()` then returns.

    Raises
    ------
    ValueError
        If a shape is wrong or an entry out of range; on evaluation, if a design holds anything but
        0 and 1.

    Notes
    -----
    ``pareto_front()`` returns the exact front by enumeration for n up to `EXACT_N`, else None.
    ``ref_point`` is 0, the worst that any landscape can give, as in [VLJD13]; with a known front
    it is the nadir of that front plus a tenth of its range.

    Examples
    --------
    >>> problem = MNKLandscape.random(n=10, k=2, n_obj=2, rho=-0.4, seed=1)
    >>> bool((problem.pareto_front() > -1).all())
    True
    """

    EXACT_N = 20

    def __init__(
        self,
        *,
        links: Any,
        tables: Any,
        rho: float = 0.0,
        instance: str = "custom",
        known_front: KnownFront | None = None,
    ) -> None:
        owner = "MNKLandscape"
        self.links = check_whole(owner, "links", links, (None, None, None))
        m, n, width = self.links.shape
        if width > instances.MAX_K + 1:
            raise setting_error(
                owner, "links", f"of at most {instances.MAX_K + 1} links a bit", width
            )
        if self.links.max() >= n:
            raise setting_error(
                owner, "links", f"indices of bits, 0..{n - 1}", int(self.links.max())
            )
        self.tables = check_array(owner, "tables", tables, (m, n, 1 << width))
        if self.tables.max() > 1.0:
            raise setting_error(
                owner, "tables", "contributions from 0 to 1", float(self.tables.max())
            )
        self.rho = float(rho)
        super().__init__(
            instance=instance,
            known_front=known_front,
            n_var=n,
            n_obj=m,
            xl=0,
            xu=1,
            vtype=bool,
        )
        self._set_identity("mnk", 1, self.links, self.tables)
        self.ref_point, self.ref_point_source = reference_point(
            known_front, np.zeros(m), "0, the worst fitness of any landscape", margin=0.1
        )

    @classmethod
    def random(
        cls,
        *,
        n: int = 18,
        k: int = 4,
        n_obj: int = 2,
        rho: float = 0.0,
        seed: int = 0,
    ) -> Self:
        """Return a random rho-MNK-landscape [VLJD13].

        Parameters
        ----------
        n : int
            Bits.
        k : int
            Other bits that a contribution depends on, at most n - 1; drawn at random, the same for
            every objective. A table has 2 ** (k + 1) entries a bit.
        n_obj : int
        rho : float
            Pearson correlation between the contributions of any two objectives; at least a limit,
            near -1/(n_obj - 1), that the error names.
        seed : int
            Same settings, same instance.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        links, tables = instances.random_instance(n=n, k=k, n_obj=n_obj, rho=rho, seed=seed)
        instance = f"random-{rho:g}-{n_obj}-{n}-{k}-seed{seed}"
        return cls(links=links, tables=tables, rho=rho, instance=instance)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read an instance in the mocobench format.

        Comment lines ``c ..``, then ``p rMNK rho M N K``, ``p links`` and K + 1 lines a bit,
        ``p tables`` and 2^(K+1) lines a bit, each line with one number an objective.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is malformed; the message names file, line, what was expected and what came.
        """
        links, tables, rho = instances.read_instance(path)
        return cls(links=links, tables=tables, rho=rho, instance=Path(path).stem)

    def to_file(self, path: str | Path) -> None:
        """Write the instance in the format that `from_file` reads."""
        instances.write_instance(path, self.links, self.tables, self.rho)

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        designs = self._designs(X)
        out["F"] = np.empty((len(designs), self.n_obj))
        kernels.evaluate(designs, self.links, self.tables, out["F"])

    def _designs(self, X: Any) -> Bools:
        array = np.asarray(X)
        designs = np.ascontiguousarray(array, dtype=bool)
        if array.dtype != bool and not np.array_equal(designs, array):
            row = int(np.argwhere(designs != array)[0, 0])
            raise ValueError(
                f"A design of {self.name()} must hold 0 and 1 only. Got {array[row]} in row {row} "
                "instead."
            )
        return designs

    def _solve(self) -> KnownFront | None:
        n = self.n_var
        if n > self.EXACT_N:
            return None
        best_x = np.empty((0, n), dtype=bool)
        best_f = np.empty((0, self.n_obj))
        for start in range(0, 1 << n, _CHUNK):
            codes = np.arange(start, min(start + _CHUNK, 1 << n))
            X = (codes[:, None] >> np.arange(n)) & 1 == 1
            F = np.empty((len(X), self.n_obj))
            kernels.evaluate(X, self.links, self.tables, F)
            X, F = np.vstack([best_x, X]), np.vstack([best_f, F])
            kept = nondominated(F)
            best_x, best_f = X[kept], F[kept]
        return sorted_front(best_f, best_x, "enumeration")

    def operators(self) -> dict[str, Any]:
        """Return sampling, crossover and mutation for pymoo's algorithms."""
        return {
            "sampling": BitSampling(),
            "crossover": BitCrossover(),
            "mutation": BitMutation(),
        }

    def neighbors_many(
        self, X: np.ndarray[Any, Any], k: int, random_state: np.random.Generator
    ) -> Bools:
        """Return `k` neighbors of each design: one bit flipped.

        The neighbors of a design differ from each other up to all n; any beyond that have two
        bits flipped.

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
        designs = self._designs(X)
        out = np.empty((len(designs), k, self.n_var), dtype=bool)
        kernels.flip_neighbors(designs, rng.random((len(designs), k, 2)), out)
        return out

    def decode(self, x: np.ndarray[Any, Any]) -> BitString:
        """Return the point that the design [n] stands for, with its fitness."""
        designs = self._designs(np.asarray(x)[None])
        return BitString(
            instance=self.instance,
            version=self.version,
            bits=tuple(int(b) for b in designs[0]),
            fitness=tuple(float(-f) for f in self.evaluate(designs)[0]),
        )
