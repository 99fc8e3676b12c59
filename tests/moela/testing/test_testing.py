"""Each conformance check finds the fault that it is for."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population

from moela.rivals import BatchMOEAD
from moela.testing import (
    ToyPermutation,
    ToyReal,
    algorithms,
    check_algorithm,
    check_problem,
    problems,
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
        ("check_ask_tell_budget", Overshoots),
        ("check_same_seed", ForgetsSeed),
        ("check_other_seed", IgnoresSeed),
        ("check_global_random_state", UsesGlobalState),
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


# ------------------------------------------------------------------------------------ problems


def broken(base=ToyPermutation, **methods):
    return type("Broken", (base,), methods)()


def flat(self, x, out, *args, **kwargs):
    out["F"] = np.ones((len(x), 2))
    out["F"][0, 0] = np.nan


def by_batch(self, x, out, *args, **kwargs):
    out["F"] = np.column_stack([x.sum(axis=1), x.max(axis=1) + len(x)]).astype(float)


def in_place(self, x, out, *args, **kwargs):
    x.sort(axis=1)
    out["F"] = x[:, :2].astype(float)


def noisy(self, x, out, *args, **kwargs):
    self.calls = getattr(self, "calls", 0) + 1
    out["F"] = x[:, :2] + float(self.calls)


def random_sampling(self):
    own = ToyPermutation.operators(self)
    own["sampling"] = copy.copy(own["sampling"])
    own["sampling"]._do = lambda problem, n, **kwargs: np.array(
        [np.random.permutation(8) for _ in range(n)]  # noqa: NPY002
    )
    return own


def counting(self):
    own = ToyPermutation.operators(self)
    del own["crossover"], own["mutation"]
    return own


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ("check_evaluation", broken(_evaluate=flat)),
        ("check_rows_are_independent", broken(_evaluate=by_batch)),
        ("check_evaluation_changes_nothing", broken(_evaluate=in_place)),
        ("check_evaluation_changes_nothing", broken(_evaluate=noisy)),
        ("check_operators_are_legal", broken(operators=counting)),
        ("check_operators_randomness", broken(operators=random_sampling)),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.tile(x, (k, 1)))),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.tile(x[::-1], (1, 1)))),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.full((k, 8), 3))),
        ("check_neighbors_many", broken(neighbors_many=lambda self, X, k, rng: X[:, ::-1])),
        ("check_canonical", broken(canonical=lambda self, X: X[:, ::-1])),
        ("check_canonical", broken(canonical=lambda self, X: np.sort(X, axis=1))),
        ("check_ref_point", broken(ref_point=np.ones(3))),
        ("check_ref_point", broken(ref_point=np.array([1.0, np.inf]))),
        ("check_features", broken(features=lambda self, X: X.sum(axis=1) * 1.0)),
        ("check_features", broken(features=lambda self, X: X - X.mean(axis=0))),
        ("check_decode", broken(decode=lambda self, x: x, encode=lambda self, d: d[::-1])),
        ("check_version", broken(version=["3"])),
        ("check_version", broken(version="")),
    ],
)
def test_each_problem_check_finds_its_culprit(check, problem):
    getattr(problems, check)(ToyPermutation())
    with pytest.raises((AssertionError, ValueError)):
        getattr(problems, check)(problem)


def test_a_copy_that_evaluates_otherwise_is_found():
    class Drifts(ToyReal):
        def __deepcopy__(self, memo):
            return ToyReal(scale=2.0)

        def __reduce__(self):
            return (ToyReal, ())

    with pytest.raises(AssertionError, match="deep copy of the problem"):
        problems.check_problem_copies(Drifts())
