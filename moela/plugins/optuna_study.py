"""Hand-over of designs between studies of Optuna and runs of moela."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from moela._checks import require
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.kinds import Choice, Permutation, Variable
from moela.functions.model.reading import read_variables
from moela.functions.results.result import MinimizeResult
from moela.plugins.optuna_space import named_constraints, permutations_of, place_name, ranks

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def designs_of_study(
    study: Study, *, best: bool = True, variables: Mapping[str, object] | None = None
) -> list[dict[str, object]]:
    """Return the designs of a study of Optuna, to start `moela.minimize` from.

    Parameters
    ----------
    study : optuna.study.Study
    best : bool
        Whether to return only the best trials (`study.best_trials`), or all complete ones.
    variables : dict by name, optional
        The variables of `moela.minimize`. Orders of `moela.permutation(items)` are then lists of
        the items instead of their positions, and options that Optuna has as texts are objects.

    Returns
    -------
    list of dict
        The parameters of each trial; a permutation that `suggest_permutation` made is a list under
        its name. For `moela.minimize(..., start=designs_of_study(study))`.

    Raises
    ------
    TypeError, ValueError
        `study` is no study, or has no complete trial; or `variables` are none of `moela.minimize`.

    Examples
    --------
    >>> import moela, optuna
    >>> from moela.plugins import designs_of_study
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> def f(d):
    ...     return {"mass": d["x"], "sag": 1 / d["x"]}
    >>> study = optuna.create_study(directions=["minimize", "minimize"])
    >>> study.optimize(lambda trial: tuple(f({"x": trial.suggest_float("x", 1, 2)}).values()), 10)
    >>> result = moela.minimize(
    ...     f, variables={"x": (1.0, 2.0)}, objectives=["mass", "sag"], n_eval=40,
    ...     start=designs_of_study(study), verbose=False,
    ... )
    >>> result.n_eval
    40
    """
    trials = _complete("designs_of_study", study)
    return _designs(study.best_trials if best else trials, variables)


def results_of_study(
    study: Study, objectives: Sequence[str], *, variables: Mapping[str, object] | None = None
) -> list[dict[str, object]]:
    """Return the complete trials of a study of Optuna, as `known` results for `moela.minimize`.

    Parameters
    ----------
    study : optuna.study.Study
    objectives : sequence of str
        Names for the values of a trial, in their order.
    variables : dict by name, optional
        As for `designs_of_study`.

    Returns
    -------
    list of dict
        The parameters, user attributes and values of each trial, and its constraints that have
        names (``trial.set_constraint`` of Optuna 5), which are met if <= 0.

    Raises
    ------
    TypeError, ValueError
        As for `designs_of_study`; or the study has another number of objectives.

    Examples
    --------
    >>> import moela, optuna
    >>> from moela.plugins import results_of_study
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> def f(d):
    ...     return {"mass": d["x"], "sag": 1 / d["x"]}
    >>> study = optuna.create_study(directions=["minimize", "minimize"])
    >>> study.optimize(lambda trial: tuple(f({"x": trial.suggest_float("x", 1, 2)}).values()), 10)
    >>> result = moela.minimize(
    ...     f, variables={"x": (1.0, 2.0)}, objectives=["mass", "sag"], n_eval=40,
    ...     known=results_of_study(study, ["mass", "sag"]), verbose=False,
    ... )
    >>> result.n_eval, result.n_known
    (40, 10)
    """
    trials = _complete("results_of_study", study)
    n = len(study.directions)
    named = not isinstance(objectives, str) and len(objectives) == n
    require("results_of_study", "objectives", objectives, named, f"a list of {n} names")
    return [
        {
            **named_constraints(trial),
            **trial.user_attrs,
            **design,
            **dict(zip(objectives, trial.values, strict=True)),
        }
        for trial, design in zip(trials, _designs(trials, variables), strict=True)
    ]


def _complete(owner: str, study: Study) -> list[FrozenTrial]:
    """Return the complete trials of a study."""
    from optuna.study import Study
    from optuna.trial import TrialState

    require(owner, "study", study, isinstance(study, Study), "a study of Optuna")
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    require(owner, "study", study, bool(trials), "a study with complete trials")
    return trials


def _designs(
    trials: Sequence[FrozenTrial], variables: Mapping[str, object] | None
) -> list[dict[str, object]]:
    """Return the designs of trials, as `designs_of_study` does."""
    designs = [design_of(trial) for trial in trials]
    if variables is None:
        return designs
    known = read_variables(variables)
    return [
        {name: _named(value, known.get(name)) for name, value in design.items()}
        for design in designs
    ]


def design_of(trial: FrozenTrial) -> dict[str, object]:
    """Return the parameters of a trial; an order that its numbers stand for is a list."""
    design: dict[str, object] = {}
    parameters, places = trial.params, permutations_of(trial.distributions)
    for name, value in parameters.items():
        if name not in places:
            design[name] = value
            continue
        group, n = places[name]
        keys = [parameters[place_name(group, i, n)] for i in range(n)]
        design[group] = ranks(keys).tolist()
    return design


def _named(value: object, variable: Variable | None) -> object:
    """Return a value of a trial as the function of `moela.minimize` gets it."""
    if isinstance(variable, Permutation) and isinstance(value, list):
        items = variable.items
        return [items[i] for i in value] if len(value) == len(items) else value
    if isinstance(variable, Choice) and variable.position(value) is None:
        # `to_optuna` writes objects as these texts.
        return next((o for o in variable.options if repr(o) == value), value)
    return value


def enqueue_front(study: Study, result: MinimizeResult) -> int:
    """Let a study of Optuna evaluate the designs on the front of a result next.

    Parameters
    ----------
    study : optuna.study.Study
    result : MinimizeResult
        Of `moela.minimize` on the same variables. An order of items is enqueued as the order of
        their positions.

    Returns
    -------
    int
        Number of designs that were enqueued.

    Raises
    ------
    ValueError
        `study` is no study, or `result` no result of `moela.minimize`.

    Examples
    --------
    >>> import moela, optuna
    >>> from moela.plugins import enqueue_front
    >>> result = moela.minimize(
    ...     lambda d: {"mass": d["x"], "sag": 1 / d["x"]}, variables={"x": (1.0, 2.0)},
    ...     objectives=["mass", "sag"], n_eval=40, verbose=False,
    ... )
    >>> study = optuna.create_study(directions=["minimize", "minimize"])
    >>> enqueue_front(study, result) == len(result.front)
    True
    """
    from optuna.study import Study

    require("enqueue_front", "study", study, isinstance(study, Study), "a study of Optuna")
    holds = isinstance(result, MinimizeResult)
    require("enqueue_front", "result", result, holds, "a result of moela.minimize")
    problem = result.problem
    variables = problem.variables if isinstance(problem, FunctionProblem) else {}
    for design in result.front.designs:
        parameters: dict[str, object] = {}
        for name, value in design.items():
            variable = variables.get(name)
            order = variable.places(value) if isinstance(variable, Permutation) else None
            if order is not None:
                parameters |= {place_name(name, i, len(order)): v for i, v in enumerate(order)}
            else:
                parameters[name] = value
        study.enqueue_trial(parameters)
    return len(result.front.designs)
