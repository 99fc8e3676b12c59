"""Fingerprints of the designs asked for so far, so that none is paid for twice."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem


class Seen:
    """A set of designs, eight bytes each.

    Parameters
    ----------
    problem : Problem
        Where several X mean one design, its `canonical(X)` says which; without it designs are the
        same when their variables are.
    """

    def __init__(self, problem: Problem) -> None:
        self._canonical = hasattr(problem, "canonical")
        self._problem = problem
        self._known: set[int] = set()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: int) -> bool:
        return key in self._known

    def keys(self, X: Any) -> list[int]:
        """Fingerprint each design of X, [n, n_var] numbers or [n] dictionaries."""
        if len(X) == 0:
            return []
        if self._canonical:
            X = self._problem.canonical(np.asarray(X))
        return [_fingerprint(x) for x in X]

    def add(self, X: Any) -> None:
        """Remember every design of X."""
        self._known.update(self.keys(X))

    def claim(self, X: Any) -> NDArray[np.bool_]:
        """Mark, in order, each design of X that is new, and remember it."""
        return np.array([self.claim_key(key) for key in self.keys(X)], dtype=bool)

    def claim_key(self, key: int) -> bool:
        """Say whether the design of a fingerprint is new, and remember it."""
        new = key not in self._known
        self._known.add(key)
        return new

    def first_of_each(self, X: Any) -> NDArray[np.bool_]:
        """Mark, in order, each design of X that is neither remembered nor earlier in X."""
        within: set[int] = set()
        mask = np.zeros(len(X), dtype=bool)
        for i, key in enumerate(self.keys(X)):
            if key not in self._known and key not in within:
                within.add(key)
                mask[i] = True
        return mask


def _fingerprint(x: Any) -> int:
    if isinstance(x, dict):
        data = repr(sorted((str(name), _plain(value)) for name, value in x.items())).encode()
    else:
        # Adding zero turns -0.0 into 0.0, which is the same design.
        data = np.ascontiguousarray(x + 0).tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
