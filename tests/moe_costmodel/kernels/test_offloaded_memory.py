"""Offloaded experts: fast memory that layers share, hits and misses apart, and failed uploads."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from moe_costmodel.kernels import Experts, OffloadedExperts, OffloadStatistics, route  # noqa: E402
from moe_costmodel.kernels import reference as exact  # noqa: E402
from moe_costmodel.kernels.offloaded import _UPLOADER, _products  # noqa: E402


def routed(seed=0, n=5):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, generator=generator)
    return x, *route(x, torch.randn(8, 16, generator=generator), 2)


def assert_right(layer, experts, seed):
    x, ids, weights = routed(seed)
    torch.testing.assert_close(layer(x, ids, weights).double(), exact(x, ids, weights, experts),
                               atol=1e-5, rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("background", [True, False])
def test_a_layer_may_begin_anew_in_the_memory_of_another(in_place, background):
    first, second = (Experts.random(8, 16, 24, seed=seed) for seed in (0, 1))
    settings = {"policy": "lru", "start": np.arange(8.0), "in_place": in_place}
    settings["background"] = background
    one = OffloadedExperts(first, 3, **settings)
    two = OffloadedExperts(second, 3, **settings, fast=one.fast)
    assert_right(two, second, 0)
    # The first layer's experts were overwritten. It begins anew, with its own.
    two.wait()
    one.use_memory(two.fast)
    assert one.statistics == OffloadStatistics()
    for expert, slot in one.residency.contents():
        assert torch.equal(one.fast.up[slot], first.up[expert])
    for seed in range(4):
        assert_right(one, first, seed)
    assert one.statistics.steps == 4


def test_memory_must_hold_all_slots():
    experts = Experts.random(8, 16, 24)
    small = experts.subset([0, 1, 2])
    OffloadedExperts(experts, 3, fast=small)
    with pytest.raises(ValueError, match=r"'fast' parameter of OffloadedExperts.*4 experts or mor"):
        OffloadedExperts(experts, 4, fast=small)
    # Misses that are copied need a slot of their own.
    with pytest.raises(ValueError, match="of 4 experts or more"):
        OffloadedExperts(experts, 3, fast=small, in_place=False)
    layer = OffloadedExperts(experts, 4)
    with pytest.raises(ValueError, match="'fast'"):
        layer.use_memory(small)


@pytest.mark.parametrize("resident", [(), (1, 4), (0, 1, 2, 3, 4, 5, 6, 7)])
def test_hits_and_misses_that_are_computed_apart_come_back_in_order(resident):
    experts = Experts.random(8, 16, 24, gated=True, activation="silu")
    start = np.isin(np.arange(8), resident).astype(float)
    layer = OffloadedExperts(experts, max(len(resident), 1), start=start)
    needed, rows = [1, 3, 4, 7], [2, 1, 3, 1]
    tokens = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
    slot_of = dict(layer.residency.contents()) if resident else {}
    slots = [slot_of.get(expert, -1) for expert in needed]
    apart = layer._on_both(tokens, needed, rows, slots)
    together = _products(tokens, rows, *layer._matrices(needed, slots), layer.fast)
    torch.testing.assert_close(apart, together)
    expected = [experts.product(expert, part)
                for expert, part in zip(needed, tokens.split(rows), strict=True)]  # fmt: skip
    torch.testing.assert_close(apart, torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_a_failed_upload_is_raised_where_it_is_waited_for():
    broken = _UPLOADER.submit([torch.empty(2)], [torch.ones(3)])
    with pytest.raises(RuntimeError, match="size"):
        broken.wait()
    # The thread goes on.
    target = torch.zeros(3)
    _UPLOADER.submit([target], [torch.ones(3)]).wait()
    assert target.tolist() == [1, 1, 1]
