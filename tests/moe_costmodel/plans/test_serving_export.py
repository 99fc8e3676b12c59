"""Exports of serving plans: requests in flight of pools with pipeline stages."""

import json

import pytest

from moe_costmodel import Layout, ModelShape, Placement, ServingPlan, ServingPool
from moe_costmodel.models.config import moe_layer_numbers
from tests.moe_costmodel.models.test_config import QWEN3_30B
from tests.moe_costmodel.models.test_hybrids import JAMBA
from tests.moe_costmodel.models.test_newer_families import NEMOTRON
from tests.moe_costmodel.models.test_served_families import LONGCAT


def flag(export, name):
    return int(export.flags[export.flags.index(name) + 1])


def placed(config, placement):
    """Return a plan of two GPUs with a placement of the experts."""
    pool = ServingPool(
        role="mixed", layout=Layout(tp=2, moe_ep=2), replicas=1, concurrency=8,
        max_num_batched_tokens=4096, placement=placement,
    )  # fmt: skip
    return ServingPlan(
        shape=ModelShape.from_config(config), gpu="h200_sxm", backend="sglang", n_gpus=2,
        mode="mixed", input_tokens=1024, output_tokens=128, pools=(pool,),
    )  # fmt: skip


def exported(folder):
    """Return the rows of the placement that was exported."""
    (file,) = folder.glob("*_experts.json")
    return json.loads(file.read_text())["physical_to_logical_map"]


@pytest.mark.parametrize("pp", [1, 2, 4])
def test_prompts_fill_all_pipeline_stages(pp, tmp_path):
    pools = tuple(
        ServingPool(
            role=role, layout=Layout(tp=2, moe_ep=2, pp=pp), replicas=1, concurrency=8,
            max_num_batched_tokens=4096,
        )
        for role in ("prefill", "decode")
    )  # fmt: skip
    plan = ServingPlan(
        shape=ModelShape.from_config(QWEN3_30B), gpu="h200_sxm", backend="sglang", n_gpus=4 * pp,
        mode="disaggregated", input_tokens=1024, output_tokens=128, pools=pools,
    )  # fmt: skip
    prefill, decode = plan.export(tmp_path, model="m")
    # A prefill pool has eight prompts in each stage, and as many that wait for their transfer.
    assert flag(prefill, "--max-running-requests") == 2 * 8 * pp
    assert flag(decode, "--max-running-requests") == 8
    prefill, decode = plan.export(tmp_path, model="m", engine="trtllm")
    assert flag(prefill, "--max_batch_size") == 2 * 8
    assert flag(decode, "--max_batch_size") == 8 / pp


@pytest.mark.parametrize("pattern", ["MEM*E", "ME*E"])
def test_placements_of_models_whose_parts_are_layers_of_their_own(tmp_path, pattern):
    config = NEMOTRON | {"hybrid_override_pattern": pattern}
    moved = Placement.from_devices([[1, 0, 0, 1, 0, 1]] * 2, n_devices=2)
    plan = placed(config, moved)
    with pytest.raises(ValueError, match=r"'layers'.*moe_layer_numbers"):
        plan.export(tmp_path, model="m")
    plan.export(tmp_path, model="m", layers=moe_layer_numbers(config))
    rows = exported(tmp_path)
    # The engine counts each letter as a layer.
    assert [row != list(range(6)) for row in rows] == [letter == "E" for letter in pattern]


def test_layers_of_placements_are_not_guessed_where_dense_layers_are_among_the_others(tmp_path):
    moved = Placement.from_devices([[1, 0] * 8] * 16, n_devices=2)
    plan = placed(JAMBA, moved)
    with pytest.raises(ValueError, match=r"'layers'.*among the others.*moe_layer_numbers"):
        plan.export(tmp_path, model="m")
    plan.export(tmp_path, model="m", layers=moe_layer_numbers(JAMBA))
    rows = exported(tmp_path)
    assert [row != list(range(16)) for row in rows] == [False, True] * 16


def test_placements_of_longcat_have_a_row_for_each_layer_of_the_engine(tmp_path):
    moved = Placement.from_devices([[1, 0] * 256] * 28, n_devices=2)
    (export,) = placed(LONGCAT, moved).export(tmp_path, model="m")
    assert len(exported(tmp_path)) == 28
    assert not any("taken to be the first" in note for note in export.notes)
