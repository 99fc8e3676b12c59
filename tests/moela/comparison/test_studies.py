"""Studies of Optuna can be compared with runs of moela."""

from __future__ import annotations

import numpy as np
import pytest

import moela
from moela.comparison.comparing import compare

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.WARNING)


NAMES = {"gain": "max", "cost": "min"}


def study_of(seed=1, n=40, limit=None, **where):
    def objective(trial):
        a, b = trial.suggest_float("a", 0.0, 3.0), trial.suggest_int("b", 0, 3)
        if trial.number == 5:
            raise RuntimeError("no answer")
        if limit is not None and hasattr(trial, "set_constraint"):
            trial.set_constraint("a", a - limit)
        elif limit is not None:
            trial.set_system_attr("constraints", [a - limit])
        return a * (4 - b), (a - 2.0) ** 2 + b

    sampler = optuna.samplers.NSGAIISampler(population_size=10, seed=seed)
    study = optuna.create_study(sampler=sampler, directions=["maximize", "minimize"], **where)
    study.optimize(objective, n, catch=RuntimeError)
    return study


@pytest.mark.parametrize("limit", [None, 1.5])
def test_a_study_is_the_same_as_its_values(limit):
    study = study_of(limit=limit)
    done = [t for t in study.trials if t.state.name == "COMPLETE"]
    kept = [t for t in done if limit is None or t.params["a"] <= limit]
    F = np.array([t.values for t in kept]) * [-1.0, 1.0]
    assert 0 < len(kept) <= len(done) == 39

    made = compare(
        {"study": [study], "values": [F]}, objectives=NAMES, indicators=("hypervolume", "igd_plus")
    )
    front = made.front(algorithm="study")
    np.testing.assert_array_equal(
        np.unique(front.F, axis=0), np.unique(made.front(algorithm="values").F, axis=0)
    )
    assert front.values[:, 0].min() >= 0.0
    assert set(front.variables(0)) == {"a", "b"}
    (run,) = made.runs_of(*made.problems, "study")
    assert (run.n_eval, run.names, run.signs) == (40, ("gain", "cost"), (-1.0, 1.0))
    assert run.left_out["not finite"] == 1
    assert run.left_out.get("infeasible", 0) == len(done) - len(kept)
    seconds = run.times()
    assert seconds.shape == (40,)
    assert (np.diff(seconds) >= 0).all()


def test_studies_are_runs_of_their_sampler_and_stand_beside_results():
    result = moela.minimize(
        lambda d: {"gain": d["a"] * (4 - d["b"]), "cost": (d["a"] - 2.0) ** 2 + d["b"]},
        variables={"a": (0.0, 3.0), "b": (0, 3)}, objectives={"gain": "max", "cost": "min"},
        n_eval=40, seed=1, verbose=False, progress=False,
    )  # fmt: skip
    made = compare([study_of(1), study_of(2), result])
    assert set(made.algorithms) == {"NSGAIISampler", "MOELA"}
    assert len(made.runs_of(*made.problems, "NSGAIISampler")) == 2
    assert not made.caveats or "negated" not in " ".join(map(str, made.caveats))
    # Objectives without names are compared by position, with the directions of the study.
    named = compare([study_of(1), study_of(2), result], objectives=NAMES)
    assert str(named.summary()) == str(made.summary())


def test_other_directions_are_refused():
    with pytest.raises(ValueError, match=r"must be those that the study .* records"):
        compare([study_of(1)], objectives={"gain": "min", "cost": "min"})
