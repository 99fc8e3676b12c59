"""Runs of a store as results: the problem without its function, and the evaluated designs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.problem import Problem

from moela.evaluation.runners.outcome import OK
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.storage.stored import StoredEvaluation, StoredRun
from moela.functions.model.goals import Constraint, Objective
from moela.functions.model.kinds import (
    Boolean,
    Choice,
    Condition,
    Integer,
    Permutation,
    Real,
    Variable,
    is_number,
)
from moela.functions.model.outputs import Outputs
from moela.functions.model.problem import (
    BinaryFunctionProblem,
    FunctionProblem,
    PermutationFunctionProblem,
)
from moela.provenance.signature import VALUES, in_words, shown_name

_LOG = logging.getLogger(__name__)

# Classes of variables in a store, and names of the problems made of functions.
_PREFIX = "moela."
_PROBLEMS: dict[str, type[FunctionProblem]] = {
    f"{_PREFIX}{kind.__name__}": kind
    for kind in (FunctionProblem, BinaryFunctionProblem, PermutationFunctionProblem)
}
_MOST = 10_000_000  # variables, objectives or constraints
_MOST_OPTIONS = 1_000_000  # of all variables together
# A list that was too long for the store is there as a digest, or as its number of items.
_DIGEST = re.compile(r"digest [0-9a-f]{16}")


class StoredProblem(Problem):
    """A problem of which a store has no variables: its sizes and the names of its objectives.

    Attributes
    ----------
    objective_names : tuple of str
        Only if the store has them.
    unnamed : str
        What the store lacks, as sentences; empty if it has all that the problem had.
    """

    def __init__(self, run: StoredRun, path: Path) -> None:
        about = run.problem
        names = ("n_var", "n_obj", "n_ieq_constr", "n_eq_constr")
        super().__init__(**{name: _count(run, name, path) for name in names})
        titles = _settings(run).get("objective_names")
        if isinstance(titles, list) and len(titles) == self.n_obj:
            self.objective_names = tuple(map(str, titles))
            titles = None
        self.unnamed = ""
        if titles is not None or about.get("class") in _PROBLEMS:
            self.unnamed = _UNNAMED.format(run=run.id)
        self._name = shown_name(about)

    def name(self) -> str:
        """Return the name of the class of the problem."""
        return self._name


_UNNAMED = (
    "The store does not hold the names of run {run}: f1, f2, ... are its objectives, all as "
    "minimized, and x0, x1, ... its variables as codes. The names take more than a megabyte."
)


class _NotStored:
    """Stands for a function that a store only names."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, design: object) -> object:
        raise StoreError(
            f"A store holds the results of the function {self.__name__!r}, not the function. Call "
            "moela.minimize with the function and the store."
        )


