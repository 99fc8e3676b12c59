"""Outcomes as bytes, for workers that answer from another process.

Objects in ``out`` may be impossible to pickle, or to unpickle here. Each is pickled by itself, so
that it costs only itself: the key is left out and named, and the numbers of its row are kept.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moela.evaluation.runners.outcome import Outcome
from moela.evaluation.runners.signals import raise_interrupt

MOST_BYTES = 10**9
"""Size above which a single value in ``out`` is left out of an outcome, on every backend."""

INTERRUPTED = b""
"""In place of outcomes: the evaluation raised KeyboardInterrupt, which ends the run."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The place of a value in an outcome that could not be kept."""

    reason: str


TOO_LARGE = LeftOut(f"is larger than {MOST_BYTES / 1e9:g} GB")


@dataclass(frozen=True, slots=True)
class _Pickled:
    """An object in an outcome."""

    data: bytes


def pack(outcomes: list[Outcome]) -> bytes:
    """Return outcomes as bytes; a value that cannot be pickled becomes a `LeftOut`."""
    rows = [
        replace(outcome, values={name: _packed(value) for name, value in outcome.values.items()})
        for outcome in outcomes
    ]
    return pickle.dumps(rows, protocol=pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes | memoryview) -> list[Outcome]:
    """Return the outcomes in bytes; a value that cannot be unpickled becomes a `LeftOut`.

    Raises KeyboardInterrupt if the evaluation did.
    """
    if data == INTERRUPTED:
        raise KeyboardInterrupt
    outcomes: list[Outcome] = pickle.loads(data)
    for outcome in outcomes:
        outcome.values = {name: _unpacked(value) for name, value in outcome.values.items()}
    return outcomes


def _packed(value: Any) -> Any:
    if isinstance(value, LeftOut) or _is_plain(value):
        return value
    try:
        data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        raise_interrupt(error)
        return LeftOut(f"cannot be sent from its worker ({_brief(error)})")
    return _Pickled(data) if len(data) <= MOST_BYTES else TOO_LARGE


def _unpacked(value: Any) -> Any:
    if not isinstance(value, _Pickled):
        return value
    try:
        return pickle.loads(value.data)
    except BaseException as error:
        raise_interrupt(error)
        return LeftOut(f"cannot be loaded from its worker ({_brief(error)})")


def _is_plain(value: object) -> bool:
    """Return whether a value consists of numbers or strings, whose pickle cannot fail."""
    array = type(value) is np.ndarray or isinstance(value, np.generic)
    return array and not np.asarray(value).dtype.hasobject


def _brief(error: BaseException) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
