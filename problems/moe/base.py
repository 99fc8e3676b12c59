"""What the deployment problems share: rows, names, identity, windows of traffic."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.problem import Problem

from moe_costmodel import RoutingTrace
from moe_costmodel._checks import invalid, one_of
from problems._arrays import Floats, Ints

__all__ = ["OVER", "Floats", "Ints", "MoEProblem", "as_windows", "checked_names", "combine"]


OVER = ("mean", "worst")
"""How a value over several windows of traffic becomes one."""


class MoEProblem(Problem):
    """Base of the deployment problems: integer rows, all objectives minimized.

    Attributes
    ----------
    objective_names : tuple of str
    feature_names : tuple of str
        The columns of ``features``.
    ref_point : float array [n_obj]
        A point worse than what a search is after, to score hypervolume against.
    ref_point_source : str
        Where it comes from.
    version : str
        Changes when an evaluation would: it stands for the code, the traffic and the settings.
    """

    objective_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    ref_point: Floats
    ref_point_source: str
    version: str

    def _set_identity(self, kind: str, formula: int, *parts: Any) -> None:
        digest = hashlib.sha256()
        for part in parts:
            if isinstance(part, np.ndarray):
                digest.update(repr((part.shape, part.dtype.str)).encode())
                digest.update(np.ascontiguousarray(part).tobytes())
            else:
                digest.update(repr(part).encode())
        self.version = f"{kind}-{formula}-{digest.hexdigest()[:16]}"

    def _rows(self, X: ArrayLike) -> Ints:
        """Return X as int64 rows [n, n_var]; a ValueError says what is wrong."""
        owner = type(self).__name__
        array = np.asarray(X)
        array = array[None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != self.n_var:
            raise invalid(owner, "X", f"shape {np.shape(X)}", f"of shape [n, {self.n_var}]")
        if array.dtype.kind not in "iu":
            try:
                whole = array.astype(np.int64)
                exact = bool((whole == array).all())
            except (TypeError, ValueError):
                exact = False
            if not exact:
                raise invalid(owner, "X", f"dtype {array.dtype}", "whole numbers")
            array = whole
        rows: Ints = array.astype(np.int64, copy=False)
        outside = np.argwhere((rows < self.xl) | (rows > self.xu))
        if len(outside):
            i, j = (int(value) for value in outside[0])
            raise invalid(
                owner,
                "X",
                f"{rows[i, j]} in row {i}",
                f"from {self.xl[j]:g} to {self.xu[j]:g} in column {j}",
            )
        return rows

    def check(self, X: ArrayLike) -> None:
        """Check rows of X, [n, n_var] or [n_var]; a ValueError names the first that is illegal."""
        self._rows(X)

    def neighbors(self, x: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k designs one move away from x, [k, n_var]; see ``neighbors_many``."""
        return self.neighbors_many(np.reshape(x, (1, -1)), k, random_state)[0]

    @abstractmethod
    def neighbors_many(self, X: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k neighbors of each row of X, [n, k, n_var]."""

    @abstractmethod
    def starts(self) -> Ints:
        """Return the plans that a person would try first, as rows [n, n_var]."""


def as_windows(
    trace: RoutingTrace | Sequence[RoutingTrace], owner: str, *, tokens: bool = True
) -> list[RoutingTrace]:
    """Return one or several traces of one model as a list.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Windows or domains of the traffic.
    owner : str
        Whose parameter it is, for messages.
    tokens : bool
        Whether load-only traces are refused.

    Raises
    ------
    ValueError
        If there is none, one is no trace, they are of different models, or a load-only one comes
        where choices are needed.
    """
    listed = [trace] if isinstance(trace, RoutingTrace) else trace
    several = isinstance(listed, Sequence) and len(listed) > 0
    if not several or not all(isinstance(item, RoutingTrace) for item in listed):
        raise invalid(owner, "trace", repr(trace), "a RoutingTrace or a sequence of them")
    listed = list(listed)
    first = listed[0]
    for item in listed:
        if (item.n_layers, item.n_experts) != (first.n_layers, first.n_experts):
            raise invalid(
                owner,
                "trace",
                f"{item.n_layers} of {item.n_experts} in {item.source!r}",
                f"of one model: {first.n_layers} layers of {first.n_experts} experts",
            )
        if tokens and item.is_load_only:
            raise invalid(
                owner,
                "trace",
                f"loads only in {item.source!r}",
                "a trace with the choices of each token (SGLang: mode per_token)",
            )
    return listed


def combine(values: Floats, over: str) -> Floats:
    """Return the mean or the largest over windows, the first axis; all values are minimized."""
    one_of("the problem", "over", over, OVER)
    return values.mean(axis=0) if over == "mean" else values.max(axis=0)


def checked_names(
    names: Sequence[str], known: Any, owner: str, parameter: str = "objectives"
) -> tuple[str, ...]:
    """Return names as a tuple; a ValueError says which is unknown or there twice."""
    listed = tuple(names)
    if not listed or len(set(listed)) < len(listed):
        raise invalid(owner, parameter, list(listed), "different names, at least one")
    for name in listed:
        one_of(owner, parameter, name, known)
    return listed
