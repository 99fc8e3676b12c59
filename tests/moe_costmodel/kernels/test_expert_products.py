"""The products of experts check the numbers of tokens that they get."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from moe_costmodel.kernels import Experts, expert_products  # noqa: E402


@pytest.mark.parametrize("product", ["loop", "grouped", "auto"])
@pytest.mark.parametrize(
    "counts", [[1, 0, 1, 0], [2, 0, 2, 0], [-1, 4, 0, 0], [3, 0], [[3, 0, 0, 0]], [3.0, 0, 0, 0]]
)
def test_counts_that_are_not_those_of_the_tokens_are_refused(counts, product):
    experts = Experts.random(4, 8, 16)
    with pytest.raises(ValueError, match="'counts' parameter of expert_products"):
        expert_products(torch.ones(3, 8), torch.tensor(counts), experts, product=product)
