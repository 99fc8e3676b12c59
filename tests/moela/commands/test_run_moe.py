"""`moela run moe`: consistent files of results, and one line of error for bad input."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import moe_costmodel.example
from moe_costmodel import OBJECTIVES, Plan, RoutingTrace
from moe_costmodel.example.measured import example_hardware
from moe_costmodel.objectives import quantity
from moela.cli import main
from moela.commands.run.moe import best_row
from moela.commands.run.moe_inputs import hold_out

KERNELS = str(Path(moe_costmodel.example.__file__).parent / "data" / "example_kernels.json")
COMMON = ["run", "moe", "--quiet", "--kernels", KERNELS, "--fit", "linear"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    out = tmp_path_factory.mktemp("plan")
    arguments = ["--devices", "2", "--evals", "200", "--slo-ms", "40"]
    assert main([*COMMON, "--out", str(out), *arguments]) == 0
    return out


def read_front(folder):
    with (folder / "front.csv").open() as file:
        header, *lines = list(csv.reader(file))
    return header, lines


def test_front_record_and_plan_agree(plan):
    header, lines = read_front(plan)
    record = json.loads((plan / "run.json").read_text())
    names = ["seconds_per_token", "step_p99_s", "memory_bytes", "quality_loss"]
    assert header[:4] == names
    assert len(lines) == record["front_size"]
    assert record["n_eval"] == 200
    assert record["quality_loss"] == "gate mass lost"
    best = lines[record["best"]["row"]]
    found = Plan.load(plan / "plan.json")
    assert found.objectives["step_p99_s"].value == pytest.approx(float(best[1]))
    assert found.batch_size == int(best[header.index("batch")])
    assert found.objectives["step_p99_s"].value <= 0.04


def test_no_design_of_the_front_dominates_another(plan):
    F = np.array([line[:4] for line in read_front(plan)[1]], dtype=float)
    for f in F:
        assert not ((F <= f).all(axis=1) & (F < f).any(axis=1)).any()


def test_files_for_engines_people_and_verify_are_there(plan):
    for name in ("sglang.json", "vllm.json", "tensorrt_llm.yaml", "flags.txt", "plan.txt"):
        assert (plan / name).stat().st_size > 0
    assert (plan / "front.png").read_bytes().startswith(b"\x89PNG")
    assert (plan / "kernels.json").is_file()
    assert "traffic" in (plan / "check.txt").read_text()
    for path in (plan / "plans").iterdir():
        assert Plan.load(path).n_devices == 2


def test_thresholds_that_engines_do_not_take_are_priced(tmp_path, capsys):
    objectives = ["--objectives", "step_mean_s", "quality_loss", "--max-quality-loss", "0.4"]
    arguments = ["--devices", "1", "--evals", "100", "--batch-sizes", "16", *objectives]
    assert main([*COMMON, "--out", str(tmp_path), *arguments]) == 0
    found = Plan.load(tmp_path / "plan.json")
    text = (tmp_path / "flags.txt").read_text()
    assert found.has_thresholds
    assert "thresholds are not exported" in text
    assert text.startswith("without thresholds: ")
    value = quantity(found.objectives["step_mean_s"].value, "s")
    words = OBJECTIVES["step_mean_s"].words
    assert re.search(rf"without thresholds: .*{words} [\d.]+ ms instead of {value}", text)
    assert text.splitlines()[0] in capsys.readouterr().out


def test_thresholds_stay_off_if_nothing_counts_what_they_lose(tmp_path, capsys):
    arguments = ["--devices", "1", "--evals", "60", "--objectives", "step_mean_s", "memory_bytes"]
    assert main([*COMMON, "--out", str(tmp_path), *arguments]) == 0
    assert "thresholds stay off, since nothing counts" in capsys.readouterr().out
    assert not Plan.load(tmp_path / "plan.json").has_thresholds


def test_a_trace_without_weights_leaves_thresholds_off(tmp_path, capsys):
    trace = RoutingTrace(
        RoutingTrace.example().topk_ids, n_experts=32,
        sequence_lengths=RoutingTrace.example().sequence_lengths,
    )  # fmt: skip
    path = tmp_path / "bare.npz"
    trace.save(path)
    arguments = ["--trace", str(path), "--shape", "32,4,128,40,gated", "--evals", "60"]
    assert main([*COMMON, "--out", str(tmp_path), *arguments]) == 0
    assert "thresholds stay off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trace", "nowhere.npz"], ["nowhere.npz"]),
        (["--devices", "64"], ["n_devices", "32 experts", "64"]),
        (["--slo-ms", "0.001"], ["slo_s", "at least"]),
        (["--memory-gib", "0.0001"], ["memory_budget", "at least", "more devices"]),
        (["--replicas", "3"], ["replicas", "would do"]),
        (["--fit", "guess"], ["--fit must be one of auto, ", "guess"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, assert_rejected):
    assert_rejected([*COMMON, "--out", tmp_path / "out", *arguments], *words)


def test_a_machine_without_a_link_is_named_before_anything_is_measured(tmp_path, capsys):
    from dataclasses import replace

    path = replace(example_hardware(), links={}).save(tmp_path / "bare.json")
    assert main(["run", "moe", "--hardware", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "'device_to_device'" in capsys.readouterr().err


def test_what_is_held_out_is_the_end_of_the_last_trace():
    traces = [RoutingTrace.example("prose"), RoutingTrace.example("code")]
    notes = []
    planned, unseen = hold_out(traces, 0.25, notes)
    assert planned[0] is traces[0]
    assert planned[1].n_tokens + unseen.n_tokens == traces[1].n_tokens
    assert not notes
    assert hold_out(traces, 0.0, notes) == (traces, None)
    assert "--holdout is 0" in notes[0]


def test_the_largest_box_counts_room_to_the_limits():
    F = np.array([[1.0, 100.0, 0.0], [10.0, 30.0, 0.2], [100.0, 1.0, 0.4]])
    assert best_row(F) == 1
    assert best_row(F, np.array([np.nan, 1e6, np.nan])) == 0
