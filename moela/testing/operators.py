"""Checks of problems: operators and neighbors are legal, and draw from their generator."""

from __future__ import annotations

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from moela._arrays import Design, Designs
from moela.core.operators import check_spelling, neighbors_of, resolve
from moela.testing.drive import (
    designs_unchanged,
    global_state_of,
    global_state_unchanged,
    key,
)
from moela.testing.legal import assert_legal
from moela.testing.sampled import N_DESIGNS, designs_of, sample

MANY = 300  # neighbors, as many as a search with learned models may ask for


def check_operators_are_legal(problem: Problem) -> None:
    """Check that sampling, crossover, mutation and repair return legal designs only."""
    rng = np.random.default_rng(3)
    for n in (1, 4 * N_DESIGNS):
        pop = sample(problem, n, rng)
        assert len(pop) == n, f"sampling must give the {n} designs asked for. Got {len(pop)}."
        assert_legal(problem, pop.get("X"), "sampling")
    for generation in range(4):
        pop = _children(problem, pop, rng)
        what = f"crossover and mutation, generation {generation + 1},"
        assert_legal(problem, pop.get("X"), what)


def check_operators_leave_parents(problem: Problem) -> None:
    """Check that making children does not change their parents."""
    rng = np.random.default_rng(4)
    pop = sample(problem, N_DESIGNS, rng)
    before = [key(ind.X) for ind in pop]
    _children(problem, pop, rng)
    assert [key(ind.X) for ind in pop] == before, "crossover and mutation must not change parents."


def check_operators_randomness(problem: Problem) -> None:
    """Check that operators draw only from the `random_state` that they are given."""

    def everything(seed: int) -> tuple[list[str], list[str]]:
        rng = np.random.default_rng(seed)
        pop = sample(problem, N_DESIGNS, rng)
        sampled = [key(x) for x in pop.get("X")]
        children = _children(problem, pop, rng)
        near = neighbors_of(problem, resolve(problem), pop.get("X"), 2, rng)
        flat = near.reshape(-1, *near.shape[2:])
        return sampled, [key(x) for x in (*children.get("X"), *flat)]

    runs = []
    for state in (986, 987):
        with global_state_of(state), global_state_unchanged("Operators"):
            runs.append(everything(7))
    assert runs[0] == runs[1], (
        "Operators must give the same designs for the same random_state. They differ; something "
        "draws from a global random state, or keeps a state of its own."
    )
    others = everything(8)
    for name, one, other in zip(("sampling", "moves"), runs[0], others, strict=True):
        assert one != other, (
            f"Operators must give other designs for another random_state. Those of {name} are the "
            "same."
        )


def check_neighbors(problem: Problem) -> None:
    """Check that `neighbors(x, k, random_state)` gives k legal designs that differ from x."""
    check_spelling(problem)
    if not hasattr(problem, "neighbors"):
        return
    X = designs_of(problem)
    earlier: Designs | None = None
    listed: list[str] = []
    for i, x in enumerate(X[:5]):
        before = key(x)
        for k in (6, MANY) if i == 0 else (6,):
            near = _near(problem, x, k, X.shape[1:])
            assert key(x) == before, "neighbors() must not change x."
            assert_legal(problem, near, "neighbors()")
            same = [j for j, other in enumerate(near) if key(other) == before]
            assert not same, f"neighbors() must differ from x. Number {same[0]} is x itself."
            assert earlier is None or [key(other) for other in earlier] == listed, (
                "neighbors() must return arrays of its own. Those of an earlier call have changed."
            )
            earlier, listed = near, [key(other) for other in near]
            again = [key(other) for other in _near(problem, x, k, X.shape[1:])]
            assert listed == again, "neighbors() must repeat for the same random_state."


def _near(problem: Problem, x: Design, k: int, shape: tuple[int, ...]) -> Designs:
    near = problem.neighbors(x, k, np.random.default_rng(1))
    assert near is not None, "neighbors(x, k, random_state) must return k designs. Got None."
    assert len(near) == k, (
        f"neighbors(x, k, random_state) must return k designs. Got {len(near)} for k = {k}; repeat "
        "some if there are fewer."
    )
    near = np.asarray(near)
    expected = (k, *shape)
    assert near.shape == expected, (
        f"neighbors(x, {k}) must have shape {expected}. Got {near.shape} instead."
    )
    return near


def check_neighbors_many(problem: Problem) -> None:
    """Check that `neighbors_many(X, k, random_state)` gives k legal neighbors of each row."""
    if not hasattr(problem, "neighbors_many"):
        return
    designs = designs_of(problem)
    for X, k in ((designs, 3), (designs[:2], MANY)):
        with designs_unchanged(X, "neighbors_many()"):
            near = np.asarray(problem.neighbors_many(X, k, np.random.default_rng(1)))
        expected = (len(X), k, *X.shape[1:])
        assert near.shape == expected, (
            f"neighbors_many(X, {k}) must have shape {expected}. Got {near.shape} instead; repeat "
            "some neighbors if there are fewer."
        )
        flat = near.reshape(-1, *X.shape[1:])
        assert_legal(problem, flat, "neighbors_many()")
        for i, (x, group) in enumerate(zip(X, near, strict=True)):
            same = key(x) in [key(other) for other in group]
            assert not same, f"neighbors_many() must differ from X. Row {i} does not."
        again = problem.neighbors_many(X, k, np.random.default_rng(1))
        again = np.asarray(again).reshape(flat.shape)
        assert [key(x) for x in flat] == [key(x) for x in again], (
            "neighbors_many() must repeat for the same random_state."
        )


def check_nsga2(problem: Problem) -> None:
    """Check that `NSGA2(**problem.operators())` runs."""
    if not hasattr(problem, "operators"):
        return
    # pymoo compares designs for duplicates as numbers, which objects are not.
    numbers = designs_of(problem).dtype != object
    algorithm = NSGA2(pop_size=10, eliminate_duplicates=numbers, **problem.operators())
    res = minimize(problem, algorithm, ("n_eval", 60), seed=1)
    assert len(res.pop) > 0, "NSGA2(**problem.operators()) must run."
    assert_legal(problem, res.pop.get("X"), "NSGA2")


def _children(problem: Problem, pop: Population, rng: np.random.Generator) -> Population:
    operators = resolve(problem)
    parents = rng.integers(0, len(pop), (len(pop), max(operators.n_parents, 2)))
    return operators.children(problem, pop, parents, rng)
