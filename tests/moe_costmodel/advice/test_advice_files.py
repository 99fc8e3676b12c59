"""Files and command lines from advice: placements by engine, and experts to keep in fast memory."""

import json
import shlex
import sys

import numpy as np
import pytest

from moe_costmodel import (
    Admission,
    OffloadPlan,
    Placement,
    contiguous,
    replicate_and_pack,
)
from moe_costmodel.advice.files import write_advice
from moe_costmodel.advice.recommendation import Recommendation, TraceAdvice

LAYERS = (2, 3, 5)  # the numbers of the layers with experts within the model


def recommendation(knob, n_devices, **settings):
    given = {"adopt": True, "setting": "", "why": ""}
    return Recommendation(knob=knob, n_devices=n_devices, **given | settings)


def advice(*items):
    return TraceAdvice("monday", items, layers=LAYERS, k=2)


@pytest.fixture
def plan(rng):
    start = rng.uniform(0.01, 1.0, (3, 8))
    return OffloadPlan("lfu", Admission(per_step=0), None, np.array([2, 3, 4]), start, 0.0, 1024.0,
                       1)  # fmt: skip


def flag(command, name):
    words = shlex.split(command)
    return words[words.index(name) + 1]


def test_placements_are_written_for_each_engine(tmp_path, rng):
    placement = Placement(rng.permuted(np.tile(np.arange(8), (3, 1)), axis=1), 4)
    folder = tmp_path / "a" / "new folder"
    commands = write_advice(
        advice(recommendation("placement", 4, placement=placement)), folder, "m"
    )
    # vLLM reads no placement, and there are no redundant experts to ask it for.
    assert set(commands) == {"SGLang, 4 devices", "TensorRT-LLM, 4 devices"}
    path = flag(commands["SGLang, 4 devices"], "--init-expert-location")
    assert path == str(folder / "sglang_4_experts.json")
    rows = json.loads((folder / "sglang_4_experts.json").read_text())["physical_to_logical_map"]
    assert len(rows) == 6
    assert [rows[layer] for layer in LAYERS] == placement.physical_to_logical.tolist()
    assert (folder / "trtllm_4.yaml").is_file()
    assert (folder / "trtllm_4_experts.yaml").is_file()


def test_redundant_experts_replace_the_placement_without(tmp_path, rng):
    loads = rng.gamma(1.0, size=(3, 8))
    copies = replicate_and_pack(loads[None], 4, n_replicas=4)
    items = (
        recommendation("placement", 4, placement=contiguous(3, 8, 4)),
        recommendation("redundant experts", 4, placement=copies),
        recommendation("placement", 2, placement=contiguous(3, 8, 2)),
        recommendation("redundant experts", 2, placement=copies, adopt=False),
    )
    commands = write_advice(advice(*items), tmp_path, "m")
    assert set(commands) == {
        "SGLang, 4 devices", "TensorRT-LLM, 4 devices", "vLLM, 4 devices", "SGLang, 2 devices",
        "TensorRT-LLM, 2 devices",
    }  # fmt: skip
    assert flag(commands["SGLang, 4 devices"], "--ep-num-redundant-experts") == "4"
    written = json.loads((tmp_path / "sglang_4_experts.json").read_text())
    assert written["physical_to_logical_map"][2] == copies.physical_to_logical[0].tolist()
    alone = json.loads((tmp_path / "sglang_2_experts.json").read_text())
    assert alone["physical_to_logical_map"][5] == list(range(8))
    assert flag(commands["SGLang, 2 devices"], "--ep-num-redundant-experts") == "0"


def test_experts_to_keep_are_written_with_their_uses(tmp_path, plan):
    torch = pytest.importorskip("torch")
    item = recommendation("expert buffer", 1, offload=plan)
    commands = write_advice(advice(item), tmp_path, "m")
    assert list(commands) == ["KTransformers, 1 device"]
    command = commands["KTransformers, 1 device"]
    assert flag(command, "--kt-num-gpu-experts") == "3"  # the median of the layers
    assert flag(command, "--kt-expert-placement-strategy") == "frequency"
    kept = json.loads((tmp_path / "residents.json").read_text())
    assert kept["layers"] == list(LAYERS)
    for residents, uses, n in zip(kept["residents"], plan.start, (2, 3, 4), strict=True):
        assert residents == sorted(range(8), key=lambda expert: -uses[expert])[:n]
    # KTransformers reads the uses of all layers of the model, those without experts as zeros.
    counts = torch.load(flag(command, "--init-expert-location"))["logical_count"]
    assert counts.shape == (1, 6, 8)
    np.testing.assert_allclose(counts[0, list(LAYERS)] / 1e6, plan.start, atol=1e-6)
    assert counts[0, [0, 1, 4]].sum() == 0


def test_without_torch_the_uses_are_left_out(tmp_path, plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    item = recommendation("expert buffer", 1, offload=plan)
    command = write_advice(advice(item), tmp_path, "m")["KTransformers, 1 device"]
    assert flag(command, "--kt-expert-placement-strategy") == "uniform"
    assert "--init-expert-location" not in command
    assert [path.name for path in tmp_path.iterdir()] == ["residents.json"]


def test_what_is_best_left_alone_is_not_written(tmp_path, plan):
    items = (
        recommendation("placement", 4, placement=contiguous(3, 8, 4), adopt=False),
        recommendation("expert buffer", 1, offload=plan, adopt=False),
        recommendation("thresholds", 4),
    )
    assert write_advice(advice(*items), tmp_path / "out", "m") == {}
    assert list((tmp_path / "out").iterdir()) == []
