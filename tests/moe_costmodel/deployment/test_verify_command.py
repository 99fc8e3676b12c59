import json
from dataclasses import replace

import numpy as np
import pytest

from tests.moe_costmodel.machines import SHAPE, hardware, latency, planned
from tests.moe_costmodel.random_traces import random_trace

pytest.importorskip("torch")

from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.deployment.verify import shapes_to_measure, verify
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.measurements import Measurements
from moe_costmodel.measure.stack import measure_stack
from moe_costmodel.shapes import LayerShape
from moela.cli import main


@pytest.fixture
def trace(rng):
    return random_trace(rng, n_tokens=60, n_layers=2, lengths=[20] * 3)


def test_a_stack_measures_layers_and_buffers(tmp_path):
    here = Hardware.here()
    narrow = LayerShape(n_experts=8, k=2, d_model=16, d_ffn=16, gated=True)
    found = measure_stack(
        here, [SHAPE, narrow], n_layers=2, tokens=(1, 4), policies=("lfu",), repeats=2, clock="cpu"
    )
    layers, buffered = list(found.of("layer")), list(found.of("buffered"))
    assert len(layers) == 2 * 2 * 9 * 2  # shapes, layers, draws, sizes
    for record in layers:
        assert len(record.repeats) == 2
        tokens = record.at["tokens"]
        assert tokens <= sum(record.at["counts"]) <= 2 * tokens
    assert {record.at["capacity"] for record in buffered} == {1, 2, 4, 6, 7}
    for record in buffered:
        needed = np.count_nonzero(record.at["counts"])
        assert 0 < record.at["misses"] <= needed
    assert "slow_to_fast" in found.hardware.links
    back = Measurements.load(found.save(tmp_path / "kernels.json"))
    assert LatencyModel.fit(back, max_error=np.inf).buffer_cost is not None


def test_kernels_are_timed_in_turns_with_the_plans(trace):
    model = DeploymentModel(trace, hardware(), latency(), shape=SHAPE)
    plans = [planned(model, capacities=c, policy="lfu", batch_size=2) for c in (None, 3)]
    found = verify(
        plans, trace, Hardware.here(), n_steps=6, repeats=2, clock="cpu", max_error=np.inf
    )
    # The speed of this machine is unknown, so the test only checks that both times are of the same
    # order: 5 leaves room for a busy machine, and excludes wrong units and repeated work.
    for item in found:
        assert 0.2 < item.predicted.mean() / item.measured.mean() < 5


def test_plans_on_several_devices_are_not_extrapolated(trace):
    model = DeploymentModel(trace, hardware(), latency(), shape=SHAPE, n_devices=2)
    plans = [planned(model, batch_size=2)]
    assert shapes_to_measure(plans)[0] == replace(SHAPE, n_local=4)
    here = replace(Hardware.here(), links=hardware().links)
    (found,) = verify(plans, trace, here, n_steps=4, repeats=1, clock="cpu", max_error=np.inf)
    assert found.outside == ()


def test_the_command_prints_and_writes(trace, tmp_path, capsys):
    model = DeploymentModel(trace, hardware(), latency(), shape=SHAPE)
    path = planned(model, capacities=3, policy="lfu", batch_size=2).save(tmp_path / "plan.json")
    trace_path = trace.save(tmp_path / "trace.npz")
    out = tmp_path / "out.json"
    words = ["moe", "verify", str(path), "--trace", str(trace_path), "--steps", "4"]
    # One repeat on a busy machine may give times that no model fits well.
    words += ["--repeats", "1", "--clock", "cpu", "--max-error", "inf"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "median error" in printed
    assert "the plan itself predicts" in printed
    (row,) = json.loads(out.read_text())
    assert len(row["measured_s"]) == len(row["predicted_s"]) == 4
    assert row["misses"] > 0

    assert main([*words[:-1], "0"]) == 2
    assert "or pass max_error=" in capsys.readouterr().err
    assert main(["moe", "verify", str(path)]) == 2  # the example has other layers
    error = capsys.readouterr().err
    assert str(path) in error
    assert "name the model's own with --trace" in error
    (tmp_path / "broken.json").write_text("{}")
    assert main(["moe", "verify", str(tmp_path / "broken.json")]) == 2
    assert "field 'format'" in capsys.readouterr().err


def test_a_part_of_a_layer_chooses_among_all_experts():
    part = replace(SHAPE, n_local=3)
    narrow = replace(part, d_ffn=16)
    found = measure_stack(
        Hardware.here(), [part, narrow], n_layers=1, tokens=(1, 8), policies=("lfu",), repeats=1,
        clock="cpu",
    )  # fmt: skip
    layers = [record for record in found.of("layer") if record.at["tokens"] == 8]
    assert all(len(record.at["counts"]) == 3 for record in layers)
    # Of the 16 choices of a step, 3 of 8 experts get 6 on average, or fewer under a rule.
    assert 0 < np.mean([sum(record.at["counts"]) for record in layers]) < 12
    latency = LatencyModel.fit(found, max_error=np.inf)
    assert latency.outside(part, 8) == []
