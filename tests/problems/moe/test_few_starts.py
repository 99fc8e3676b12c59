"""The first few of ordered starts stand for all of them."""

import moocore
import numpy as np
import pytest

from problems.moe.few_starts import by_worth


@pytest.mark.parametrize(("n", "n_obj"), [(60, 2), (150, 3), (40, 4), (80, 7)])
def test_the_first_few_dominate_more_than_as_many_at_random(n, n_obj):
    rng = np.random.default_rng(n)
    F = np.abs(rng.normal(size=(n, n_obj)))
    F /= np.linalg.norm(F, axis=1)[:, None]
    F, ref = 10.0 ** (3 * (1 - F)), np.full(n_obj, 1001.0)
    rows = np.arange(n)[:, None]
    order = by_worth(rows, F, ref).ravel()
    assert sorted(order.tolist()) == list(range(n))

    def volume(at):
        return moocore.hypervolume(F[at], ref=ref)

    others = [volume(rng.permutation(n)[:10]) for _ in range(20)]
    assert volume(order[:10]) > max(others)


@pytest.mark.parametrize("n_obj", [3, 8])
def test_equal_and_single_designs_keep_their_number(n_obj):
    F, ref = np.ones((4, n_obj)), np.full(n_obj, 2.0)
    assert len(by_worth(np.arange(4)[:, None], F, ref)) == 4
    assert by_worth(np.zeros((1, 2), dtype=np.int64), F[:1], ref).tolist() == [[0, 0]]
