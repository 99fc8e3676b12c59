"""A front with its designs, as a table, and methods to choose a design from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moela._arrays import Floats, Ints
from moela._checks import count, require
from moela.notebook import html
from moela.quality import indicators
from moela.quality.explain import Explanation, OwnWords, Role, explain
from moela.quality.indicators import beyond, extent
from moela.quality.magnitude import divided, exponents
from moela.quality.runs import ComparedRun, Designs, clean, designs_array, numbers, vector
from moela.quality.table import Row, Table

if TYPE_CHECKING:
    from pandas import DataFrame


# Least bulge of a knee on scaled objectives: smaller ones are not visible, and come from the
# unevenness of straight fronts, too.
LEAST_BULGE = 0.05
# Scaled distances to an aspiration count as this at most.
_FARTHEST = 1e100


class Front:
    """Mutually non-dominated points with their designs.

    Parameters
    ----------
    F : float array, [n, M]
        Minimized objectives. Dominated, repeated and non-finite rows are left out.
    X : array [n] or [n, n_var], optional
        The designs.
    names : sequence of str, optional
        Names of the objectives; by default the problem's ``objective_names``, else f1, f2, ...
    labels : sequence of str, [n], optional
        Source of each point, such as the name of an algorithm.
    problem : object, optional
        Its ``decode(x)`` is used by `decode`, its ``describe_differences(x, y)`` by `explain`, its
        ``objective_names`` for the objectives. If it has ``variable_names``, as the problem of a
        plain function, tables and texts show the dictionaries that it decodes designs to.
    signs : sequence of float, [M], optional
        1 for each minimized objective, -1 for each maximized one, of which F holds the negative.
        By default all are minimized. Tables, texts, and points to compare with have the objectives'
        own signs.

    Attributes
    ----------
    F : float array, [k, M]
        Minimized objectives.
    values : float array, [k, M]
        Objectives with their own sign.
    X : array [k] or [k, n_var], or None
    names : tuple of str, [M]
    labels : tuple of str, [k], or None
    signs : float array, [M]

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
        X: Designs | None = None,
        *,
        names: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        problem: object = None,
        signs: Sequence[float] | Floats | None = None,
    ) -> None:
        points = numbers("Front", F)
        n = len(points)
        for name, given in (("X", X), ("labels", labels)):
            fits = given is None or len(given) == n
            got = 0 if given is None else len(given)
            require("Front", name, got, fits, f"{n} of them, one per row of F")
        order = np.arange(n)
        self.F, kept, _ = clean("Front", points, None, order)
        index = order[:0] if kept is None else kept
        self.X: NDArray[Any] | None = None if X is None else designs_array(X)[index]
        self.labels = None if labels is None else tuple(str(labels[i]) for i in index)
        n_obj = self.F.shape[1]
        own = getattr(problem, "objective_names", None)
        if names is None and isinstance(own, list | tuple) and len(own) == n_obj:
            names = own
        self.names = (
            tuple(f"f{j + 1}" for j in range(n_obj)) if names is None else tuple(map(str, names))
        )
        fits = len(self.names) == n_obj == len(set(self.names))
        require("Front", "names", names, fits, f"{n_obj} different names")
        given = np.ones(n_obj) if signs is None else np.asarray(signs, dtype=float)
        fits = given.shape == (n_obj,) and bool((np.abs(given) == 1).all())
        require("Front", "signs", signs, fits, f"{n_obj} numbers, each 1 or -1")
        self.signs: Floats = given
        self.problem = problem

    def __len__(self) -> int:
        return len(self.F)

    def __repr__(self) -> str:
        return f"Front({len(self)} points, {len(self.names)} objectives)"

    def _repr_html_(self) -> str:
        return html.paragraph(repr(self)) + self.table()._repr_html_()

    @property
    def values(self) -> Floats:
        """Objectives with their own sign, [k, M]: maximized ones are not negated."""
        # 0 is added, since 0 times -1 is -0.
        return np.asarray(self.F * self.signs + 0.0)

    def variables(self, i: int) -> Row:
        """Return the variables of point i by name; x0, x1, ... if the problem names none."""
        if self.X is None:
            return {}
        if self.names_variables:
            return dict(self.decode(i))
        return _variables(self.X[i])

    def table(self) -> Table:
        """Return a table with one row per point: label (if any), objectives, variables.

        Objectives have their own sign. A variable that does not exist in a design is None.
        """
        designs = [self.variables(i) for i in range(len(self))]
        known = dict.fromkeys(name for design in designs for name in design)
        rows: list[Row] = []
        for i, f in enumerate(self.values.tolist()):
            row: Row = {} if self.labels is None else {"algorithm": self.labels[i]}
            row |= dict(zip(self.names, f, strict=True))
            taken = set(row)
            row |= {f"{k} (variable)" if k in taken else k: designs[i].get(k) for k in known}
            rows.append(row)
        return Table(rows)

    @property
    def names_variables(self) -> bool:
        """Whether the problem has names for its variables, as that of a plain function."""
        return all(hasattr(self.problem, name) for name in ("variable_names", "decode"))

    def to_frame(self) -> DataFrame:
        """Return a pandas DataFrame with one row per point; see `table`.

        Raises
        ------
        ImportError
            If pandas isn't installed (it comes with ``pip install 'moela[report]'``).
        """
        frame = self.table().to_frame()
        return frame if len(self) else frame.reindex(columns=list(self.names))

    def decode(self, i: int) -> Any:
        """Return the decoded design of point i, by the problem's ``decode``.

        Raises
        ------
        ValueError
            The front has no designs, or its problem has no ``decode``.
        """
        decode = getattr(self.problem, "decode", None)
        if self.X is None or decode is None:
            missing = "designs" if self.X is None else "problem with a decode()"
            raise ValueError(f"This front has no {missing}. Pass X= and problem= to Front.")
        return decode(self.X[i])

    def scaled(self) -> Floats:
        """Return the objectives scaled to [0, 1] over the front; 0 if all values are the same."""
        self._need_points()
        with np.errstate(under="ignore"):
            return np.asarray((self.F - self.F.min(axis=0)) / extent(self.F))

    def knee(self) -> int:
        """Return the strongest knee; see `knees`.

        A front that bulges nowhere, such as a straight or concave one, has no knee. Then it is the
        balanced point: that of equal pseudo-weights.
        """
        return self.marked()[0]

    def marked(self) -> tuple[int, Role]:
        """Return the point that `knee` returns, and whether it is a knee or balanced."""
        found = self.knees()
        if len(found):
            return int(found[0]), Role.KNEE
        return self.by_weights(np.ones(len(self.names))), Role.BALANCED

    def knees(self, n: int = 1) -> Ints:
        """Return the points at which the front bulges most toward the ideal, strongest first.

        A point's bulge is its distance below the hyperplane through the extremes of the front; see
        `bulges`. A knee bulges by more than 0.05, and more than its 2 M nearest neighbors, so that
        several of them lie in different regions.

        Parameters
        ----------
        n : int
            Number of knees at most; the front may have fewer, or none.

        Returns
        -------
        int array
            Rows of `F`.

        References
        ----------
        Das 1999, "On characterizing the 'knee' of the Pareto curve based on normal-boundary
        intersection"; for local knees, Zhang, Tian and Jin 2015, "A knee point-driven evolutionary
        algorithm for many-objective optimization".
        """
        n = count("knees", "n", n)
        bulge, Z = self.bulges(), self.scaled()
        k = min(2 * Z.shape[1], len(Z) - 1)
        peaks: list[int] = []
        for i in np.argsort(-bulge, kind="stable"):
            if bulge[i] <= LEAST_BULGE or len(peaks) == n:
                break
            near = np.argsort(((Z - Z[i]) ** 2).sum(axis=1), kind="stable")[: k + 1]
            if bulge[i] >= bulge[near].max():
                peaks.append(int(i))
        return np.array(peaks, dtype=np.intp)

    def bulges(self) -> Floats:
        """Return each point's distance below the plane through the extremes, on scaled objectives.

        The extreme of an objective is the point at which the worst of all other objectives is best.
        If the extremes don't span a plane with a positive normal, the plane on which the scaled
        objectives sum to 1 is used. Points above the plane have negative distances.
        """
        Z = self.scaled()
        n_obj = Z.shape[1]
        others = [np.delete(Z, j, axis=1) for j in range(n_obj)]
        corners = Z[[int((part.max(axis=1) + 1e-9 * Z.sum(axis=1)).argmin()) for part in others]]
        normal: Floats = np.ones(n_obj)
        if abs(np.linalg.det(corners)) > 1e-9:
            solved = np.asarray(np.linalg.solve(corners, np.ones(n_obj)), dtype=float)
            if (solved > 0).all():
                normal = solved
        return np.asarray((1.0 - Z @ normal) / np.linalg.norm(normal))

    def pseudo_weights(self) -> Floats:
        """Return each point's pseudo-weights [n, M]: how much it favors each objective.

        The weight of an objective is its share of the point's scaled distances to the worst of the
        front. Rows sum to 1.

        References
        ----------
        Deb 2001, "Multi-Objective Optimization Using Evolutionary Algorithms".
        """
        distance = 1.0 - self.scaled()
        return np.asarray(distance / distance.sum(axis=1, keepdims=True))

    def by_weights(self, weights: ArrayLike) -> int:
        """Return the point with the pseudo-weights closest to these (city-block distance).

        Parameters
        ----------
        weights : float array, [M]
            At least 0; scaled to sum to 1.
        """
        expected = f"{len(self.names)} finite numbers, none negative and not all 0"
        wanted = vector("by_weights", "weights", weights, len(self.names), expected)
        fits = bool((wanted >= 0).all() and wanted.any())
        require("by_weights", "weights", weights, fits, expected)
        # By a power of two, which is exact: the sum of large weights may overflow.
        wanted = np.ldexp(wanted, -int(np.frexp(wanted.max())[1]))
        gap = np.abs(self.pseudo_weights() - wanted / wanted.sum()).sum(axis=1)
        return int(gap.argmin())

    @overload
    def by_reference(self, point: ArrayLike, n: None = None) -> int: ...

    @overload
    def by_reference(self, point: ArrayLike, n: int) -> Ints: ...

    def by_reference(self, point: ArrayLike, n: int | None = None) -> int | Ints:
        """Return the point that best achieves desired objectives, or the best n of them.

        Wierzbicki's achievement is the largest scaled excess over the aspiration in any objective,
        plus a thousandth of the sum of the excesses. An attainable aspiration is surpassed, an
        unattainable one is approached.

        Parameters
        ----------
        point : float array, [M]
            The aspired objectives, in their units and with their own sign.
        n : int, optional
            Number of points to return, best first. By default only the best one is returned, as by
            `knee` and `by_weights`.

        References
        ----------
        Wierzbicki 1980, "The use of reference objectives in multiobjective optimization".
        """
        self._need_points()
        n_obj = len(self.names)
        wanted = vector("by_reference", "point", point, n_obj, f"{n_obj} finite numbers")
        wanted = wanted * self.signs
        size = 1 if n is None else count("by_reference", "n", n)
        with np.errstate(over="ignore", under="ignore"):
            short = np.clip((self.F - wanted) / extent(self.F), -_FARTHEST, _FARTHEST)
        achieved = short.max(axis=1) + 1e-3 * short.sum(axis=1)
        best = np.argsort(achieved, kind="stable")
        return int(best[0]) if n is None else best[:size]

    def explain(self, i: int) -> Explanation:
        """Return in words what point i gives up for what, and which variables set it apart.

        It is compared with the point that `knee` returns and with its neighbors on the front.
        Objectives have their own sign.

        Parameters
        ----------
        i : int
            Row of `F`, such as `knee` returns.

        Returns
        -------
        Explanation
            A text that shows itself with its line breaks.
        """
        self._need_points()
        holds = isinstance(i, int | np.integer) and 0 <= i < len(self)
        require("explain", "i", i, bool(holds), f"an integer from 0 to {len(self) - 1}")
        designs = [self.variables(k) for k in range(len(self))]
        words = None if self.X is None else OwnWords.of(self.problem, list(self.X))
        return explain(
            int(i), self.values, self.signs, self.names, designs,
            marked=self.marked(), words=words,
        )  # fmt: skip

    def contributions(self, ref_point: ArrayLike | None = None) -> Floats:
        """Return the volume [n] that each point dominates and no other point does.

        Exact up to 400 points in 5 objectives, 150 in 6, 60 in 7 and 50 in 8. Beyond that they are
        measured along 4,096 directions.

        Parameters
        ----------
        ref_point : float array, [M], optional
            With the objectives' own sign. Default: the worst of the front and a tenth of its
            extent beyond.

        Returns
        -------
        float array, [n]
            In the product of the objectives' units.
        """
        self._need_points()
        n_obj = len(self.names)
        given = beyond(self.F) * self.signs if ref_point is None else ref_point
        point = vector("contributions", "ref_point", given, n_obj, f"{n_obj} finite numbers")
        return indicators.contributions(self.F, point * self.signs)

    def _need_points(self) -> None:
        if len(self) == 0:
            raise ValueError(
                "The front has no points to choose from. Evaluate more designs, or relax the "
                "constraints if no run has found a feasible design."
            )


