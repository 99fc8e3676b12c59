"""Variables: how they are read, coded, and given to the function."""

from __future__ import annotations

import math

import numpy as np
import pytest
from function_cases import Shape

import moela
from moela.functions.model.reading import read_variables
from moela.functions.model.space import DesignSpace

SETTINGS = [1, 2.5]  # an option that cannot be hashed


def described(spec):
    return read_variables({"x": spec})["x"].describe()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ((0.01, 0.06), "real, 0.01 to 0.06"),
        ((5, 25), "integer, 5 to 25"),
        (range(5, 26), "integer, 5 to 25"),
        (range(8, 0, -1), "integer, 1 to 8"),
        (range(0, 9, 4), "one of 0, 4, 8, in this order"),
        (["round", "pin"], "one of 'round', 'pin'"),
        ([1, 2, 4, 8], "one of 1, 2, 4, 8, in this order"),
        (np.array([0.1, 0.2, 0.4]), "one of 0.1, 0.2, 0.4, in this order"),
        ([None, "glue"], "one of None, 'glue'"),
        (Shape, "one of <Shape.ROUND: 'round'>, <Shape.PIN: 'pin'>"),
        (bool, "True or False"),
        (moela.permutation(3), "an order of the numbers 0 to 2"),
        (moela.choice(["a", "c"], ordered=True), "one of 'a', 'c', in this order"),
    ],
)
def test_specifications(spec, words):
    assert described(spec) == words


def mixed():
    return {
        "height": (0.01, 0.06),
        "power": moela.real(1e-6, 1e3, log=True),
        "fins": (5, 25),
        "nodes": moela.integer(1, 1024, log=True),
        "shape": list(Shape),
        "tool": ["a", SETTINGS, None, math.sin],
        "size": [0.1, 0.2, 0.4],
        "fan": bool,
        "order": moela.permutation(["cut", "drill", "paint", "dry"]),
        "rpm": moela.real(100, 5000, log=True, when={"fan": True}),
        "blades": moela.integer(3, 9, when={"fan": True, "shape": [Shape.PIN]}),
        "pitch": moela.choice(["flat", "steep"], when={"blades": [3, 4]}),
    }


@pytest.fixture(scope="module")
def space():
    return DesignSpace(read_variables(mixed()))


def test_random_designs_are_legal(space):
    rng = np.random.default_rng(0)
    X = space.sample(400, rng)
    designs = space.decode(X)
    for x, design in zip(X, designs, strict=True):
        for name, value in design.items():
            assert space.variables[name].problem_with(value) is None
        assert ("rpm" in design) == design["fan"]
        assert ("blades" in design) == (design["fan"] and design["shape"] is Shape.PIN)
        assert ("pitch" in design) == (design.get("blades") in (3, 4))
        assert type(design["fins"]) is int
        assert type(design["fan"]) is bool
        np.testing.assert_array_equal(space.encode(design), x)
    # Every value of a variable comes about equally often: 400 draws of 21 values, 19 expected each.
    counts = np.bincount([design["fins"] for design in designs])[5:]
    assert counts.min() >= 5
    assert counts[[0, -1]].min() >= 5
    assert {id(design["tool"]) for design in designs} == {
        id(option) for option in space.variables["tool"].options
    }


def test_any_vector_is_a_design(space):
    rng = np.random.default_rng(1)
    X = rng.normal(scale=100, size=(50, space.n_var))
    settled = space.settle(X)
    assert (settled >= space.xl).all()
    assert (settled <= space.xu).all()
    np.testing.assert_array_equal(space.settle(settled), settled)
    # Stores tell -0.0 from 0.0.
    zeros = settled[settled == 0.0]
    assert len(zeros) > 0
    assert not np.signbit(zeros).any()
    assert space.decode(X) == space.decode(settled)
    assert space.settle(X[:0]).shape == (0, space.n_var)


def test_bounds_are_exact(space):
    low, high = space.decode(np.array([space.xl, space.xu]))
    assert (low["height"], high["height"]) == (0.01, 0.06)
    assert (low["power"], high["power"]) == (1e-6, 1e3)
    assert (low["nodes"], high["nodes"]) == (1, 1024)
    assert (low["fins"], high["fins"]) == (5, 25)
    assert (low["shape"], high["shape"]) == (Shape.ROUND, Shape.PIN)


@pytest.mark.parametrize("log", [False, True])
def test_large_integers_are_within_their_bounds(log):
    space = DesignSpace({"n": moela.integer(1, 2**53, log=log)})
    numbers = [design["n"] for design in space.decode(np.array([space.xl, space.xu]))]
    assert numbers == [1, 2**53]
    for n in (3, 10**9 + 1, 2**40 + 1):
        assert space.decode(space.encode({"n": n})[None]) == [{"n": n}]


