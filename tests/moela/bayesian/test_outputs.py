"""The transformation of outputs is that of scipy, and can be undone."""

import numpy as np
import pytest
from scipy.stats import yeojohnson, yeojohnson_normmax

from moela.bayesian.outputs import Output, _likeliest_power

KINDS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "long tail": lambda rng, n: np.exp(2 * rng.normal(size=n)),
    "negative": lambda rng, n: -np.exp(rng.normal(size=n)),
    "of many sizes": lambda rng, n: rng.standard_cauchy(n) * 10 ** rng.uniform(-3, 3),
    "nearly all zero": lambda rng, n: np.eye(n)[0],
    "tiny": lambda rng, n: 1e-8 * rng.normal(size=n),
    "equal": lambda rng, n: np.full(n, 3.0),
    "huge": lambda rng, n: 1e100 * rng.normal(size=n),
}


@pytest.mark.parametrize("kind", KINDS)
def test_powers_are_those_of_scipy(kind):
    rng = np.random.default_rng(1)
    for n in (2, 5, 20, 100):
        z = KINDS[kind](rng, n)
        # Powers beyond these are cut off by the caller; scipy's own bounds depend on its version.
        found, expected = np.clip([_likeliest_power(z), yeojohnson_normmax(z)], -1.0, 1.0)
        # With two values, the likelihood is flat, and releases of scipy differ by 4e-5.
        assert found == pytest.approx(expected, abs=1e-4)


def test_long_tails_are_drawn_in_and_come_back():
    values = np.exp(2 * np.random.default_rng(2).normal(size=60))
    output = Output.of(values, powered=True)
    drawn = output(values)
    assert output.power < 0.5
    assert abs(drawn.mean()) < 1e-9
    assert drawn.std() == pytest.approx(1.0)
    np.testing.assert_allclose(output.back(drawn), values, rtol=1e-9)
    z = (values - output.center) / output.unit
    other = (yeojohnson(z, output.power) - output.second_center) / output.second_unit
    np.testing.assert_allclose(drawn, other, rtol=1e-9)


def test_values_without_a_tail_are_only_standardized():
    values = np.random.default_rng(3).uniform(-1.0, 1.0, 60)
    assert Output.of(values, powered=True).power == 1.0
    assert Output.of(np.exp(values), powered=False).power == 1.0
    assert Output.of(np.full(9, 7.0), powered=True)(np.array([7.0])) == 0.0
