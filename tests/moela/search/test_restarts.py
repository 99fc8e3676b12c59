"""Restarts: stagnation, and what happens when a run stagnates."""

from __future__ import annotations

import copy

import moocore
import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling
from pymoo.core.variable import Choice, Integer, Real
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA, Models
from moela.core.archive import Archive
from moela.core.origin import asked_by
from moela.core.scaling import Normalization
from moela.core.volume import DirectionalVolume
from moela.search.restarts import Restart
from problems import MultiObjectiveQAP, NoC3D


class TwoBasins(Problem):
    """Bits: all slopes lead to zeros only, but much better designs lie around another string."""

    def __init__(self):
        super().__init__(n_var=30, n_obj=2, xl=0, xu=1, vtype=bool)
        self.hidden = np.random.default_rng(5).random(30) < 0.8

    def _evaluate(self, x, out, *args, **kwargs):
        F = np.column_stack([x[:, :15].sum(axis=1), x[:, 15:].sum(axis=1)]).astype(float)
        apart = x != self.hidden
        near = np.column_stack([apart[:, :15].sum(axis=1), apart[:, 15:].sum(axis=1)]) - 20.0
        inside = apart.sum(axis=1) <= 8
        out["F"] = np.where(inside[:, None], near, F)


class Tiny(Problem):
    """Four variables of three values: 81 designs, which a run evaluates quickly."""

    def __init__(self):
        super().__init__(n_var=4, n_obj=2, xl=0, xu=2, vtype=int)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = np.column_stack([x @ [1, 2, 3, 4], ((2 - x) ** 2).sum(axis=1)]).astype(float)


def quick(**settings):
    """Return MOELA without models, which these tests do not need."""
    return MOELA(models=Models(starts=None, moves=None), **settings)


def front_of(F):
    F = np.unique(F, axis=0)
    return F[moocore.is_nondominated(F)]


def make_restart(least=100):
    volume = DirectionalVolume(2, np.random.default_rng(0))
    return Restart(Archive(2), Normalization(2, [1.0, 1.0]), volume, least)


def take(restart, F, CV=0.0):
    F = np.atleast_2d(np.asarray(F, dtype=float))
    CV = np.full(len(F), CV)
    return restart.take(
        F, CV, restart.archive.add(Population.new("X", np.zeros((len(F), 1))), F, CV)
    )


# ------------------------------------------------------------------------------------ stagnation


def test_a_restart_that_gains_nothing_any_more_stagnates():
    restart = make_restart()
    take(restart, [0.5, 0.5])
    restart.begin(50)
    assert not any(restart.stagnates(n) for n in range(51, 150))
    take(restart, [0.2, 0.2])
    # The step from 0.5 to 0.2 is within the last third of the evaluations.
    assert not any(restart.stagnates(n) for n in range(150, 180))
    assert any(restart.stagnates(n) for n in range(180, 400))


def test_a_restart_does_not_stagnate_while_its_front_is_being_filled_in():
    restart = make_restart()
    take(restart, [[0.0, 0.9], [0.9, 0.0], [0.0, 0.0]])
    restart.begin(0)
    for n in range(10, 1000, 10):
        # One design in ten is non-dominated, and none of them adds to the hypervolume.
        restart.n_entered += 1
        assert not restart.stagnates(n)


def test_what_breaks_constraints_is_no_gain():
    restart = make_restart()
    take(restart, [0.1, 0.1], CV=1.0)
    restart.begin(0)
    assert not any(restart.stagnates(n) for n in range(1, 5000, 7))
    take(restart, [0.9, 0.9])
    # The first feasible design is a gain, although infeasible ones had better objectives.
    assert not any(restart.stagnates(n) for n in range(5000, 6500))


def test_a_new_restart_without_anything_feasible_is_given_up():
    anew = make_restart().fresh(400)
    take(anew, [0.1, 0.1], CV=1.0)
    anew.begin(430)
    assert not any(anew.stagnates(n) for n in range(431, 830))
    assert any(anew.stagnates(n) for n in range(830, 900))