def test_absent_variables_do_not_make_designs_different(space):
    rng = np.random.default_rng(2)
    X = space.sample(200, rng)
    X[:, space.slices["fan"]] = 0.0
    settled = space.settle(X)
    for name in ("rpm", "blades", "pitch"):
        assert len(np.unique(settled[:, space.slices[name]])) == 1
    assert not any({"rpm", "blades", "pitch"} & set(design) for design in space.decode(X))


def test_a_child_of_an_absent_variable_is_absent():
    space = DesignSpace(
        read_variables(
            {
                "leaf": moela.real(0, 1, when={"twig": True}),
                "twig": moela.boolean(when={"tree": "oak"}),
                "tree": ["oak", "fir"],
            }
        )
    )
    kinds = {
        tuple(sorted(design))
        for design in space.decode(space.sample(100, np.random.default_rng(0)))
    }
    assert kinds == {("tree",), ("tree", "twig"), ("leaf", "tree", "twig")}


def test_batches(space):
    X = space.sample(60, np.random.default_rng(3))
    batch, designs = space.batch(X), space.decode(X)
    assert batch["fins"].dtype == np.int64
    assert batch["fan"].dtype == np.bool_
    assert batch["order"].shape == (60, 4)
    for i, design in enumerate(designs):
        assert batch["height"][i] == design["height"]
        assert list(batch["order"][i]) == design["order"]
        assert ("rpm" in design) != np.isnan(batch["rpm"][i])
        assert batch["pitch"][i] == design.get("pitch")
    plain = DesignSpace(read_variables({"s": ["a", "b"], "n": [1, 2, 4]})).batch(np.zeros((3, 2)))
    assert plain["s"].tolist() == ["a", "a", "a"]
    assert plain["n"].tolist() == [1, 1, 1]


def test_logarithms_are_searched_evenly(space):
    powers = [
        design["power"] for design in space.decode(space.sample(300, np.random.default_rng(5)))
    ]
    # Half of nine orders of magnitude lies below the geometric mean; 300 draws, 5 sigma.
    assert abs(np.mean(np.array(powers) < math.sqrt(1e-6 * 1e3)) - 0.5) < 0.15


@pytest.mark.parametrize("vectorized", [False, True])
def test_a_function_that_changes_its_options_changes_no_later_design(vectorized):
    options = [[1], [2, 3], {"a": [4]}, np.zeros(2), (5, [6])]
    before = repr(options)
    lengths = set()

    def spoil(option):
        lengths.add(repr(option))
        match option:
            case list():
                option.append(0)
            case dict():
                option["a"].append(0)
            case tuple():
                option[1].append(0)
            case _:
                option += 1
        return 1.0

    def function(d):
        if vectorized:
            return {"f": d["x"], "g": [spoil(o) - x for o, x in zip(d["o"], d["x"], strict=True)]}
        return d["x"], spoil(d["o"]) - d["x"]

    result = moela.minimize(
        function,
        variables={"x": (0.0, 1.0), "o": moela.choice(options)},
        objectives=["f", "g"],
        n_eval=40,
        seed=1,
        vectorized=vectorized,
        verbose=False,
        progress=False,
    )
    assert len(lengths) == 5
    assert repr(options) == before
    assert {repr(design["o"]) for design in result.designs} <= {repr(o) for o in options}


def test_short_numbers_on_a_logarithmic_scale_come_back_exactly():
    variable = {"x": moela.real(1e-300, 1e300, log=True)}
    to_solve = moela.problem(lambda d: d["x"], variables=variable, objectives=["x"])
    digits = [1, 3, 4, 99, 123, 30517, 314159, 999999]
    given = [float(f"{n}e{power}") for n in digits for power in (-290, -9, -3, 0, 7, 280)]
    X = np.array([to_solve.encode({"x": number}) for number in given])
    assert [to_solve.decode(x)["x"] for x in X] == given
    # Others are the exponential of their code.
    random = np.round(np.random.default_rng(1).uniform(-20, 20, 10_000), 12)
    assert [to_solve.decode([code])["x"] for code in random] == np.exp(random).tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda: moela.real(1.0, 1.0 + 1e-13, log=True),
        lambda: moela.integer(10**13, 10**13 + 2, log=True),
        lambda: moela.integer(2**53 - 3, 2**53 - 1, log=True),
    ],
)
def test_bounds_whose_logarithms_are_the_same_are_refused(make):
    with pytest.raises(ValueError, match=r"differ by more than 1e-12.*\. Got \(1|9.*leave out log"):
        make()


def test_bounds_that_are_too_far_apart_are_refused():
    with pytest.raises(ValueError, match=r"at most 1e\+305 apart\. Got \(-8e\+307, 8e\+307\)"):
        moela.real(-8e307, 8e307)
    assert moela.real(-4e299, 4e299).low == -4e299
    assert moela.real(1.0, 1e308, log=True).high == 1e308
