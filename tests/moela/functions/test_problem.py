"""Problems of plain functions in pymoo's own algorithms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from function_cases import LINE, QUIET, line
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.rvea import RVEA
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.algorithms.soo.nonconvex.cmaes import CMAES
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.algorithms.soo.nonconvex.pso import PSO
from pymoo.core.population import Population
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

import moela
from moela import MOELA, Evaluator
from moela.functions.model.goals import EQUALITY_TOLERANCE
from moela.rivals import MOOS

MIXES = {
    "real": {"x": (0.0, 1.0), "y": (-5.0, 5.0)},
    "integer": {"x": (0, 9), "y": (-5, 5), "z": (1, 100)},
    "boolean": dict.fromkeys("abcdef", bool),
    "choice": {"s": list("abc"), "t": [1, 2, 4, 8], "u": [None, "x"]},
    "permutation": {"p": moela.permutation(6)},
    "two permutations": {"p": moela.permutation(4), "q": moela.permutation(["x", "z"])},
    "mixed": {
        "x": (0.0, 1.0),
        "n": moela.integer(1, 1000, log=True),
        "s": ["a", "b", "c"],
        "b": bool,
        "p": moela.permutation(4),
        "r": moela.real(1, 2, when={"b": True}),
    },
}


def weigh(d):
    """Two numbers of any design, by which every variable counts."""
    total = 0.0
    for k, value in enumerate(d.values()):
        if isinstance(value, list):
            total += sum(i * len(str(item)) + (item == value[0]) for i, item in enumerate(value))
        else:
            total += (k + 1) * (value if isinstance(value, int | float) else len(str(value)))
    return {"up": total, "down": -total + len(d), "limit": total % 3}


def of_mix(mix, objectives=("up", "down")):
    return moela.problem(
        weigh, variables=MIXES[mix], objectives=list(objectives), constraints={"limit": (None, 2.9)}
    )


# pymoo's RVEA divides by the angle between directions, which is 0 for a single point.
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning")
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("algorithm", ["nsga2", "moela", "nsga3", "sms", "rvea", "moos"])
def test_every_mix_in_algorithms(mix, algorithm):
    problem = of_mix(mix)
    ops, dirs = problem.operators(), get_reference_directions("das-dennis", 2, n_partitions=9)
    made = {
        "nsga2": lambda: NSGA2(10, **ops),
        "moela": lambda: MOELA(n_subproblems=10, n_neighbors=4),
        "nsga3": lambda: NSGA3(dirs, **ops),
        "sms": lambda: SMSEMOA(10, **ops),
        "rvea": lambda: RVEA(dirs, **ops),
        "moos": lambda: MOOS(),
    }[algorithm]()
    res = minimize(problem, made, ("n_eval", 60), seed=1)
    assert res.F is not None
    for x, f in zip(res.X, res.F, strict=True):
        design = problem.decode(x)
        assert set(design) <= set(MIXES[mix])
        np.testing.assert_allclose(weigh(design)["up"], f[0])
        np.testing.assert_allclose(
            np.asarray(problem.encode(design), float),
            np.asarray(problem.canonical(x[None])[0], float),
        )


@pytest.mark.parametrize("mix", ["real", "integer", "mixed"])
@pytest.mark.parametrize("algorithm", [GA, DE, PSO, CMAES])
def test_single_objective_algorithms(mix, algorithm):
    problem = moela.problem(weigh, variables=MIXES[mix], objectives="up")
    ops = problem.operators() if algorithm in (GA, DE, PSO) else {}
    if algorithm in (DE, PSO):  # they make their children themselves
        ops = {name: ops[name] for name in ("sampling", "repair")}
    made = algorithm(**ops) if algorithm is CMAES else algorithm(pop_size=10, **ops)
    res = minimize(problem, made, ("n_eval", 60), seed=1)
    assert weigh(problem.decode(res.X))["up"] == pytest.approx(res.F[0])


@pytest.mark.parametrize("mix", MIXES)
def test_operators_make_legal_designs_of_every_type(mix):
    problem, rng = of_mix(mix), np.random.default_rng(3)
    ops = problem.operators()
    pop = ops["sampling"](problem, 200, random_state=rng)
    parents = rng.integers(0, 200, (100, 2))
    children = ops["crossover"](problem, pop, parents=parents, random_state=rng)
    children = ops["mutation"](problem, children, random_state=rng)
    if "repair" in ops:
        children = ops["repair"](problem, children, random_state=rng)
    X = np.array([child.X for child in children], dtype=float)
    np.testing.assert_array_equal(X, np.asarray(problem.canonical(X), float))
    # Every variable of every type changes now and then.
    before = np.array([ind.X for ind in pop[parents[:, 0]]], dtype=float)
    assert ((X[:100] != before).any(axis=0)).all()


def test_crossover_keeps_orders_and_options_of_the_parents():
    problem = moela.problem(
        weigh,
        variables={"order": moela.permutation(8), "tool": list("abcdefgh"), "x": (0.0, 1.0)},
        objectives=["up", "down"],
    )
    a = problem.encode({"order": [0, 1, 2, 3, 4, 5, 6, 7], "tool": "a", "x": 0.1})
    b = problem.encode({"order": [0, 1, 2, 3, 4, 5, 6, 7], "tool": "h", "x": 0.1})
    pop, parents = Population.new("X", np.array([a, b])), np.array([[0, 1]] * 50)
    off = problem.operators()["crossover"](
        problem, pop, parents=parents, random_state=np.random.default_rng(1)
    )
    designs = [problem.decode(child.X) for child in off]
    assert {d["tool"] for d in designs} == {"a", "h"}
    assert all(d["order"] == list(range(8)) for d in designs)


def test_variables_that_begin_to_exist_in_a_child_are_drawn():
    problem = moela.problem(
        weigh,
        variables={"fan": bool, "rpm": moela.real(0.0, 1.0, when={"fan": True})},
        objectives=["up", "down"],
    )
    rng = np.random.default_rng(1)
    pop = Population.new("X", np.tile(problem.encode({"fan": False}), (300, 1)))
    ops = problem.operators()
    off = ops["repair"](problem, ops["mutation"](problem, pop, random_state=rng))
    speeds = [d["rpm"] for d in map(problem.decode, off.get("X")) if "rpm" in d]
    # A code in the middle of the range would give them all the value 0.5.
    assert len({round(speed, 6) for speed in speeds}) > 50


def test_maximized_objectives_are_negated():
    problem = moela.problem(
        line,
        variables=LINE["variables"],
        objectives={"a": "max", "b": "min"},
        ref_point={"a": 0.2, "b": 2},
    )
    np.testing.assert_allclose(problem.evaluate(np.array([[0.25]])), [[-0.25, 0.75]])
    assert problem.ref_point.tolist() == [-0.2, 2.0]
    assert problem.objective_names == ("a", "b")


def constrained(low, high, value):
    problem = moela.problem(
        lambda d: (d["x"], value),
        variables={"x": (0.0, 1.0)},
        objectives="x",
        constraints={"c": (low, high)},
    )
    return float(problem.evaluate(np.array([[0.5]]), return_values_of=["G"])[0, 0])


@pytest.mark.parametrize(
    ("low", "high", "value", "violation"),
    [
        (None, 33, 33, 0.0),
        (None, 33, 66, 1.0),
        (20, None, 10, 0.5),
        (20, None, 30, -0.5),
        (10, 20, 25, 0.5),
        (10, 20, 15, -0.5),
        (None, 0, 2, 2.0),
        (5, 5, 5, -EQUALITY_TOLERANCE),
        (5, 5, 10, 1 - EQUALITY_TOLERANCE),
        (0, 0, 0.00005, -EQUALITY_TOLERANCE / 2),
    ],
)
def test_constraints(low, high, value, violation):
    assert constrained(low, high, value) == pytest.approx(violation, abs=1e-12)


def test_answers_in_other_forms():
    for answer in (
        (1, 2, 3),
        [1.0, 2.0, 3.0],
        np.array([1.0, 2.0, 3.0]),
        {"c": 3, "a": np.float32(1), "b": np.array([2])},
    ):
        problem = moela.problem(
            lambda d, answer=answer: answer,
            variables={"x": (0.0, 1.0)},
            objectives=["a", "b"],
            constraints={"c": (None, 4)},
        )
        F, G = problem.evaluate(np.array([[0.5]]))
        assert F.tolist() == [[1, 2]]
        assert G.tolist() == [[-0.25]]


def test_outputs_beside_the_objectives_are_kept():
    def varied(d):
        out = line(d) | {"note": f"x{d['x']:.1f}", "index": 3, "F": 7.0}
        if d["x"] > 0.5:
            out |= {"late": True, "profile": [1, 2, 3], "odd": object}
        return out

    problem = moela.problem(varied, **LINE)
    out = problem.evaluate(np.array([[0.1], [0.9]]), return_as_dictionary=True)
    assert out["out.note"].tolist() == ["x0.1", "x0.9"]
    assert out["out.index"].tolist() == [3, 3]
    assert out["out.F"].tolist() == [7, 7]
    assert np.isnan(out["out.late"][0])
    assert out["out.late"][1] == 1
    assert out["out.odd"][1] == str(object)
    minimize(problem, NSGA2(10), ("n_eval", 40), seed=1)


def test_vectorized_functions_get_arrays():
    seen = []

    def batch(d):
        seen.append(d)
        return {
            "a": d["x"] * d["n"],
            "b": np.where(d["s"] == "hot", 1.0, 0.0) - d["x"],
            "note": d["s"],
        }

    problem = moela.problem(
        batch,
        variables={"x": (0.0, 1.0), "n": (1, 3), "s": ["hot", "cold"]},
        objectives=["a", "b"],
        vectorized=True,
    )
    res = minimize(problem, NSGA2(10, **problem.operators()), ("n_eval", 40), seed=1)
    assert {key: value.shape for key, value in seen[0].items()} == dict.fromkeys("xns", (10,))
    for x, f in zip(res.X, res.F, strict=True):
        d = problem.decode(x)
        np.testing.assert_allclose(f, [d["x"] * d["n"], (d["s"] == "hot") - d["x"]])


def test_answers_can_be_recorded_by_hand_and_some_left_out():
    def measure(d):
        return {"yield": d["x"] * d["n"], "cost": d["n"] + d["x"] ** 2, "heat": d["n"] * 1.0}

    problem = moela.problem(
        measure,
        variables={"x": (0.0, 1.0), "n": (1, 9)},
        objectives={"yield": "max", "cost": "min"},
        constraints={"heat": (None, 7)},
    )
    algorithm = MOELA(n_subproblems=8, n_neighbors=3, batch_size=4)
    algorithm.setup(problem, termination=("n_eval", 60), seed=1)
    told = []
    while algorithm.has_next():
        batch = algorithm.ask()
        if len(batch) > 1:  # the last one could not be measured
            batch = batch[:-1]
        for individual in batch:
            problem.record(individual, measure(problem.decode(individual.X)))
        algorithm.tell(batch)
        told.extend(batch)
    result = moela.MinimizeResult(problem, told)
    evaluated = Evaluator().eval(problem, Population.new(X=[ind.X for ind in told]))
    for ours, theirs in zip(told, evaluated, strict=True):
        assert ours.evaluated >= {"F", "G"}
        assert (ours.F.tolist(), ours.G.tolist()) == (theirs.F.tolist(), theirs.G.tolist())
    assert len(result.front) > 2
    assert all(candidate.objectives["yield"] >= 0 for candidate in result.front)
    with pytest.raises(ValueError, match="'heat'"):
        problem.record(told[0], {"yield": 1.0, "cost": 2.0})


@pytest.fixture
def batch():
    """Return a constrained problem, and eight designs of which three are measured."""
    problem = moela.problem(
        lambda d: (d["x"], 1 - d["x"], d["x"]),
        variables={"x": (0.0, 1.0)},
        objectives=["a", "b"],
        constraints={"c": (None, 0.9)},
    )
    algorithm = MOELA(n_subproblems=8)
    algorithm.setup(problem, termination=("n_eval", 100), seed=1)
    asked = algorithm.ask()
    for individual in asked[:3]:
        problem.record(individual, problem.function(problem.decode(individual.X)))
    return problem, asked


def test_a_result_leaves_out_designs_that_are_not_measured(batch):
    problem, asked = batch
    result = moela.MinimizeResult(problem, asked)
    assert result.n_eval == 3
    assert result.front.F.tolist() == moela.MinimizeResult(problem, asked[:3]).front.F.tolist()
    assert len(moela.MinimizeResult(problem, [])) == 0
    with pytest.raises(ValueError, match=r"None of the 5 has one; record\(\) them first"):
        moela.MinimizeResult(problem, asked[3:])
    asked[1].G = np.empty(0)
    with pytest.raises(ValueError, match=r"G of shape \(1,\). Got shape \(0,\) for design 1"):
        moela.MinimizeResult(problem, asked)


def test_record_of_a_missing_measurement_gives_advice_for_ask_and_tell(batch):
    problem, asked = batch
    with pytest.raises(ValueError, match=r"finite number. Got nan .* leave it out of tell\(\)"):
        problem.record(asked[4], (np.nan, 0.9, 0.1))


class Pair(NamedTuple):
    b: float
    note: str
    a: float


def test_named_tuples_are_read_by_their_fields():
    result = moela.minimize(lambda d: Pair(-d["x"], "fine", d["x"]), **LINE, n_eval=20, **QUIET)
    for row in result.table():
        assert (row["a"], row["b"], row["note"]) == (row["x"], -row["x"], "fine")
    result = moela.minimize(
        lambda d: Pair(-d["x"], d["x"] > 2, d["x"]), **LINE, vectorized=True, n_eval=20, **QUIET
    )
    assert all(row["a"] == row["x"] for row in result.table())
