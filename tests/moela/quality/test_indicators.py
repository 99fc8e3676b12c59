"""Indicators against values by hand and against independent brute force."""

from __future__ import annotations

import itertools

import moocore
import numpy as np
import pytest

from moela.quality import indicators
from moela.quality.anytime import GrowingFront

STAIRS = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])


def brute_volume(F, reference):
    """Return the volume of a union of boxes by inclusion and exclusion."""
    total = 0.0
    for k in range(1, len(F) + 1):
        for subset in itertools.combinations(F, k):
            corner = np.max(subset, axis=0)
            total += (-1) ** (k + 1) * np.prod(np.maximum(reference - corner, 0.0))
    return total


def brute_igd_plus(F, reference):
    distances = []
    for r in reference:
        gaps = [sum(max(a - b, 0.0) ** 2 for a, b in zip(f, r, strict=True)) for f in F]
        distances.append(min(gaps) ** 0.5)
    return sum(distances) / len(distances)


def brute_epsilon(F, reference):
    return max(min(max(a - b for a, b in zip(f, r, strict=True)) for f in F) for r in reference)


def test_hypervolume_by_hand():
    # The boxes up to (4, 4) are columns of width 1 and heights 1, 2 and 3.
    assert indicators.hypervolume(STAIRS, [4, 4]) == 6.0
    assert indicators.hypervolume([[1.0, 2.0]], [4, 4]) == 6.0
    assert indicators.hypervolume([[1.0, 2.0, 3.0]], [2, 4, 6]) == 6.0


def test_points_beyond_the_reference_add_nothing():
    assert indicators.hypervolume([[1.0, 5.0], [4.0, 0.0]], [4, 4]) == 0.0
    assert indicators.hypervolume([*STAIRS.tolist(), [0.0, 4.0]], [4, 4]) == 6.0
    assert indicators.hypervolume(np.empty((0, 3)), [1, 1, 1]) == 0.0


@pytest.mark.parametrize("n_obj", [2, 3, 4, 5, 7])
def test_against_brute_force(n_obj):
    rng = np.random.default_rng(n_obj)
    F, reference = rng.random((9, n_obj)), rng.random((7, n_obj)) * 0.5
    point = np.full(n_obj, 0.9)
    inside = F[(F < point).all(axis=1)]
    expected = brute_volume(inside, point)
    assert indicators.hypervolume(F, point) == pytest.approx(expected, rel=1e-12)
    assert indicators.igd_plus(F, reference) == pytest.approx(brute_igd_plus(F, reference))
    assert indicators.epsilon(F, reference) == pytest.approx(brute_epsilon(F, reference))


def test_igd_plus_and_epsilon_by_hand():
    reference = np.array([[0.0, 2.0], [2.0, 0.0]])
    # (1, 1) is worse than each point by 1 in one objective, and better in the other.
    assert indicators.igd_plus([[1.0, 1.0]], reference) == 1.0
    assert indicators.epsilon([[1.0, 1.0]], reference) == 1.0
    assert indicators.epsilon(reference - 0.5, reference) == -0.5
    assert indicators.igd_plus(reference - 0.5, reference) == 0.0


@pytest.mark.parametrize("n_obj", [3, 5, 8])
def test_approximate_volume_is_near_the_exact_one(n_obj):
    rng = np.random.default_rng(1)
    F = np.abs(rng.normal(size=(40, n_obj)))
    F /= np.linalg.norm(F, axis=1, keepdims=True)
    point = np.full(n_obj, 1.1)
    exact = indicators.hypervolume(F, point, exact=True)
    # The documented error is 0.003. Measured: 1e-5 in 3, 2e-4 in 5, and 0.0013 in 8 objectives.
    assert indicators.hypervolume(F, point, exact=False) == pytest.approx(exact, rel=3e-3)


@pytest.mark.parametrize("sizes", [(1e-3, 1e-3, 0.02, 0.04, 5e5), (1e9, 1.0, 1e-9, 1.0, 1e-4)])
def test_approximate_volume_does_not_depend_on_the_units(sizes):
    rng = np.random.default_rng(4)
    F, point = 1.0 - 0.5 * rng.dirichlet(np.ones(5), 300), np.ones(5)
    exact = indicators.hypervolume(F, point) * np.prod(sizes)
    for shift in (0.0, 100.0):
        moved = (F + shift) * sizes, (point + shift) * sizes
        assert indicators.hypervolume(*moved, exact=False) == pytest.approx(exact, rel=3e-3)
    huge = F * [1e300, 1e300, 1e-300, 1e-300, 1.0], point * [1e300, 1e300, 1e-300, 1e-300, 1.0]
    found = indicators.hypervolume(*huge, exact=False)
    assert found == pytest.approx(indicators.hypervolume(F, point), rel=3e-3)


def test_r2_of_one_point_by_hand():
    # Of (1, 1) the distance is max(w, 1 - w), whose mean over [0, 1] is 3/4.
    assert indicators.r2([[1.0, 1.0]], [0, 0]) == pytest.approx(0.75)
    # In three objectives the mean of the largest of three uniform shares is 11/18. The error of
    # the quadrature is below 0.00001 there; 0.4 % is documented.
    assert indicators.r2([[1.0, 1.0, 1.0]], [0, 0, 0]) == pytest.approx(11 / 18, rel=2e-3)


