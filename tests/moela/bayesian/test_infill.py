"""Tests of small budgets: first designs, and infill for all kinds of variables."""

import zlib

import numpy as np
import pytest
from pymoo.core.problem import ElementwiseProblem, Problem
from pymoo.core.variable import Binary, Choice, Integer, Real
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela import MOELA, Evaluator, Models
from moela.bayesian.few import n_first, n_weights
from moela.bayesian.infill import Infill
from moela.core.origin import origins
from moela.quality.indicators import hypervolume
from problems import MultiObjectiveQAP

pytestmark = pytest.mark.few_evaluations


class Mixed(ElementwiseProblem):
    """Two objectives of a real, an integer, a binary variable, and a choice; a constraint."""

    def __init__(self):
        variables = {
            "x": Real(bounds=(-2.0, 2.0)),
            "n": Integer(bounds=(0, 9)),
            "on": Binary(),
            "kind": Choice(options=["a", "b", "c"]),
        }
        super().__init__(vars=variables, n_obj=2, n_ieq_constr=1)

    def _evaluate(self, x, out, *args, **kwargs):
        extra = {"a": 0.0, "b": 1.0, "c": 2.0}[x["kind"]] + 2.0 * x["on"] + 0.1 * (x["n"] - 4) ** 2
        out["F"] = [x["x"] ** 2 + extra, (x["x"] - 1.0) ** 2 + extra]
        out["G"] = [0.3 - x["x"]]


class Whole(Problem):
    """Two objectives of integers."""

    def __init__(self):
        super().__init__(n_var=6, n_obj=2, xl=0, xu=20, vtype=int)

    def _evaluate(self, X, out, *args, **kwargs):
        far = ((X[:, 1:] - 7) ** 2).sum(axis=1)
        out["F"] = np.column_stack([X[:, 0] + 0.2 * far, 20 - X[:, 0] + 0.2 * far])


class Bits(Problem):
    """Two objectives of zeros and ones."""

    def __init__(self):
        super().__init__(n_var=20, n_obj=2, xl=0, xu=1, vtype=bool)
        self.costs = np.random.default_rng(0).random((2, 20)) - 0.4

    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = X.astype(float) @ self.costs.T


KINDS = {
    "real": lambda: get_problem("zdt1", n_var=8),
    "integer": Whole,
    "binary": Bits,
    "mixed": Mixed,
    "permutation": lambda: MultiObjectiveQAP.random(n_facilities=6, seed=1),
}


def run(problem, budget=60, seed=1, **parameters):
    return minimize(problem, MOELA(**parameters), ("n_eval", budget), seed=seed)


def test_first_designs_and_subproblems_follow_the_budget():
    real, with_moves = KINDS["real"](), KINDS["permutation"]()
    for number in (n_first, n_weights):
        budgets = (20, 60, 100, 1000, 1001, None)
        assert [number(budget, 50, real) for budget in budgets] == [10, 10, 20, 20, 50, 50]
        assert number(100, 8, real) == 8
    budgets = (20, 100, 500, 501, None)
    assert [n_first(budget, 50, with_moves) for budget in budgets] == [10, 20, 20, 50, 50]
    budgets = (20, 100, 150, 151, None)
    assert [n_weights(budget, 50, with_moves) for budget in budgets] == [10, 20, 20, 50, 50]
    algorithm = run(real, 20).algorithm
    assert algorithm.log["initial"]["n_eval"] == 10
    assert len(algorithm.evolution.subproblems) == 10
    algorithm = MOELA._tuned(n_subproblems=30, fewer_if_few=False)
    algorithm = minimize(real, algorithm, ("n_eval", 40), seed=1).algorithm
    assert algorithm.log["initial"]["n_eval"] == 30
    assert len(algorithm.evolution.subproblems) == 30


@pytest.mark.parametrize(("budget", "n_initial"), [(160, 20), (600, 50)])
def test_of_several_hundred_evaluations_it_chooses_the_first_hundred(budget, n_initial):
    algorithm = MOELA()
    # Of six facilities, searches may find no new neighbor.
    problem = MultiObjectiveQAP.random(n_facilities=10, seed=1)
    algorithm.setup(problem, termination=("n_eval", budget), seed=1)
    n_eval, last, others = 0, 0, set()
    while algorithm.has_next() and n_eval < 160:
        pop = algorithm.ask()
        parts = set(origins(pop, "part"))
        if "initial" in parts:
            assert len(pop) == n_initial
        elif algorithm.infill_few is not None:
            assert parts == {"evolution"}
            last = n_eval + len(pop)
        else:
            others |= parts
        used = algorithm.infill_few is not None
        algorithm.evaluator.eval(algorithm.problem, pop)
        algorithm.tell(infills=pop)
        n_eval += len(pop)
        if used and algorithm.infill_few is None:
            # Evolution goes on from different designs.
            assert len({id(member) for member in algorithm.evolution.subproblems.pop}) == 50
    assert 100 <= last < 104
    assert "search" in others


