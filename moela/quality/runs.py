"""The common representation of a run, into which every accepted input is converted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from moela._arrays import Floats, Ints
from moela._checks import require
from moela.quality.indicators import extent

# Any: a design is an array of whatever type its problem has, or a dict of variables.
Designs = NDArray[Any] | Sequence[Any]

# Beyond it, the extent of a front, or the reference point beyond its nadir, might overflow.
_LARGEST = 1e307


class Decoder(Protocol):
    """A problem that decodes designs."""

    def decode(self, x: object) -> object:
        """Return the decoded design."""
        ...


@dataclass(frozen=True)
class History:
    """Everything that a run evaluated, in order.

    `load` returns the objectives [n_eval, M], NaN for designs that failed or are infeasible;
    `seconds` [n_eval] are the times from the start of the run to the end of each evaluation.
    """

    n_eval: int
    load: Callable[[], Floats]
    seconds: Floats | None = None


@dataclass(frozen=True)
class ComparedRun:
    """A run of an algorithm on a problem, with a clean front: finite, feasible, non-dominated.

    Attributes
    ----------
    problem, algorithm : str
    seed : int or None
        None if unknown.
    F : float array, [k, M]
        The front; of equal points the first. k may be 0.
    X : array [k] or [k, n_var], or None
        Its designs.
    evaluated : bool or None
        True if the front is the best of everything that the run evaluated, False if it is what an
        algorithm chose to return, None if that is unknown, as for plain points.
    history : History or None
    no_history : str
        Why the evaluations are unknown, for messages; empty if the source cannot hold them.
    n_eval : int or None
        Evaluations spent.
    seconds : float or None
        Wall time spent.
    names : tuple of str or None
        Of the objectives.
    signs : tuple of float or None
        1 for each minimized objective, -1 for each maximized one, of which F holds the negative;
        None if the source does not say.
    ref_point : float array [M] or None
        The problem's own.
    model : Decoder or None
        The problem, for its `decode` and `describe_differences`.
    source : str
        Where the run was read from, for messages.
    left_out : dict of str to int
        Number of points that were left out, by reason.
    borrowed : int
        Results that were known before the run and may come from another one; those are not in F.
    about : dict
        Settings and versions that the run was made with, if known.
    assumed : bool
        Whether columns of a table were taken for objectives that nobody has named as such.
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
    signs: tuple[float, ...] | None = None
    ref_point: Floats | None = None
    model: Decoder | None = None
    source: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    borrowed: int = 0
    about: Mapping[str, object] = field(default_factory=dict)
    assumed: bool = False
    no_history: str = ""

    @property
    def label(self) -> str:
        """Algorithm, problem and seed, for messages."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.algorithm} on {self.problem}{seed}"

    def times(self) -> Floats | None:
        """Return when each evaluation ended [n_eval], in seconds; spread evenly if unknown."""
        if self.history is None:
            return None
        if self.history.seconds is not None:
            return self.history.seconds
        if self.seconds is None or self.history.n_eval == 0:
            return None
        return self.seconds * np.arange(1, self.history.n_eval + 1) / self.history.n_eval

    def thinned(self, size: int) -> ComparedRun:
        """Return the run with at most `size` points, which are far from each other."""
        if len(self.F) <= size:
            return self
        keep = isolated(self.F / extent(self.F), size)
        X = None if self.X is None else self.X[keep]
        counts = dict(self.left_out) | {"beyond the archive's size": len(self.F) - size}
        return replace(self, F=self.F[keep], X=X, left_out=counts)


def clean(
    owner: str, F: ArrayLike, CV: ArrayLike | None = None, X: Designs | None = None
) -> tuple[Floats, NDArray[Any] | None, dict[str, int]]:
    """Return the finite, feasible, non-dominated points, their designs, and counts of the others.

    `owner` names the points F [n, M] in messages. Rows with a NaN or +infinity are failed
    evaluations, those with a positive constraint violation CV [n] are infeasible.
    """
    points = numbers(owner, F)
    refuse_endless(owner, points)
    lengths = {"CV": None if CV is None else np.size(CV), "X": None if X is None else len(X)}
    for name, n in lengths.items():
        if n not in (None, len(points)):
            raise ValueError(
                f"The '{name}' of {owner} must have a row for each of the {len(points)} rows of F. "
                f"Got {n} instead."
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
        # Penalties are among the dominated points, and may be as large as they like.
        beyond = (np.abs(points[keep]) > _LARGEST).any(axis=1)
        if beyond.any():
            _refuse(owner, points, int(keep[beyond.argmax()]))
    designs = None if X is None else designs_array(X)[keep]
    return points[keep], designs, {reason: n for reason, n in counts.items() if n}


def refuse_endless(owner: str, points: Floats) -> None:
    """Raise a ValueError if an objective of points [n, M] is -infinity."""
    endless = np.isneginf(points).any(axis=1)
    if endless.any():
        _refuse(owner, points, int(endless.argmax()))


def _refuse(owner: str, points: Floats, row: int) -> None:
    column = int(np.nanargmax(np.abs(points[row])))
    raise ValueError(
        f"The objectives of {owner} must be between -{_LARGEST:g} and {_LARGEST:g}. Got "
        f"{points[row, column]:g} in row {row}, column {column} instead."
    )


def numbers(owner: str, F: ArrayLike) -> Floats:
    """Return objectives as a table of floats [n, M], M at least 2."""
    try:
        if np.iscomplexobj(F):
            raise TypeError
        # A masked value is unknown.
        points: Floats = np.ma.filled(np.ma.asarray(F, dtype=float), np.nan)
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


def vector(owner: str, name: str, given: ArrayLike, n: int, expected: str) -> Floats:
    """Return a parameter as n finite floats [n], or raise an error that names what was expected."""
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    fits = values.shape == (n,) and bool(np.isfinite(values).all())
    require(owner, name, given, fits, expected)
    return values


def traits(problem: object) -> dict[str, Any]:
    """Return the attributes of a run that its problem determines, as far as it has them."""
    names, point = getattr(problem, "objective_names", None), getattr(problem, "ref_point", None)
    useful = hasattr(problem, "decode") or hasattr(problem, "describe_differences")
    known: dict[str, Any] = {"model": problem} if useful else {}
    if names is not None:
        known["names"] = tuple(map(str, names))
        signs = getattr(problem, "signs", None)  # of a plain function
        if isinstance(signs, np.ndarray) and signs.shape == (len(names),):
            known["signs"] = tuple(signs.tolist())
    if point is not None:
        known["ref_point"] = np.asarray(point, dtype=float)
    return known


def designs_array(X: Designs) -> NDArray[Any]:
    """Return designs as an array [n, n_var], or [n] of dictionaries for mixed variables."""
    if len(X) and isinstance(X[0], dict):
        out = np.empty(len(X), dtype=object)
        out[:] = list(X)
        return out
    return np.asarray(X)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def isolated(Z: Floats, size: int) -> Ints:
    """Choose rows of Z [n, M] far from each other, and return their indices [size], ascending.

    The best row of each objective comes first; each next one is farthest from those before it.
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


def check(runs: list[ComparedRun]) -> None:
    """Raise a ValueError if two runs of an algorithm on a problem share a seed."""
    for _, group in by_problem(runs):
        by_seed: dict[tuple[str, int], ComparedRun] = {}
        for run in group:
            if run.seed is None:
                continue
            twin = by_seed.setdefault((run.algorithm, run.seed), run)
            if twin is not run:
                raise ValueError(
                    f"The runs of an algorithm must have different seeds. Got {run.label} "
                    f"twice instead, from {twin.source} and {run.source}. Give them different "
                    'names: {"name": runs, "other name": runs}.'
                )


def by_problem(runs: list[ComparedRun]) -> Iterator[tuple[str, list[ComparedRun]]]:
    """Yield each problem with its runs, in the order of the runs."""
    for problem in dict.fromkeys(run.problem for run in runs):
        yield problem, [run for run in runs if run.problem == problem]
