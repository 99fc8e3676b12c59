import pytest

from moe_costmodel import LayerShape, MissCost, Record, RoutingTrace, fit_miss_cost
from moe_costmodel.measure.measurements import Measurements
from tests.moe_costmodel.machines import hardware

SHAPE = LayerShape(n_experts=16, k=2, d_model=64, d_ffn=64)


def records(per_miss=3e-5, per_upload=5e-5, hidden=0.0):
    for misses, uploads in ((0, 0), (16, 0), (12, 12), (8, 8), (9, 4), (10, 2)):
        seconds = 8 * 1e-3 + per_miss * misses + max(0.0, per_upload * uploads - 8 * hidden)
        at = {"tokens": 1, "counts": [[1, 1]] * 8, "misses": misses, "uploads": uploads}
        yield Record("offloaded", at, [seconds] * 3, SHAPE)


@pytest.mark.parametrize("hidden", [0.0, 1.25e-5])
def test_constants_come_back_from_kernels_that_follow_them(hidden):
    measured = Measurements(hardware(), list(records(hidden=hidden)), "cpu")
    cost = fit_miss_cost(measured, SHAPE, n_layers=6, base=2e-3)
    assert cost.base == 2e-3
    assert cost.per_miss == pytest.approx(3e-5, rel=1e-3)
    assert cost.per_upload == pytest.approx(5e-5, rel=1e-3)
    # Each of the six layers hides as much as the measured one.
    assert cost.hidden == pytest.approx(6 * hidden, rel=1e-3)


def test_what_was_not_measured_is_named():
    measured = Measurements(hardware(), list(records()), "cpu")
    with pytest.raises(ValueError, match=r"'offloaded'.*and 4 tokens"):
        fit_miss_cost(measured, SHAPE, n_layers=6, base=1.0, batch_size=4)


def test_a_model_is_measured_on_drawn_and_recorded_routing():
    torch = pytest.importorskip("torch")
    from moe_costmodel.example import load_model
    from moe_costmodel.latency.miss_timer import MissTimer

    model, trace = load_model(), RoutingTrace.example()
    tokens = torch.tensor([list(b"def plan")])
    with torch.no_grad():
        before = model(tokens)
    for routing in (None, trace):
        timer = MissTimer(
            model, context=4, trace=routing, n_steps=4,
            slow=lambda layer, experts: experts.to(torch.bfloat16),
        )  # fmt: skip
        timer.turn()
        assert isinstance(timer.cost(), MissCost)
        resident, static, uploads = timer.runs[0], timer.runs[1], timer.runs[4]
        assert resident.misses == 0
        assert static.misses > static.uploads == 0
        assert uploads.uploads > 0
    with torch.no_grad():
        assert torch.equal(model(tokens), before)
    with pytest.raises(ValueError, match="of the model's 6 layers"):
        MissTimer(model, trace=RoutingTrace([[[0, 1]]], n_experts=4))
