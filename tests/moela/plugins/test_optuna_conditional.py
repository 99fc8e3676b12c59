"""OptunaSampler in studies whose trials do not all have the same parameters."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from moela.quality.indicators import hypervolume

optuna = pytest.importorskip("optuna", reason="needs optuna: pip install 'moela[optuna]'")

from moela.plugins import OptunaSampler, suggest_permutation  # noqa: E402
from moela.plugins.optuna_near import NearGoodTrials  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def study_of(objective, n_trials, sampler):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.optimize(objective, n_trials=n_trials)
    return study


def parameters(study):
    return [trial.params for trial in study.trials]


def branches(trial):
    """Only the branch is shared, so that the shared designs are soon known."""
    kind = trial.suggest_categorical("model", ["svm", "rf", "nn"])
    if kind == "svm":
        return trial.suggest_float("C", 0.1, 10, log=True), 1.0
    if kind == "rf":
        return 3.0, float(trial.suggest_int("depth", 1, 9, step=2))
    return 2.0, trial.suggest_float("lr", 0, 1, step=0.1)


def branches_beside_others(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        g = 1 + sum(trial.suggest_float(f"a{i}", 0, 1) for i in range(5))
    else:
        g = 2 + trial.suggest_int("n", 1, 100, log=True)
    return x, g * (1 - np.sqrt(x / g))


def grid(trial):
    a, b = trial.suggest_int("a", 0, 3), trial.suggest_categorical("b", [1, 2, 3])
    return a + b, 5 - a + b


def ranges(trial):
    n = trial.suggest_int("n", 0, 1 + trial.number // 3)
    return n + trial.suggest_categorical("c", [0, 1]), -n


def orders(trial):
    order = suggest_permutation(trial, "order", 3)
    if order[0] == 0:
        return float(order[1]), trial.suggest_float("x", 0, 1)
    return float(order[2]), 1.0


@pytest.mark.parametrize("objective", [branches, branches_beside_others, grid, ranges, orders])
def test_a_study_goes_on_when_its_shared_designs_are_known(objective):
    runs = [study_of(objective, 60, OptunaSampler(seed=1)) for _ in range(2)]
    assert len(runs[0].trials) == 60
    assert parameters(runs[0]) == parameters(runs[1])


def test_a_finite_space_is_searched_once_completely():
    study = study_of(grid, 30, OptunaSampler(seed=1))
    assert len({tuple(each.values()) for each in parameters(study)}) == 12


def test_parameters_of_branches_are_searched_better_than_at_random():
    def reached(sampler):
        study = study_of(branches_beside_others, 120, sampler)
        return hypervolume(np.array([trial.values for trial in study.trials]), np.array([1.1, 4.0]))

    ours = [reached(OptunaSampler(seed=seed)) for seed in range(3)]
    random = [reached(optuna.samplers.RandomSampler(seed)) for seed in range(3)]
    assert np.median(ours) > max(random)


def test_a_pickled_sampler_continues_as_the_original_would():
    whole = study_of(branches, 50, OptunaSampler(seed=3))
    study = study_of(branches, 30, OptunaSampler(seed=3))
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    study = copy.deepcopy(study)
    study.optimize(branches, n_trials=20)
    assert parameters(study) == parameters(whole)


def test_infeasible_trials_are_not_followed():
    def constraints(trial):
        return (1.0 if trial.params["model"] == "svm" else 0.0,)

    sampler = OptunaSampler(seed=1, constraints_func=constraints)
    study = study_of(branches, 100, sampler)
    late = [each["model"] for each in parameters(study)[50:]]
    assert late.count("svm") < 20
    assert all(trial.params["model"] != "svm" for trial in sampler._near._good)


def test_options_and_ranges_that_are_gone_are_not_taken():
    study = study_of(branches, 30, OptunaSampler(seed=1))
    near = NearGoodTrials(20, np.ones(2))
    trial = optuna.trial.create_trial(values=[0.0, 0.0])
    other = optuna.distributions.CategoricalDistribution(["tree", "rf"])
    rng = np.random.default_rng(1)
    drawn = {near.draw(study, trial, "model", other, rng) for _ in range(30)}
    assert drawn <= {None, "rf", "tree"}
    far = optuna.distributions.FloatDistribution(50.0, 60.0)
    assert {near.draw(study, trial, "C", far, rng) for _ in range(30)} == {None}