def stored_problem(run: StoredRun, path: Path) -> Problem:
    """Return the problem of a run in the store `path`, which cannot be evaluated.

    A run of a plain function has its variables and outputs. Options that are objects, or that were
    too long for the store, are texts.
    """
    kind = _PROBLEMS.get(str(run.problem.get("class")))
    if kind is None:
        return StoredProblem(run, path)
    settings = _settings(run)
    try:
        found = kind(
            _NotStored(shown_name(run.problem)),
            variables=_variables(run.problem, settings),
            outputs=_outputs(settings["outputs"]),  # type: ignore[arg-type]
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return StoredProblem(run, path)
    sizes = (found.n_var, found.n_obj, found.n_ieq_constr)
    if sizes != tuple(run.problem.get(name) for name in ("n_var", "n_obj", "n_ieq_constr")):
        return StoredProblem(run, path)
    return found


def objectives_in(problem: Mapping[str, object]) -> dict[str, float]:
    """Return 1 for each minimized objective in the signature of a plain function, -1 if maximized.

    Without such names, it is empty.
    """
    settings = problem.get("settings")
    try:
        outputs = _outputs(settings["outputs"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return {}
    return {objective.name: objective.sign for objective in outputs.objectives}


def unnamed_in(problem: Problem) -> str:
    """Return which names of a stored problem the store lacks, as sentences; empty if none."""
    return problem.unnamed if isinstance(problem, StoredProblem) else ""


def read_run(
    store: EvaluationStore, number: int | None
) -> tuple[StoredRun, Problem, list[Individual]]:
    """Return a run of a store, its problem, and its evaluations in the order of the answers."""
    runs = {run.id: run for run in store.runs()}
    if not runs:
        raise StoreError(
            f"The store {store.path} has no run yet. Make one: moela.minimize(..., "
            f"store={store.path.name!r})."
        )
    number = max(runs.values(), key=lambda run: run.updated).id if number is None else number
    evaluations = sorted(store.evaluations(number), key=lambda e: e.n)
    problem = stored_problem(runs[number], store.path)
    if unnamed := unnamed_in(problem):
        _LOG.warning("%s", unnamed)
    return runs[number], problem, [individual_of(e, problem) for e in evaluations]


def _settings(run: StoredRun) -> dict[str, object]:
    """Return the settings of a problem, with what their digests stand for if the store has it."""
    values = run.problem.get(VALUES)
    known = values if isinstance(values, dict) else {}

    def whole(setting: object) -> object:
        if isinstance(setting, dict):
            return {name: whole(inner) for name, inner in setting.items()}
        return known.get(setting, setting) if isinstance(setting, str) else setting

    settings = run.problem.get("settings")
    return {name: whole(value) for name, value in settings.items()} if settings else {}


def _count(run: StoredRun, name: str, path: Path) -> int:
    value = run.problem.get(name)
    if not isinstance(value, int) or not 0 <= value < _MOST:
        raise StoreError(
            f"The store {path} is damaged (table runs, row {run.id}, field problem: {name} is "
            f"{value!r})."
        )
    return value


def individual_of(e: StoredEvaluation, problem: Problem) -> Individual:
    """Return an evaluation of a store as an individual of its problem."""
    individual = Individual(X=e.X)
    ok = e.status == OK and e.F is not None and len(e.F) == problem.n_obj
    F = e.F if ok else np.full(problem.n_obj, np.nan)
    individual.set("F", F)
    for name, value, n in (("G", e.G, problem.n_ieq_constr), ("H", e.H, problem.n_eq_constr)):
        individual.set(name, np.zeros(n) if value is None else value)
    for name, value in e.extra.items():
        individual.set(name, value)
    individual.data["status"] = e.status if ok or e.status != OK else "invalid"
    individual.data["error"] = e.error
    return individual


def _outputs(about: Mapping[str, object]) -> Outputs:
    objectives = tuple(
        Objective(str(goal["name"]), -1.0 if goal["sign"] == -1 else 1.0)
        for goal in _dicts(about["objectives"])
    )
    constraints = tuple(
        Constraint(str(bound["name"]), _bound(bound["low"]), _bound(bound["high"]))
        for bound in _dicts(about["constraints"])
    )
    return Outputs(objectives, constraints)


def _variables(about: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, Variable]:
    """Return the variables in their order, which is that of the columns of a design."""
    given, names = settings["variables"], settings["variable_names"]
    if not isinstance(given, dict) or not isinstance(names, list) or sorted(names) != sorted(given):
        raise ValueError("no variables")
    stored = [_width(given[name]) for name in names]
    missing = int(about["n_var"]) - sum(width or 0 for width in stored)  # type: ignore[call-overload]
    widths = [missing if width is None else width for width in stored]
    starts = np.cumsum([0, *widths]).tolist()
    upper = about.get("xu")
    counts = dict.fromkeys(names, 0)
    for name, width, start in zip(names, widths, starts, strict=False):
        if {"options", "items"} & given[name].keys():
            high = upper[start] if isinstance(upper, list) and start < len(upper) else 0.0
            last = int(high + 0.5) if is_number(high) else 0
            counts[name] = _n_options(given[name]) or max(width, last)
    if sum(counts.values()) > _MOST_OPTIONS:
        raise ValueError("too many options")
    found = {name: _variable(given[name], n) for name, n in counts.items()}
    for name in names:
        when = tuple((str(parent), tuple(values)) for parent, values in given[name]["when"])
        object.__setattr__(found[name], "when", _known(when, found))
    return found


def _width(about: Mapping[str, object]) -> int | None:
    """Return the number of columns of a variable, or None if the store does not say."""
    if about["class"] != f"{_PREFIX}Permutation":
        return 1
    return _n_options(about) or None


def _n_options(about: Mapping[str, object]) -> int:
    """Return the number of options or items of a variable, 0 without any or if it is not stored."""
    given = about.get("options", about.get("items"))
    if isinstance(given, list):
        return len(given)
    return given if type(given) is int and given > 0 else 0


def _variable(about: Mapping[str, object], n: int) -> Variable:
    """Return a variable, one of n options if the store does not name them."""
    match str(about["class"]).removeprefix(_PREFIX):
        case "Real":
            low, top = _bound(about["low"]), _bound(about["high"])
            if low is None or top is None or not low < top or (about["log"] and low <= 0):
                raise ValueError("no bounds")
            return Real(low, top, about["log"] is True)
        case "Integer":
            least, most = about["low"], about["high"]
            if not isinstance(least, int) or not isinstance(most, int) or not least < most:
                raise ValueError("no bounds")
            return Integer(least, most, about["log"] is True)
        case "Boolean":
            return Boolean()
        case "Choice":
            return Choice(_options(about["options"], n), about["ordered"] is True)
        case "Permutation":
            return Permutation(_options(about["items"], n))
    raise ValueError("no variable")


def _options(given: object, n: int) -> tuple[object, ...]:
    """Return n options, of which a store has values, classes with settings, or only the number."""
    if type(given) is int or (isinstance(given, str) and _DIGEST.fullmatch(given)):
        given = [f"option {i + 1}" for i in range(n)]
    if not isinstance(given, list) or len(given) < 2:
        raise ValueError("no options")
    return tuple(in_words(option) for option in given)


def _known(when: Condition, variables: Mapping[str, Variable]) -> Condition:
    """Return the conditions whose values the store knows."""
    return tuple(
        (parent, tuple(map(in_words, values)))
        for parent, values in when
        if all(variables[parent].problem_with(in_words(value)) is None for value in values)
    )


def _bound(value: object) -> float | None:
    if value is None:
        return None
    if not is_number(value):
        raise ValueError("no bound")
    return float(value)  # type: ignore[arg-type]


def _dicts(given: object) -> Sequence[Mapping[str, object]]:
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise ValueError("no list")
    return given
