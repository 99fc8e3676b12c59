"""Conformance checks for problems, each a function that raises an AssertionError."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from moela._arrays import Design, Designs, Floats, rows
from moela.core.operators import check_spelling, neighbors_of, resolve
from moela.learning.features import has_features
from moela.testing.drive import (
    copied,
    designs_unchanged,
    global_state_of,
    global_state_unchanged,
    key,
    run_check,
    unskipped,
)
from moela.testing.legal import assert_legal

ProblemCheck = Callable[[Problem], None]

_N = 17  # designs per check
_NOISY = (
    "The same X must give the same {name}. It changes from one evaluation to the next; noise must "
    "come from a generator that the design alone seeds."
)
_MANY = 300  # neighbors, as many as a search with learned models may ask for


def check_evaluation(problem: Problem) -> None:
    """Check that `evaluate` takes many rows and returns finite arrays of the right shapes."""
    low, high = problem.bounds()
    if not (getattr(problem, "vars", None) or low is None or high is None):
        crossed = np.flatnonzero(~(np.asarray(low) <= np.asarray(high)))
        assert not len(crossed), f"xl must be at most xu. It is not for variable {crossed[0]}."
    out = _evaluated(problem, _designs(problem))
    shapes = {"F": problem.n_obj, "G": problem.n_ieq_constr, "H": problem.n_eq_constr}
    for name, n in shapes.items():
        assert out[name].shape == (_N, n), (
            f"evaluate() must return {name} of shape {(_N, n)}. Got {out[name].shape} instead."
        )
        assert np.isfinite(out[name]).all(), f"evaluate() must return a finite {name}."


def check_rows_are_independent(problem: Problem) -> None:
    """Check that the values of a design are the same, to the last bit, alone and in any batch."""
    X = _designs(problem)
    whole, again = _evaluated(problem, X), _evaluated(problem, X)
    for name in ("F", "G", "H"):
        assert np.array_equal(again[name], whole[name]), _NOISY.format(name=name)
    alone = [_evaluated(problem, X[i : i + 1]) for i in range(_N)]
    chunks = [_evaluated(problem, X[i : i + 5]) for i in range(0, _N, 5)]
    backwards = _evaluated(problem, X[::-1])
    for name in ("F", "G", "H"):
        batches = {
            "one by one": np.concatenate([part[name] for part in alone]),
            "by five": np.concatenate([part[name] for part in chunks]),
            "in reverse": backwards[name][::-1],
        }
        for how, values in batches.items():
            assert np.array_equal(values, whole[name]), (
                f"{name} must not depend on the batch. Rows evaluated {how} differ from those "
                f"evaluated together, at row {_first_difference(values, whole[name])}."
            )


def check_evaluation_changes_nothing(problem: Problem) -> None:
    """Check that an evaluation changes neither X nor the values of a later evaluation."""
    X = _designs(problem)
    # Of designs that are dictionaries or objects, only a deep copy has parts of its own.
    frozen = copy.deepcopy(X)
    frozen.flags.writeable = False
    with designs_unchanged(frozen, "evaluate()"):
        try:
            first = _evaluated(problem, frozen)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise AssertionError(
                f"evaluate() must not change X. It writes into it: {error}; work on a copy."
            ) from error
    with designs_unchanged(X, "evaluate()"):
        second = _evaluated(problem, X)
    for name in ("F", "G", "H"):
        assert np.array_equal(first[name], second[name]), _NOISY.format(name=name)


def check_operators_are_legal(problem: Problem) -> None:
    """Check that sampling, crossover, mutation and repair return legal designs only."""
    rng = np.random.default_rng(3)
    for n in (1, 4 * _N):
        pop = _sampled(problem, n, rng)
        assert len(pop) == n, f"sampling must give the {n} designs asked for. Got {len(pop)}."
        assert_legal(problem, pop.get("X"), "sampling")
    for generation in range(4):
        pop = _children(problem, pop, rng)
        what = f"crossover and mutation, generation {generation + 1},"
        assert_legal(problem, pop.get("X"), what)


def check_operators_leave_parents(problem: Problem) -> None:
    """Check that making children does not change their parents."""
    rng = np.random.default_rng(4)
    pop = _sampled(problem, _N, rng)
    before = [key(ind.X) for ind in pop]
    _children(problem, pop, rng)
    assert [key(ind.X) for ind in pop] == before, "crossover and mutation must not change parents."


def check_operators_randomness(problem: Problem) -> None:
    """Check that operators draw only from the `random_state` that they are given."""

    def everything(seed: int) -> tuple[list[str], list[str]]:
        rng = np.random.default_rng(seed)
        pop = _sampled(problem, _N, rng)
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
    X = _designs(problem)
    earlier: Designs | None = None
    listed: list[str] = []
    for i, x in enumerate(X[:5]):
        before = key(x)
        for k in (6, _MANY) if i == 0 else (6,):
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
    designs = _designs(problem)
    for X, k in ((designs, 3), (designs[:2], _MANY)):
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


def check_canonical(problem: Problem) -> None:
    """Check that `canonical(X)` is idempotent, legal, and has the same F, G and H."""
    if not hasattr(problem, "canonical"):
        return
    X = _designs(problem)
    with designs_unchanged(X, "canonical()"):
        once = np.asarray(problem.canonical(X))
    assert once.shape == X.shape, f"canonical(X) must have shape {X.shape}. Got {once.shape}."
    twice = np.asarray(problem.canonical(once))
    assert [key(x) for x in once] == [key(x) for x in twice], "canonical() must be idempotent."
    assert_legal(problem, once, "canonical()")
    of_X, of_canonical = _evaluated(problem, X), _evaluated(problem, once)
    for name in ("F", "G", "H"):
        # Sums in another order differ by rounding, also where they are nearly zero.
        atol = 1e-15 * np.abs(of_X[name]).max(axis=0, initial=0.0)
        equal = np.isclose(of_X[name], of_canonical[name], rtol=1e-12, atol=atol)
        assert equal.all(), (
            f"canonical(X) must have the {name} of X. Row {np.argwhere(~equal)[0, 0]} has not."
        )


def check_ref_point(problem: Problem) -> None:
    """Check that `ref_point` has one finite value per objective."""
    point = getattr(problem, "ref_point", None)
    if point is None:
        return
    point = np.asarray(point, dtype=float)
    assert point.shape == (problem.n_obj,), (
        f"ref_point must have shape {(problem.n_obj,)}. Got {point.shape} instead."
    )
    assert np.isfinite(point).all(), f"ref_point must be finite. Got {point} instead."


def check_features(problem: Problem) -> None:
    """Check that `features(X)` is a finite matrix with one row per design, whatever the batch."""
    if not has_features(problem):
        return
    X = _designs(problem)
    with designs_unchanged(X, "features()"):
        features = np.asarray(problem.features(X))
    assert features.ndim == 2 and len(features) == len(X), (  # noqa: PT018
        f"features(X) must have shape ({len(X)}, d). Got {features.shape} instead."
    )
    assert np.issubdtype(features.dtype, np.floating), (
        f"features(X) must be floats. Got {features.dtype} instead."
    )
    assert np.isfinite(features).all(), "features(X) must be finite."
    alone = np.concatenate([np.asarray(problem.features(X[i : i + 1])) for i in range(len(X))])
    assert np.array_equal(alone, features), (
        f"features(X) must not depend on the batch. Row {_first_difference(alone, features)} does."
    )


def check_neighbor_features(problem: Problem) -> None:
    """Check that `neighbor_features(X, near)` has the bits of `features` of the neighbors."""
    if not hasattr(problem, "neighbor_features"):
        return
    assert has_features(problem), "neighbor_features() needs a features() to agree with."
    X, k = _designs(problem), 3
    near = neighbors_of(problem, resolve(problem), X, k, np.random.default_rng(1))
    with (
        designs_unchanged(X, "neighbor_features()"),
        designs_unchanged(near, "neighbor_features()"),
    ):
        features = np.asarray(problem.neighbor_features(X, near))
    expected = np.asarray(problem.features(near.reshape(len(X) * k, *near.shape[2:])))
    expected = expected.reshape(len(X), k, -1)
    assert features.shape == expected.shape, (
        f"neighbor_features(X, near) must have shape {expected.shape}. Got {features.shape} "
        "instead."
    )
    both = features, expected
    assert np.array_equal(*both), (
        "neighbor_features(X, near) must be features() of the neighbors, to the last bit. They are "
        f"not those of design {_first_difference(*(a.reshape(len(X), -1) for a in both))}."
    )


def check_decode(problem: Problem) -> None:
    """Check that `encode(decode(x))` is the same design."""
    if not (hasattr(problem, "decode") and hasattr(problem, "encode")):
        return
    X = _designs(problem)[:5]
    back = rows([problem.encode(problem.decode(x)) for x in X])
    canonical = getattr(problem, "canonical", lambda X: X)
    for i, (x, y) in enumerate(zip(canonical(X), canonical(back), strict=True)):
        assert key(x) == key(y), f"encode(decode(x)) must be x. Row {i} comes back as {key(y)}."


def check_describe_differences(problem: Problem) -> None:
    """Check that `describe_differences(x, y)` returns texts, and none for equal designs."""
    if not hasattr(problem, "describe_differences"):
        return
    X = _designs(problem)[:5]
    with designs_unchanged(X, "describe_differences()"):
        for i, x in enumerate(X):
            found = list(problem.describe_differences(x, X[0]))
            assert all(isinstance(text, str) for text in found), (
                f"describe_differences(x, y) must return texts. Got {found!r} instead."
            )
            same = key(x) == key(X[0])
            assert not (same and found), (
                f"describe_differences(x, x) must return no text. Got {found!r} for row {i}."
            )


def check_version(problem: Problem) -> None:
    """Check that `version`, if it exists and is not None, is a text or a number."""
    version = getattr(problem, "version", None)
    known = version is None or isinstance(version, str | int | float | np.number)
    assert known, f"version must be a text or a number. Got {version!r} instead."
    assert version != "", "version must not be empty."


def check_problem_copies(problem: Problem) -> None:
    """Check that pickles and deep copies evaluate alike."""
    X = _designs(problem)
    F = _evaluated(problem, X)["F"]
    for how, clone in (
        ("pickle", copied(problem)),
        ("deep copy", copy.deepcopy(problem)),
    ):
        got = _evaluated(clone, X)["F"]
        assert np.array_equal(got, F), f"A {how} of the problem must evaluate as the problem does."


def check_nsga2(problem: Problem) -> None:
    """Check that `NSGA2(**problem.operators())` runs."""
    if not hasattr(problem, "operators"):
        return
    # pymoo compares designs for duplicates as numbers, which objects are not.
    numbers = _designs(problem).dtype != object
    algorithm = NSGA2(pop_size=10, eliminate_duplicates=numbers, **problem.operators())
    res = minimize(problem, algorithm, ("n_eval", 60), seed=1)
    assert len(res.pop) > 0, "NSGA2(**problem.operators()) must run."
    assert_legal(problem, res.pop.get("X"), "NSGA2")


PROBLEM_CHECKS: tuple[ProblemCheck, ...] = (
    check_evaluation,
    check_rows_are_independent,
    check_evaluation_changes_nothing,
    check_operators_are_legal,
    check_operators_leave_parents,
    check_operators_randomness,
    check_neighbors,
    check_neighbors_many,
    check_canonical,
    check_ref_point,
    check_features,
    check_neighbor_features,
    check_decode,
    check_describe_differences,
    check_version,
    check_problem_copies,
    check_nsga2,
)


def check_problem(problem: Problem, *, skip: Sequence[str] = ()) -> None:
    """Run every check of this module on a problem.

    Parameters
    ----------
    problem : Problem
        A pymoo problem. Its extensions of pymoo's interface are checked if they exist:
        `operators`, `neighbors`, `neighbors_many`, `canonical`, `check`, `ref_point`,
        `features`, `neighbor_features`, `decode` and `encode`, `describe_differences`, `version`.
    skip : sequence of str
        Names of checks to leave out.

    Raises
    ------
    AssertionError
        A check failed. The message says what was expected and found; its notes name the check and
        the problem.
    RuntimeError
        Python runs without assert statements (``-O``).
    ValueError
        `skip` names no check.

    Examples
    --------
    >>> from moela.testing import ToyPermutation, check_problem
    >>> check_problem(ToyPermutation())
    """
    is_class = isinstance(problem, type)
    assert isinstance(problem, Problem), (
        "The 'problem' parameter of check_problem must be an instance of pymoo's Problem. Got "
        + (f"the class {problem.__name__} instead; call it." if is_class else f"{problem!r}.")
    )
    for check in unskipped(PROBLEM_CHECKS, skip, "check_problem"):
        run_check(check, problem)


def _sampled(problem: Problem, n: int, rng: np.random.Generator) -> Population:
    operators = resolve(problem)
    pop = operators.sampling(problem, n, random_state=rng)
    return operators.repair(problem, pop, random_state=rng)


def _children(problem: Problem, pop: Population, rng: np.random.Generator) -> Population:
    operators = resolve(problem)
    parents = rng.integers(0, len(pop), (len(pop), max(operators.n_parents, 2)))
    return operators.children(problem, pop, parents, rng)


def _designs(problem: Problem) -> Designs:
    return rows(list(_sampled(problem, _N, np.random.default_rng(0)).get("X")))


def _evaluated(problem: Problem, X: Designs) -> dict[str, Floats]:
    with warnings.catch_warnings():
        # Else pymoo casts complex numbers to real ones.
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        out = problem.evaluate(X, return_values_of=["F", "G", "H"], return_as_dictionary=True)
    for name, values in out.items():
        assert not np.iscomplexobj(values), (
            f"evaluate() must return real numbers. Got complex ones as {name}; return their real "
            "parts or absolute values if that is meant."
        )
    return {name: np.asarray(out[name], dtype=float) for name in ("F", "G", "H")}


def _first_difference(A: Designs, B: Designs) -> int:
    return int(np.flatnonzero((A != B).any(axis=1))[0])
