"""Command lines of engines, read by parsers made from the engines' own flags.

`tests/benchmarks/engine_flags.py` writes `data/engine_flags.json` from the engines' packages.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moe_costmodel import ENGINES, Layout, Plan, ServerSettings, contiguous, engine_command
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.models.families import ARCHITECTURES
from moe_costmodel.placement.placement import Placement
from moe_costmodel.plans.engines.served import BY_TRANSFORMERS, NOT_SERVED
from moe_costmodel.plans.engines.sglang import LOCATION_MODELS
from moe_costmodel.plans.engines.vllm import EPLB_MODELS
from moe_costmodel.shapes import LayerShape
from tests.benchmarks.engine_flags import cases

TABLE = json.loads((Path(__file__).parent / "data" / "engine_flags.json").read_text())
KINDS = {"int": int, "float": float, "str": str}
SHAPE = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=48, gated=True)


def parsed(engine, export):
    """Return the values of a command line, as the engine's own parser reads them."""
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    for flag, about in TABLE[engine]["flags"].items():
        if about["kind"] == "flag":
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=KINDS[about["kind"]], choices=about.get("choices"))
    found, unknown = parser.parse_known_args(export.flags)
    assert unknown == []
    return vars(found)


def settings(**changes):
    known = {"model": "m", "n_experts": 64, "k": 8, "n_moe_layers": 16, "sequences": 64}
    return ServerSettings(**(known | changes))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_command_is_read_by_the_engine(engine, tmp_path):
    n_read = 0
    for case in cases():
        try:
            export = engine_command(case, engine, tmp_path)
        except ValueError:
            continue  # refused layouts are tested below
        parsed(engine, export)
        n_read += 1
        assert export.program
        assert export.command.startswith(export.program[0])
    assert n_read >= 3


def test_sglang_numbers_are_of_all_ranks():
    layout = Layout(tp=2, dp=4, moe_tp=2, moe_ep=4, pp=2)
    export = engine_command(settings(layout=layout, chunk_tokens=2048, context=5120), "sglang")
    found = parsed("sglang", export)
    assert (found["tp_size"], found["attn_dp_size"], found["ep_size"], found["pp_size"]) == (
        8, 4, 4, 2,
    )  # fmt: skip
    assert (found["max_running_requests"], found["chunked_prefill_size"]) == (64, 8192)
    assert (found["nnodes"], found["cuda_graph_max_bs_decode"]) == (2, 16)
    assert any("--dp-size 4 --enable-dp-attention" in note for note in export.notes)


def test_vllm_numbers_are_of_a_rank():
    layout = Layout(tp=2, dp=4, moe_ep=8)
    case = settings(layout=layout, chunk_tokens=8, redundant_experts=8, architecture="qwen3_moe")
    export = engine_command(case, "vllm")
    found = parsed("vllm", export)
    assert (found["tensor_parallel_size"], found["data_parallel_size"]) == (2, 4)
    assert found["enable_expert_parallel"]
    assert found["enable_eplb"]
    # A step of vLLM holds a token of each running sequence.
    assert (found["max_num_seqs"], found["max_num_batched_tokens"]) == (16, 16)
    assert json.loads(found["eplb_config"]) == {"num_redundant_experts": 8}
    assert not any("redundant experts" in note for note in export.notes)


@pytest.mark.parametrize(
    ("layout", "per_node", "local", "starts", "last"),
    [
        (Layout(dp=16, moe_ep=16), 8, 8, "0, 8", ""),
        (Layout(tp=4, dp=3, moe_ep=12), 8, 2, "0, 2", "on the last with --data-parallel-size-loc"),
        (Layout(tp=2, dp=3, moe_ep=6), 4, 2, "0, 2", "on the last with --data-parallel-size-loc"),
        (Layout(tp=3, dp=5, moe_ep=15), 8, 2, "0, 2, 4", "--data-parallel-size-local 1 and"),
    ],
)
def test_vllm_starts_all_data_parallel_ranks(layout, per_node, local, starts, last):
    export = engine_command(settings(layout=layout, gpus_per_node=per_node), "vllm")
    found = parsed("vllm", export)
    assert found["data_parallel_size_local"] == local
    assert local * layout.tp <= per_node
    (note,) = (note for note in export.notes if "run it on each" in note)
    assert f"--data-parallel-start-rank {starts}" in note
    assert last in note