@pytest.mark.parametrize(("found_elsewhere", "least"), [(0.0999, 300), (0.05, 100)])
def test_the_next_stay_is_longer_where_leaving_did_not_pay(found_elsewhere, least):
    restart = make_restart()
    take(restart, [0.9, 0.9])
    restart.begin(0)
    take(restart, [0.1, 0.1])
    restart.stagnates(60)
    # The restart ends while it still has a small gain.
    take(restart, [0.0999, 0.0999])
    assert restart.stagnates(100)
    take(restart, [found_elsewhere, found_elsewhere])
    restart.begin(500)
    assert restart.stagnates(600)
    assert restart.min_evaluations == restart.fresh(600).min_evaluations == least


def test_a_fresh_restart_knows_the_reference_and_nothing_else():
    restart = make_restart()
    take(restart, [[0.2, 0.6], [0.6, 0.2]])
    anew = restart.fresh(1000)
    assert len(anew.archive) == 0
    np.testing.assert_array_equal(anew.normalization.ref_point, [1.0, 1.0])
    assert take(anew, [0.2, 0.6])[0] > 0.0
    assert len(restart.archive) == 2


# -------------------------------------------------------------------------------------- restarts


def test_restarts_find_what_lies_far_from_where_all_else_leads():
    def found(restarts):
        runs = [
            minimize(TwoBasins(), quick(restarts=restarts, n_searches=2), ("n_eval", 6000), seed=s)
            for s in range(1, 5)
        ]
        return sum(bool((r.F < 0).all(axis=1).any()) for r in runs), runs

    with_them, runs = found("auto")
    without, stayed = found(False)
    # Measured: 16 and 7 of 16 seeds.
    assert with_them == 4 > 2 >= without
    assert all(r.algorithm.n_phases == 1 for r in stayed)
    assert all(r.algorithm.n_phases > 2 for r in runs)


class FirstBits(Problem):
    """Bits of which only one changes one objective: leading ones and trailing zeros are wanted."""

    def __init__(self):
        super().__init__(n_var=40, n_obj=2, xl=0, xu=1, vtype=bool)

    def _evaluate(self, x, out, *args, **kwargs):
        ones = np.cumprod(x, axis=1).sum(axis=1)
        zeros = np.cumprod(~x[:, ::-1].astype(bool), axis=1).sum(axis=1)
        out["F"] = -np.column_stack([ones, zeros]).astype(float)


def test_runs_whose_improvements_are_rare_do_not_restart_at_once():
    algorithm = minimize(FirstBits(), MOELA(), ("n_eval", 1000), seed=1).algorithm
    assert algorithm.n_phases == 1


@pytest.mark.parametrize(
    ("problem", "least"),
    [
        (TwoBasins(), 900),
        (get_problem("zdt5", m=4), 1350),
        (MultiObjectiveQAP.random(n_facilities=20, seed=1), 500),
        (NoC3D.example("bfs", objectives=3), 500),
    ],
)
def test_restarts_come_after_changes_of_each_variable(problem, least):
    algorithm = MOELA()
    algorithm.setup(problem, termination=("n_eval", 5000), seed=1)
    assert algorithm.main.min_evaluations == least


def test_the_result_is_the_front_of_everything_in_all_phases():
    F = []

    class Recorder(TwoBasins):
        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(x, out, *args, **kwargs)
            F.append(out["F"])

    result = minimize(Recorder(), quick(), ("n_eval", 3000), seed=1)
    everything = np.concatenate(F)
    assert len(everything) == 3000
    dominated = (everything[:, None] >= everything).all(2) & (everything[:, None] > everything).any(
        2
    )
    best = np.unique(everything[~dominated.any(axis=1)], axis=0)
    np.testing.assert_array_equal(np.unique(result.F, axis=0), best)
    log = result.algorithm.log
    assert sum(log[part]["n_eval"] for part in log if part != "screening") == 3000
    assert log["initial"]["n_eval"] > 50


