"""What a run came to, whatever it was handed in as: the form that comparisons work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats
from moela._checks import require
from moela.quality.indicators import extent

# Beyond it, the extent of a front might be no float any more.
_LARGEST = 1e300


@dataclass(frozen=True)
class History:
    """Everything that a run evaluated, in order.

    Attributes
    ----------
    n_eval : int
    load : callable
        Returns the objectives [n_eval, M], NaN where a design failed or breaks a constraint.
    seconds : float array [n_eval] or None
        When each evaluation had ended, from the start of the run; None where nobody noted it.
    """

    n_eval: int
    load: Callable[[], Floats]
    seconds: Floats | None = None


@dataclass(frozen=True)
class ComparedRun:
    """One run of one algorithm on one problem, its front clean: finite, feasible, non-dominated.

    Attributes
    ----------
    problem, algorithm : str
    seed : int or None
        None where nobody said.
    F : float array, [k, M]
        The front; of equal points the first. k may be 0.
    X : array [k] or [k, n_var], or None
        Its designs.
    evaluated : bool or None
        Whether the front is of everything that the run evaluated, or of what an algorithm chose to
        return. None for plain points, of which nobody can tell.
    history : History or None
    n_eval : int or None
        Evaluations spent.
    seconds : float or None
        Wall time spent.
    names : tuple of str or None
        Of the objectives.
    ref_point : float array [M] or None
        The problem's own.
    model : object or None
        The problem, for its `decode`.
    source : str
        Where it came from, for people.
    left_out : dict of str to int
        How many points were left out, and why.
    borrowed : int
        Answers that were known before and may come from another run; their points are not in F.
    about : dict
        Settings and versions that it was made with, where known.
    """

    problem: str
    algorithm: str
    seed: int | None
    F: Floats
    X: NDArray[Any] | None = None
    evaluated: bool | None = None
    history: History | None = None
    n_eval: int | None = None
    seconds: float | None = None
    names: tuple[str, ...] | None = None
    ref_point: Floats | None = None
    model: Any = None
    source: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    borrowed: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Who it is, for messages."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.algorithm} on {self.problem}{seed}"

    def times(self) -> Floats | None:
        """Return when each evaluation had ended [n_eval], in seconds; evenly spread if unknown."""
        if self.history is None:
            return None
        if self.history.seconds is not None:
            return self.history.seconds
        if self.seconds is None or self.history.n_eval == 0:
            return None
        return self.seconds * np.arange(1, self.history.n_eval + 1) / self.history.n_eval

    def thinned(self, size: int) -> ComparedRun:
        """Return it with at most `size` points, far from each other."""
        if len(self.F) <= size:
            return self
        keep = isolated(self.F / extent(self.F), size)
        X = None if self.X is None else self.X[keep]
        counts = dict(self.left_out) | {"beyond the archive's size": len(self.F) - size}
        return replace(self, F=self.F[keep], X=X, left_out=counts)


def clean(
    owner: str, F: Any, CV: Any = None, X: Any = None
) -> tuple[Floats, NDArray[Any] | None, dict[str, int]]:
    """Return the finite, feasible, mutually non-dominated points, their designs, and what went.

    Parameters
    ----------
    owner : str
        Whose they are, for messages.
    F : array, [n, M]
        Minimized. Rows with a NaN or +infinity are failed evaluations and are left out.
    CV : array [n], optional
        Constraint violation, above 0 where infeasible.
    X : array [n] or [n, n_var], optional

    Raises
    ------
    ValueError
        F isn't a table of numbers, holds -infinity or numbers beyond 1e300, or X or CV are of
        another length.
    """
    points = numbers(owner, F)
    beyond = np.isneginf(points) | (np.isfinite(points) & (np.abs(points) > _LARGEST))
    if beyond.any():
        row, column = np.argwhere(beyond)[0]
        raise ValueError(
            f"The objectives of {owner} must be between -{_LARGEST:g} and {_LARGEST:g}. Got "
            f"{points[row, column]:g} in row {row}, column {column} instead: nothing can be "
            "compared with it."
        )
    for name, given in (("CV", CV), ("X", X)):
        if given is not None and len(given) != len(points):
            raise ValueError(
                f"The '{name}' of {owner} must have a row for each of the {len(points)} rows of F. "
                f"Got {len(given)} instead."
            )
    keep = np.flatnonzero(np.isfinite(points).all(axis=1))
    counts = {"not finite": len(points) - len(keep)}
    if CV is not None:
        allowed = np.asarray(CV, dtype=float).reshape(len(points))[keep] <= 0
        counts["infeasible"] = int((~allowed).sum())
        keep = keep[allowed]
    if len(keep):
        weakly = moocore.is_nondominated(points[keep], keep_weakly=True)
        strictly = moocore.is_nondominated(points[keep])
        counts["dominated"] = int((~weakly).sum())
        counts["repeated"] = int(weakly.sum() - strictly.sum())
        keep = keep[strictly]
    designs = None if X is None else designs_array(X)[keep]
    return points[keep], designs, {reason: n for reason, n in counts.items() if n}


def numbers(owner: str, F: Any) -> Floats:
    """Return objectives as a table of floats [n, M], M at least 2."""
    try:
        if np.iscomplexobj(F):
            raise TypeError
        points: Floats = np.ma.filled(
            np.ma.asarray(F, dtype=float), np.nan
        )  # what is masked is not known
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The objectives of {owner} must be numbers, shape [n, M]. Got {_short(F)} instead."
        ) from error
    if points.ndim == 1 and points.size >= 2:
        points = points[None]
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(
            f"The objectives of {owner} must be of shape [n, M] with at least two objectives; an "
            f"empty front is np.empty((0, M)). Got shape {points.shape} instead."
        )
    return np.array(points)


def vector(owner: str, name: str, given: Any, n: int, expected: str) -> Floats:
    """Return a parameter as n finite floats [n], or raise that it must be what was expected."""
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    fits = values.shape == (n,) and bool(np.isfinite(values).all())
    require(owner, name, given, fits, expected)
    return values


def designs_array(X: Any) -> NDArray[Any]:
    """Return designs as an array [n, n_var], or [n] of dictionaries for mixed variables."""
    if len(X) and isinstance(X[0], dict):
        out = np.empty(len(X), dtype=object)
        out[:] = list(X)
        return out
    return np.asarray(X)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def isolated(Z: Floats, size: int) -> Floats:
    """Choose rows of Z [n, M] far from each other, each the farthest from those before it.

    Begins with the best row of each objective. O(size n M).

    Returns
    -------
    int array, [size]
        Their indices, ascending.
    """
    chosen = list(dict.fromkeys(Z.argmin(axis=0).tolist()))
    distance = np.full(len(Z), np.inf)
    columns = np.ascontiguousarray(Z.T)
    for k in range(size):
        if k >= len(chosen):
            chosen.append(int(distance.argmax()))
        new = chosen[k]
        square = (columns[0] - columns[0, new]) ** 2
        for column in columns[1:]:
            square += (column - column[new]) ** 2
        np.minimum(distance, square, out=distance)
    return np.sort(np.array(chosen[:size]))


def check(outcomes: list[ComparedRun]) -> None:
    """Raise where outcomes can't stand beside each other.

    Raises
    ------
    ValueError
        Two of the same problem have different numbers of objectives, or two are the same run.
    """
    for problem, group in by_problem(outcomes):
        first = group[0]
        for other in group[1:]:
            if other.F.shape[1] != first.F.shape[1]:
                raise ValueError(
                    f"The fronts of a problem must have the same number of objectives. On "
                    f"{problem!r}, {first.label} has {first.F.shape[1]} and {other.label} has "
                    f"{other.F.shape[1]}. Give different problems different names: "
                    '{"problem": {"algorithm": runs}}.'
                )
        seen: dict[tuple[str, int], ComparedRun] = {}
        for outcome in group:
            if outcome.seed is None:
                continue
            twin = seen.setdefault((outcome.algorithm, outcome.seed), outcome)
            if twin is not outcome:
                raise ValueError(
                    f"The runs of an algorithm must have different seeds. Got {outcome.label} "
                    f"twice instead, from {twin.source} and {outcome.source}. Give them different "
                    'names: {"name": runs, "other name": runs}.'
                )


def by_problem(outcomes: list[ComparedRun]) -> Iterator[tuple[str, list[ComparedRun]]]:
    """Yield the problems in their order, each with its outcomes."""
    for problem in dict.fromkeys(o.problem for o in outcomes):
        yield problem, [o for o in outcomes if o.problem == problem]
