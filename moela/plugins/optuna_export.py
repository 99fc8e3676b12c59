"""Writing the runs of a store as studies of Optuna, for its dashboard and its other tools."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moela._spelling import spelled
from moela.evaluation.runners.outcome import OK
from moela.functions.model.kinds import Boolean, Choice, Integer, Permutation, Real, Variable
from moela.functions.model.view import ProblemView
from moela.functions.results.stored import stored_problem
from moela.plugins.optuna_space import place_name
from moela.provenance.signature import shown_name

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from moela.evaluation.storage.reader import EvaluationStore
    from moela.evaluation.storage.stored import StoredEvaluation, StoredRun

_MOST_TEXT = 2000
# The key under which Optuna's samplers and its dashboard look for constraints, satisfied if <= 0.
_CONSTRAINTS = "constraints"


def write_studies(store: EvaluationStore, path: str | os.PathLike[str]) -> Path:
    """Write each run of a store as a study of an Optuna journal file; see `to_optuna`."""
    try:
        import optuna
        from optuna.exceptions import ExperimentalWarning
        from optuna.storages import JournalStorage
        from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
    except ImportError as error:
        raise ImportError("to_optuna needs optuna: pip install 'moela[optuna]'.") from error

    class Memory(BaseJournalBackend):
        """Keeps the journal in memory: a file would be locked and synced for every trial."""

        def __init__(self) -> None:
            self.logs: list[dict[str, Any]] = []

        def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
            return self.logs[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            self.logs.extend(logs)

    out = Path(path).expanduser()
    if out.exists():
        raise FileExistsError(
            f"The file {out} exists. Choose another name, since a journal of Optuna would grow by "
            "the same studies again."
        )
    memory = Memory()
    storage = JournalStorage(memory)
    for run in store.runs():
        evaluations = list(store.evaluations(run.id))
        if not evaluations:
            continue
        view = ProblemView(stored_problem(run, store.path))
        study = optuna.create_study(
            storage=storage,
            study_name=f"run {run.id}: {shown_name(run.algorithm)} on {shown_name(run.problem)}",
            directions=["minimize" if sign > 0 else "maximize" for sign in view.signs],
            sampler=optuna.samplers.RandomSampler(),
        )
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            study.set_metric_names(list(view.names))
        study.add_trials(_trials(run, view, evaluations))
    JournalFileBackend(str(out)).append_logs(memory.logs)
    return out


def _trials(
    run: StoredRun, view: ProblemView, evaluations: list[StoredEvaluation]
) -> list[FrozenTrial]:
    from optuna.trial import FrozenTrial, TrialState

    if view.own is None:
        rows = [_params(e.X) for e in evaluations]
        distributions = _distributions(run, rows)
    else:
        variables = view.own.variables
        rows = [_own_params(variables, view.design(np.asarray(e.X))) for e in evaluations]
        distributions = _own_distributions(variables)
    begun = datetime.fromisoformat(run.created)
    trials = []
    for number, (e, params) in enumerate(zip(evaluations, rows, strict=True)):
        ended = begun + timedelta(seconds=e.elapsed)
        fine = e.status == OK and e.F is not None
        attributes: dict[str, object] = {"worker": e.worker, "attempts": e.attempts, "n": e.n}
        attributes |= {k: v.tolist() for k, v in e.extra.items() if v.dtype.kind in "iufbU"}
        if not fine:
            attributes |= {"status": e.status, "error": (e.error or "")[-_MOST_TEXT:]}
        constraints = [] if e.G is None else e.G.tolist()
        constraints += [] if e.H is None else np.abs(e.H).tolist()
        trials.append(
            FrozenTrial(
                number=number,
                trial_id=-1,
                state=TrialState.COMPLETE if fine else TrialState.FAIL,
                value=None,
                values=(view.signs * e.F).tolist() if fine and e.F is not None else None,
                datetime_start=(ended - timedelta(seconds=e.duration)).replace(tzinfo=None),
                datetime_complete=ended.replace(tzinfo=None),
                params=params,
                distributions={name: distributions[name] for name in params},
                user_attrs=attributes,
                system_attrs={_CONSTRAINTS: constraints} if constraints else {},
                intermediate_values={},
            )
        )
    return trials


def _params(x: object) -> dict[str, Any]:
    """Return a design as plain values by name."""
    if isinstance(x, Mapping):
        items = [(str(name), value) for name, value in x.items()]
    else:
        items = [(f"x{i}", value) for i, value in enumerate(np.atleast_1d(np.asarray(x)))]
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in items}


def _distributions(run: StoredRun, rows: list[dict[str, Any]]) -> dict[str, BaseDistribution]:
    """Return the range of each variable: the problem's bounds if known, else the values met."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    lower, upper = run.problem.get("xl"), run.problem.get("xu")
    fit = [isinstance(b, list) and len(b) == len(rows[0]) for b in (lower, upper)]
    bounds = list(zip(lower, upper, strict=True)) if lower and upper and all(fit) else []
    out: dict[str, BaseDistribution] = {}
    for j, name in enumerate(rows[0]):
        values = [row[name] for row in rows]
        kinds = {type(value) for value in values}
        if kinds <= {int, float}:
            low, high = bounds[j] if bounds else (values[0], values[0])
            low, high = min(low, *values), max(high, *values)
            whole = kinds == {int}
            out[name] = IntDistribution(low, high) if whole else FloatDistribution(low, high)
        else:
            choices = [*dict.fromkeys([*([False, True] if kinds == {bool} else []), *values])]
            out[name] = CategoricalDistribution(choices)
    return out


def _own_params(
    variables: Mapping[str, Variable], design: Mapping[str, object]
) -> dict[str, object]:
    """Return a design of a plain function as `suggest_...` and `suggest_permutation` name it."""
    params: dict[str, object] = {}
    for name, value in design.items():
        variable = variables[name]
        if isinstance(variable, Permutation):
            places = variable.places(value) or []
            params |= {place_name(name, i, len(places)): place for i, place in enumerate(places)}
        else:
            params[name] = _option(value) if isinstance(variable, Choice) else value
    return params


def _own_distributions(variables: Mapping[str, Variable]) -> dict[str, BaseDistribution]:
    """Return the range of each parameter of a plain function, or its options."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    out: dict[str, BaseDistribution] = {}
    for name, variable in variables.items():
        match variable:
            case Real():
                out[name] = FloatDistribution(variable.low, variable.high, log=variable.log)
            case Integer():
                out[name] = IntDistribution(variable.low, variable.high, log=variable.log)
            case Boolean():
                out[name] = CategoricalDistribution([False, True])
            case Choice():
                out[name] = CategoricalDistribution(
                    list(dict.fromkeys(map(_option, variable.options)))
                )
            case Permutation():
                n = len(variable.items)
                out |= {place_name(name, i, n): IntDistribution(0, n - 1) for i in range(n)}
    return out


def _option(value: object) -> str | float | None:
    """Return an option as Optuna takes it: what is neither text nor number becomes text."""
    return value if value is None or isinstance(value, bool | int | float | str) else spelled(value)
