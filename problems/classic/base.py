"""What the classic problems share: identity, reference point, exact and known fronts."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import Any

import moocore
import numpy as np
from pymoo.core.problem import Problem

from problems._arrays import Floats
from problems._checks import setting_error
from problems.classic.front import KnownFront

__all__ = ["ClassicProblem", "reference_point"]


class ClassicProblem(Problem):
    """Base of the classic problems; see `MultiObjectiveQAP` and its siblings.

    Attributes
    ----------
    ref_point : ndarray of float, shape [n_obj]
        A point that is worse than what a search is after, to score hypervolume against.
    ref_point_source : str
        Where `ref_point` comes from.
    version : str
        Changes when the evaluation does: kind, version of the formula, and a digest of the
        instance's numbers.
    """

    ref_point: Floats
    ref_point_source: str
    version: str

    def __init__(
        self,
        *,
        instance: str,
        known_front: KnownFront | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if known_front is not None:
            F = known_front.F
            if F.ndim != 2 or F.shape[1] != self.n_obj or not len(F) or not np.isfinite(F).all():
                raise setting_error(
                    type(self).__name__,
                    "known_front",
                    f"finite, with F of shape [n, {self.n_obj}]",
                    F.shape,
                )
        self.instance = instance
        self._known_front = known_front
        self._exact_front: KnownFront | None = None
        self._solved = False

    def name(self) -> str:
        """Return the class name and the instance, as pymoo's displays show it."""
        return f"{type(self).__name__}({self.instance})"

    @property
    def known_front_source(self) -> str | None:
        """Where `pareto_front()` comes from (a file, a computation), or None where unknown yet."""
        front = self._known_front or self._exact_front
        return None if front is None else front.source

    @abstractmethod
    def _solve(self) -> KnownFront | None:
        """Return the exact front by computation, or None beyond the documented limits."""

    def exact_front(self) -> KnownFront | None:
        """Return the exact front by computation, or None beyond the limits of the class.

        The result, None included, is kept, so that a second call costs nothing. A front that came
        with the instance plays no part in it.
        """
        if not self._solved:
            self._exact_front = self._solve()
            self._solved = True
        return self._exact_front

    def _front(self) -> KnownFront | None:
        return self._known_front if self._known_front is not None else self.exact_front()

    def _calc_pareto_front(self, *args: Any, **kwargs: Any) -> Floats | None:
        front = self._front()
        return None if front is None else front.F.copy()

    def _calc_pareto_set(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any] | None:
        front = self._front()
        if front is not None and front.X is None:
            front = self.exact_front()
        return None if front is None or front.X is None else front.X.copy()

    @property
    def best_known_hypervolume(self) -> float | None:
        """Hypervolume of the front against `ref_point`; None where no front is known."""
        front = self._front()
        if front is None:
            return None
        return float(moocore.hypervolume(front.F, ref=self.ref_point))

    def _set_identity(self, kind: str, formula: int, *arrays: np.ndarray[Any, Any]) -> None:
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        self.version = f"{kind}-{formula}-{digest.hexdigest()[:12]}"

    def neighbors(
        self, x: np.ndarray[Any, Any], k: int, random_state: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """Return `k` neighbors of one design; see `neighbors_many`.

        Parameters
        ----------
        x : ndarray, shape [n_var]
        k : int
        random_state : numpy.random.Generator

        Returns
        -------
        ndarray, shape [k, n_var]
        """
        return self.neighbors_many(np.asarray(x)[None], k, random_state)[0]

    @abstractmethod
    def neighbors_many(
        self, X: np.ndarray[Any, Any], k: int, random_state: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """Return `k` neighbors of each design, shape [len(X), k, n_var]."""


def reference_point(
    front: KnownFront | None, bound: Floats, bound_source: str, *, margin: float
) -> tuple[Floats, str]:
    """Return a reference point and its source.

    Where a front came with the instance: its nadir plus `margin` times its range; an objective in
    which that front has no range takes the bound. Else the bound in every objective.
    """
    if front is None:
        return bound.copy(), bound_source
    nadir = front.F.max(axis=0)
    span = nadir - front.F.min(axis=0)
    point = np.where(span > 0, nadir + margin * span, bound)
    text = "nadir of the known front" + (f" plus {margin:g} of its range" if margin else "")
    if not np.all(span > 0):
        text += f"; where that front has no range: {bound_source}"
    return point, text
