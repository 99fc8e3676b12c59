"""Detection of duplicates: fingerprints of all designs that were asked for so far."""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, FunctionType

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import Bools, Designs
from moela.quality.words import of_kind

_ATOMS = frozenset([type(None), bool, int, complex, str, bytes])
_Memo = dict[
    int, tuple[object, object]
]  # by id: the object, so that its id stays its own, and a hash


class Duplicates:
    """A set of designs, as fingerprints of eight bytes each.

    If the problem has a method `canonical(X)`, designs with equal canonical forms are duplicates;
    otherwise designs with equal variables. Variables that are objects are equal if their content
    is.
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
        """Return the fingerprint of each design of X, [n, n_var] or [n] dictionaries."""
        if len(X) == 0:
            return []
        if self._canonical:
            X = self._problem.canonical(np.asarray(X))
        if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
            # Adding zero turns -0.0 into 0.0, which is the same design.
            data = memoryview(np.ascontiguousarray(X + 0).tobytes())
            size = len(data) // len(X)
            return [_hashed(data[i : i + size]) for i in range(0, len(data), size)]
        return [fingerprint(x) for x in X]

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


def fingerprint(x: Designs | dict[str, object]) -> int:
    """Return a number of eight bytes for the content of a design; other designs have others."""
    memo: _Memo = {}
    if isinstance(x, dict):
        content: object = sorted((str(name), _plain(value, memo)) for name, value in x.items())
    else:
        content = [_plain(value, memo) for value in np.asarray(x).ravel().tolist()]
    return _hashed_text(content)


def _hashed(data: bytes | memoryview) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _hashed_text(content: object) -> int:
    return _hashed(repr(content).encode(errors="surrogatepass"))


def _plain(value: object, memo: _Memo) -> object:
    """Return a number or a text as it is, and a hash of the content of anything else.

    The content of an object is what it hands to pickle. `memo` holds the objects of the design that
    were met before.
    """
    if isinstance(value, np.generic):
        value = value.item()
    kind = type(value)
    if kind is float:
        return value + 0.0  # type: ignore[operator]  # -0.0 is the same design as 0.0
    if kind in _ATOMS:
        return value
    known = memo.get(id(value))
    if known is None:
        memo[id(value)] = value, f"object {len(memo)}"  # for objects that refer to each other
        known = memo[id(value)] = value, _hashed_text([kind.__qualname__, _content(value, memo)])
    return known[1]


def _content(value: object, memo: _Memo) -> list[object]:
    def parts(values: Iterable[object]) -> list[object]:
        return [_plain(inner, memo) for inner in values]

    match value:
        case type() | FunctionType() | BuiltinFunctionType():
            return [value.__module__, value.__qualname__]
        case np.ndarray():
            return [value.dtype.str, value.shape, parts(value.ravel().tolist())]
    # A subclass may have attributes, too.
    if type(value) in (list, tuple):
        return parts(value)  # type: ignore[arg-type]
    if type(value) in (set, frozenset):
        return sorted(parts(value), key=repr)  # type: ignore[arg-type]
    if type(value) is dict:
        return sorted((parts(pair) for pair in value.items()), key=repr)  # type: ignore[attr-defined]
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
    except TypeError as error:
        raise TypeError(
            "A design must consist of values that can be pickled, so that it can be recognized. "
            f"Got {of_kind(value)} instead; give the problem a method canonical(X) that returns "
            "designs without it."
        ) from error
    if isinstance(reduced, str):
        return [type(value).__module__, reduced]
    return parts([list(part) if isinstance(part, Iterator) else part for part in reduced])
