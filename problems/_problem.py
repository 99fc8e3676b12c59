"""Base class of the problem families: reference point, version, and neighbors of one design."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.problem import Problem

from problems._arrays import Floats

__all__ = ["DesignProblem", "Scalar"]


Scalar = TypeVar("Scalar", bound=np.generic)


class DesignProblem(Problem, Generic[Scalar]):
    """A pymoo problem with a reference point, a version, and moves from design to design.

    Attributes
    ----------
    ref_point : float array [n_obj]
        Reference point for the hypervolume, worse than the designs that a search is after.
    ref_point_source : str
        How `ref_point` was chosen.
    version : str
        Identifies code, data and settings of the evaluation. The version changes whenever a
        design could get other objectives.
    """

    ref_point: Floats
    ref_point_source: str
    version: str

    def __repr__(self) -> str:
        names = ", ".join(getattr(self, "objective_names", ())) or f"{self.n_obj} objectives"
        limits = f", {self.n_constr} constraints" if self.n_constr else ""
        return f"{type(self).__name__}: {self.n_var} variables, minimize {names}{limits}"

    def _set_version(self, kind: str, formula: int, *parts: object, n_digits: int = 16) -> None:
        digest = hashlib.sha256()
        for part in parts:
            if isinstance(part, np.ndarray):
                digest.update(repr((part.shape, part.dtype.str)).encode())
                digest.update(np.ascontiguousarray(part).tobytes())
            else:
                digest.update(repr(part).encode())
        self.version = f"{kind}-{formula}-{digest.hexdigest()[:n_digits]}"

    def neighbors(self, x: ArrayLike, k: int, random_state: np.random.Generator) -> NDArray[Scalar]:
        """Return `k` neighbors [k, n_var] of the design x [n_var]; see `neighbors_many`."""
        return self.neighbors_many(np.reshape(x, (1, -1)), k, random_state)[0]

    @abstractmethod
    def neighbors_many(
        self, X: ArrayLike, k: int, random_state: np.random.Generator
    ) -> NDArray[Scalar]:
        """Return `k` neighbors of each design, [len(X), k, n_var]."""