def last_chosen(problem, budget):
    """Return how many evaluations a run has made when the infill has chosen its last design."""
    algorithm = MOELA()
    algorithm.setup(problem, termination=("n_eval", budget), seed=1)
    chosen = 0
    while algorithm.has_next():
        used = algorithm.infill_few is not None
        algorithm.next()
        chosen = algorithm.evaluator.n_eval if used else chosen
    return chosen


class Shut(Mixed):
    """As `Mixed`, and feasible from an evaluation on only."""

    n_shut = 10**9

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        self.n_seen = getattr(self, "n_seen", 0) + 1
        out["G"] = [1.0 + x["x"] ** 2 if self.n_seen <= self.n_shut else -1.0]


@pytest.mark.parametrize(
    ("n_shut", "budget", "last"), [(10**9, 160, 60), (59, 160, 100), (10**9, 120, 120)]
)
def test_while_none_is_feasible_it_chooses_fewer(n_shut, budget, last):
    problem = Shut()
    problem.n_shut = n_shut
    assert last <= last_chosen(problem, budget) < last + 4


class Rugged(Mixed):
    """As `Mixed`, with objectives that no model can predict."""

    def _evaluate(self, x, out, *args, **kwargs):
        digest = zlib.crc32(repr([float(x["x"]), int(x["n"]), bool(x["on"]), x["kind"]]).encode())
        out["F"], out["G"] = [digest % 65_521, digest // 65_521], [-1.0]


@pytest.mark.parametrize(("budget", "last"), [(150, 148), (160, 60)])
def test_of_many_evaluations_it_chooses_fewer_if_it_predicts_badly(budget, last):
    assert last <= last_chosen(Rugged(), budget) < last + 4


def test_on_real_variables_it_chooses_more():
    assert 200 <= last_chosen(get_problem("zdt1", n_var=3), 220) < 204


def test_of_more_than_a_thousand_evaluations_it_chooses_none():
    for budget in (1000, 1001):
        algorithm = MOELA()
        algorithm.setup(KINDS["real"](), termination=("n_eval", budget), seed=1)
        algorithm.ask()
        assert (algorithm.infill_few is not None) == (budget == 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_more_than_evolution_or_as_much(kind):
    problem = KINDS[kind]()
    # Measured: 1.95 to 2.8 times. On permutations it was 0.96 to 1.14 times, by the number of
    # seeds, so there it only must not lose much.
    least = 0.9 if kind == "permutation" else 1.4
    both = []
    for models in ("auto", Models(surrogate_size=0)):
        results = [run(problem, 40, seed=seed, models=models) for seed in range(1, 5)]
        assert all(result.algorithm.n_eval == 40 for result in results)
        both.append([result.F for result in results])
    ref = np.max([F.max(axis=0) for runs in both for F in runs], axis=0)
    ours, plain = (np.mean([hypervolume(F, ref) for F in runs]) for runs in both)
    assert ours > least * plain


def test_designs_are_new_and_inside():
    for kind in ("mixed", "integer"):
        algorithm = MOELA()
        problem = KINDS[kind]()
        algorithm.setup(problem, termination=("n_eval", 30), seed=1)
        seen = set()
        while algorithm.has_next():
            pop = algorithm.ask()
            for ind in pop:
                x = ind.X
                values = tuple(x.values()) if isinstance(x, dict) else tuple(x.tolist())
                assert values not in seen
                seen.add(values)
                if isinstance(x, dict):
                    assert -2.0 <= x["x"] <= 2.0
                    assert x["n"] in range(10)
                    assert x["kind"] in ("a", "b", "c")
                else:
                    assert x.dtype.kind == "i"
                    assert (x >= 0).all()
                    assert (x <= 20).all()
            algorithm.evaluator.eval(problem, pop)
            algorithm.tell(infills=pop)
        assert len(seen) == 30


def test_designs_that_wait_for_an_answer_count():
    problem = KINDS["real"]()
    algorithm = MOELA(batch_size=1)
    algorithm.setup(problem, termination=("n_eval", 60), seed=1)
    pop = algorithm.ask()
    algorithm.evaluator.eval(problem, pop)
    algorithm.tell(infills=pop)
    asked = [algorithm.ask()[0].X for _ in range(6)]
    gaps = [np.abs(a - b).max() for i, a in enumerate(asked) for b in asked[:i]]
    assert min(gaps) > 1e-3
    assert len(algorithm.infill_few._waiting) == 6


def test_failed_and_huge_values_do_not_stop_it():
    class Odd(Problem):
        def __init__(self):
            super().__init__(n_var=4, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)

        def _evaluate(self, X, out, *args, **kwargs):
            far = X[:, 0] > 0.7
            F = np.column_stack([X[:, 0], 1.0 - X[:, 0] + X[:, 1:].sum(axis=1)])
            F[far] *= 1e200
            F[X[:, 1] > 0.9] = np.inf
            out["F"], out["G"] = F, np.where(far, 1e290, X[:, [2]].ravel() - 0.8)

    result = run(Odd(), 50)
    assert result.algorithm.n_eval == 50
    assert (result.F < 10.0).all()


def test_who_switches_it_off():
    problem = KINDS["real"]()
    for parameters in ({"models": None}, {"shares": {"search": 1.0}}):
        algorithm = run(problem, 24, **parameters).algorithm
        assert algorithm.infill_few is None
    assert run(problem, 24).algorithm.log["screening"]["n_eval"] >= 10


def test_given_designs_are_where_it_begins():
    problem = KINDS["real"]()
    given = np.random.default_rng(0).random((15, 8))
    algorithm = run(problem, 30, sampling=given).algorithm
    assert algorithm.log["initial"]["n_eval"] == 15
    assert algorithm.infill_few.n_rows == 30


def test_batches_have_the_size_that_is_asked_for():
    algorithm = MOELA(batch_size=7)
    problem = KINDS["real"]()
    algorithm.setup(problem, termination=("n_eval", 40), seed=1)
    sizes = []
    while algorithm.has_next():
        pop = algorithm.ask()
        sizes.append(len(pop))
        assert set(origins(pop, "part")) <= {"initial", "evolution"}
        algorithm.evaluator.eval(problem, pop)
        algorithm.tell(infills=pop)
    assert set(sizes[1:-1]) == {7}


class Fails(ElementwiseProblem):
    """Two objectives of real variables, whose evaluation fails where they would be best."""

    def __init__(self):
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        if x[1] + x[2] < 0.5:
            raise RuntimeError("solver diverged")
        g = 1.0 + 9.0 * x[1:].mean()
        out["F"] = [x[0], g * (1.0 - np.sqrt(x[0] / g))]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_failures_are_learned(n_jobs):
    evaluator = Evaluator(on_error="infeasible", n_jobs=n_jobs, backend="threads", progress=False)
    res = minimize(Fails(), MOELA(), ("n_eval", 100), seed=1, evaluator=evaluator)
    # Without a model of the failures, 75 fail.
    assert 5 < evaluator.n_failed < 50
    assert (res.X[:, 1] + res.X[:, 2] >= 0.5).all()
    assert (res.X[:, 1] + res.X[:, 2]).min() < 0.6


def test_failures_do_not_wait_for_answers():
    algorithm = MOELA()
    evaluator = Evaluator(on_error="infeasible", progress=False)
    minimize(Fails(), algorithm, ("n_eval", 58), seed=1, evaluator=evaluator, copy_algorithm=False)
    assert evaluator.n_failed > 0
    assert algorithm.infill_few._waiting == {}


@pytest.mark.parametrize(
    ("n_eval", "batch_size", "largest"),
    [(40, 1000, 30), (40, 6, 6), (400, 1000, 100), (40, None, 4)],
)
def test_gaussian_processes_choose_no_designs_only_to_drop_them(
    n_eval, batch_size, largest, monkeypatch
):
    def spy(infill, size, front):
        asked.append(size)
        return propose(infill, size, front)

    asked, propose = [], Infill.propose
    monkeypatch.setattr(Infill, "propose", spy)
    run(get_problem("zdt1", n_var=3), n_eval, n_subproblems=10, batch_size=batch_size)
    assert max(asked) == largest
