"""Runs that begin from an earlier front, a store, or a design."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.repair import Repair
from pymoo.optimize import minimize
from pymoo.problems import get_problem

import moela
from moela import MOELA, EvaluationStore, Evaluator
from moela.core.operators import resolve
from moela.core.origin import origins
from moela.core.warm_start import first_designs
from moela.rivals import MOMAD, MOOS, BatchMOEAD
from moela.testing import (
    ToyBinary,
    ToyConstrained,
    ToyInteger,
    ToyMixed,
    ToyPermutation,
    ToyReal,
)
from problems import NoC3D


def begin(problem, sampling, budget=60, **settings):
    """Start a run; return the algorithm and the designs of its first batch."""
    algorithm = MOELA(sampling=sampling, **settings)
    algorithm.setup(problem, termination=("n_eval", budget), seed=3)
    first = algorithm.ask()
    algorithm.evaluator.eval(problem, first)
    algorithm.tell(infills=first)
    return algorithm, first


@pytest.fixture(scope="module")
def earlier():
    return minimize(get_problem("zdt1"), NSGA2(pop_size=40), ("n_eval", 800), seed=1)


@pytest.mark.parametrize(
    ("give", "n"),
    [(lambda r: r, None), (lambda r: r.opt, None), (lambda r: r.X, None), (lambda r: r.X[0], 1)],
    ids=["result", "population", "array", "one design"],
)
def test_a_run_begins_from_an_earlier_front(earlier, give, n):
    given, X = give(earlier), earlier.X[:n]
    _, first = begin(get_problem("zdt1"), given, budget=1000)
    np.testing.assert_array_equal(first.get("X")[: len(X)], X)
    assert len(first) >= 50, "what is missing must be drawn"


def test_evaluated_designs_cost_nothing_and_keep_their_objectives(earlier):
    algorithm, first = begin(get_problem("zdt1"), earlier, budget=100)
    known = int(origins(first, "already_evaluated").sum())
    assert known == len(earlier.opt)
    assert algorithm.n_eval == len(first) - known
    # The old front is in the archive, unless something drawn beside it is better.
    assert algorithm.front.F[:, 0].min() <= earlier.F[:, 0].min()


def test_a_store_is_gone_on_from_by_its_path_or_opened(tmp_path):
    path = tmp_path / "run.db"
    problem = get_problem("zdt1")
    with Evaluator(store=path) as evaluator:
        minimize(problem, NSGA2(pop_size=20), ("n_eval", 200), seed=1, evaluator=evaluator)
    with EvaluationStore(path) as store:
        front = store.front().get("X")
        _, first = begin(problem, store)
    np.testing.assert_array_equal(first.get("X")[: len(front)], front)
    for given in (path, str(path)):
        _, again = begin(problem, given)
        np.testing.assert_array_equal(again.get("X"), first.get("X"))


def test_a_design_that_the_problem_can_encode_is_a_start():
    problem = NoC3D.example(objectives=3)
    mesh = problem.decode(problem.encode(type(problem.decode(_some(problem))).mesh()))
    for given in (mesh, [mesh, mesh]):
        _, first = begin(problem, given)
        np.testing.assert_array_equal(first[0].X, problem.encode(mesh))


def _some(problem):
    sampling = problem.operators()["sampling"]
    return sampling(problem, 1, random_state=np.random.default_rng(0))[0].X


def test_dictionaries_are_designs_of_mixed_variables():
    design = {"width": 0.25, "layers": 3, "sealed": True, "metal": "tin"}
    for given in (design, [design]):
        _, first = begin(ToyMixed(), given)
        assert first[0].X == design
    names = "width, layers, sealed, metal"
    with pytest.raises(ValueError, match=rf"with the variables {names}. Got \{{'width': 1\}}"):
        begin(ToyMixed(), {"width": 1})


def test_fronts_of_minimize_hold_designs():
    problem = get_problem("zdt1", n_var=4)
    front = moela.minimize(problem, n_eval=60, seed=1, verbose=False).front
    for given in (front, front.designs):
        _, first = begin(problem, given)
        rows = [list(design.values()) for design in front.designs]
        np.testing.assert_array_equal(first.get("X")[: len(front)], rows)


@pytest.mark.parametrize("name", ["front", "designs", "X"])
def test_a_table_with_a_column_of_such_a_name_stays_a_table(name):
    pandas = pytest.importorskip("pandas")
    problem = ToyMixed()
    design = {"width": 0.25, "layers": 3, "sealed": True, "metal": "tin"}
    problem.vars = {name if v == "width" else v: kind for v, kind in problem.vars.items()}
    table = pandas.DataFrame([{name if v == "width" else v: x for v, x in design.items()}])
    assert first_designs(problem, table)[0].X[name] == 0.25


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((0, 30)), "one design at least"),
        (np.zeros((2, 7)), r"30 variables. Got shape \(7,\)"),
        ([[1.0, 2.0], [1.0]], "different lengths"),
        (42, r"30 variables. Got shape \(1,\)"),
        (object(), "must be a pymoo Sampling.* Got object"),
        (Population(), "one design at least"),
        (
            Population.create(Individual(X=np.zeros(30), F=np.zeros(3), evaluated={"F"})),
            r"2 objectives. Got F = \[0. 0. 0.\]",
        ),
    ],
)
def test_what_is_no_design_is_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        begin(get_problem("zdt1"), given)


def changed(X, j, value):
    X = np.array(X, dtype=type(value) if isinstance(value, str) else None)
    X[j] = value
    return X


@pytest.mark.parametrize("algorithm", [MOELA, MOOS])
@pytest.mark.parametrize(
    ("problem", "design", "message"),
    [
        (ToyReal(), changed(np.zeros(5), 2, -1.5), "Variable 2 of design 1 .* at least -1, its"),
        (ToyReal(), changed(np.zeros(5), 4, 2.0 + 1e-6), "Variable 4 .* at most 2, its bound"),
        (ToyReal(), changed(np.zeros(5), 0, np.inf), "Variable 0 .* at most 2.* Got .*inf"),
        (ToyReal(), changed(np.zeros(5), 1, np.nan), "Variable 1 .* a number. Got .*nan"),
        (ToyReal(), np.array(["a", "0", "0", "0", "0"]), "Variable 0 .* must be a number. Got"),
        (ToyInteger(), np.array([1.0, 2.5, 3.0, 4.0]), "Variable 1 .* an integer. Got .*2.5"),
        (ToyInteger(), np.array([1, 2, 3, 21]), "Variable 3 .* at most 20, its bound. Got .*21"),
        (ToyBinary(), np.arange(14) % 3, "Variable 2 .* at most 1, its bound"),
        (ToyPermutation(), np.array([0, 1, 2, 3, 4, 5, 6, 6]), "permutation of 0 .. 7"),
    ],
)
def test_designs_outside_are_refused_by_name(algorithm, problem, design, message):
    inside = problem_design(problem)
    for given in ([inside, design.tolist()], Population.new(X=[inside, design])):
        made = algorithm(sampling=given).setup(problem, termination=("n_eval", 60), seed=3)
        with pytest.raises(ValueError, match=message):
            made.ask()


def problem_design(problem):
    return resolve(problem).sampling(problem, 1, random_state=np.random.default_rng(0))[0].X


def test_a_permutation_is_checked_without_a_check_of_the_problem():
    class Plain(ToyPermutation):
        check = None

    with pytest.raises(ValueError, match=r"Design 0 given .* must be a permutation of 0 to 7"):
        begin(Plain(), np.zeros((1, 8), dtype=int))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"width": 4.5}, "Variable 'width' of design 0 .* at most 4, its bound. Got 4.5"),
        ({"width": float("nan")}, "'width' .* a number. Got nan"),
        ({"width": "wide"}, "'width' .* a number. Got 'wide'"),
        ({"layers": 0}, "'layers' .* at least 1, its bound. Got 0"),
        ({"layers": 2.5}, "'layers' .* an integer. Got 2.5"),
        ({"sealed": 2}, "'sealed' .* 0 or 1, False or True. Got 2"),
        ({"metal": "gold"}, "'metal' .* one of 'copper', 'tin', 'zinc'. Got 'gold'"),
    ],
)
def test_mixed_values_outside_are_refused_by_name(value, message):
    design = {"width": 0.25, "layers": 3, "sealed": True, "metal": "tin"}
    with pytest.raises(ValueError, match=message):
        begin(ToyMixed(), {**design, **value})


def test_what_rounding_puts_outside_is_put_back():
    problem = ToyReal()  # bounds -1 and 2
    X = np.array([[-1.0 - 1e-10, 2.0 + 1e-10, 0.0, 1.0, 2.0]])
    _, first = begin(problem, X)
    np.testing.assert_array_equal(first[0].X, [-1.0, 2.0, 0.0, 1.0, 2.0])
    evaluated = PymooEvaluator().eval(problem, Population.new(X=X))
    algorithm, first = begin(problem, evaluated)
    np.testing.assert_array_equal(first[0].X, [-1.0, 2.0, 0.0, 1.0, 2.0])
    np.testing.assert_array_equal(first[0].F, problem.evaluate(first[0].X))
    assert algorithm.n_eval == len(first), "it is another design, so it is evaluated"
    mixed = {"width": 4.0 + 1e-10, "layers": 3.0, "sealed": 1, "metal": "tin"}
    _, first = begin(ToyMixed(), mixed)
    assert first[0].X == {"width": 4.0, "layers": 3, "sealed": True, "metal": "tin"}
    assert [type(value) for value in first[0].X.values()] == [float, int, bool, str]


@pytest.mark.parametrize("algorithm", [MOELA, MOMAD, MOOS, BatchMOEAD])
def test_whole_numbers_given_as_floats_leave_all_designs_integers(algorithm):
    class Watched(ToyInteger):
        def _evaluate(self, X, out, *args, **kwargs):
            types.add(X.dtype)
            super()._evaluate(X, out, *args, **kwargs)

    given = np.random.default_rng(0).integers(0, 4, (5, 4))
    fronts = []
    for X in (given, given.astype(float), given.astype(np.float32)):
        types = set()
        run = minimize(Watched(), algorithm(sampling=X), ("n_eval", 80), seed=1)
        assert types == {np.dtype(int)}
        fronts.append(run.F)
    for F in fronts[1:]:
        np.testing.assert_array_equal(F, fronts[0])


@pytest.mark.parametrize("form", ["array", "frame"])
@pytest.mark.parametrize("algorithm", [MOELA, MOOS])
def test_permutations_given_as_floats_index_arrays(algorithm, form):
    class Order(ElementwiseProblem):  # nothing but its integers tells of permutations
        def __init__(self):
            super().__init__(n_var=6, n_obj=2, xl=0, xu=5, vtype=int)

        def _evaluate(self, x, out, *args, **kwargs):
            place = np.arange(6)[x]
            out["F"] = [place @ np.arange(6), np.abs(np.diff(place)).sum()]

    orders = np.array([np.random.default_rng(i).permutation(6) for i in range(5)])
    given = orders.astype(float)
    if form == "frame":
        given = pytest.importorskip("pandas").DataFrame(given)
    runs = [
        minimize(Order(), algorithm(sampling=X), ("n_eval", 60), seed=1) for X in (orders, given)
    ]
    np.testing.assert_array_equal(runs[0].X, runs[1].X)
    assert runs[1].X.dtype == int


def test_a_repair_may_bring_designs_inside():
    class ToBounds(Repair):
        def _do(self, problem, X, **kwargs):
            return np.clip(X, problem.xl, problem.xu)

    _, first = begin(ToyReal(), np.full((1, 5), 9.0), repair=ToBounds())
    np.testing.assert_array_equal(first[0].X, np.full(5, 2.0))


@pytest.mark.parametrize("how", ["front", "store", "result", "evaluated"])
def test_evaluated_designs_outside_the_bounds_of_this_problem_are_refused(how, tmp_path):
    wide, narrow = ToyReal(), ToyReal()
    narrow.xu = np.full(5, 0.5)
    evaluator = Evaluator(store=tmp_path / "run.db", progress=False)
    result = minimize(wide, NSGA2(pop_size=20), ("n_eval", 100), seed=1, evaluator=evaluator)
    with EvaluationStore(tmp_path / "run.db") as store:
        given = {
            "front": store.front(),
            "store": tmp_path / "run.db",
            "result": result,
            "evaluated": result.pop,
        }[how]
        with pytest.raises(ValueError, match=r"given as 'sampling' must be at most 0.5, its bound"):
            begin(narrow, given)


def test_an_evaluated_design_needs_its_constraints():
    given = Individual(X=np.ones(2), F=np.zeros(2), evaluated={"F"})
    with pytest.raises(ValueError, match=r"2 inequality constraints. Got G = \[\]"):
        begin(ToyConstrained(), Population.create(given))


def test_data_frames_are_designs(tmp_path):
    pandas = pytest.importorskip("pandas")
    design = {"width": 0.25, "layers": 3, "sealed": True, "metal": "tin"}
    table = pandas.DataFrame([design, {**design, "layers": 4}]).assign(price=1.0)
    for given in (table, table.iloc[0]):
        _, first = begin(ToyMixed(), given)
        assert first[0].X == design
    with pytest.raises(ValueError, match=r"a column for each variable. It has none for layers"):
        begin(ToyMixed(), table.drop(columns="layers"))
    X = np.random.default_rng(0).random((3, 5))
    frames = [pandas.DataFrame(X), pandas.DataFrame(X, columns=[f"x{j}" for j in range(5)])]
    frames.append(frames[1].assign(f0=1.0))
    for given in frames:
        _, first = begin(ToyReal(), given)
        np.testing.assert_array_equal(np.stack(first[:3].get("X")), X)
    with pytest.raises(ValueError, match=r"columns x0 to x4, .* Got the columns a, b, c, d, e;"):
        begin(ToyReal(), pandas.DataFrame(X, columns=list("abcde")))


class Nowhere(ElementwiseProblem):
    """No design is feasible; the nearest are those with x0 = 0."""

    def __init__(self):
        super().__init__(n_var=2, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"], out["G"] = [x[1], 1 - x[1]], [0.5 + x[0]]


def test_where_nothing_is_feasible_the_run_says_so_and_keeps_the_nearest(caplog):
    with caplog.at_level(logging.WARNING, "moela"):
        result = minimize(Nowhere(), MOELA(n_subproblems=10), ("n_eval", 300), seed=1)
    assert result.F is None
    assert "no feasible design after 300 evaluations" in result.status
    assert "no feasible design" in caplog.text
    assert (result.pop.get("CV") == result.pop.get("CV").min()).all()
    kept = MOELA(n_subproblems=10, return_least_infeasible=True)
    again = minimize(Nowhere(), kept, ("n_eval", 300), seed=1)
    np.testing.assert_array_equal(again.F, result.pop.get("F"))


def test_a_feasible_run_says_how_much_it_found(earlier):
    result = minimize(get_problem("dtlz2"), MOELA(), ("n_eval", 100), seed=1)
    assert result.status == f"{len(result.F)} non-dominated designs after 100 evaluations"
