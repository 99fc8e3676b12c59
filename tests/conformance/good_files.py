"""Values that the files of `readers` hold, made with public functions and small."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

import moe_costmodel as moe
from moe_costmodel.example.measured import example_measurements
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.measure.measurements import Record
from moe_costmodel.objectives import Predicted
from moe_costmodel.placement.placement import Placement
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from problems.moe_on_chip import MoEChip
from problems.noc import BaselineComparison, Design, NoC3D, Platform
from problems.noc.chip.technology import TECHNOLOGIES
from problems.noc.design.hotspot import unit_names
from problems.noc.evaluation.volumes import layers_from_afar


@cache
def chip() -> Platform:
    """Return a small platform with every kind of setting."""
    return Platform(
        grid=(3, 2, 2),
        pe_types={
            "CPU": {"count": 2, "power": [2.0, 3.5]},
            "LLC": {"count": 4, "power": 1.0, "allowed_tiles": [0, 1, 2, 3, 4, 5, 6, 7]},
            "GPU": {"count": 6, "power": 1.5},
        },
        n_planar_links=14,
        n_vertical_links=4,
        max_length=2.0,
        frequency=2e9,
        stack={"tile_pitch": 2e-3},
    )


@cache
def package() -> Platform:
    """Return a stack of dies side by side, with a technology."""
    return Platform(
        grid=(4, 2, 2),
        pe_types={"PE": {"count": 16, "power": 1.0}},
        n_planar_links=24,
        technology={**TECHNOLOGIES["32nm"], "repeater_delay": 0.01},
        die_size=(2, 2),
        die_link="ucie-standard",
        flit_width=1024,
    )


def mesh() -> Design:
    return Design.mesh(chip())


def traffic(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, n)).round(3)


def baselines() -> BaselineComparison:
    problem = NoC3D(traffic(12) / 50, platform=chip(), objectives=("energy", "packet_latency"))
    rng = np.random.default_rng(1)
    return problem.beside_baselines(problem.mesh_row(), random_state=rng, n_eval=3)


def steady() -> str:
    """Return temperatures as HotSpot prints them: die and bond of each layer, then its base."""
    names, n = unit_names(mesh()), 6  # tiles of a layer
    lines = [
        f"layer_{2 * k + part}_{name}\t{310 + layer + part:.2f}"
        for k, layer in enumerate(layers_from_afar(chip()))
        for part in (0, 1)
        for name in names[layer * n : (layer + 1) * n]
    ]
    return "\n".join([*lines, "hsp_0\t301.5", "inode_0\t300.15"]) + "\n"


BOOKSIM = (
    "Class 0:\nPacket latency average = 24.1907 (1 samples)\n\tminimum = 9\n\tmaximum = 70\n"
    "Flit latency average = 20.5 (1 samples)\nHops average = 3.5 (1 samples)\n"
)


def expert_chip() -> MoEChip:
    types = {"GPU": {"count": 3, "power": 4.0}, "LLC": {"count": 1, "power": 1.0}}
    platform = Platform(grid=(2, 2, 1), pe_types=types, n_planar_links=4)
    return MoEChip([[0, 1, 2, 0]], Design.mesh(platform))


@cache
def instance(kind: Any) -> Any:
    sizes = {
        MultiObjectiveQAP: {"n_facilities": 5},
        MultiObjectiveKnapsack: {"n_items": 8},
        MNKLandscape: {"n": 5, "k": 2},
    }
    problem = kind.random(**sizes[kind], n_obj=2, seed=1)
    problem.exact_front()
    return problem


def best(kind: Any) -> Any:
    return instance(kind).decode(instance(kind).exact_front().X[0])


RECORD = {
    "command": "moela run noc",
    "settings": {"algorithm": "moela", "seed": 3, "objectives": ["3"], "traffic": None},
    "problem": {"name": "NoC3D", "version": "noc-1", "objectives": ["cost", "delay"]},
    "ref_point": {"cost": 5.0, "delay": 6.0},
    "front_size": 2,
    "n_eval": 500,
    "seconds": 2.5,
    "date": "2026-01-01T00:00:00+00:00",
    "python": "3.11",
    "versions": {"moela": "0.1.0", "numpy": "2.0"},
    "machine": {"processor": "x", "cores": 2, "system": "Linux"},
}
POINTS = "algorithm,seed,cost,delay,x0,x1\na,1,1.5,4,1,2\na,1,2.5,3,3,4\nb,2,3,2.5,5,6\n"
SETS = "# two runs\n1 4 2\n2 3 2\n\n1.5 3.5 1\n4 1 1\n"


@cache
def trace() -> moe.RoutingTrace:
    rng = np.random.default_rng(0)
    ids = rng.permuted(np.broadcast_to(np.arange(8, dtype=np.uint8), (30, 3, 8)), axis=2)[:, :, :2]
    weights = rng.random(ids.shape).astype(np.float32)
    return moe.RoutingTrace(
        ids, weights, n_experts=8, sequence_lengths=[10, 5, 15], layers=[1, 2, 4]
    )


def loads() -> moe.RoutingTrace:
    return moe.RoutingTrace.from_counts(trace().loads(5, "prefill"))


ROW = {"arrival_time": 0.5, "input_tokens": 10, "output_tokens": 5}
REQUESTS = [ROW, ROW | {"arrival_time": 1.5}, ROW | {"arrival_time": 2.5, "input_tokens": 12}]
LOADS = {"expert_load": [[3, 1, 0, 4], [2, 2, 2, 2]]}


def sglang_stat(torch: Any) -> object:
    return {
        "rank": 0,
        "logical_count": torch.arange(48).reshape(4, 3, 4),
        "average_utilization_rate_over_window": {10: 0.5, 100: None},
    }


def _passes(torch: Any, field: str, values: list[object], experts: list[list[int]]) -> object:
    lengths: list[object] = [[3, 2], None, None]
    positions = [[0, 1, 2, 0, 1], [3, 2], [4, 9]]
    records = [
        {"forward_pass_id": i, "rank": 0, "gatherer_key": "primary", "input_ids": [7] * len(p),
         "extend_seq_lens": n, "positions": p, field: value}
        for i, (n, p, value) in enumerate(zip(lengths, positions, values, strict=True))
    ]  # fmt: skip
    return {"last_physical_to_logical_map": torch.tensor(experts), "records": records}


def sglang_tokens(torch: Any) -> object:
    ids = [torch.full((2, n, 3), -1, dtype=torch.int32) for n in (5, 2, 2)]
    for part in ids:
        part[1, :, :2] = torch.tensor([[i % 4, (i + 1) % 4] for i in range(part.shape[1])])
    return _passes(torch, "topk_ids_of_layer", ids, [[0, 1, 2, 3], [3, 2, 1, 0]])


def sglang_passes(torch: Any) -> object:
    counts = [torch.tensor([[0, 0, 0, 0], [1, i, 3, 4]]) for i in range(3)]
    return _passes(torch, "global_physical_count", counts, [[0, 1, 2, 2], [2, 1, 0, 2]])


IDS = np.array([[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[1, 0], [3, 2]], [[5, 4], [7, 6]]])
VLLM = {
    "prompt_routed_experts": IDS[:3].tolist(),
    "choices": [{"index": 0, "text": "x", "routed_experts": IDS[3:].tolist()}],
}
SGLANG = {
    "text": "x",
    "meta_info": {"routed_experts": base64.b64encode(IDS.astype("<i4").tobytes()).decode()},
}
LAB = [
    {"record_type": "metadata", "format": "moe-cache-lab.routing-jsonl", "format_version": 1,
     "model_id": "m", "num_experts": 8},
    *({"record_type": "routing_selection", "phase": "generated", "token_position": t,
       "layer": 3 * layer, "selected_experts": IDS[t, layer].tolist(),
       "selected_probabilities": [0.5, 0.25]} for t in range(4) for layer in range(2)),
]  # fmt: skip
LLAMA = "layer,expert\n" + "".join(
    f"{layer},{expert}\n" for t in range(4) for layer in (1, 2) for expert in IDS[t, layer - 1]
)


MODEL = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "vocab_size": 151936,
    "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128, "head_dim": 128,
    "num_experts_per_tok": 8, "num_attention_heads": 32, "num_key_value_heads": 4,
}  # fmt: skip


def measurements() -> moe.Measurements:
    """Return a few of the packaged measurements of each kind."""
    by_kind: dict[str, list[Record]] = {}
    for record in example_measurements().records:
        by_kind.setdefault(record.kind, []).append(record)
    few = [record for records in by_kind.values() for record in records[:: -(-len(records) // 8)]]
    return replace(example_measurements(), records=few)


def plan() -> moe.Plan:
    experts = [[0, 1, 2, 3, 4, 0, 5, 6, 7, 1], [7, 6, 5, 4, 3, 2, 1, 0, 7, 7]]
    return moe.Plan(
        model="tiny", shape=moe.LayerShape(n_experts=8, k=2, d_model=16, d_ffn=24, gated=True),
        mode="decode", batch_size=4, capacities=[[3, 5], [2, 4]], policy="inactive-lfu",
        placement=Placement(np.array(experts), 2),
        gates=(None, GateRule("skip", 0.3, 2)), layers=(1, 3),
        objectives={"step_p99_s": Predicted(2e-3, 1e-3, 3e-3, 2.5e-3)},
        provenance={"trace": "prose, 1234"}, versions={"moe_costmodel": "0"},
    )  # fmt: skip


def serving_plan() -> moe.ServingPlan:
    pools = tuple(
        moe.ServingPool(role=role, layout=moe.Layout(tp=2, moe_ep=2), replicas=1, concurrency=8,
                    max_num_batched_tokens=4096)
        for role in ("prefill", "decode")
    )  # fmt: skip
    return moe.ServingPlan(
        shape=moe.ModelShape.from_config(MODEL), gpu="h200_sxm", backend="sglang", n_gpus=4,
        mode="disaggregated", input_tokens=1024, output_tokens=128, pools=pools,
        objectives={"ttft": Predicted(0.2, 0.1, 0.3, 0.25)}, limits={"ttft": 0.5},
        kernels={"decode": "triton, table"}, outside={"gemm": 1.5}, notes=("a note",),
    )  # fmt: skip


def experts() -> Experts:
    return Experts.random(2, 4, 3, gated=True, activation="silu")
