"""The order of answers changes no front.

What is promised: a front is the set of non-dominated designs among all that were told, whatever
their order, the parts they came in, and how often they were told. `Front` and `compare` do not
depend on an order either. An asynchronous run may ask for other designs if answers arrive in
another order, and so may a run by ask and tell. But its front is that of everything evaluated, and
the same call repeats a stored order to the bit.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import moela
from tests.laws import cases
from tests.laws.cases import ALGORITHMS, OURS, VARIABLES, examples

# Few values, so that ties and repeats are frequent.
points = st.integers(2, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(-3, 3)] * m), min_size=1, max_size=40)
)


def non_dominated(F):
    return {
        f
        for f in F
        if not any(g != f and all(a <= b for a, b in zip(g, f, strict=True)) for g in F)
    }


def as_set(F):
    return {tuple(row) for row in np.asarray(F, dtype=float).tolist()}


@examples(60)
@given(points, st.randoms(use_true_random=False))
def test_front(F, random):
    shuffled = random.sample(F, len(F))
    for order in (F, shuffled):
        front = moela.Front(order, X=order)
        assert len(front) == len(as_set(front.F))
        assert as_set(front.F) == as_set(front.X) == non_dominated(F)


@examples(10)
@given(st.lists(points.filter(lambda F: len(F[0]) == 2), min_size=2, max_size=2), st.randoms())
def test_compare(fronts, random):
    def table(order):
        named = {
            name: np.array(order(F), dtype=float) for name, F in zip("ab", fronts, strict=True)
        }
        return moela.compare(named, ref_point=[4.0, 4.0]).to_frame()

    assert table(list).equals(table(lambda F: random.sample(F, len(F))))


@examples(14)
@given(cases.kinds, st.sampled_from(sorted(OURS)), cases.seeds, st.randoms(use_true_random=False))
def test_ask_and_tell(kind, name, seed, random):
    problem = moela.problem(
        cases.goals,
        variables=VARIABLES[kind],
        objectives={"small": "min", "near": "max"},
        constraints=cases.LIMIT,
    )
    algorithm, told = ALGORITHMS[name](), []
    algorithm.setup(problem, termination=("n_eval", 40), seed=seed % 1000)
    while algorithm.has_next():
        batch = list(algorithm.ask())
        for individual in batch:
            problem.record(individual, cases.goals(problem.decode(individual.X)))
        random.shuffle(batch)
        cut = random.randint(0, len(batch))
        for part in (batch[:cut], batch[cut:]):
            for _ in range(random.choice([1, 2]) if part else 0):
                algorithm.tell(part)
        told += batch
    feasible = {tuple(ind.F) for ind in told if ind.CV[0] <= 0}
    F = algorithm.result().F
    assert (set() if F is None else as_set(F)) == non_dominated(feasible)
    assert len(told) == algorithm.n_eval == 40 or len(told) == len({str(i.X) for i in told})


def uneven(design):
    """Take a time that depends on nothing else."""
    time.sleep(0.0005 * random.Random().expovariate(1.0))
    return cases.goals(design)


@examples(6)
@given(st.sampled_from(["MOELA", "NSGA2", "MOOS"]), cases.kinds, cases.seeds, st.integers(2, 4))
def test_asynchronous_answers(name, kind, seed, n_jobs):
    settings = {"asynchronous": True, "n_jobs": n_jobs, "backend": "threads"}
    with TemporaryDirectory() as folder:
        settings["store"] = Path(folder, "run.db")
        first = cases.minimized(uneven, kind, name, seed, 40, **settings)
        again = cases.minimized(uneven, kind, name, seed, 40, **settings)
    assert cases.rows(first) == cases.rows(again)
    assert cases.front_rows(first) == cases.front_rows(again)
    assert again.algorithm.evaluator.n_fresh == 0
    front = {(c.objectives["small"], -c.objectives["near"]) for c in first.front}
    assert front == non_dominated({tuple(f) for _, f, _, _ in cases.rows(first)})
