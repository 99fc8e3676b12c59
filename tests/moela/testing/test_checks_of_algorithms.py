"""Each conformance check of algorithms finds the fault that it is for."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela import MOELA
from moela.rivals import BatchMOEAD
from moela.testing import (
    ToyReal,
    algorithms,
    check_algorithm,
    check_problem,
    run_algorithm_check,
)


class Small(BatchMOEAD):
    def __init__(self, **kwargs):
        super().__init__(**{"n_subproblems": 10, "batch_size": 6, **kwargs})


class Overshoots(Small):
    def _within_budget(self, pop):
        return pop


class ForgetsSeed(Small):
    def _setup(self, problem, **kwargs):
        self.random_state = np.random.default_rng()
        super()._setup(problem, **kwargs)


class IgnoresSeed(Small):
    def _setup(self, problem, **kwargs):
        self.random_state = np.random.default_rng(0)
        super()._setup(problem, **kwargs)


class UsesGlobalState(Small):
    def _ask(self):
        np.random.random()  # noqa: NPY002
        return super()._ask()


class KeepsAGenerator(Small):
    def _begin(self):
        super()._begin()
        self.generator = (i for i in range(3))


class SharesState(Small):
    shared = np.random.default_rng(0)

    def _begin(self):
        super()._begin()
        type(self).shared = np.random.default_rng(0)

    def _ask(self):
        self.waiting = type(self).shared.permutation(10)
        return super()._ask()


class EvaluatesInSecret(Small):
    def _ask(self):
        pop = super()._ask()
        self.evaluator.eval(self.problem, pop[:2])
        return pop[2:] if len(pop) > 2 else pop


class LosesTheFront(Small):
    def _set_optimum(self):
        self.pop = self.opt = self.front.pop[:1]


class ReportsDominated(Small):
    def _answer_initial(self, pop, F, CV, accepted):
        self.first = pop
        super()._answer_initial(pop, F, CV, accepted)

    def _set_optimum(self):
        self.pop = self.opt = Population.merge(self.front.pop, self.first)


class HistoryIsAlive(Small):
    def _set_optimum(self):
        if len(self.history or []):
            self.history[0].opt = self.front.pop
        super()._set_optimum()


class GoesByPosition(Small):
    def _ask(self):
        pop = super()._ask()
        self.asked = len(pop)
        return pop

    def _advance(self, infills=None, **kwargs):
        assert len(infills) == self.asked, "answers went missing"
        super()._advance(infills, **kwargs)


class WritesIntoSampling(Small):
    def _sample(self):
        if isinstance(self.operators.sampling, Population):
            self.operators.sampling.set("part", "initial")
        return super()._sample()


class ChangesTheProblem(Small):
    def _begin(self):
        super()._begin()
        self.problem.runs = getattr(self.problem, "runs", 0) + 1


class WritesIntoTheProblem(Small):
    def _ask(self):
        self.problem.note = 1
        return super()._ask()


class LeavesTheBox(Small):
    def _ask(self):
        pop = super()._ask()
        for ind in pop:
            ind.X = ind.X + 10.0
        return pop


class AsksForNaN(Small):
    def _ask(self):
        pop = super()._ask()
        pop[0].X = np.full(5, np.nan)
        return pop


class AsksForOneDesign(Small):
    def _ask(self):
        pop = super()._ask()
        for ind in pop:
            ind.X = self.front.pop[0].X
        return pop


class EvaluatesBeside(Small):
    def _ask(self):
        pop = super()._ask()
        self.problem.evaluate(pop.get("X"))
        return pop


class SeedsGlobalState(Small):
    def _begin(self):
        super()._begin()
        np.random.seed(1)  # noqa: NPY002


class CannotBeginAgain(Small):
    def setup(self, problem, **kwargs):
        return self if self.problem is not None else super().setup(problem, **kwargs)


class HidesTheInfeasible(Small):
    def _set_optimum(self):
        keep = np.array([ind.CV[0] <= 0 for ind in self.front.pop], dtype=bool)
        self.pop = self.opt = self.front.pop[keep]


class RawScale(Small):
    def _begin(self):
        super()._begin()
        self.normalization.ideal, self.normalization.nadir = np.zeros(2), np.ones(2)
        self.normalization.fixed = True


class CountsTwice(Small):
    def _post_advance(self):
        super()._post_advance()
        self.n_iter += 1


class Mute(Small):
    def setup(self, problem, **kwargs):
        return super().setup(problem, **{**kwargs, "verbose": False})


class Deaf(Small):
    def _post_advance(self):
        callback, self.callback = self.callback, lambda algorithm: None
        super()._post_advance()
        self.callback = callback
        if self.n_iter % 2:
            self.callback(self)


@pytest.mark.parametrize(
    ("check", "culprit"),
    [
        ("check_budget", Overshoots),
        ("check_budget", LeavesTheBox),
        ("check_budget", AsksForNaN),
        ("check_budget", EvaluatesBeside),
        ("check_designs_differ", AsksForOneDesign),
        ("check_ask_tell_budget", Overshoots),
        ("check_same_seed", ForgetsSeed),
        ("check_other_seed", IgnoresSeed),
        ("check_global_random_state", UsesGlobalState),
        ("check_global_random_state", SeedsGlobalState),
        ("check_ask_and_tell", EvaluatesInSecret),
        ("check_copies", KeepsAGenerator),
        ("check_copy_is_apart", SharesState),
        ("check_callback", Deaf),
        ("check_save_history", HistoryIsAlive),
        ("check_front", ReportsDominated),
        ("check_nothing_is_lost", LosesTheFront),
        ("check_answers_in_any_order", GoesByPosition),
        ("check_arguments_untouched", WritesIntoSampling),
        ("check_arguments_untouched", ChangesTheProblem),
        ("check_set_up_twice", CannotBeginAgain),
        ("check_infeasible", HidesTheInfeasible),
        ("check_terminations", CountsTwice),
        ("check_display", Mute),
        ("check_scale", RawScale),
    ],
)
def test_each_algorithm_check_finds_its_culprit(check, culprit, monkeypatch):
    monkeypatch.setattr("moela.testing.drive._LIMIT", 200)
    getattr(algorithms, check)(Small, ToyReal())
    with pytest.raises((AssertionError, TypeError, IndexError)):
        getattr(algorithms, check)(culprit, ToyReal())


class Foreign(NSGA2):
    """An algorithm that is not of this package."""

    def __init__(self, **kwargs):
        super().__init__(pop_size=10, **kwargs)


class AsksForNothing(Foreign):
    def _infill(self):
        return Population.empty()


class AsksForKnownDesigns(Foreign):
    def _infill(self):
        return self.pop[:3]


class NeverAsks(Foreign):
    def _infill(self):
        return None


@pytest.mark.parametrize("culprit", [AsksForNothing, AsksForKnownDesigns, NeverAsks])
def test_a_run_that_would_never_end_is_found(culprit, monkeypatch):
    monkeypatch.setattr("moela.testing.drive._LIMIT", 200)
    with pytest.raises(AssertionError, match=r"For 100 iterations|The run must end"):
        algorithms.check_same_seed(culprit, ToyReal())


def test_each_check_gets_a_problem_that_no_other_check_has_changed():
    problem = ToyReal()
    run_algorithm_check(algorithms.check_budget, WritesIntoTheProblem, [problem])
    assert not hasattr(problem, "note")
    with pytest.raises(AssertionError, match=r"must not change the problem. It changed .* note"):
        run_algorithm_check(algorithms.check_arguments_untouched, WritesIntoTheProblem, [problem])


def test_a_problem_may_keep_what_it_does_not_pickle():
    class Remembers(ToyReal):
        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(x, out)
            self.last = x

        def __getstate__(self):
            return {name: value for name, value in vars(self).items() if name != "last"}

    run_algorithm_check(algorithms.check_arguments_untouched, Small, [Remembers()])


def test_designs_that_must_come_again_are_no_fault():
    class FourDesigns(ToyReal):
        def __init__(self):
            Problem.__init__(self, n_var=2, n_obj=2, xl=0, xu=1, vtype=bool)
            self.scale = 1.0

    algorithms.check_designs_differ(Small, FourDesigns())


def test_pymoos_nsga2_does_not_pass():
    with pytest.raises(AssertionError, match=r"n_eval=1 must evaluate 1 designs. It did 10"):
        check_algorithm(lambda **kwargs: NSGA2(pop_size=10, **kwargs), [ToyReal()])


def test_a_failure_names_the_check_and_the_problem():
    with pytest.raises(AssertionError) as caught:
        check_algorithm(Overshoots, [ToyReal()])
    assert caught.value.__notes__ == ["in check_budget on ToyReal"]


def test_checks_can_be_left_out_by_name():
    everything = [check.__name__ for check in algorithms.ALGORITHM_CHECKS]
    check_algorithm(Overshoots, [ToyReal()], skip=everything)
    with pytest.raises(ValueError, match="Got check_nothing instead"):
        check_algorithm(Small, skip=["check_nothing"])
    with pytest.raises(ValueError, match="Got check_nothing instead"):
        check_problem(ToyReal(), skip=["check_nothing"])


class HoldsGenerator(MOELA):
    def __init__(self, **settings):
        super().__init__(n_subproblems=10, **settings)
        self._items = (item for item in range(3))


def test_every_mistake_is_an_assertion_error():
    for wrong, message in (
        (HoldsGenerator, "Got TypeError: cannot pickle 'generator'"),
        (MOELA(), "Got an object of MOELA instead"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_algorithm(wrong, [ToyReal()])