def pooled(runs: Sequence[ComparedRun], signs: Sequence[float] | Floats | None = None) -> Front:
    """Return the front of all runs together, with points labeled by algorithm.

    `signs` [M] are those of the problem's objectives; by default, those of the first run that knows
    them.
    """
    labels = [run.algorithm for run in runs for _ in range(len(run.F))]
    F = np.concatenate([run.F for run in runs])
    designs = [run.X for run in runs if len(run.F)]
    known = [X for X in designs if X is not None]
    X = None
    if known and len(known) == len(designs) and len({X.shape[1:] for X in known}) == 1:
        X = np.concatenate(known)
    names = next((run.names for run in runs if run.names), None)
    if signs is None:
        signs = next((run.signs for run in runs if run.signs), None)
    return Front(F, X, names=names, labels=labels, problem=_model(runs), signs=signs)


def _model(runs: Sequence[ComparedRun]) -> object:
    """Return the problem that decodes the designs of all runs; None if their variables differ."""
    models = [run.model for run in runs if len(run.F)] or [run.model for run in runs]
    model = next((model for model in models if model is not None), None)
    variables = getattr(model, "variables", None)
    agreed = variables is None or all(getattr(m, "variables", None) == variables for m in models)
    return model if agreed else None


def largest_box(F: ArrayLike, ref_point: ArrayLike | None = None) -> int:
    """Return the row of F [n, M] that dominates the largest box below a reference point.

    Without a reference point, or if no row is better than it in every objective, the nadir of F
    is used. An objective in which all rows then have no side does not count.
    """
    F = np.asarray(F, dtype=float)
    corner = F.max(axis=0) if ref_point is None else np.asarray(ref_point, dtype=float)
    if not (F < corner).all(axis=1).any():
        corner = F.max(axis=0)
    by = exponents(len(corner), F, corner)
    sides = np.maximum(divided(corner, by) - divided(F, by), 0.0)
    scale = sides.max(axis=0)
    shares = np.where(scale > 0, sides / np.where(scale > 0, scale, 1.0), 1.0)
    return int(shares.prod(axis=1).argmax())


def _variables(x: ArrayLike | Mapping[str, object]) -> Row:
    if isinstance(x, Mapping):
        return {str(name): value for name, value in x.items()}
    return {f"x{j}": value for j, value in enumerate(np.atleast_1d(x).tolist())}
