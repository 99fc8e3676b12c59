"""Runs of studies of Optuna."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from moela._arrays import rows
from moela.comparison.read.drafts import RunDraft, check_objectives, nameless
from moela.plugins.optuna_space import signs_of, violation_of
from moela.plugins.optuna_study import design_of
from moela.quality.runs import History

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def is_study(value: object) -> TypeGuard[Study]:
    """Return whether an object is a study of Optuna, which is not imported for that."""
    optuna = sys.modules.get("optuna")
    return optuna is not None and isinstance(value, optuna.study.Study)


def of_study(study: Study, senses: Mapping[str, float] | None = None) -> RunDraft:
    """Return the run of a study, with all trials that have ended.

    Pruned and failed trials count as failed evaluations. A trial is infeasible if one of the
    constraints that it or its sampler set is greater than 0. Without ``study.set_metric_names``,
    the objectives have the names of `senses`, or none. Optuna does not store samplers, so a study
    that was loaded is called by its name, and not by the sampler that it has got since.
    """
    source = f"the study {study.study_name!r}"
    n_obj = len(study.directions)
    if n_obj < 2:
        raise ValueError(
            f"A study of Optuna to compare must have at least two objectives. Got {source} with "
            "one instead."
        )
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    signs = tuple(signs_of(study).tolist())
    names = study.metric_names
    if names is None and senses is not None and len(senses) == n_obj:
        names = list(senses)
    recorded = [f"f{i}" for i in range(n_obj)] if names is None else names
    check_objectives(senses, dict(zip(recorded, signs, strict=True)), source)
    F = np.array([_values(trial, n_obj) for trial in trials]).reshape(-1, n_obj) * signs
    CV = np.array([violation_of(trial) for trial in trials])
    scored = np.where(CV[:, None] <= 0.0, F, np.nan)
    run = nameless(
        F,
        source,
        CV=CV,
        X=rows([design_of(trial) for trial in trials]) if trials else None,
        evaluated=True,
        history=History(len(F), lambda: scored, _seconds(trials)),
        n_eval=len(F),
        names=None if names is None else tuple(names),
        signs=signs,
    )
    if isinstance(study._storage, sys.modules["optuna"].storages.InMemoryStorage):
        return RunDraft(run, algorithm=type(study.sampler).__name__)
    generated = study.study_name.startswith("no-name-")
    return RunDraft(run, title=() if generated else (study.study_name,))


def _values(trial: FrozenTrial, n_obj: int) -> list[float]:
    complete = trial.state.name == "COMPLETE"
    return trial.values if complete else [np.nan] * n_obj


def _seconds(trials: list[FrozenTrial]) -> np.ndarray | None:
    """Return when each trial ended, from the start of the first; None if a time is missing."""
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete is not None]
    if not trials or min(len(starts), len(ends)) < len(trials):
        return None
    first = min(starts)
    seconds = np.array([(end - first).total_seconds() for end in ends])
    return np.maximum.accumulate(np.maximum(seconds, 0.0))
