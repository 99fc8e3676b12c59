"""`moela run moe` on what it measures itself, and options that must be positive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_costmodel import Hardware, LatencyModel, Measurements
from moe_costmodel.example.measured import example_latency, example_measurements
from moela.cli import main
from moela.commands.run import moe_inputs

QUIET = ["run", "moe", "--quiet", "--evals", "60"]
SHORT = ["--measure-s", "1", "--batch-sizes", "1", "2"]


def test_devices_need_no_file(tmp_path, monkeypatch):
    latency = example_latency()
    monkeypatch.setattr(LatencyModel, "fit", lambda source, **settings: latency)
    assert main([*QUIET, *SHORT, "--devices", "2", "--out", str(tmp_path)]) == 0
    found = Measurements.load(tmp_path / "kernels.json")
    assert found.hardware.link("device_to_device").bandwidth > 0
    assert any(found.of("all_to_all"))


def test_noisy_times_are_measured_again_and_longer(tmp_path, monkeypatch, assert_rejected):
    budgets = []

    def measure(n_devices, largest, budget_s, arguments):
        budgets.append(budget_s)
        return example_measurements()

    def fit(source, **settings):
        raise ValueError("LatencyModel.fit must predict the measured times")

    monkeypatch.setattr(moe_inputs, "_measure_example", measure)
    monkeypatch.setattr(LatencyModel, "fit", fit)
    assert_rejected([*QUIET, "--measure-s", "3", "--out", tmp_path], "must predict")
    assert budgets == [3.0, 6.0, 12.0]


def test_missing_links_are_named_with_what_to_do(tmp_path, monkeypatch, assert_rejected):
    monkeypatch.setattr(moe_inputs, "_measure_example", None)
    assert_rejected([*QUIET, "--nodes", "2", "--out", tmp_path], "node_to_node", "--nodes 2")
    bare = Hardware(name="bare", memory_bytes=2**30)
    measured = replace(example_measurements(), hardware=bare)
    kernels = measured.save(tmp_path / "kernels.json")
    arguments = [*QUIET, "--kernels", kernels, "--out", tmp_path]
    assert_rejected(arguments, "'device_to_device'", "--devices 1")


@pytest.mark.parametrize(
    "words",
    [
        "run moe --devices 0", "run moe --model m.json --gpu h200_sxm --gpus 0",
        "moe simulate --model m.json --gpu h200_sxm --ep 0", "moe headroom --slots 0",
        "trace record example out.npz --length 0", "run moe-on-chip --capacity 0",
    ],
)  # fmt: skip
def test_zero_is_no_default(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    error = capsys.readouterr().err
    option = next(word for word in words.split()[::-1] if word.startswith("--"))
    assert ended.value.code == 2
    assert error.count("\n") == 1
    assert f"{option}: must be an integer of at least" in error


def test_a_limit_of_zero_beside_a_model_is_not_left_out(assert_rejected):
    arguments = ["run", "moe", "--model", "m.json", "--gpu", "h200_sxm", "--slo-ms", "0"]
    assert_rejected(arguments, "--slo-ms goes without --model")