@pytest.mark.parametrize(
    ("layout", "n_nodes"),
    [
        (Layout(tp=8, dp=2, moe_ep=16, pp=2), 4),
        (Layout(tp=6, dp=3, moe_ep=18, pp=2), 6),
        (Layout(tp=4, moe_ep=4, pp=5), 4),  # three machines would not divide the GPUs
    ],
)
def test_a_rank_of_vllm_may_take_several_machines(layout, n_nodes):
    export = engine_command(settings(layout=layout), "vllm")
    found = parsed("vllm", export)
    assert (found["nnodes"], found["data_parallel_size_local"]) == (n_nodes, None)
    assert (found["data_parallel_address"] == "HEAD") == (layout.dp > 1)
    assert any(f"each of {n_nodes} machines, with --node-rank 0 to" in n for n in export.notes)


def test_machines_hold_whole_stages_or_equal_parts_of_one():
    for layout, n_nodes in (
        (Layout(tp=4, pp=5, moe_ep=4), 5),  # two stages a machine would leave one out
        (Layout(tp=8, pp=2, moe_ep=8), 2),
        (Layout(tp=12, moe_ep=12), 2),
        (Layout(dp=2, moe_ep=2, pp=5), 5),
    ):
        assert settings(layout=layout).n_nodes == n_nodes
        found = parsed("sglang", engine_command(settings(layout=layout), "sglang"))
        assert found["nnodes"] == n_nodes


def test_vllm_leaves_out_redundant_experts_that_a_model_does_not_take():
    layout = Layout(dp=8, moe_ep=8)
    case = settings(
        layout=layout, redundant_experts=8, architecture="qwen2_moe", location=Path("map.json")
    )
    export = engine_command(case, "vllm")
    assert not parsed("vllm", export)["enable_eplb"]
    assert "--eplb-config" not in export.flags
    notes = "\n".join(export.notes)
    assert "no redundant experts for qwen2_moe: the plan's 8 in each layer are lost" in notes
    assert "--enable-eplb" not in notes


def test_tensorrt_llm_gets_flags_and_a_yaml(tmp_path):
    yaml = pytest.importorskip("yaml")
    case = settings(
        layout=Layout(dp=8, moe_ep=8), redundant_experts=8, kv_dtype="fp8", role="prefill",
        memory_bytes=100e9, weight_bytes=50e9,
    )  # fmt: skip
    export = engine_command(case, "trtllm", tmp_path, name="prefill")
    found = parsed("trtllm", export)
    assert (found["tp_size"], found["ep_size"], found["max_batch_size"]) == (8, 8, 8)
    assert found["extra_llm_api_options"] == str(tmp_path / "prefill.yaml")
    content = yaml.safe_load((tmp_path / "prefill.yaml").read_text())
    assert content["enable_attention_dp"] is True
    # Without a file of the placement, the balancer rearranges a layer in each iteration.
    balancer = {"num_slots": 72, "layer_updates_per_iter": 1}
    assert content["moe_config"]["load_balancer"] == balancer
    assert any("`backend: WIDEEP`" in note for note in export.notes)
    # 90 of 100 GB may be used, 50 are weights: the cache takes 40 of the 50 that are free.
    assert content["kv_cache_config"] == {"free_gpu_memory_fraction": 0.8, "dtype": "fp8"}
    assert content["cache_transceiver_config"] == {"backend": "DEFAULT"}


