"""Names that results have in pymoo, scipy and Optuna, and what has their values here."""

from __future__ import annotations

from typing import NoReturn

_BEST = "result.best, or result.knee() of several objectives"
_HERE = {
    "F": "result.front.F",
    "X": "result.front.designs",
    "pop": "result.population",
    "opt": "result.front.population",
    "fun": "result.front.F",
    "x": _BEST,
    "best_params": _BEST,
    "best_trial": _BEST,
    "best_trials": "result.front.designs",
    "trials": "result.designs",
}


def refuse(result: object, name: str) -> NoReturn:
    """Raise the error for an attribute that a result does not have."""
    hint = f"; take {_HERE[name]}" if name in _HERE else ""
    raise AttributeError(f"{type(result).__name__!r} object has no attribute {name!r}{hint}")
