"""Scalarizations: what their machine code computes is what they say, on every side of each edge."""

import math

import numpy as np
import pytest

from moela.core.kernels import scalar

NAMES = ("product", "chebyshev", "weighted_sum", "p_norm")
IDEAL, SPAN, FARTHEST = np.array([1.0, -2.0, 5.0]), np.array([2.0, 4.0, 0.0]), 1e3


def interpreted(by, F, W, *, ideal=IDEAL, span=SPAN, farthest=FARTHEST):
    """Return the values of the Python function behind the machine code."""
    function = getattr(scalar, by).py_func
    return np.array([function(f, w, ideal, span, farthest) for f, w in zip(F, W, strict=True)])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def cases(rng):
    """Designs inside the box, on its edges, beyond them, and with penalties."""
    F = IDEAL + rng.uniform(-0.5, 1.5, (200, 3)) * np.where(SPAN > 0, SPAN, 1.0)
    F[:8, 0] = [1.0, 3.0, 3.0 + 1e-9, 3.0 - 1e-9, 1e12, -1e12, np.inf, -np.inf]
    W = rng.dirichlet(np.ones(3), 200)
    W[8:12] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]]
    return F, W


@pytest.mark.parametrize("by", NAMES)
def test_machine_code_computes_what_the_functions_say(by, cases):
    F, W = cases
    found = scalar.combined(by, F, W, IDEAL, SPAN, FARTHEST)
    np.testing.assert_allclose(found, interpreted(by, F, W), rtol=1e-12, atol=1e-12)
    # It broadcasts: all designs for all weights.
    table = scalar.combined(by, F[None], W[:5, None], IDEAL, SPAN, FARTHEST)
    assert table.shape == (5, 200)
    np.testing.assert_allclose(table[0, 0], found[0], rtol=1e-12)


def scaled(F):
    z = np.where(SPAN > 0, (F - IDEAL) / np.where(SPAN > 0, SPAN, 1.0), 0.0)
    return np.clip(z, -FARTHEST, FARTHEST)


def test_values_are_those_of_the_formulas(cases):
    F, W = cases
    z = scaled(F)
    formulas = {"chebyshev": (W * z).max(axis=1), "weighted_sum": (W * z).sum(axis=1)}
    for by, expected in formulas.items():
        np.testing.assert_allclose(interpreted(by, F, W), expected, rtol=1e-12, atol=1e-12)
    inside = (z <= 1).all(axis=1)
    assert 20 < inside.sum() < 180
    # Inside the box, the product of the distances to a point that lies 2 % beyond its corner.
    volume = np.prod((1.02 - z[inside]) ** W[inside], axis=1)
    found = interpreted("product", F[inside], W[inside])
    np.testing.assert_allclose(np.exp(-found), volume, rtol=1e-12)


@pytest.mark.parametrize("by", NAMES)
def test_a_better_objective_is_never_worse(by, rng):
    F = IDEAL + rng.uniform(-1, 3, (500, 3)) * np.where(SPAN > 0, SPAN, 1.0)
    W = rng.dirichlet(np.ones(3), 500)
    better = F.copy()
    column = rng.integers(0, 2, 500)
    better[np.arange(500), column] -= rng.uniform(0.01, 2, 500)
    before, after = interpreted(by, F, W), interpreted(by, better, W)
    assert (after <= before + 1e-12).all()
    # Chebyshev's value is that of the worst objective alone, and below the ideal the norm is, too.
    if by in ("product", "weighted_sum"):
        assert (after < before).all()


def test_the_product_goes_on_smoothly_beyond_the_box():
    step = 1e-6
    z = np.array([1.0 - step, 1.0, 1.0 + step])
    F = np.column_stack([IDEAL[0] + SPAN[0] * z, np.full(3, IDEAL[1]), np.full(3, IDEAL[2])])
    values = interpreted("product", F, np.tile([1.0, 0.0, 0.0], (3, 1)))
    assert values[1] == pytest.approx(-math.log(scalar.EDGE))
    inside, outside = np.diff(values) / step
    assert inside == pytest.approx(outside, rel=1e-3) == pytest.approx(1 / scalar.EDGE, rel=1e-3)


def test_penalties_count_at_most_as_much_as_the_largest_size(rng):
    W = rng.dirichlet(np.ones(3), 20)
    far, farther = (np.tile([penalty, 0.0, 5.0], (20, 1)) for penalty in (1e9, 1e300))
    for by in NAMES:
        np.testing.assert_array_equal(interpreted(by, far, W), interpreted(by, farther, W))


@pytest.mark.parametrize(
    ("of_F", "of_W"),
    [
        ((3,), (3,)),
        ((0, 3), (0, 3)),
        ((4, 1, 3), (7, 3)),
        ((1, 3), (4, 7, 3)),
        ((2, 1, 4, 3), (5, 1, 3)),
    ],
)
def test_values_have_the_shape_that_numpy_gives(of_F, of_W, rng):
    F, W = rng.random(of_F), rng.random(of_W)
    found = scalar.combined("weighted_sum", F, W, np.zeros(3), np.ones(3), FARTHEST)
    np.testing.assert_allclose(found, (F * W).sum(axis=-1))


@pytest.mark.parametrize("by", NAMES)
def test_changes_of_values_are_differences_of_values(by, cases, rng):
    F, W = (values[:40] for values in cases)
    F = np.where(np.isfinite(F), F, 1e300)
    changes = rng.normal(size=(6, 40, 3)).transpose(1, 0, 2)
    found = scalar.changed(by, F, W, changes, IDEAL, SPAN, FARTHEST)
    scale = IDEAL, SPAN, FARTHEST
    after = scalar.combined(by, F[:, None] + changes, W[:, None], *scale)
    np.testing.assert_array_equal(found, after - scalar.combined(by, F, W, *scale)[:, None])
