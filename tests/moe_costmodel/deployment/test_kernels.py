import numpy as np
import pytest

from moe_costmodel.deployment.kernels import kth_smallest, step_statistics


@pytest.mark.parametrize("n", [1, 2, 3, 10, 101])
def test_the_value_of_a_rank_is_that_of_sorted_values(n):
    rng = np.random.default_rng(n)
    for values in (rng.random(n), rng.integers(0, 3, n).astype(float), np.arange(n)[::-1] + 0.0):
        values[rng.integers(n)] = np.inf
        for k in range(n):
            assert kth_smallest(values.copy(), k) == np.sort(values)[k]


def test_statistics_of_windows():
    seconds = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    before, out = seconds.copy(), np.empty((4, 2))
    step_statistics(seconds, np.array([0, 3, 5]), out)
    np.testing.assert_array_equal(seconds, before)
    np.testing.assert_allclose(out, [[0.5, 2 / 9], [2.0, 4.5], [2.0, 4.0], [3.0, 5.0]])
