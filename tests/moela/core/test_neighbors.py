from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling

import moela
from moela.core.operators import neighbors_of, resolve
from moela.testing import ToyBinary, ToyInteger, ToyMixed, ToyReal, toy_problems


def neighbors(problem, n=6, k=40, step=0.1, seed=0, **options):
    rng = np.random.default_rng(seed)
    operators = resolve(problem)
    X = operators.sampling(problem, n, random_state=rng).get("X")
    return X, neighbors_of(problem, operators, X, k, rng, step, **options)


@pytest.mark.parametrize("problem", toy_problems(), ids=lambda p: type(p).__name__)
def test_shape_and_origin(problem):
    before, near = neighbors(problem)
    again, same = neighbors(problem)
    assert near.shape == (6, 40, *before.shape[1:])
    assert repr(near.tolist()) == repr(same.tolist())
    assert repr(before.tolist()) == repr(again.tolist()), "the designs themselves were changed"


def test_real_moves_stay_inside_and_follow_the_step():
    problem = ToyReal()
    spans = []
    for step in (0.001, 0.1):
        X, near = neighbors(problem, k=400, step=step)
        assert (near >= problem.xl).all()
        assert (near <= problem.xu).all()
        moved = near != X[:, None]
        assert moved.any(axis=2).all(), "a neighbor differs in at least one variable"
        # Measured: 1.8 of 5 variables; one always, the others with probability 1/5.
        assert 1.0 <= moved.sum(axis=2).mean() < 2.5
        spans.append(np.abs(near - X[:, None])[moved].mean())
    # Measured: 93. Without bounds, 100 is expected.
    assert 50 < spans[1] / spans[0] < 200


def test_each_design_has_a_step_of_its_own():
    problem = ToyReal()
    X, near = neighbors(problem, k=200, step=np.array([1e-4] * 3 + [0.3] * 3))
    size = np.abs(near - X[:, None]).max(axis=(1, 2))
    # Measured: the longest moves are about 0.001 with steps of 1e-4, and 2.5 with steps of 0.3.
    assert (size[:3] < 0.01).all()
    assert (size[3:] > 0.1).all()


def test_a_real_design_on_its_bound_is_not_proposed_to_itself():
    problem, rng = ToyReal(), np.random.default_rng(0)
    X = np.full((1, 5), -1.0)
    near = neighbors_of(problem, resolve(problem), X, 100, rng)
    assert (near != X[:, None]).any(axis=2).all()


def test_binary_moves_flip_few_bits():
    X, near = neighbors(ToyBinary(), n=50)
    flips = (near != X[:, None]).sum(axis=2)
    assert flips.min() == 1
    # Measured: 1.9; one bit always flips, each of the others with probability 1/n.
    assert 1.0 < flips.mean() < 2.5


class Cover(Problem):
    """Bits with a constraint; `moves` are the operators that it chooses itself, if any."""

    def __init__(self, moves=None):
        super().__init__(n_var=14, n_obj=2, n_ieq_constr=1, xl=0, xu=1, vtype=bool)
        if moves is not None:
            self.operators = lambda: moves


BITS = {"sampling": BinaryRandomSampling(), "crossover": UX(), "mutation": BitflipMutation()}


@pytest.mark.parametrize("moves", [None, BITS], ids=["typed", "own"])
def test_half_of_the_moves_of_bits_under_constraints_are_exchanges(moves):
    X, near = neighbors(Cover(moves), n=50, exchange=True)
    changed = near != X[:, None]
    exchanged = (changed.sum(axis=2) == 2) & (near.sum(axis=2) == X.sum(axis=1)[:, None])
    assert changed.any(axis=2).all()
    # Measured: 0.60 with a constraint, 0.20 without.
    assert 0.5 < exchanged.mean() < 0.7


def test_bits_that_are_all_alike_are_flipped():
    problem, rng = Cover(), np.random.default_rng(0)
    X = np.array([[False] * 14, [True] * 14])
    near = neighbors_of(problem, resolve(problem), X, 50, rng, exchange=True)
    assert (near != X[:, None]).any(axis=2).all()
    assert near.dtype == bool


def test_a_mutation_with_its_own_rate_makes_the_moves():
    X, near = neighbors(
        Cover({**BITS, "mutation": BitflipMutation(prob_var=0.5)}), n=50, exchange=True
    )
    # Measured: 7.0 of 14 bits.
    assert (near != X[:, None]).sum(axis=2).mean() > 6.0


def test_the_problems_own_neighbors_come_first():
    problem = ToyReal()
    X = np.zeros((3, 5))
    problem.neighbors = lambda x, k, random_state: np.full((k, 5), 0.5)
    near = neighbors_of(problem, resolve(problem), X, 2, np.random.default_rng(0))
    assert near.shape == (3, 2, 5)
    assert (near == 0.5).all()
    problem.neighbors_many = lambda X, k, random_state: np.full((len(X), k, 5), 1.5)
    near = neighbors_of(problem, resolve(problem), X, 2, np.random.default_rng(0))
    assert (near == 1.5).all()


def own_neighbors(problem, moves, k=3):
    """Return k neighbors of each of two sampled designs by a problem's own `neighbors`."""
    problem.neighbors = lambda x, k, random_state: moves(np.repeat(np.array([x]), k, axis=0))
    rng = np.random.default_rng(0)
    operators = resolve(problem)
    X = operators.sampling(problem, 2, random_state=rng).get("X")
    return neighbors_of(problem, operators, X, k, rng)


