import json

import numpy as np
import pytest

from moe_costmodel import DeploymentModel, LatencyModel, Measurements, Record, RoutingTrace
from moe_costmodel.example import measured
from moe_costmodel.latency.steps.whole_steps import whole_error

SHAPE = measured.example_shape()


def whole_steps(factors, prefill=0):
    """Return steps that take `factors` times what their parts add up to."""
    latency, rest = measured.example_latency(), measured.example_rest()
    mode = "prefill" if prefill else "decode"
    for tokens, factor in zip((4, 8, 16, 32), factors, strict=False):
        counts = np.zeros((2, 6, SHAPE.n_experts), int)
        counts[:, :, : 2 * tokens // 4] = 8
        layers = latency.table(SHAPE).seconds(counts).sum() / 2
        seconds = factor * (layers + float(rest.seconds(tokens, 64, mode=mode)))
        at = {"tokens": tokens, "context": 64, "prefill": prefill, "counts": counts.tolist()}
        yield Record("whole", at, [seconds], SHAPE)


def deployment(records):
    latency = LatencyModel.fit(measured.example_measurements(), method="linear")
    latency.whole_steps = list(records)
    return DeploymentModel(
        RoutingTrace.example("code"), measured.example_hardware(1), latency, shape=SHAPE,
        rest=measured.example_rest(), context=64,
    )  # fmt: skip


def test_a_common_bias_widens_the_interval_like_a_scatter():
    assert whole_error(np.zeros(0), 0.8) == (1.0, 1.0)
    low, high = whole_error(np.log([1.05] * 100), 0.8)
    assert high == pytest.approx(1.05**1.2816, abs=1e-3)
    assert low == pytest.approx(1 / high)
    # A single ratio tells less than many.
    assert whole_error(np.log([1.05]), 0.8)[1] > high


def test_steps_that_take_longer_than_their_parts_are_within_the_interval():
    plain, biased = deployment([]), deployment(whole_steps([1.3] * 4))
    decision = plain.decision(batch_size=8)
    before, after = (m.evaluate(decision).predicted("step_mean_s") for m in (plain, biased))
    assert after.value == before.value
    assert before.high < 1.3 * before.value < after.high
    assert after.low < before.low
    right = deployment(whole_steps([1.0] * 4)).evaluate(decision).predicted("step_mean_s")
    assert (right.low, right.high) == pytest.approx((before.low, before.high))


def test_whole_steps_are_read_from_a_file(tmp_path):
    found = measured.example_measurements()
    records = [*found.records, *whole_steps([1.1, 1.0])]
    path = Measurements(found.hardware, records, found.clock).save(tmp_path / "k.json")
    read = Measurements.load(path)
    assert len(list(read.of("whole"))) == 2
    assert len(LatencyModel.fit(read, method="linear").whole_steps) == 2
    content = json.loads(path.read_text())
    content["records"][-1]["at"]["counts"] = [[1] * SHAPE.n_experts]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="counts"):
        Measurements.load(path)