@pytest.mark.parametrize(("sequences", "batch"), [(64, 8), (65, 9), (1, 1), (0, None)])
def test_tensorrt_llm_divides_sequences_among_pipeline_stages(sequences, batch, tmp_path):
    # It keeps max_batch_size sequences in each of as many steps as there are stages.
    layout = Layout(dp=2, moe_ep=2, pp=4)
    case = settings(layout=layout, sequences=sequences, chunk_tokens=4)
    found = parsed("trtllm", engine_command(case, "trtllm", tmp_path))
    assert found["max_batch_size"] == batch
    assert found["max_num_tokens"] == max(4, batch or 0)
    text = Path(found["extra_llm_api_options"]).read_text()
    assert ("max_batch_size" in text) == (batch is not None)
    assert f"max_batch_size: {batch}\n" in text or batch is None
    # The other engines are told the sequences of all stages.
    for engine, name, most in (
        ("vllm", "max_num_seqs", -(-sequences // 2)),
        ("sglang", "max_running_requests", 2 * -(-sequences // 2)),
    ):
        found = parsed(engine, engine_command(case, engine, tmp_path))
        assert found[name] == (most or None)


def test_paged_experts_in_each_engine(tmp_path):
    case = settings(layout=Layout(), resident_experts=16, expert_bytes=2.0**20)
    found = parsed("sglang", engine_command(case, "sglang"))
    assert found["enable_paged_experts"]
    assert found["paged_experts_num_resident"] == 16
    found = parsed("llamacpp", engine_command(case, "llamacpp"))
    assert found["cpu_moe"]
    assert found["moe_cache_mib"] == 16 * 16
    behind = replace(case, expert_bytes=0.0, moe_layers=tuple(range(1, 17)))
    assert parsed("llamacpp", engine_command(behind, "llamacpp"))["n_cpu_moe"] == 13
    with pytest.raises(ValueError, match="ascending numbers of 16 layers"):
        settings(layout=Layout(), moe_layers=(1, 2))
    found = parsed("ktransformers", engine_command(case, "ktransformers"))
    assert found["kt_num_gpu_experts"] == 16
    for engine in ("vllm", "trtllm"):
        notes = engine_command(case, engine, tmp_path).notes
        assert any("keeps all experts on the GPU" in note for note in notes)
    with pytest.raises(ValueError, match="at least the 8 experts of a token"):
        engine_command(settings(layout=Layout(), resident_experts=4), "sglang")
    several = settings(layout=Layout(tp=2, moe_tp=2), resident_experts=16)
    with pytest.raises(ValueError, match="on one GPU"):
        engine_command(several, "sglang")


@pytest.mark.parametrize(
    ("engine", "layout"),
    [
        ("vllm", Layout(tp=4, moe_tp=2, moe_ep=2)),
        ("trtllm", Layout(tp=2, dp=2, moe_ep=4)),
        ("llamacpp", Layout(tp=2, moe_ep=2)),
        ("ktransformers", Layout(dp=2, moe_ep=2)),
    ],
)
def test_impossible_layouts_are_refused_with_what_to_do(engine, layout, tmp_path):
    with pytest.raises(ValueError, match=r"needs a plan .* export to"):
        engine_command(settings(layout=layout), engine, tmp_path)


def test_models_that_do_not_read_a_placement_are_named():
    assert sorted(LOCATION_MODELS) == TABLE["sglang"]["reads_location"]
    assert sorted(EPLB_MODELS) == TABLE["vllm"]["redundant_experts"]
    case = {"layout": Layout(dp=4, moe_ep=4), "location": Path("map.json")}
    for architecture, noted in (("olmoe", True), ("qwen3_moe", False), ("", True)):
        notes = engine_command(settings(**case, architecture=architecture), "sglang").notes
        assert any("expert locations for" in note for note in notes) == noted


def test_exports_say_whether_the_engine_serves_the_model(tmp_path):
    for engine in ENGINES:
        assert sorted(set(ARCHITECTURES) - NOT_SERVED[engine] - BY_TRANSFORMERS) == sorted(
            set(TABLE[engine]["serves"]) - BY_TRANSFORMERS
        )
    assert sorted(BY_TRANSFORMERS) == TABLE["vllm"]["by_transformers"]
    words = {
        ("sglang", "jamba"): "SGLang 0.5.23 has no class of its own for jamba",
        ("vllm", "minimax"): "vLLM 0.34 has no class of its own for minimax",
        ("vllm", "mellum"): "vLLM 0.34 runs transformers' class for mellum",
        ("trtllm", "jamba"): "TensorRT-LLM does not list jamba",
        ("ktransformers", "gemma4"): "sglang-kt 0.7.2 has no class of its own for gemma4",
        ("llamacpp", "axk1"): "does not convert axk1 to GGUF",
        ("vllm", "granitemoehybrid"): "",
        ("vllm", ""): "not known here whether vLLM serves the model",
        ("trtllm", "new"): "not known here whether TensorRT-LLM serves new",
    }
    for (engine, architecture), expected in words.items():
        case = settings(layout=Layout(), architecture=architecture)
        notes = engine_command(case, engine, tmp_path).notes
        found = [n for n in notes if any(w in n for w in ("class", "list", "GGUF", "not known"))]
        found = [n for n in found if "--model must be" not in n]
        assert (expected in found[0]) if expected else not found


def test_settings_are_checked():
    with pytest.raises(ValueError, match="'model' parameter of ServerSettings"):
        settings(layout=Layout(), model="")
    with pytest.raises(ValueError, match=r"'role' parameter .* one of both, decode, prefill"):
        settings(layout=Layout(), role="mixed")
    with pytest.raises(ValueError, match=r"'sequences' parameter .* at least 0"):
        settings(layout=Layout(), sequences=-1)
    with pytest.raises(ValueError, match="'engine' parameter of engine_command"):
        engine_command(settings(layout=Layout()), "tgi")


# ------------------------------------------------------------------------------------------ plans


def test_a_plan_becomes_whole_commands(tmp_path):
    slots = [[1, 0, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]] * 2
    plan = Plan(model="m", shape=SHAPE, mode="decode", batch_size=16, layers=(1, 2),
                placement=Placement(slots, 4), gates=GateRule("top-p", 0.8))  # fmt: skip
    export = plan.export("sglang", tmp_path, model="org/m", architecture="mixtral", n_layers=4)
    found = parsed("sglang", export)
    assert (found["tp_size"], found["ep_size"], found["attn_dp_size"]) == (4, 4, 4)
    assert (found["ep_num_redundant_experts"], found["max_running_requests"]) == (4, 16)
    rows = json.loads(Path(found["init_expert_location"]).read_text())["physical_to_logical_map"]
    assert len(rows) == 4
    assert rows[1] == slots[0]
    notes = "\n".join(export.notes)
    assert "thresholds are not exported" in notes
    assert "does not read expert locations for mixtral" in notes
    assert "2 layers are not in the plan" in notes
    found = parsed("trtllm", plan.export("trtllm", tmp_path, model="org/m"))
    assert (found["tp_size"], found["ep_size"]) == (4, 4)
    assert "trtllm_experts.yaml" in Path(found["extra_llm_api_options"]).read_text()
    export = plan.export("vllm", tmp_path, model="org/m")
    assert "no released vLLM reads" in "\n".join(export.notes)
    with pytest.raises(ValueError, match="without expert or data parallelism"):
        plan.export("llamacpp", tmp_path, model="m.gguf")


@pytest.mark.parametrize("engine", ["sglang", "vllm", "trtllm"])
def test_exports_make_their_folder(tmp_path, engine):
    slots = [[1, 0, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]] * 2
    plan = Plan(model="m", shape=SHAPE, mode="decode", batch_size=16, placement=Placement(slots, 4))
    plan.export(engine, tmp_path / "new" / engine, model="org/m")
    assert list((tmp_path / "new" / engine).iterdir())
    engine_command(settings(layout=Layout()), "trtllm", tmp_path / "other")
    assert (tmp_path / "other" / "server.yaml").exists()


def test_a_plan_of_one_device_pages_its_experts(tmp_path):
    plan = Plan(model="m", shape=SHAPE, mode="decode", batch_size=1, capacities=3,
                placement=contiguous(2, 8, n_devices=1))  # fmt: skip
    export = plan.export("sglang", tmp_path, model="org/m", layout=Layout())
    assert parsed("sglang", export)["paged_experts_num_resident"] == 3
    assert not any("keeps every placed expert" in note for note in export.notes)
    uneven = Plan(model="m", shape=SHAPE, mode="decode", batch_size=1, capacities=[3, 4],
                  placement=contiguous(2, 8, n_devices=1))  # fmt: skip
    with pytest.raises(ValueError, match="'evaluate' parameter"):
        uneven.export("ktransformers", tmp_path, model="org/m")


def test_a_buffered_plan_on_several_devices_says_what_it_loses(tmp_path):
    plan = Plan(model="m", shape=SHAPE, mode="prefill", batch_size=256, capacities=1,
                placement=contiguous(2, 8, n_devices=4))  # fmt: skip
    export = plan.export("sglang", tmp_path, model="org/m")
    found = parsed("sglang", export)
    # 64 tokens on each of four ranks; experts in order of their ids need no file.
    assert (found["chunked_prefill_size"], found["max_running_requests"]) == (256, None)
    assert found["init_expert_location"] is None
    assert not found["enable_paged_experts"]
    assert any("keeps every placed expert" in note for note in export.notes)
    assert np.all(plan.capacities == 1)


def test_a_layout_of_other_devices_than_a_placement_is_refused(tmp_path):
    made = {"model": "m", "shape": SHAPE, "mode": "decode", "batch_size": 16, "layers": (1, 4)}
    copies = Plan(**made, placement=Placement([[*range(8), *range(4)]] * 2, 4))
    moved = Plan(**made, placement=Placement([[1, 0, *range(2, 8)]] * 2, 4))
    plain = Plan(**made, placement=contiguous(2, 8, n_devices=4))
    layouts = Layout(tp=8, moe_ep=8), Layout(tp=2, moe_ep=2), Layout(tp=4, moe_tp=4)
    for engine in ("sglang", "vllm", "trtllm"):
        for layout in layouts:
            for plan in (copies, moved):
                with pytest.raises(ValueError, match=r"'layout' parameter .* of moe_ep = 4"):
                    plan.export(engine, tmp_path, model="org/m", layout=layout)
            notes = plain.export(engine, tmp_path, model="org/m", layout=layout).notes
            assert any("times are those of ep 4" in note for note in notes)
        fits = copies.export(engine, tmp_path, model="org/m", layout=Layout(tp=4, moe_ep=4))
        assert not any("times are those of ep" in note for note in fits.notes)
    without_ep = settings(layout=Layout(tp=4, moe_tp=4), redundant_experts=4)
    with pytest.raises(ValueError, match="take a layout with ep, or no copies"):
        engine_command(without_ep, "vllm")


@pytest.mark.parametrize("n_layers", [-1, 0, 2, 4, 4.5])
def test_a_model_has_all_layers_of_a_plan(n_layers, tmp_path):
    plan = Plan(model="m", shape=SHAPE, mode="decode", batch_size=16, layers=(1, 4),
                placement=contiguous(2, 8, n_devices=4))  # fmt: skip
    with pytest.raises(ValueError, match=r"'n_layers' parameter of Plan\.export"):
        plan.export("vllm", tmp_path, model="org/m", n_layers=n_layers)
    with pytest.raises(ValueError, match=r"'n_layers' parameter of Plan\.to_sglang"):
        plan.to_sglang(tmp_path / "map.json", n_layers)
    plan.to_sglang(tmp_path / "map.json", 5)
