"""Parameters that not all trials of a study have, drawn near those of its good trials."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from moela._arrays import Floats
from moela.plugins.optuna_space import violation_of

# How often a parameter is drawn from all of its range, and an option is replaced.
_PROB_ANYWHERE, _PROB_OTHER = 0.2, 0.2
# Standard deviations of a step, as fractions of the range; one of them is drawn.
_STEPS = (0.2, 0.05, 0.01)


class NearGoodTrials:
    """Draws parameters near those of non-dominated trials.

    A trial follows one of these as far as that has the same options and the same parameters; from
    there on it follows another one.

    Parameters
    ----------
    n_startup : int
        Number of complete trials before which nothing is drawn.
    signs : array, shape [n_obj]
        1 for objectives that are minimized, -1 for others.
    """

    def __init__(self, n_startup: int, signs: Floats) -> None:
        self._n_startup, self._signs = n_startup, signs
        self._good: list[FrozenTrial] = []
        self._n_complete = 0
        self._followed: dict[int, FrozenTrial] = {}  # by the number of the trial that follows it

    def draw(
        self,
        study: Study,
        trial: FrozenTrial,
        name: str,
        distribution: BaseDistribution,
        random_state: np.random.Generator,
    ) -> object:
        """Return a value, or None if it should be drawn from the whole range."""
        self._learn(study)
        if random_state.random() < _PROB_ANYWHERE:
            return None
        similar = [good for good in self._good if _fits(good, trial, name, distribution)]
        if not similar:
            return None
        followed = self._followed.get(trial.number)
        if followed is None or not any(followed is good for good in similar):
            followed = similar[int(random_state.integers(len(similar)))]
            self._followed[trial.number] = followed
        return _near(distribution, followed.params[name], random_state)

    def forget(self, number: int) -> None:
        """Forget a trial that has ended."""
        self._followed.pop(number, None)

    def _learn(self, study: Study) -> None:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(trials) < self._n_startup or len(trials) == self._n_complete:
            return
        self._n_complete = len(trials)
        F = np.array([trial.values for trial in trials], dtype=float) * self._signs
        CV = np.array([violation_of(trial) for trial in trials])
        known = np.isfinite(F).all(axis=1) & np.isfinite(CV)
        best = known & (CV == CV[known].min(initial=np.inf))
        at = np.flatnonzero(best)
        first = NonDominatedSorting().do(F[at], only_non_dominated_front=True) if len(at) else []
        self._good = [trials[at[i]] for i in first]


def _fits(good: FrozenTrial, trial: FrozenTrial, name: str, now: BaseDistribution) -> bool:
    """Return whether a trial can take a parameter from a good one, whose options are the same."""
    if name not in good.params or type(good.distributions[name]) is not type(now):
        return False
    try:
        inside = now._contains(now.to_internal_repr(good.params[name]))
    except ValueError:  # an option that is none now
        return False
    return inside and all(
        key in good.params and good.params[key] == trial.params[key]
        for key, distribution in trial.distributions.items()
        if isinstance(distribution, CategoricalDistribution)
    )


def _near(
    distribution: BaseDistribution, value: object, random_state: np.random.Generator
) -> object:
    """Return a value near one that a distribution has."""
    if isinstance(distribution, CategoricalDistribution):
        if random_state.random() >= _PROB_OTHER:
            return value
        return distribution.choices[int(random_state.integers(len(distribution.choices)))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, at = distribution.low, distribution.high, float(value)  # type: ignore[arg-type]
    step = float(random_state.choice(_STEPS)) * float(random_state.normal())
    if distribution.log:
        at = exp(log(at) + step * log(high / low))
    else:
        at += step * (high - low)
    if distribution.step is not None:
        at = low + distribution.step * round((at - low) / distribution.step)
    at = min(max(at, low), high)
    return int(at) if isinstance(distribution, IntDistribution) else at
