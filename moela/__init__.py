"""MOELA: multi-objective evolution whose local searches start where a learned model says."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from moela._version import __version__

if TYPE_CHECKING:
    from moela.comparison import Comparison, compare, front_of
    from moela.evaluation.evaluator import Evaluator
    from moela.evaluation.runners.outcome import EvaluationError, failed
    from moela.evaluation.storage.journal import StoreMismatchError
    from moela.evaluation.storage.reader import EvaluationStore, describe_runs
    from moela.evaluation.storage.sqlite import StoreError
    from moela.evaluation.termination import ElapsedTime
    from moela.experiments.run import ExperimentResults, External, run_experiment
    from moela.learning.models import Models
    from moela.plots.front import plot_front
    from moela.quality.front import Front
    from moela.search.moela import MOELA

# Imported on first use: `import moela` costs no more than what is used of it.
_HOMES = {
    "MOELA": "moela.search.moela",
    "Comparison": "moela.comparison",
    "ElapsedTime": "moela.evaluation.termination",
    "EvaluationError": "moela.evaluation.runners.outcome",
    "EvaluationStore": "moela.evaluation.storage.reader",
    "Evaluator": "moela.evaluation.evaluator",
    "ExperimentResults": "moela.experiments.run",
    "External": "moela.experiments.run",
    "Front": "moela.quality.front",
    "Models": "moela.learning.models",
    "StoreError": "moela.evaluation.storage.sqlite",
    "StoreMismatchError": "moela.evaluation.storage.journal",
    "compare": "moela.comparison",
    "describe_runs": "moela.evaluation.storage.reader",
    "front_of": "moela.comparison",
    "failed": "moela.evaluation.runners.outcome",
    "plot_front": "moela.plots.front",
    "run_experiment": "moela.experiments.run",
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
    "Models",
    "StoreError",
    "StoreMismatchError",
    "__version__",
    "compare",
    "describe_runs",
    "failed",
    "front_of",
    "plot_front",
    "run_experiment",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'moela' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