@pytest.mark.parametrize("n", [1, 4, 30])
def test_general_r2_agrees_with_the_exact_one_in_two_objectives(n):
    rng = np.random.default_rng(n)
    first = np.sort(rng.random(n))
    F = np.column_stack([first, 1.0 - first**0.5])
    exact = moocore.r2_exact(F, ref=[0.0, 0.0])
    assert indicators.r2(F, [0, 0]) == pytest.approx(exact, rel=1e-12)
    # The largest error of these three fronts is 0.00014.
    assert indicators.r2(F, [0, 0], n_directions=4096) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("n_obj", [3, 6])
def test_general_r2_agrees_with_random_directions(n_obj):
    rng = np.random.default_rng(3)
    F = rng.random((70, n_obj))
    weights = rng.dirichlet(np.ones(n_obj), size=40_000)
    best = np.full(len(weights), np.inf)
    for f in F:
        best = np.minimum(best, (weights * f).max(axis=1))
    # 0.01 is five standard errors of the 40,000 random directions, each at most 0.002 of the mean.
    assert indicators.r2(F, np.zeros(n_obj)) == pytest.approx(best.mean(), rel=0.01)


def test_directions_are_spread_over_the_simplex():
    weights = indicators.simplex(4, 4096)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
    # The sequence is deterministic: its means are within 0.0015, its variances within 1.6 %.
    np.testing.assert_allclose(weights.mean(axis=0), 0.25, atol=2e-3)
    # The variance of one of k uniform shares is (k - 1) / (k^2 (k + 1)).
    np.testing.assert_allclose(weights.var(axis=0), 3 / 80, rtol=0.03)


def test_empty_front_is_worst_by_all():
    none, some = np.empty((0, 2)), STAIRS
    assert indicators.igd_plus(none, some) == np.inf
    assert indicators.epsilon(none, some) == np.inf
    assert indicators.r2(none, [0, 0]) == np.inf


SIZES = [830, (-830, 0, 830)]


@pytest.mark.parametrize("e", SIZES)
@pytest.mark.parametrize("n_obj", [2, 3, 5])
def test_volumes_of_scaled_objectives_are_scaled_exactly_or_refused(n_obj, e):
    F = np.random.default_rng(n_obj).random((20, n_obj))
    F /= np.linalg.norm(F, axis=1, keepdims=True)
    powers, point = np.resize(e, n_obj), np.full(n_obj, 1.1)
    total = int(powers.sum())
    scaled, far = np.ldexp(F, powers), np.ldexp(point, powers)
    for measure in (indicators.hypervolume, indicators.contributions):
        for exact in (True, False):
            if abs(total) > 900:
                with pytest.raises(ValueError, match="range of floats"):
                    measure(scaled, far, exact=exact)
            else:
                expected = np.ldexp(measure(F, point, exact=exact), total)
                np.testing.assert_array_equal(measure(scaled, far, exact=exact), expected)
    growing, plain = GrowingFront(scaled, far), GrowingFront(F, point)
    if abs(total) <= 900:
        np.testing.assert_array_equal(
            growing.volumes([5, 20]), np.ldexp(plain.volumes([5, 20]), total)
        )
        target = float(plain.volumes([12])[0])
        assert growing.first(float(np.ldexp(target, total))) == plain.first(target)
    else:
        with pytest.raises(ValueError, match="range of floats"):
            growing.volumes([5, 20])


def test_a_growing_front_in_many_objectives_is_approximate_instead_of_endless():
    sphere = np.abs(np.random.default_rng(0).normal(size=(300, 12)))
    F, point = 1.0 - sphere / np.linalg.norm(sphere, axis=1)[:, None], np.full(12, 1.1)
    growing = GrowingFront(F, point)  # exact volumes would take moocore years
    volumes = growing.volumes([10, 100, 300])
    for n, volume in zip((10, 100, 300), volumes, strict=True):
        assert volume == pytest.approx(indicators.hypervolume(F[:n], point))
    assert 10 < growing.first(volumes[1]) <= 100


@pytest.mark.parametrize("e", [-300, 830])
@pytest.mark.parametrize("n_obj", [2, 3])
def test_distances_of_scaled_objectives_are_scaled_exactly(n_obj, e):
    F, other = np.random.default_rng(n_obj).random((2, 20, n_obj))
    for measure, reference in (
        (indicators.igd_plus, other),
        (indicators.epsilon, other),
        (indicators.r2, np.zeros(n_obj)),
    ):
        expected = np.ldexp(measure(F, reference), e)
        assert measure(np.ldexp(F, e), np.ldexp(reference, e)) == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda: indicators.igd_plus([[1.0, 2.0]], np.empty((0, 2))),
        lambda: indicators.igd_plus([[np.nan, 1.0]], [[0.0, 0.0]]),
        lambda: indicators.r2([[0.5, 0.5]], [1.0, 1.0]),
        lambda: indicators.r2([[0.5, 0.5]], [0.0, 0.0], n_directions=0),
    ],
)
def test_an_indicator_that_would_mean_nothing_is_refused(call):
    with pytest.raises(ValueError, match="parameter of"):
        call()