def test_a_run_ends_when_each_design_of_a_small_space_is_known_and_not_before():
    result = minimize(Tiny(), quick(n_subproblems=10), ("n_gen", 300), seed=1)
    assert result.algorithm.n_eval == 3**4
    assert not result.algorithm.has_next()
    X = np.stack(np.meshgrid(*[range(3)] * 4), axis=-1).reshape(-1, 4)
    front = front_of(Tiny().evaluate(X))
    np.testing.assert_array_equal(np.unique(result.F, axis=0), front)


class FewSamples(Sampling):
    """The same few designs again and again."""

    def _do(self, problem, n_samples, *args, **kwargs):
        return np.eye(4, problem.n_var, dtype=bool)[np.arange(n_samples) % 4]


def test_a_sampling_of_few_designs_ends_no_run():
    result = minimize(TwoBasins(), quick(sampling=FewSamples()), ("n_eval", 700), seed=1)
    assert result.algorithm.n_eval == 700


def test_answers_from_before_a_restart_count_for_the_result_only():
    problem = TwoBasins()
    algorithm = quick()
    algorithm.setup(problem, termination=("n_eval", 10_000), seed=1)
    late = None
    while algorithm.n_phases == 1:
        asked = algorithm.ask()
        if late is None and algorithm.n_answered > 300:
            late = asked
            continue
        algorithm.evaluator.eval(problem, asked)
        algorithm.tell(infills=asked)
    assert algorithm.awaiting_initial
    assert algorithm.current is not algorithm.main
    # The restart has no designs yet, and late answers from before do not add any.
    late[0].X[:] = problem.hidden
    algorithm.evaluator.eval(problem, late)
    algorithm.tell(infills=late)
    assert algorithm.awaiting_initial
    assert len(algorithm.current.archive) == 0
    assert [-20.0, -20.0] in algorithm.front.F.tolist()
    first = algorithm.ask()
    assert asked_by(first, "initial").all()
    algorithm.evaluator.eval(problem, first)
    algorithm.tell(infills=first)
    assert not algorithm.awaiting_initial
    assert 0 < len(algorithm.current.archive) <= len(first)


def test_a_copy_goes_on_through_restarts_as_the_original_does():
    problem = MultiObjectiveQAP.random(n_facilities=6, n_obj=2, seed=2)
    algorithm = MOELA()
    algorithm.setup(problem, termination=("n_eval", 650), seed=3)
    while algorithm.n_eval < 500:
        algorithm.next()
    assert algorithm.n_phases == 1
    copied = copy.deepcopy(algorithm)
    for one in (algorithm, copied):
        while one.has_next():
            one.next()
    assert algorithm.n_phases == copied.n_phases == 2
    np.testing.assert_array_equal(algorithm.front.F, copied.front.F)
    np.testing.assert_array_equal(algorithm.front.pop.get("X"), copied.front.pop.get("X"))


def test_the_first_designs_of_a_restart_are_drawn_also_where_the_first_ones_were_given():
    given = np.zeros((60, 30), dtype=bool)
    given[np.arange(60) % 30, np.arange(60) % 7] = True
    result = minimize(TwoBasins(), quick(sampling=given), ("n_eval", 4000), seed=1)
    assert result.algorithm.n_phases > 1
    assert result.algorithm.log["initial"]["n_eval"] > 60


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"a": Integer(bounds=(0, 9)), "b": Choice(options=["x", "y"])}, True),
        ({"a": Integer(bounds=(0, 9)), "b": Real(bounds=(0, 1))}, False),
    ],
)
def test_mixed_variables_restart_unless_some_are_real(variables, expected):
    problem = Problem(vars=variables, n_obj=2)
    algorithm = MOELA()
    algorithm.setup(problem, termination=("n_eval", 10), seed=1)
    assert algorithm.restarting is expected


def test_real_variables_restart_only_when_asked_to():
    for restarts, expected in (("auto", False), (True, True), (False, False)):
        algorithm = MOELA(restarts=restarts)
        algorithm.setup(get_problem("zdt1"), termination=("n_eval", 10), seed=1)
        assert algorithm.restarting is expected
