"""Decomposition: weight vectors, neighbourhoods, normalisation, scalarisations and replacement."""

from __future__ import annotations

import copy
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.population import Population
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.stats import qmc

from moela.archive import Archive, Floats

Scalarisation = Literal["chebyshev", "weighted_sum", "product"]
SCALARISATIONS = ("chebyshev", "weighted_sum", "product")

# A design this close to the edge of the reference box, or beyond it, is scored by the tangent of
# the logarithm instead, so that searches out there still know which way is in.
_EDGE = 0.02
# With a weight of zero a sub-problem could not tell a design from one that is worse in that
# objective, and the first one to come would stay for good.
_LEAST_WEIGHT = 1e-4


def simplex_weights(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Spread n weight vectors over the unit simplex, the M corners first.

    The rest are scrambled Sobol points mapped to the simplex by the spacings of their sorted
    coordinates, which keeps them evenly spread for any n and M, unlike a lattice.

    Returns
    -------
    float array, [n, M]
        Positive rows that sum to 1; the least weights are a ten-thousandth.
    """
    corners = np.eye(n_obj)[:n]
    inner = n - len(corners)
    if inner <= 0:
        return _positive(corners)
    sobol = qmc.Sobol(n_obj - 1, rng=random_state)
    points = sobol.random_base2(int(np.ceil(np.log2(max(inner, 2)))))[:inner]
    edges = np.sort(points, axis=1)
    bounds = np.concatenate([np.zeros((inner, 1)), edges, np.ones((inner, 1))], axis=1)
    return _positive(np.concatenate([corners, np.diff(bounds, axis=1)]))


def _positive(W: Floats) -> Floats:
    W = np.maximum(W, _LEAST_WEIGHT)
    return W / W.sum(axis=1, keepdims=True)


def random_weights(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Draw n weight vectors uniformly from the unit simplex, [n, M]."""
    return random_state.dirichlet(np.ones(n_obj), n)


def neighbourhoods(W: Floats, size: int) -> NDArray[np.int64]:
    """Find the `size` nearest weight vectors of each of W [n, M], itself first: [n, size]."""
    return np.atleast_2d(cKDTree(W).query(W, k=min(size, len(W)))[1]).reshape(len(W), -1)


class Frame:
    """The box that objectives are scaled with: running ideal, and a reference or running nadir.

    Parameters
    ----------
    n_obj : int
        Number of objectives M.
    reference : array [M] or None
        A known reference point, such as the objectives of a design that one wants to beat. The
        frame ends there. Without one it ends at the nadir of the non-dominated designs so far,
        or, in an objective in which these do not differ, at the worst value met.
    bounds : tuple of arrays [M], optional
        Fixed (ideal, nadir), for algorithms that were published with such.

    Attributes
    ----------
    ideal, nadir : float array, [M]
        Scaled objectives are 0 at the ideal and 1 at the nadir.
    worst : float array, [M]
        The largest value met in each objective.
    """

    def __init__(
        self,
        n_obj: int,
        reference: ArrayLike | None = None,
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        self.ideal: Floats = np.full(n_obj, np.inf)
        self.nadir: Floats = np.full(n_obj, -np.inf)
        self.worst: Floats = np.full(n_obj, -np.inf)
        self.fixed = bounds is not None
        self.reference = None if reference is None else np.asarray(reference, dtype=float)
        if self.reference is not None and self.reference.shape != (n_obj,):
            raise ValueError(
                f"The reference point must have one value per objective, shape ({n_obj},). "
                f"Got shape {self.reference.shape} instead."
            )
        if bounds is not None:
            self.ideal = np.asarray(bounds[0], dtype=float)
            self.nadir = np.asarray(bounds[1], dtype=float)

    def update(self, F: Floats, archive: Archive) -> bool:
        """Learn from new objectives F [b, M] and the archive they went into.

        Returns
        -------
        bool
            Whether the frame moved.
        """
        if self.fixed or len(archive) == 0:
            return False
        ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        self.worst = np.maximum(self.worst, F.max(axis=0)) if len(F) else self.worst
        nadir = archive.F.max(axis=0)
        # An archive of one design would scale everything to 0, and no search could tell better
        # from worse.
        nadir = np.where(nadir > archive.F.min(axis=0), nadir, np.maximum(nadir, self.worst))
        if self.reference is not None:
            # A reference that nothing has come near says nothing about scale there.
            nadir = np.where(self.reference > ideal, self.reference, nadir)
        moved = not (np.array_equal(ideal, self.ideal) and np.array_equal(nadir, self.nadir))
        self.ideal, self.nadir = ideal, nadir
        return moved

    def reaching(self, F: Floats) -> Frame:
        """Return a copy whose ideal is beaten by none of the objectives F [b, M] either."""
        other = copy.copy(self)
        other.ideal = np.minimum(self.ideal, F.min(axis=0)) if len(F) else self.ideal
        return other

    def scale(self, F: Floats) -> Floats:
        """Scale objectives [..., M]; an objective that never varied scales to 0."""
        span = self.nadir - self.ideal
        return (F - self.ideal) / np.where(span > 0, span, np.inf)


def scalarise(Z: Floats, W: Floats, by: Scalarisation) -> Floats:
    """Turn scaled objectives into one value per weight vector; smaller is better.

    Parameters
    ----------
    Z : float array, [..., M]
        Scaled objectives, 0 at the ideal and 1 at the nadir or reference.
    W : float array, [..., M]
        Weights, broadcast against Z.
    by : {"chebyshev", "weighted_sum", "product"}
        The largest weighted coordinate (Zhang and Li 2007, eq. 5); their weighted sum; or the
        negative logarithm of the weighted product of the distances to the reference, which for
        equal weights is the hypervolume that the design alone dominates.

    Returns
    -------
    float array, [...]
    """
    if by == "chebyshev":
        return (W * Z).max(axis=-1)
    if by == "weighted_sum":
        return (W * Z).sum(axis=-1)
    distance = 1.0 + _EDGE - Z
    inside = np.log(np.maximum(distance, _EDGE))
    beyond = np.minimum(distance - _EDGE, 0.0) / _EDGE
    return -(W * (inside + beyond)).sum(axis=-1)


def better(CV: Any, g: Any, CV_than: Any, g_than: Any) -> NDArray[np.bool_]:
    """Tell where (CV, g) beats the other: feasibility first, then the value (Deb 2000)."""
    return (CV < CV_than) | ((CV == CV_than) & (g < g_than))


class Subproblems:
    """One design per weight vector, and the rule by which children replace them.

    Parameters
    ----------
    W : float array, [n, M]
    n_neighbours : int
        Size of a neighbourhood, the sub-problem itself included.
    by : str
        Scalarisation; see `scalarise`.

    Attributes
    ----------
    pop : Population, [n]
        The member of each sub-problem.
    F, CV : float arrays, [n, M] and [n]
        Its objectives and constraint violation.
    B : int array, [n, n_neighbours]
        The neighbourhood of each sub-problem.
    """

    def __init__(self, W: Floats, n_neighbours: int, by: Scalarisation) -> None:
        self.W, self.by = W, by
        self.B = neighbourhoods(W, n_neighbours)
        self.pop = Population.empty()
        self.F: Floats = np.empty((0, W.shape[1]))
        self.CV: Floats = np.empty(0)

    def __len__(self) -> int:
        return len(self.W)

    def twin(self) -> Subproblems:
        """Return sub-problems of the same weights and neighbourhoods, without members."""
        other = copy.copy(self)
        other.pop, other.F, other.CV = Population.empty(), self.F[:0], self.CV[:0]
        return other

    def populate(
        self, pop: Population, F: Floats, CV: Floats, frame: Frame, *, deal: bool = False
    ) -> None:
        """Give each sub-problem the design that is best for it; a design may serve several.

        With `deal`, and wherever some designs are infeasible, they are dealt out one to one
        instead, as far as they go, by the least sum of scalarised values (linear assignment). Else
        few designs might be left, and feasibility first would give all sub-problems the one of
        least violation, and with the others all diversity away.
        """
        values = scalarise(frame.scale(F)[None], self.W[:, None], self.by)
        order = np.lexsort((values, np.broadcast_to(CV, values.shape)), axis=1)
        index = order[:, 0]
        if deal or CV.max() > 0.0:
            dealt, design = linear_sum_assignment(values)
            index[dealt] = design
        self._assign(index, pop, F, CV)

    def populate_in_order(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Give sub-problem k the k-th design, going round if there are fewer designs."""
        self._assign(np.arange(len(self)) % len(pop), pop, F, CV)

    def _assign(self, index: NDArray[np.int64], pop: Population, F: Floats, CV: Floats) -> None:
        self.pop, self.F, self.CV = pop[index], F[index], CV[index]

    def parents(
        self,
        subproblems: NDArray[np.int64],
        n_parents: int,
        prob_neighbours: float,
        random_state: np.random.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Choose different parents for each sub-problem: from its neighbourhood, or from all.

        Returns
        -------
        parents : int array, [b, n_parents]
        local : bool array, [b]
            Whether the parents came from the neighbourhood.
        """
        b, size = len(subproblems), self.B.shape[1]
        local = (random_state.random(b) < prob_neighbours) & (size >= n_parents)
        if size < n_parents:
            parents = np.empty((b, n_parents), dtype=np.int64)
        else:
            near = random_state.random((b, size)).argpartition(n_parents - 1, axis=1)[:, :n_parents]
            parents = np.take_along_axis(self.B[subproblems], near, axis=1)
        for i in np.flatnonzero(~local):
            parents[i] = random_state.choice(len(self), n_parents, replace=len(self) < n_parents)
        return parents, local

    def replace(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        homes: NDArray[np.int64],
        local: NDArray[np.bool_],
        frame: Frame,
        random_state: np.random.Generator,
        n_max: int = 1,
    ) -> int:
        """Let each child take the place of members that it is better than.

        A child looks at the mating pool it came from, in random order, and replaces at most
        `n_max` of its members (Zhang and Li 2007 with the bound of Li and Zhang 2009).

        Parameters
        ----------
        homes : int array, [b]
            The sub-problem each child was made for.
        local : bool array, [b]
            Whether its pool is the neighbourhood of that sub-problem, or everything.

        Returns
        -------
        int
            How many members were replaced.
        """
        replaced = 0
        Z, own = frame.scale(F), frame.scale(self.F)
        # Most children win nowhere, which is seen for all at once.
        everywhere = scalarise(Z[:, None], self.W, self.by)
        standing = scalarise(own, self.W, self.by)
        hopeful = better(CV[:, None], everywhere, self.CV, standing).any(axis=1)
        for i in np.flatnonzero(hopeful):
            pool = self.B[homes[i]] if local[i] else slice(None)
            wins = np.flatnonzero(better(CV[i], everywhere[i, pool], self.CV[pool], standing[pool]))
            if len(wins) == 0:
                continue
            if len(wins) > n_max:
                wins = random_state.choice(wins, n_max, replace=False)
            taken = wins if not local[i] else self.B[homes[i]][wins]
            self.pop[taken], self.F[taken], self.CV[taken] = pop[i], F[i], CV[i]
            standing[taken] = everywhere[i, taken]
            replaced += len(taken)
        return replaced
