"""MOELA as a sampler of Optuna, and designs handed from one to the other."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import moela
from moela.quality.indicators import hypervolume
from problems import MultiObjectiveQAP

optuna = pytest.importorskip("optuna", reason="needs optuna: pip install 'moela[optuna]'")

from moela.plugins import (  # noqa: E402
    OptunaSampler,
    designs_of_study,
    enqueue_front,
    results_of_study,
    suggest_permutation,
)
from moela.plugins.optuna_sampler import _Search  # noqa: E402
from moela.plugins.optuna_space import ParameterSpace  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
QAP = MultiObjectiveQAP.random(n_facilities=8, seed=1)


def study_of(sampler, directions=("minimize", "minimize")):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=list(directions), sampler=sampler)


def assign(trial):
    return tuple(QAP.evaluate(suggest_permutation(trial, "at", 8)[None])[0])


def every_kind(trial):
    x = trial.suggest_float("x", 0.1, 10.0, log=True)
    n = trial.suggest_int("n", 2, 10, step=2)
    s = trial.suggest_float("s", 0.0, 1.0, step=0.25)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    on = trial.suggest_categorical("on", [False, True])
    return x * n + s, (kind == "b") + 1 / x + on


def values(study):
    return np.array([trial.values for trial in study.trials])


def test_permutations_are_suggested_as_they_are_and_searched_better_than_at_random():
    study, random = study_of(OptunaSampler(seed=1)), study_of(optuna.samplers.RandomSampler(1))
    for each in (study, random):
        each.optimize(assign, n_trials=120)
    for trial in study.trials:
        assert sorted(trial.params.values()) == list(range(8))
    point = values(random).max(axis=0)
    assert hypervolume(values(study), point) > hypervolume(values(random), point)


def test_parameters_of_every_kind_stay_in_their_ranges():
    study = study_of(OptunaSampler(seed=2, n_startup_trials=5), ("maximize", "minimize"))
    study.optimize(every_kind, n_trials=40)
    assert {trial.params["s"] for trial in study.trials} <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert {trial.params["n"] for trial in study.trials} <= {2, 4, 6, 8, 10}
    assert len({trial.params["kind"] for trial in study.trials}) > 1


def swap_first(design, k, random_state):
    order = list(design["at"])
    near = []
    for place in random_state.integers(1, len(order), k):
        moved = order.copy()
        moved[0], moved[place] = moved[place], moved[0]
        near.append({"at": moved})
    return near


@pytest.mark.parametrize("stops", [(0, 1), (5,), (12, 25)], ids=str)
@pytest.mark.parametrize("how", ["pickled", "deep-copied with the study"])
def test_a_copy_of_a_sampler_continues_as_the_original_would(how, stops):
    def new():
        return OptunaSampler(neighbors=swap_first, n_startup_trials=10, seed=3)

    whole, study = study_of(new()), study_of(new())
    whole.optimize(assign, n_trials=30)
    for stop in stops:
        study.optimize(assign, n_trials=stop - len(study.trials))
        if how == "pickled":
            study.sampler = pickle.loads(pickle.dumps(study.sampler))
        else:
            study = copy.deepcopy(study)
    study.optimize(assign, n_trials=30 - len(study.trials))
    np.testing.assert_array_equal(values(study), values(whole))


def test_moves_of_the_user_are_used():
    calls = []

    def swap(design, k, rng):
        calls.append(k)
        near = []
        for _ in range(k):
            order = list(design["at"])
            i, j = rng.choice(len(order), 2, replace=False)
            order[i], order[j] = order[j], order[i]
            near.append({"at": order})
        return near

    study = study_of(OptunaSampler(neighbors=swap, seed=1, n_startup_trials=10))
    study.optimize(assign, n_trials=40)
    assert calls
    bad = study_of(OptunaSampler(neighbors=lambda d, k, rng: [], seed=1, n_startup_trials=5))
    with pytest.raises(ValueError, match=r"must return \d+ designs"):
        bad.optimize(assign, n_trials=60)


@pytest.mark.skipif(not hasattr(optuna.trial.Trial, "set_constraint"), reason="Optuna 4")
def test_constraints_that_trials_set_are_learned_from():
    def limited(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        trial.set_constraint("x", 0.3 - x)
        if trial.number > 3:  # the search has begun without it
            trial.set_constraint("y", y - 0.9)
        return x, 1 - x + y

    late = []
    for seed in range(8):
        study = study_of(OptunaSampler(seed=seed, n_startup_trials=10))
        study.optimize(limited, n_trials=60)
        late += [t.params["x"] for t in study.trials[40:]]
        assert study.sampler._search.constraints == ["x", "y"]
    # Of random designs, 0.7 meet the first constraint.
    assert np.mean(np.array(late) >= 0.3) > 0.75


def test_constraints_failures_and_trials_of_others_are_learned_from():
    def limited(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        if y > 0.9:
            raise ValueError
        return x, 1 - x + y

    def constraints(trial):
        return (0.3 - trial.params["x"],)

    late = []
    for seed in range(8):
        sampler = OptunaSampler(seed=seed, n_startup_trials=10, constraints_func=constraints)
        study = study_of(sampler)
        study.enqueue_trial({"x": 0.5, "y": 0.0})
        study.optimize(limited, n_trials=60, catch=(ValueError,))
        late += [t.params["x"] for t in study.trials[40:]]
    # Of random designs, 0.7 meet the constraint. Measured: 0.81.
    assert np.mean(np.array(late) >= 0.3) > 0.75
    # Another sampler on the same study begins with all of its trials.
    study.sampler = OptunaSampler(seed=2, n_startup_trials=10)
    study.optimize(limited, n_trials=5, catch=(ValueError,))
    assert study.sampler._search.algorithm.is_initialized


def test_trials_of_which_a_part_was_enqueued_are_learned_as_they_were(monkeypatch):
    def plane(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return x + y, (1 - x) ** 2 + y

    learned = []

    def spy(search, trial):
        individual = read(search, trial)
        learned.append((trial.params, search.problem.decode(individual.X)))
        return individual

    read = _Search._individual
    monkeypatch.setattr(_Search, "_individual", spy)
    study = study_of(OptunaSampler(seed=1, n_startup_trials=5))
    study.optimize(plane, n_trials=10)
    study.enqueue_trial({"x": 0.123})
    study.enqueue_trial({"x": 0.321})
    study.optimize(plane, n_trials=5)
    assert len(learned) == 14
    for parameters, design in learned:
        assert design == parameters


@pytest.mark.parametrize("wrong", [[float("nan")], 0.5, None, ["a"]])
def test_a_study_goes_on_after_wrong_constraints(wrong):
    def constraints(trial):
        return wrong if trial.number == 7 else [0.3 - trial.params["x"]]

    def plane(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return x + y, 1 - x + y

    study = study_of(OptunaSampler(seed=1, n_startup_trials=5, constraints_func=constraints))
    with pytest.raises(ValueError, match=r"'constraints_func' .* sequence of numbers.* trial 7;"):
        study.optimize(plane, n_trials=20)
    study.optimize(plane, n_trials=20)
    assert len(study.trials) == 28
    # Of another sampler.
    for unknown in ([float("nan")], None):
        other = optuna.trial.create_trial(
            values=[0.0, 0.0],
            params={"x": 0.5, "y": 0.5},
            distributions=study.trials[0].distributions,
            system_attrs={"constraints": unknown},
        )
        study.add_trial(other)
        n = len(study.trials)
        study.optimize(plane, n_trials=2)
        search = study.sampler._search
        assert search._individual(study.trials[n - 1]).data["status"] == "error"
        assert [0.0, 0.0] not in search.algorithm.front.F.tolist()
    study.sampler = OptunaSampler(seed=2, n_startup_trials=5)
    study.optimize(plane, n_trials=2)
    assert len(study.trials) == 36


def test_trials_may_run_in_parallel():
    study = study_of(OptunaSampler(seed=1, n_startup_trials=10))
    study.optimize(assign, n_trials=40, n_jobs=4)
    assert len(study.trials) == 40


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="at least 2 objectives"):
        study_of(OptunaSampler(), ["minimize"]).optimize(lambda t: t.suggest_float("x", 0, 1), 2)
    with pytest.raises(ValueError, match="n_startup_trials"):
        OptunaSampler(n_startup_trials=1)
    for seed in ("a", 1.5, True, -1, 2**32):
        with pytest.raises(ValueError, match=r"'seed' .* an integer of at least 0"):
            OptunaSampler(seed=seed)
    for neighbors in (lambda d, k, rng: None, lambda d, k, rng: [1] * k):
        study = study_of(OptunaSampler(neighbors=neighbors, seed=1, n_startup_trials=5))
        with pytest.raises(ValueError, match=r"'neighbors' .* a list of \d+ dictionaries. Got"):
            study.optimize(assign, n_trials=60)
    with pytest.raises(ValueError, match="complete trials"):
        designs_of_study(study_of(None))
    with pytest.raises(ValueError, match=r"'study' .* a study of Optuna. Got None"):
        designs_of_study(None)
    with pytest.raises(ValueError, match=r"'study' .* a study of Optuna. Got 'x'"):
        enqueue_front("x", None)
    with pytest.raises(ValueError, match=r"'result' .* a result of moela.minimize. Got 5"):
        enqueue_front(study_of(None), 5)


def test_options_keep_their_types():
    def objective(trial):
        layers = trial.suggest_categorical("layers", [0, 1])
        share = trial.suggest_categorical("share", [1.0, 0.0])
        sizes = trial.suggest_categorical("sizes", [[1, 2], [3, 4], [5]])
        odd = trial.suggest_categorical("odd", [float("nan"), None, True])
        on = trial.suggest_categorical("on", [True, False])
        kinds.add((type(layers), type(share), type(sizes), type(on)))
        return layers + share + sum(sizes), 3 - layers - share + on + (odd is None)

    kinds = set()
    study = study_of(OptunaSampler(seed=1, n_startup_trials=5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Optuna, about lists
        study.optimize(objective, n_trials=20)
    assert kinds == {(int, float, list, bool)}
    assert len({trial.params["layers"] for trial in study.trials}) == 2


def test_only_all_places_of_a_permutation_are_one():
    def objective(trial):
        ratio = trial.suggest_float("ratio[1/2]", 10.0, 20.0)
        count = trial.suggest_int("count[1/2]", 0, 1)
        wrong = trial.suggest_int("wrong[3/2]", 0, 1)
        order = suggest_permutation(trial, "order", 3)
        return ratio + count + wrong, -ratio + float(order[0])

    study = study_of(OptunaSampler(seed=1, n_startup_trials=5))
    study.optimize(objective, n_trials=15)
    assert all(10.0 <= trial.params["ratio[1/2]"] <= 20.0 for trial in study.trials)
    for design in designs_of_study(study, best=False):
        assert list(design) == ["ratio[1/2]", "count[1/2]", "wrong[3/2]", "order"]
        assert sorted(design["order"]) == [0, 1, 2]

    def overlapping(trial):
        x = trial.suggest_float("order", 0.0, 1.0)
        return x, 1 - x + float(suggest_permutation(trial, "order", 2)[0])

    study = study_of(OptunaSampler(seed=1, n_startup_trials=5))
    study.optimize(overlapping, n_trials=15)
    assert list(designs_of_study(study)[0]) == ["order", "order[0/2]", "order[1/2]"]


def test_fronts_of_tuples_and_of_orders_of_items_are_enqueued():
    result = moela.minimize(
        lambda d: (d["x"] + (d["k"] == (1, 2)), 1 - d["x"] + d["at"].index("b")),
        variables={
            "x": (0.0, 1.0),
            "k": [(1, 2), (3, 4)],
            "at": moela.permutation(["a", "b", "c"]),
        },
        objectives=["f", "g"],
        n_eval=30,
        verbose=False,
        progress=False,
    )

    def objective(trial):
        x, k = trial.suggest_float("x", 0, 1), trial.suggest_categorical("k", [(1, 2), (3, 4)])
        at = ["abc"[i] for i in suggest_permutation(trial, "at", 3)]
        return x + (k == (1, 2)), 1 - x + at.index("b")

    study = study_of(OptunaSampler(seed=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Optuna, about tuples
        study.optimize(objective, n_trials=enqueue_front(study, result))
    np.testing.assert_array_equal(values(study), result.front.F)


def test_designs_of_a_study_name_the_items_of_orders():
    variables = {
        "x": (0.0, 1.0),
        "k": [(1, 2), (3, 4)],
        "at": moela.permutation(["a", "b", "c"]),
    }
    study = study_of(optuna.samplers.RandomSampler(1))

    def objective(trial):
        x, k = trial.suggest_float("x", 0, 1), trial.suggest_categorical("k", ["(1, 2)", "(3, 4)"])
        first = suggest_permutation(trial, "at", 3)[0]
        return x + first, 1 - x + (k == "(1, 2)")

    study.optimize(objective, n_trials=12)
    positions = designs_of_study(study, best=False)
    named = designs_of_study(study, best=False, variables=variables)
    assert [["abc"[i] for i in d["at"]] for d in positions] == [d["at"] for d in named]
    assert {d["k"] for d in named} == {(1, 2), (3, 4)}
    result = moela.minimize(
        lambda d: (d["x"] + "abc".index(d["at"][0]), 1 - d["x"] + (d["k"] == (1, 2))),
        variables=variables,
        objectives=["f", "g"],
        n_eval=12,
        start=named,
        verbose=False,
        progress=False,
    )
    assert result.population.get("F").tolist() == [list(t.values) for t in study.trials]


def test_trials_are_known_results():
    study = study_of(optuna.samplers.RandomSampler(1), ["minimize", "maximize"])

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("noise", 30 * x)
        if x > 0.9:
            raise optuna.TrialPruned
        return x, -x

    study.optimize(objective, n_trials=30)
    called = []
    result = moela.minimize(
        lambda d: called.append(d) or {"a": d["x"], "b": -d["x"], "noise": 30 * d["x"]},
        variables={"x": (0.0, 1.0)},
        objectives={"a": "min", "b": "max"},
        constraints={"noise": (9, None)},
        n_eval=10,
        known=results_of_study(study, ["a", "b"]),
        verbose=False,
        progress=False,
    )
    complete = [t for t in study.trials if t.values]
    assert (result.n_known, len(called)) == (len(complete), 10)
    rows = result.table(all=True).rows[: result.n_known]
    assert [[row["a"], row["b"]] for row in rows] == [t.values for t in complete]
    assert [row["noise"] for row in rows] == [t.user_attrs["noise"] for t in complete]
    with pytest.raises(ValueError, match=r"'objectives' .* a list of 2 names. Got \['a'\]"):
        results_of_study(study, ["a"])


@pytest.mark.skipif(not hasattr(optuna.trial.Trial, "set_constraint"), reason="Optuna 4")
def test_known_results_have_the_constraints_that_trials_set():
    study = study_of(optuna.samplers.RandomSampler(1))

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("excess", x - 0.5)
        return x, 1 - x

    study.optimize(objective, n_trials=5)
    found = results_of_study(study, ["a", "b"])
    assert [row["excess"] for row in found] == [row["x"] - 0.5 for row in found]


def test_designs_are_handed_over_in_both_directions():
    study = study_of(optuna.samplers.RandomSampler(1))
    study.optimize(assign, n_trials=20)
    designs = designs_of_study(study)
    assert len(designs) == len(study.best_trials)

    def function(d):
        return tuple(QAP.evaluate(np.array(d["at"])[None])[0])

    result = moela.minimize(
        function,
        variables={"at": moela.permutation(8)},
        objectives=["a", "b"],
        n_eval=60,
        start=designs,
        verbose=False,
        progress=False,
    )
    assert result.population[0].F.tolist() == list(study.best_trials[0].values)
    n = len(study.trials)
    enqueue_front(study, result)
    study.optimize(assign, n_trials=len(result.front))
    found = [tuple(trial.values) for trial in study.trials[n:]]
    assert sorted(found) == sorted(map(tuple, result.front.F))


@pytest.mark.parametrize(
    ("options", "ordered"),
    [(("a", "b", "c"), False), ((16, 32, 64), True), ((3, 1, 2), False), ((1.0, None, 2.0), False)],
)
def test_options_are_in_order_only_if_they_are_rising_or_falling_numbers(options, ordered):
    distribution = optuna.distributions.CategoricalDistribution(options)
    assert ParameterSpace({"k": distribution}).variables["k"].ordered is ordered
