"""Checks of problems: canonical rows, features, and designs in the words of the problem."""

from __future__ import annotations

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import rows
from moela.core.operators import neighbors_of, resolve
from moela.learning.features import has_features
from moela.testing.drive import (
    designs_unchanged,
    key,
)
from moela.testing.legal import assert_legal
from moela.testing.sampled import designs_of, evaluated, first_difference


def check_canonical(problem: Problem) -> None:
    """Check that `canonical(X)` is idempotent, legal, and has the same F, G and H."""
    if not hasattr(problem, "canonical"):
        return
    X = designs_of(problem)
    with designs_unchanged(X, "canonical()"):
        once = np.asarray(problem.canonical(X))
    assert once.shape == X.shape, f"canonical(X) must have shape {X.shape}. Got {once.shape}."
    twice = np.asarray(problem.canonical(once))
    assert [key(x) for x in once] == [key(x) for x in twice], "canonical() must be idempotent."
    assert_legal(problem, once, "canonical()")
    of_X, of_canonical = evaluated(problem, X), evaluated(problem, once)
    for name in ("F", "G", "H"):
        # Sums in another order differ by rounding, also where they are nearly zero.
        atol = 1e-15 * np.abs(of_X[name]).max(axis=0, initial=0.0)
        equal = np.isclose(of_X[name], of_canonical[name], rtol=1e-12, atol=atol)
        assert equal.all(), (
            f"canonical(X) must have the {name} of X. Row {np.argwhere(~equal)[0, 0]} has not."
        )


def check_features(problem: Problem) -> None:
    """Check that `features(X)` is a finite matrix with one row per design, whatever the batch."""
    if not has_features(problem):
        return
    X = designs_of(problem)
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
        f"features(X) must not depend on the batch. Row {first_difference(alone, features)} does."
    )


def check_neighbor_features(problem: Problem) -> None:
    """Check that `neighbor_features(X, near)` has the bits of `features` of the neighbors."""
    if not hasattr(problem, "neighbor_features"):
        return
    assert has_features(problem), "neighbor_features() needs a features() to agree with."
    X, k = designs_of(problem), 3
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
        f"not those of design {first_difference(*(a.reshape(len(X), -1) for a in both))}."
    )


def check_decode(problem: Problem) -> None:
    """Check that `encode(decode(x))` is the same design."""
    if not (hasattr(problem, "decode") and hasattr(problem, "encode")):
        return
    X = designs_of(problem)[:5]
    back = rows([problem.encode(problem.decode(x)) for x in X])
    canonical = getattr(problem, "canonical", lambda X: X)
    for i, (x, y) in enumerate(zip(canonical(X), canonical(back), strict=True)):
        assert key(x) == key(y), f"encode(decode(x)) must be x. Row {i} comes back as {key(y)}."


def check_describe_differences(problem: Problem) -> None:
    """Check that `describe_differences(x, y)` returns texts, and none for equal designs."""
    if not hasattr(problem, "describe_differences"):
        return
    X = designs_of(problem)[:5]
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
