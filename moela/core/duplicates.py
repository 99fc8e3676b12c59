"""Detection of duplicates: fingerprints of all designs that were asked for so far."""

from __future__ import annotations

import hashlib

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import Bools, Designs


class Duplicates:
    """A set of designs, as fingerprints of eight bytes each.

    If the problem has a method `canonical(X)`, designs with equal canonical forms are duplicates;
    otherwise designs with equal variables.
    """

    def __init__(self, problem: Problem) -> None:
        self._canonical = hasattr(problem, "canonical")
        self._problem = problem
        self._known: set[int] = set()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: int) -> bool:
        return key in self._known

    def keys(self, X: Designs) -> list[int]:
        """Return the fingerprint of each design of X, [n, n_var] numbers or [n] dictionaries."""
        if len(X) == 0:
            return []
        if self._canonical:
            X = self._problem.canonical(np.asarray(X))
        if isinstance(X, np.ndarray) and X.dtype != object:
            # Adding zero turns -0.0 into 0.0, which is the same design.
            data = memoryview(np.ascontiguousarray(X + 0).tobytes())
            size = len(data) // len(X)
            return [_hashed(data[i : i + size]) for i in range(0, len(data), size)]
        return [_fingerprint(x) for x in X]

    def add(self, X: Designs) -> None:
        """Remember every design of X."""
        self._known.update(self.keys(X))

    def claim(self, X: Designs, most: int | None = None) -> Bools:
        """Mark, in order, each design of X that is new, or the first `most`, and remember these."""
        marks = np.zeros(len(X), dtype=bool)
        n = 0
        for i, key in enumerate(self.keys(X)):
            if most is not None and n >= most:
                break
            marks[i] = self.claim_key(key)
            n += int(marks[i])
        return marks

    def claim_key(self, key: int) -> bool:
        """Return whether the design with this fingerprint is new, and remember it."""
        new = key not in self._known
        self._known.add(key)
        return new

    def first_of_each(self, X: Designs) -> Bools:
        """Mark, in order, each design of X that is neither remembered nor earlier in X."""
        keys = self.keys(X)
        mask = np.array([key not in self._known for key in keys], dtype=bool)
        first = np.unique(np.array(keys, dtype=np.uint64), return_index=True)[1]
        return mask & np.isin(np.arange(len(keys)), first)


def _fingerprint(x: Designs | dict[str, object]) -> int:
    if isinstance(x, dict):
        data = repr(sorted((str(name), _plain(value)) for name, value in x.items())).encode()
    else:
        # Adding zero turns -0.0 into 0.0, which is the same design.
        data = np.ascontiguousarray(x + 0).tobytes()
    return _hashed(data)


def _hashed(data: bytes | memoryview) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
