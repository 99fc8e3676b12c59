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
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from problems._arrays import Bools, Floats
from problems._checks import check_array, check_whole, setting_error
from problems.classic.base import BitProblem
from problems.classic.designs import BitString
from problems.classic.front import KnownFront, nondominated, sorted_front
from problems.classic.mnk import instances, kernels
from problems.classic.mnk.operators import BitMutation, BitSampling
from problems.classic.operators import BitCrossover

__all__ = ["MNKLandscape"]


_CHUNK = 1 << 15


class MNKLandscape(BitProblem):
    """Bit strings in which the contribution of a bit depends on itself and k other bits [AT07].

    A design x is n bits. The fitness of objective o is the mean over bits i of
    ``tables[o, i, index]``, where bit j of the index is x at ``links[o, i, j]``. Fitness is in
    [0, 1] and maximized, so F is its negative. Larger k make the landscape more rugged; rho
    correlates the objectives [VLJD13].

    Parameters
    ----------
    links : array_like of int, shape [n_obj, n, k + 1]
        Bits, from 0, that each contribution depends on.
    tables : array_like of float, shape [n_obj, n, 2 ** (k + 1)]
        Contributions, in [0, 1].
    rho : float
        Correlation of the objectives, for the record.
    instance : str
        Name for displays and saved designs.
    known_front : KnownFront, optional
        Front (of F) known from elsewhere, which `pareto_front()` then returns.

    Raises
    ------
    ValueError
        If a shape is wrong or an entry is out of range; on evaluation, if a design holds anything
        but 0 and 1.

    Notes
    -----
    Files have the mocobench format: comment lines ``c ..``, then ``p rMNK rho M N K``, ``p links``
    and K + 1 lines per bit, ``p tables`` and 2^(K+1) lines per bit. Each line has one number per
    objective.

    A neighbor differs in one bit. The neighbors of a design are different up to all n; any beyond
    those differ in two bits.

    ``pareto_front()`` returns the exact front by enumeration for n up to `EXACT_N`, else None.
    ``ref_point`` is 0, the worst fitness of any landscape, as in [VLJD13]. With a known front, it
    is the nadir of that front plus a tenth of its range.

    Examples
    --------
    >>> problem = MNKLandscape.random(n=10, k=2, n_obj=2, rho=-0.4, seed=1)
    >>> bool((problem.pareto_front() > -1).all())
    True
    """

    EXACT_N = 20
    _instance_arrays = ("links", "tables")
    _operators = (BitSampling, BitCrossover, BitMutation)

    def __init__(
        self,
        *,
        links: ArrayLike,
        tables: ArrayLike,
        rho: float = 0.0,
        instance: str = "custom",
        known_front: KnownFront | None = None,
    ) -> None:
        owner = "MNKLandscape"
        self.links = check_whole(owner, "links", links, (None, None, None))
        m, n, width = self.links.shape
        if width > instances.MAX_K + 1:
            expected = f"of at most {instances.MAX_K + 1} links per bit"
            raise setting_error(owner, "links", expected, width)
        if self.links.max() >= n:
            raise setting_error(
                owner, "links", f"indices of bits, 0..{n - 1}", int(self.links.max())
            )
        self.tables = check_array(owner, "tables", tables, (m, n, 1 << width))
        if self.tables.max() > 1.0:
            expected = "contributions from 0 to 1"
            raise setting_error(owner, "tables", expected, float(self.tables.max()))
        self.rho = float(rho)
        super().__init__(
            instance=instance,
            known_front=known_front,
            bound=np.zeros(m),
            bound_source="0, the worst fitness of any landscape",
            n_var=n,
            n_obj=m,
        )
        self._set_version("mnk", 1, self.links, self.tables, n_digits=12)

    @classmethod
    def random(
        cls, *, n: int = 18, k: int = 4, n_obj: int = 2, rho: float = 0.0, seed: int = 0
    ) -> Self:
        """Return a random rho-MNK-landscape [VLJD13].

        Parameters
        ----------
        n : int
            Number of bits.
        k : int
            Number of other bits that a contribution depends on, at most n - 1. These are drawn at
            random, and are the same for every objective. A table has 2 ** (k + 1) entries per bit.
        n_obj : int
        rho : float
            Pearson correlation between the contributions of any two objectives. The lowest
            possible correlation is near -1/(n_obj - 1); the error message gives it.
        seed : int
            The same settings give the same instance.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        links, tables = instances.random_instance(n=n, k=k, n_obj=n_obj, rho=rho, seed=seed)
        instance = f"random-{rho:g}-{n_obj}-{n}-{k}-seed{seed}"
        return cls(links=links, tables=tables, rho=rho, instance=instance)

    @classmethod
    def _read(cls, path: str | Path) -> dict[str, object]:
        links, tables, rho = instances.read_instance(path)
        return {"links": links, "tables": tables, "rho": rho}

    def to_file(self, path: str | Path) -> None:
        """Write the instance in the format that `from_file` reads."""
        instances.write_instance(path, self.links, self.tables, self.rho)

    def _evaluate(self, X: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        out["F"] = self._values(self._designs(X))

    def _values(self, designs: Bools) -> Floats:
        F = np.empty((len(designs), self.n_obj))
        kernels.evaluate(designs, self.links, self.tables, F)
        return F

    def _solve(self) -> KnownFront | None:
        n = self.n_var
        if n > self.EXACT_N:
            return None
        best_x = np.empty((0, n), dtype=bool)
        best_f = np.empty((0, self.n_obj))
        for start in range(0, 1 << n, _CHUNK):
            codes = np.arange(start, min(start + _CHUNK, 1 << n))
            X = (codes[:, None] >> np.arange(n)) & 1 == 1
            X, F = np.vstack([best_x, X]), np.vstack([best_f, self._values(X)])
            kept = nondominated(F)
            best_x, best_f = X[kept], F[kept]
        return sorted_front(best_f, best_x, "enumeration")

    def _neighbors(self, designs: Bools, k: int, rng: np.random.Generator) -> Bools:
        out = np.empty((len(designs), k, self.n_var), dtype=bool)
        kernels.flip_neighbors(designs, rng.random((len(designs), k, 2)), out)
        return out

    def decode(self, x: ArrayLike) -> BitString:
        """Return the point that the design [n] stands for, with its fitness."""
        (bits,) = designs = self._designs(np.reshape(x, (1, -1)))
        return BitString(
            instance=self.instance,
            version=self.version,
            bits=tuple(int(b) for b in bits),
            fitness=tuple(float(-f) for f in self.evaluate(designs)[0]),
        )
