"""MOELA: multi-objective evolution whose local searches start where a learned model says."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from moela._version import __version__

if TYPE_CHECKING:
    from moela._sqlite import StoreError
    from moela.algorithm import MOELA
    from moela.comparison import Comparison, compare
    from moela.comparison.front import Front
    from moela.evaluator import Evaluator
    from moela.experiment import ExperimentResults, External, run_experiment
    from moela.journal import StoreMismatchError
    from moela.plot import plot_front
    from moela.policy import EvaluationError, failed
    from moela.store import EvaluationStore, describe_runs
    from moela.termination import ElapsedTime

# Imported on first use: `import moela` costs no more than what is used of it.
_HOMES = {
    "MOELA": "moela.algorithm",
    "Comparison": "moela.comparison",
    "ElapsedTime": "moela.termination",
    "EvaluationError": "moela.policy",
    "EvaluationStore": "moela.store",
    "Evaluator": "moela.evaluator",
    "ExperimentResults": "moela.experiment",
    "External": "moela.experiment",
    "Front": "moela.comparison.front",
    "StoreError": "moela._sqlite",
    "StoreMismatchError": "moela.journal",
    "compare": "moela.comparison",
    "describe_runs": "moela.store",
    "failed": "moela.policy",
    "plot_front": "moela.plot",
    "run_experiment": "moela.experiment",
}

__all__ = [
    "MOELA",
    "Comparison",
    "ElapsedTime",
    "EvaluationError",
    "EvaluationStore",
    "Evaluator",
    "ExperimentResults",
    "External",
    "Front",
    "StoreError",
    "StoreMismatchError",
    "__version__",
    "compare",
    "describe_runs",
    "failed",
    "plot_front",
    "run_experiment",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'moela' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
