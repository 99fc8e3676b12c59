"""No operator makes an illegal design, and designs that tie, tie exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.core.population import Population

import moela
from tests.conformance.test_problems import PROBLEMS, made
from tests.laws import cases
from tests.laws.cases import examples

OWN = [name for name in PROBLEMS if not name.startswith(("Toy", "ZDT", "DTLZ", "MW"))]
WITH_OPERATORS = [name for name in OWN if not name.startswith("spring")]


@st.composite
def reals(draw):
    low = draw(st.floats(-1e6, 1e6))
    high = low + draw(st.floats(1e-6, 1e9))
    return moela.real(low, max(high, math.nextafter(low, math.inf)))


@st.composite
def logs(draw):
    low = draw(st.floats(1e-12, 1e6))
    return moela.real(low, low * draw(st.floats(1.001, 1e9)), log=True)


@st.composite
def integers(draw):
    low = draw(st.integers(-(10**6), 10**6))
    return moela.integer(low, low + draw(st.integers(1, 10**9)))


orders = st.integers(2, 9).map(moela.permutation)
SIMPLE = {"real": reals(), "log": logs(), "integer": integers(), "order": orders}


@st.composite
def spaces(draw):
    """Draw variables of any kinds, and for each what it must satisfy in a design."""
    variables = {"switch": ["a", "b", "c"], "flag": bool}
    for i, kind in enumerate(draw(st.lists(st.sampled_from(sorted(SIMPLE)), max_size=4))):
        variables[f"{kind} {i}"] = draw(SIMPLE[kind])
    if draw(st.booleans()):
        variables["rpm"] = moela.real(200, 6000, log=True, when={"switch": "a"})
        variables["pumps"] = moela.integer(1, 3, when={"switch": ["b", "c"]})
        variables["spare"] = moela.boolean(when={"pumps": [1, 2]})
    return variables


def check_design(design, variables):
    """Check a design by the words of docs/functions.md."""
    exists = {
        "rpm": design["switch"] == "a",
        "pumps": design["switch"] in ("b", "c"),
        "spare": design.get("pumps") in (1, 2),
    }
    assert set(design) == {name for name in variables if exists.get(name, True)}
    for name, value in design.items():
        variable = variables[name]
        if name == "switch":
            assert value in variable
        elif name in ("flag", "spare"):
            assert type(value) is bool
        elif name.startswith("order"):
            assert sorted(value) == list(range(len(value)))
            assert len(value) == len(variable.items)
        else:
            assert type(value) is (int if name.startswith(("integer", "pumps")) else float)
            assert variable.low <= value <= variable.high


@examples(20)
@given(spaces(), st.sampled_from(["MOELA", "MOOS", "NSGA2", "NSGA3"]), cases.seeds)
def test_designs_of_functions(variables, name, seed):
    def function(design):
        check_design(design, variables)
        return cases.goals(design)

    result = moela.minimize(
        function,
        variables=variables,
        objectives={"small": "min", "near": "max"},
        constraints=cases.LIMIT,
        algorithm=cases.ALGORITHMS[name](),
        n_eval=40,
        seed=seed,
        **cases.QUIET,
    )
    for found in result.front:
        check_design(found.design, variables)


def check_rows(problem, X):
    """Check bounds, whole numbers, and what the problem itself checks."""
    X = np.asarray(X)
    assert (X >= problem.xl).all()
    assert (X <= problem.xu).all()
    if problem.vtype in (int, bool):
        assert (X == np.rint(X.astype(float))).all()
    if hasattr(problem, "check"):
        problem.check(X)


def check_chip(problem, X):
    """Check placements and links of a network-on-chip by the rules that docs/noc.md states."""
    for x in X:
        design = problem.decode(x)
        platform = design.platform
        assert sorted(design.placement) == list(range(platform.n_tiles))
        planar = design.planar_links
        assert len(planar) == platform.n_planar_links
        assert len({tuple(sorted(link)) for link in design.all_links().tolist()}) == len(
            design.all_links()
        )
        side = platform.grid[0]
        place = np.stack([planar % side, planar // side % platform.grid[1]], axis=-1)
        length = np.sqrt(((place[:, 0] - place[:, 1]) ** 2).sum(axis=1))
        assert length.max() <= (platform.max_length or np.inf) + 1e-9
        degree = np.bincount(design.all_links().ravel(), minlength=platform.n_tiles)
        assert degree.max() <= platform.max_degree
        reached = {0}
        while True:
            touched = {
                t for a, b in design.all_links().tolist() if {a, b} & reached for t in (a, b)
            }
            if touched <= reached:
                break
            reached |= touched
        assert len(reached) == platform.n_tiles, "all tiles are connected"


def designs_of(problem, n, seed):
    rng = np.random.default_rng(seed)
    operators = problem.operators()
    pop = operators["sampling"](problem, n, random_state=rng)
    if "repair" in operators:
        pop = operators["repair"](problem, pop, random_state=rng)
    return pop, rng


@pytest.mark.parametrize("name", WITH_OPERATORS)
@examples(3)
@given(cases.seeds, st.integers(1, 9), st.integers(1, 5))
def test_operators_and_neighbors(name, seed, n, n_generations):
    problem = made(name)
    pop, rng = designs_of(problem, n, seed)
    operators = problem.operators()
    check = check_chip if name.startswith("NoC3D") else (lambda problem, X: None)
    for _ in range(n_generations):
        X = np.stack(pop.get("X"))
        check_rows(problem, X)
        check(problem, X[:2])
        if hasattr(problem, "neighbors"):
            near = np.asarray(problem.neighbors(X[0], 3, rng))
            check_rows(problem, near)
            check(problem, near[:1])
        n_parents = getattr(operators["crossover"], "n_parents", 2)
        parents = rng.integers(0, len(pop), (max(n, 1), n_parents))
        pop = operators["crossover"](problem, pop, parents, random_state=rng)
        pop = operators["mutation"](problem, pop, random_state=rng)
        if "repair" in operators:
            pop = operators["repair"](problem, pop, random_state=rng)
        pop = Population.new(X=np.stack(pop.get("X"))[:n])


def values(problem, X):
    """Return F, G and H of designs, next to one another."""
    out = problem.evaluate(X, return_values_of=["F", "G", "H"], return_as_dictionary=True)
    return np.column_stack([out[name] for name in "FGH"])


@pytest.mark.parametrize("name", WITH_OPERATORS)
@examples(3)
@given(cases.seeds, st.integers(6, 12), st.randoms())
def test_designs_in_any_batch_tie_exactly(name, seed, n, random):
    problem = made(name)
    X = np.stack(designs_of(problem, n, seed)[0].get("X"))
    order = random.sample(range(n), n)
    whole = values(problem, X)
    np.testing.assert_array_equal(values(problem, X[order]), whole[order])
    cut = random.randint(1, n - 1)
    parts = np.concatenate([values(problem, X[:cut]), values(problem, X[cut:])])
    np.testing.assert_array_equal(parts, whole)
    repeated = values(problem, np.concatenate([X, X[order]]))
    np.testing.assert_array_equal(repeated[n:], whole[order])


@pytest.mark.parametrize("name", WITH_OPERATORS)
@examples(3)
@given(cases.seeds)
def test_designs_of_one_canonical_form_tie_exactly(name, seed):
    problem = made(name)
    if not hasattr(problem, "canonical"):
        return
    X = np.stack(designs_of(problem, 6, seed)[0].get("X"))
    np.testing.assert_array_equal(values(problem, problem.canonical(X)), values(problem, X))


@examples(20)
@given(cases.seeds, st.sampled_from(["NoC3D, 5 objectives", "NoC3D, as released"]))
def test_chips_whose_links_are_listed_in_another_order_tie_exactly(seed, name):
    problem = made(name)
    (x,), rng = (lambda pop, rng: (pop.get("X"), rng))(*designs_of(problem, 1, seed))
    n_tiles = problem.decode(x).platform.n_tiles
    other = x.copy()
    other[n_tiles:] = rng.permutation(x[n_tiles:])
    np.testing.assert_array_equal(*values(problem, np.stack([x, other])))


@examples(20)
@given(spaces(), cases.seeds)
def test_designs_that_differ_in_what_they_lack_tie_exactly(variables, seed):
    problem = moela.problem(cases.goals, variables=variables, objectives=["small", "near"])
    X = np.stack(designs_of(problem, 6, seed)[0].get("X"))
    assert (values(problem, problem.canonical(X)) == values(problem, X)).all()
    for x in X:
        back = problem.encode(problem.decode(x))
        assert (values(problem, np.stack([x, back]))[0] == values(problem, back[None])[0]).all()
