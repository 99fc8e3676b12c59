"""Base class of the classic problems: files, reference point, exact and known fronts."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.operator import Operator

from problems._arrays import Bools, Floats
from problems._checks import check_int, check_random_state, setting_error
from problems._problem import DesignProblem, Scalar
from problems.classic.front import KnownFront

__all__ = ["BitProblem", "ClassicProblem"]


class ClassicProblem(DesignProblem[Scalar]):
    """Base of the classic problems; see `MultiObjectiveQAP` and its siblings.

    The arrays of an instance are read-only, since `version` stands for them. So are those of
    copies.

    Parameters
    ----------
    instance : str
        Name for displays and saved designs.
    known_front : KnownFront or None
        Front known from elsewhere. It sets the reference point: the nadir plus `_margin` times the
        range of the front. An objective in which the front has no range takes the bound.
    bound : float array [n_obj]
        Reference point if no front is known.
    bound_source : str
        Origin of the bound.
    **settings
        Parameters of pymoo's Problem.
    """

    _margin: ClassVar[float] = 0.1
    _operators: ClassVar[tuple[type[Operator], ...]]
    _instance_arrays: ClassVar[tuple[str, ...]]
    """Names of the arrays of an instance, which subclasses set before they call this class."""

    def __init__(
        self,
        *,
        instance: str,
        known_front: KnownFront | None,
        bound: Floats,
        bound_source: str,
        **settings: object,
    ) -> None:
        super().__init__(**settings)
        self._freeze()
        self.instance = instance
        self._known_front = known_front
        self._exact_front: KnownFront | None = None
        self._solved = False
        self.ref_point, self.ref_point_source = bound, bound_source
        if known_front is None:
            return
        F = known_front.F
        if F.ndim != 2 or F.shape[1] != self.n_obj or not len(F) or not np.isfinite(F).all():
            expected = f"finite, with F of shape [n, {self.n_obj}]"
            raise setting_error(type(self).__name__, "known_front", expected, F.shape)
        nadir = F.max(axis=0)
        span = nadir - F.min(axis=0)
        self.ref_point = np.where(span > 0, nadir + self._margin * span, bound)
        range_added = f" plus {self._margin:g} of its range" if self._margin else ""
        self.ref_point_source = "nadir of the known front" + range_added
        if not np.all(span > 0):
            self.ref_point_source += f"; where that front has no range: {bound_source}"

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._freeze()

    def _freeze(self) -> None:
        """Make the arrays of the instance read-only; numpy's copies of them can be written."""
        for name in self._instance_arrays:
            getattr(self, name).flags.writeable = False

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read an instance in the format that the class documents.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is malformed. The message names the file, the line, and what was expected.
        """
        return cls._of_file(path, **cls._read(path))

    @classmethod
    def _of_file(cls, path: str | Path, **settings: object) -> Self:
        """Make the problem from what a file holds; errors name the file."""
        try:
            return cls(instance=Path(path).stem, **settings)  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    @abstractmethod
    def _read(cls, path: str | Path) -> dict[str, object]:
        """Return the constructor's parameters that a file holds."""

    def name(self) -> str:
        """Return the class name and the instance, as pymoo's displays show it."""
        return f"{type(self).__name__}({self.instance})"

    @property
    def known_front_source(self) -> str | None:
        """Origin of `pareto_front()`, a file or a computation; None if the front is not known."""
        front = self._known_front or self._exact_front
        return None if front is None else front.source

    @abstractmethod
    def _solve(self) -> KnownFront | None:
        """Return the exact front by computation, or None beyond the documented limits."""

    def exact_front(self) -> KnownFront | None:
        """Return the exact front by computation, or None beyond the limits of the class.

        The result is kept, also if it is None, so that a second call costs nothing. A front that
        came with the instance is not used.
        """
        if not self._solved:
            self._exact_front = self._solve()
            self._solved = True
        return self._exact_front

    def _front(self) -> KnownFront | None:
        return self._known_front if self._known_front is not None else self.exact_front()

    def _calc_pareto_front(self, *args: object, **kwargs: object) -> Floats | None:
        front = self._front()
        return None if front is None else front.F.copy()

    def _calc_pareto_set(self, *args: object, **kwargs: object) -> NDArray[np.generic] | None:
        front = self._front()
        if front is not None and front.X is None:
            front = self.exact_front()
        return None if front is None or front.X is None else front.X.copy()

    @property
    def best_known_hypervolume(self) -> float | None:
        """Hypervolume of the front against `ref_point`; None if no front is known."""
        front = self._front()
        if front is None:
            return None
        return float(moocore.hypervolume(front.F, ref=self.ref_point))

    def operators(self) -> dict[str, Operator]:
        """Return new operators for ``NSGA2(**problem.operators())``."""
        names = ("sampling", "crossover", "mutation", "repair")
        return {name: make() for name, make in zip(names, self._operators, strict=False)}

    def neighbors_many(
        self, X: ArrayLike, k: int, random_state: np.random.Generator
    ) -> NDArray[Scalar]:
        """Return `k` neighbors of each design [n_designs, n_var], [n_designs, k, n_var].

        The class documents how neighbors differ from their design.
        """
        check_int("neighbors_many", "k", k, 1)
        rng = check_random_state("neighbors_many", random_state)
        return self._neighbors(self._designs(X), k, rng)

    def _rows(self, X: ArrayLike) -> NDArray[np.generic]:
        """Return X as an array [n_designs, n_var]; a ValueError says if it has another shape."""
        array = np.asarray(X)
        if array.ndim != 2 or array.shape[1] != self.n_var:
            raise ValueError(
                f"Designs of {self.name()} must have shape [n, {self.n_var}], a row for each. Got "
                f"shape {array.shape} instead."
            )
        return array

    @abstractmethod
    def _designs(self, X: ArrayLike) -> NDArray[Scalar]:
        """Return X as designs of the problem's type, or raise if shape or an entry is illegal."""

    @abstractmethod
    def _neighbors(
        self, designs: NDArray[Scalar], k: int, rng: np.random.Generator
    ) -> NDArray[Scalar]:
        """Return `k` neighbors of each design."""


class BitProblem(ClassicProblem[np.bool_]):
    """Base of the problems whose designs are strings of bits."""

    def __init__(self, *, n_var: int, **settings: object) -> None:
        super().__init__(n_var=n_var, xl=0, xu=1, vtype=bool, **settings)  # type: ignore[arg-type]

    def _designs(self, X: ArrayLike) -> Bools:
        array = self._rows(X)
        designs = np.ascontiguousarray(array, dtype=bool)
        if array.dtype != bool and not np.array_equal(designs, array):
            row = int(np.argwhere(designs != array)[0, 0])
            raise ValueError(
                f"A design of {self.name()} must hold 0 and 1 only. Got {array[row]} in row {row} "
                "instead."
            )
        return designs
