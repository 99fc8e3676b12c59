"""Each conformance check finds the fault that it is for."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from moela.rivals import BatchMOEAD
from moela.testing import (
    ToyConstrained,
    ToyMixed,
    ToyPermutation,
    ToyReal,
    algorithms,
    check_algorithm,
    check_problem,
    problems,
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
        ("check_designs_differ", AsksForOneDesign),
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


class Foreign(NSGA2):
    """An algorithm that is not of this package."""

    def __init__(self, **kwargs):
        super().__init__(pop_size=10, **kwargs)


class AsksForNothing(Foreign):
    def _infill(self):
        return Population.empty()


class NeverAsks(Foreign):
    def _infill(self):
        return None


@pytest.mark.parametrize("culprit", [AsksForNothing, NeverAsks])
def test_a_run_that_would_never_end_is_found(culprit, monkeypatch):
    monkeypatch.setattr("moela.testing.drive._LIMIT", 200)
    with pytest.raises(AssertionError, match=r"while the run goes on. Got 0|The run must end"):
        algorithms.check_same_seed(culprit, ToyReal())


def test_each_check_gets_a_problem_that_no_other_check_has_changed():
    problem = ToyReal()
    run_algorithm_check(algorithms.check_budget, WritesIntoTheProblem, [problem])
    assert not hasattr(problem, "note")
    with pytest.raises(AssertionError, match=r"must not change the problem. It changed .* note"):
        run_algorithm_check(algorithms.check_arguments_untouched, WritesIntoTheProblem, [problem])


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


def complex_objectives(self, x, out, *args, **kwargs):
    ToyReal._evaluate(self, x, out)
    out["F"] = out["F"] + 1j


def changes_dictionaries(self, x, out, *args, **kwargs):
    ToyMixed._evaluate(self, x, out)
    for design in x:
        design["width"] = 0.0


def with_operator(kind, act):
    """Return an `operators` method, of which one operator is `act`."""

    def operators(self):
        own = ToyPermutation.operators(self)
        own[kind] = copy.copy(own[kind])
        own[kind]._do = act
        return own

    return operators


def mutate_to_nan(problem, X, **kwargs):
    return np.full(X.shape, np.nan)


def sample_ten(problem, n, *, random_state, **kwargs):
    return np.array([random_state.permutation(8) for _ in range(10)])


def few_neighbors(self, x, k, rng):
    return np.array([np.roll(x, i) for i in range(1, 8)])[np.arange(min(k, 7))]


def other_constraints(self, x, out, *args, **kwargs):
    out["F"], out["G"] = np.ones((len(x), 2)), x[:, :2] - 0.5


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
        ("check_evaluation", broken(ToyReal, _evaluate=complex_objectives)),
        ("check_evaluation_changes_nothing", broken(ToyMixed, _evaluate=changes_dictionaries)),
        ("check_operators_are_legal", broken(operators=counting)),
        ("check_operators_are_legal", broken(operators=with_operator("mutation", mutate_to_nan))),
        ("check_operators_are_legal", broken(operators=with_operator("sampling", sample_ten))),
        ("check_neighbors", broken(neighbors=few_neighbors)),
        ("check_operators_randomness", broken(operators=random_sampling)),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.tile(x, (k, 1)))),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.tile(x[::-1], (1, 1)))),
        ("check_neighbors", broken(neighbors=lambda self, x, k, rng: np.full((k, 8), 3))),
        ("check_neighbors_many", broken(neighbors_many=lambda self, X, k, rng: X[:, ::-1])),
        ("check_canonical", broken(canonical=lambda self, X: X[:, ::-1])),
        ("check_canonical", broken(canonical=lambda self, X: np.sort(X, axis=1))),
        (
            "check_canonical",
            broken(
                ToyConstrained,
                _evaluate=other_constraints,
                canonical=lambda self, X: np.sort(X, axis=1),
            ),
        ),
        ("check_ref_point", broken(ref_point=np.ones(3))),
        ("check_ref_point", broken(ref_point=np.array([1.0, np.inf]))),
        ("check_features", broken(features=lambda self, X: X.sum(axis=1) * 1.0)),
        ("check_features", broken(features=lambda self, X: X - X.mean(axis=0))),
        ("check_features", broken(features=lambda self, X: np.where(X == 3, np.nan, X))),
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


class Word:
    """A design of a class of its own, which says nothing of equality."""

    def __init__(self, letters):
        self.letters = [int(letter) for letter in letters]


class WordSampling(Sampling):
    def _do(self, problem, n, *args, random_state=None, **kwargs):
        X = np.empty((n, 1), dtype=object)
        X[:, 0] = [Word(letters) for letters in random_state.integers(0, 9, (n, 4))]
        return X


class WordCrossover(Crossover):
    def __init__(self):
        super().__init__(2, 2)

    def _do(self, problem, X, *args, **kwargs):
        off = np.empty_like(X)
        for j, (a, b) in enumerate(zip(*X[:, :, 0], strict=True)):
            off[0, j, 0] = Word(a.letters[:2] + b.letters[2:])
            off[1, j, 0] = Word(b.letters[:2] + a.letters[2:])
        return off


class WordMutation(Mutation):
    in_place = False

    def _do(self, problem, X, *args, random_state=None, **kwargs):
        off = X if self.in_place else copy.deepcopy(X)
        for (word,) in off:
            word.letters[random_state.integers(4)] = int(random_state.integers(9))
        return off


class Words(Problem):
    """Words of four letters: objects without bounds, as with pymoo's custom variables."""

    def __init__(self):
        super().__init__(n_var=1, n_obj=2)

    def _evaluate(self, X, out, *args, **kwargs):
        letters = np.array([word.letters for (word,) in X])
        out["F"] = np.column_stack([letters.sum(axis=1), -letters[:, 0] * letters[:, 3]]) * 1.0

    def operators(self):
        return {
            "sampling": WordSampling(),
            "crossover": WordCrossover(),
            "mutation": WordMutation(),
        }

    def neighbors(self, x, k, random_state):
        near = np.empty((k, 1), dtype=object)
        for i, place in enumerate(random_state.integers(0, 4, k)):
            letters = list(x[0].letters)
            letters[place] = (letters[place] + 1) % 9
            near[i, 0] = Word(letters)
        return near

    def canonical(self, X):
        return X


def test_objects_may_be_designs():
    check_problem(Words())


def test_an_operator_that_changes_parents_that_are_objects_is_found(monkeypatch):
    monkeypatch.setattr(WordMutation, "in_place", True)
    monkeypatch.setattr(WordCrossover, "_do", lambda self, problem, X, *args, **kwargs: X)
    with pytest.raises(AssertionError, match="must not change parents"):
        problems.check_operators_leave_parents(Words())
