"""A front with its designs: as a table, and ways to choose from it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moela._arrays import Floats, Ints
from moela._checks import require
from moela.quality import indicators
from moela.quality.indicators import beyond, extent
from moela.quality.runs import clean, designs_array, numbers, vector
from moela.quality.table import Table


class Front:
    """Mutually non-dominated points with their designs.

    Parameters
    ----------
    F : float array, [n, M]
        Objectives, minimized. Dominated, repeated and not finite rows are left out.
    X : array [n] or [n, n_var], optional
        The designs.
    names : sequence of str, optional
        Of the objectives.
    labels : sequence of str, [n], optional
        Where each point comes from, such as the name of an algorithm.
    problem : object, optional
        For its ``decode(x)``.

    Attributes
    ----------
    F : float array, [k, M]
    X : array [k] or [k, n_var], or None
    names : tuple of str, [M]
    labels : tuple of str, [k], or None

    Examples
    --------
    >>> from moela import Front
    >>> front = Front([[0.0, 1.0], [0.2, 0.3], [1.0, 0.0], [1.0, 1.0]])
    >>> len(front), front.knees().tolist()
    (3, [1])
    """

    def __init__(
        self,
        F: ArrayLike,
        X: Any = None,
        *,
        names: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        problem: Any = None,
    ) -> None:
        points = numbers("Front", F)
        n = len(points)
        for name, given in (("X", X), ("labels", labels)):
            fits = given is None or len(given) == n
            require("Front", name, "another number", fits, f"{n} of them, one per row of F")
        order = np.arange(n)
        self.F, kept, _ = clean("Front", points, None, order)
        index = order[:0] if kept is None else kept
        self.X: NDArray[Any] | None = None if X is None else designs_array(X)[index]
        self.labels = None if labels is None else tuple(str(labels[i]) for i in index)
        n_obj = self.F.shape[1]
        self.names = tuple(f"f{j + 1}" for j in range(n_obj)) if names is None else tuple(names)
        fits = len(self.names) == n_obj == len(set(self.names))
        require("Front", "names", names, fits, f"{n_obj} different names")
        self.problem = problem

    def __len__(self) -> int:
        return len(self.F)

    def __repr__(self) -> str:
        return f"Front({len(self)} points, {len(self.names)} objectives)"

    # -------------------------------------------------------------------------------- as a table

    def table(self) -> Table:
        """Return a row a point: its label where it has one, objectives, variables."""
        rows = []
        for i, f in enumerate(self.F.tolist()):
            row: dict[str, Any] = {} if self.labels is None else {"algorithm": self.labels[i]}
            row |= dict(zip(self.names, f, strict=True))
            if self.X is not None:
                taken = set(row)
                named = _variables(self.X[i]).items()
                row |= {f"{k} (variable)" if k in taken else k: v for k, v in named}
            rows.append(row)
        return Table(rows)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, a row a point; see `table`.

        Raises
        ------
        ImportError
            If pandas isn't installed (it comes with ``pip install moela[report]``).
        """
        frame = self.table().to_frame()
        return frame if len(self) else frame.reindex(columns=list(self.names))

    def decode(self, i: int) -> Any:
        """Return point i as what it stands for, by the problem's ``decode``.

        Raises
        ------
        ValueError
            The front has no designs, or its problem no ``decode``.
        """
        if self.X is None or not hasattr(self.problem, "decode"):
            missing = "designs" if self.X is None else "problem with a decode()"
            raise ValueError(f"This front has no {missing}. Pass X= and problem= to Front.")
        return self.problem.decode(self.X[i])

    # ---------------------------------------------------------------------------------- choosing

    def scaled(self) -> Floats:
        """Return the objectives scaled to [0, 1] over the front; 0 where they are all the same."""
        self._need_points()
        return np.asarray((self.F - self.F.min(axis=0)) / extent(self.F))

    def knees(self, n: int = 1) -> Ints:
        """Return the points at which the front bulges most towards the ideal, strongest first.

        A point's bulge is its distance below the hyperplane through the extremes of the front; see
        `bulges`. A knee bulges more than its 2 M nearest neighbors, so that several of them lie
        in different regions.

        Parameters
        ----------
        n : int
            How many at most; fewer are returned where the front has fewer knees.

        Returns
        -------
        int array
            Rows of `F`.

        References
        ----------
        Das 1999, "On characterizing the 'knee' of the Pareto curve based on normal-boundary
        intersection"; Zhang, Tian and Jin 2015, "A knee point-driven evolutionary algorithm for
        many-objective optimization", for local ones.
        """
        _need_count("knees", n)
        bulge, Z = self.bulges(), self.scaled()
        k = min(2 * Z.shape[1], len(Z) - 1)
        peaks: list[int] = []
        for i in np.argsort(-bulge, kind="stable"):
            near = np.argsort(((Z - Z[i]) ** 2).sum(axis=1), kind="stable")[: k + 1]
            if bulge[i] >= bulge[near].max() and (bulge[i] > 1e-12 or not peaks):
                peaks.append(int(i))
            if len(peaks) == n:
                break
        return np.array(peaks, dtype=np.intp)

    def bulges(self) -> Floats:
        """Return each point's distance below the plane through the extremes, on scaled objectives.

        The extreme of an objective is the point at which the worst of all the others is best. Where
        the extremes don't span a plane with a positive normal, that on which the scaled objectives
        sum up to 1 serves. Negative where the front bends the other way.
        """
        Z = self.scaled()
        n_obj = Z.shape[1]
        others = [np.delete(Z, j, axis=1) for j in range(n_obj)]
        corners = Z[[int((part.max(axis=1) + 1e-9 * Z.sum(axis=1)).argmin()) for part in others]]
        normal: Any = np.ones(n_obj)
        if abs(np.linalg.det(corners)) > 1e-9:
            solved = np.linalg.solve(corners, np.ones(n_obj))
            if (solved > 0).all():
                normal = solved
        return np.asarray((1.0 - Z @ normal) / np.linalg.norm(normal))

    def pseudo_weights(self) -> Floats:
        """Return each point's pseudo-weights [n, M]: by how much it favors each objective.

        The share of an objective in the point's distances to the worst of the front. Rows sum up
        to 1.

        References
        ----------
        Deb 2001, "Multi-Objective Optimization Using Evolutionary Algorithms".
        """
        distance = 1.0 - self.scaled()
        return np.asarray(distance / distance.sum(axis=1, keepdims=True))

    def by_weights(self, weights: ArrayLike) -> int:
        """Return the point whose pseudo-weights are closest to these (city-block distance).

        Parameters
        ----------
        weights : float array, [M]
            At least 0; scaled to sum up to 1.
        """
        expected = f"{len(self.names)} finite numbers, none negative and not all 0"
        wanted = vector("by_weights", "weights", weights, len(self.names), expected)
        fits = bool((wanted >= 0).all()) and wanted.sum() > 0
        require("by_weights", "weights", weights, fits, expected)
        gap = np.abs(self.pseudo_weights() - wanted / wanted.sum()).sum(axis=1)
        return int(gap.argmin())

    def by_reference(self, point: ArrayLike, n: int = 1) -> Ints:
        """Return the points that do best by what one would like to have, best first.

        Wierzbicki's achievement: the largest scaled distance beyond the aspiration in any
        objective, plus a thousandth of their sum. An aspiration that can be had is surpassed, one
        that can't is approached.

        Parameters
        ----------
        point : float array, [M]
            The aspired objectives, in their units.
        n : int
            How many.

        References
        ----------
        Wierzbicki 1980, "The use of reference objectives in multiobjective optimization".
        """
        self._need_points()
        n_obj = len(self.names)
        wanted = vector("by_reference", "point", point, n_obj, f"{n_obj} finite numbers")
        _need_count("by_reference", n)
        short = (self.F - wanted) / extent(self.F)
        achieved = short.max(axis=1) + 1e-3 * short.sum(axis=1)
        return np.argsort(achieved, kind="stable")[:n]

    def contributions(self, ref_point: ArrayLike | None = None) -> Floats:
        """Return the volume [n] that each point dominates and no other one does.

        Exact up to 400 points in 5 objectives and fewer in more, beyond that approximate; see
        `moela.quality.indicators.contributions`.

        Parameters
        ----------
        ref_point : float array, [M], optional
            Default: the worst of the front plus a tenth of its extent.

        Returns
        -------
        float array, [n]
            In the product of the objectives' units.
        """
        self._need_points()
        n_obj = len(self.names)
        point = beyond(self.F)
        if ref_point is not None:
            expected = f"{n_obj} finite numbers"
            point = vector("contributions", "ref_point", ref_point, n_obj, expected)
        return indicators.contributions(self.F, point)

    def _need_points(self) -> None:
        if len(self) == 0:
            raise ValueError("There is nothing to choose from: the front has no points.")


def _need_count(owner: str, n: Any) -> None:
    whole = isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 1
    require(owner, "n", n, whole, "an integer of at least 1")


def pooled(outcomes: Sequence[Any]) -> Front:
    """Return the front of all outcomes together, points labeled by algorithm."""
    labels = [o.algorithm for o in outcomes for _ in range(len(o.F))]
    F = np.concatenate([o.F for o in outcomes])
    widths = {o.X.shape[1:] for o in outcomes if o.X is not None and len(o.F)}
    known = all(o.X is not None for o in outcomes if len(o.F)) and len(widths) == 1
    X = None
    if known:
        X = np.concatenate([o.X for o in outcomes if len(o.F)])
    names = next((o.names for o in outcomes if o.names), None)
    model = next((o.model for o in outcomes if o.model is not None), None)
    return Front(F, X, names=names, labels=labels, problem=model)


def _variables(x: Any) -> dict[str, Any]:
    if isinstance(x, dict):
        return {str(name): value for name, value in x.items()}
    return {f"x{j}": value for j, value in enumerate(np.atleast_1d(x).tolist())}