def changed(row, column, value):
    def moves(near):
        near[row, column] = value
        return near

    return moves


def with_value(row, name, value):
    def moves(near):
        near[row] = {**near[row], name: value}
        return near

    return moves


@pytest.mark.parametrize(
    ("problem", "moves", "message"),
    [
        (ToyReal(), changed(2, 3, 2.5), "3 of neighbor 2 .* at most 2, its bound. Got .*2.5"),
        (ToyReal(), changed(1, 0, -1.5), "0 of neighbor 1 .* at least -1, its bound. Got .*-1.5"),
        (ToyReal(), changed(0, 4, np.nan), "4 of neighbor 0 .* a number. Got .*nan"),
        (ToyInteger(), changed(1, 2, 21), "2 of neighbor 1 .* at most 20, its bound. Got .*21"),
        (ToyInteger(), lambda near: near + 0.5, "0 of neighbor 0 .* an integer. Got .*.5"),
        (ToyBinary(), lambda near: near + 2, "0 of neighbor 0 .* at most 1"),
        (ToyMixed(), with_value(2, "width", 4.5), "'width' of neighbor 2 .* at most 4"),
        (ToyMixed(), with_value(2, "metal", "gold"), "'metal' of neighbor 2 .* one of 'copper'"),
        (ToyMixed(), with_value(0, "sealed", 2), "'sealed' of neighbor 0 .* 0 or 1"),
        (ToyMixed(), with_value(0, "layers", 1.5), "'layers' of neighbor 0 .* an integer"),
        (ToyReal(), lambda near: near * 1j, "must return real numbers.* Got .*j"),
        (ToyReal(), lambda near: near.astype(str), "must return real numbers"),
    ],
)
def test_neighbors_out_of_bounds_are_refused_by_name(problem, moves, message):
    with pytest.raises(ValueError, match=message) as caught:
        own_neighbors(problem, moves)
    assert f"{type(problem).__name__}.neighbors()" in str(caught.value)


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        (lambda near: near[:2], "return k = 3 designs. Got 2 instead; repeat some"),
        (lambda near: near[0], r"shape \(3, 5\): k neighbors .* Got shape \(5,\)"),
        (lambda near: [[1.0], [1.0, 2.0]], "rows of different lengths"),
    ],
)
def test_too_few_neighbors_and_other_shapes_are_refused(moves, message):
    with pytest.raises(ValueError, match=rf"ToyReal.neighbors\(\) must .*{message}"):
        own_neighbors(ToyReal(), moves)


def test_too_few_neighbors_of_many_designs_are_refused():
    problem = ToyReal()
    problem.neighbors_many = lambda X, k, random_state: X[:, None]
    with pytest.raises(ValueError, match=r"neighbors_many\(\) must return k = 2 designs. Got 1 "):
        neighbors_of(problem, resolve(problem), np.zeros((3, 5)), 2, np.random.default_rng(0))


def test_neighbors_on_a_bound_or_off_it_by_rounding_stay_as_they_are():
    near = own_neighbors(ToyReal(), changed(1, 0, 2.0 + 1e-12))
    assert near[0, 1, 0] == 2.0 + 1e-12
    problem = ToyReal()
    problem.xl, problem.xu = np.full(5, -1.0), np.array([2.0, 3.0, 3.0, 3.0, 2.0])
    assert own_neighbors(problem, changed(1, 2, 3.0))[0, 1, 2] == 3.0


@pytest.mark.parametrize("old", ["neighbours", "neighbours_many"])
def test_the_old_spelling_is_refused_by_name(old):
    problem = ToyReal()
    setattr(problem, old, lambda *arguments: None)
    with pytest.raises(TypeError, match=f"'{old}'.* Rename it to 'neighbors"):
        resolve(problem)


def test_moves_of_labels_and_whole_numbers_differ():
    problem = moela.problem(
        lambda d: (d["n"], d["kind"]),
        variables={"n": (0, 3), "kind": moela.choice([0, 1, 2], ordered=False), "on": bool},
        objectives=["a", "b"],
    )
    operators = resolve(problem)
    rng = np.random.default_rng(1)
    x = problem.encode({"n": 0, "kind": 1, "on": True})
    moved = neighbors_of(problem, operators, x[None], 500, rng)[0]
    assert (moved != x).any(axis=1).all()
    designs = [problem.decode(row) for row in moved]
    kinds = [d["kind"] for d in designs if d["kind"] != 1]
    # Labels have no order: both others are equally likely.
    assert 0.4 < np.mean(np.array(kinds) == 0) < 0.6
    assert {d["n"] for d in designs} >= {0, 1}
    assert {d["on"] for d in designs} == {False, True}


@pytest.mark.parametrize(("n_eval", "expected"), [(1000, False), (1001, True), (None, True)])
def test_long_runs_exchange_bits(n_eval, expected):
    algorithm = moela.MOELA()
    termination = ("n_gen", 5) if n_eval is None else ("n_eval", n_eval)
    algorithm.setup(Cover(), termination=termination, seed=1)
    algorithm.ask()
    assert algorithm.context.exchange is expected
