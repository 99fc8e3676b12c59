"""Speed of searching serving plans, and MOELA's fronts against enumeration and engine defaults.

    python -m tests.benchmarks.plan_speed [--quick] [--models NAME ...]

Speed: DeepSeek-V3, 58 MoE layers of 256 experts, on 16 H200, parallelism decided. Each deployment
differs from an evaluated one in the placement of one layer. Process time, one core, without the
first run. The rate with any move (layouts and batches that were not composed yet) stands beside it.

Fronts: tokens per second of a user and of a GPU. "Enumeration" is every layout, batch, and most
tokens of a step with the engine's own placement. "Default" is tensor parallelism over a node of
eight at every batch; the gain over it is in tokens per second of a GPU, with as many tokens per
second of a user or more. Without experts there is no placement to decide, so that enumeration is
exact.
"""

from __future__ import annotations

import itertools
import time

import moocore
import numpy as np
from pymoo.optimize import minimize

from moe_costmodel import ModelShape, RoutingTrace
from moela import MOELA
from problems.moe import MoEServing
from tests.benchmarks import harness

DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432,
    "moe_intermediate_size": 2048, "num_hidden_layers": 61, "first_k_dense_replace": 3,
    "moe_layer_freq": 1, "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1,
    "num_attention_heads": 128, "num_key_value_heads": 128, "q_lora_rank": 1536,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "vocab_size": 129280, "num_nextn_predict_layers": 1, "max_position_embeddings": 163840,
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}  # fmt: skip
QWEN3_30B = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144,
    "moe_intermediate_size": 768, "num_hidden_layers": 48, "decoder_sparse_step": 1,
    "mlp_only_layers": [], "num_experts": 128, "num_experts_per_tok": 8,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936,
    "tie_word_embeddings": False, "max_position_embeddings": 40960,
}  # fmt: skip
LLAMA_70B = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672,
    "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
    "vocab_size": 128256, "tie_word_embeddings": False, "max_position_embeddings": 131072,
}  # fmt: skip
MODELS = {"Qwen3-30B-A3B": QWEN3_30B, "DeepSeek-V3": DEEPSEEK_V3, "Llama-70B": LLAMA_70B}
N_EVAL = 1500
TOKENS = [2048, 8192]
MUST, AIM = 300, 2000


def skewed_loads(shape, n_windows=3):
    """Return made-up loads whose largest expert has some four times the mean, or None."""
    if shape.experts is None:
        return None
    rng = np.random.default_rng(0)
    size = (shape.n_moe_layers, shape.experts.n_experts)
    base = rng.gamma(3.0, size=size)
    return [
        RoutingTrace.from_counts(base * rng.gamma(10.0, size=size), source=f"window {i}")
        for i in range(n_windows)
    ]


def speed(quick):
    shape = ModelShape.from_config(DEEPSEEK_V3)
    problem = MoEServing(shape, n_gpus=16, loads=skewed_loads(shape))
    rng, columns = np.random.default_rng(1), problem.columns
    bases = problem.sampled(20, rng)
    bases = bases[problem.evaluate(bases, return_values_of=["G"])[:, 0] <= 0]
    n = 1000 if quick else 5000
    rows = bases[rng.integers(0, len(bases), n)]
    layer = columns.placement.start + rng.integers(0, columns.n_layers, n)
    other = 1 + rng.integers(0, len(problem.methods) - 1, n)
    rows[np.arange(n), layer] = (rows[np.arange(n), layer] + other) % len(problem.methods)
    rates = []
    for _ in range(3):
        started = time.process_time()
        problem.evaluate(rows)
        rates.append(n / (time.process_time() - started))
    moved = problem.neighbors_many(bases, 20, rng).reshape(-1, problem.n_var)
    started = time.process_time()
    problem.evaluate(moved)
    cold = len(moved) / (time.process_time() - started)
    print(f"{problem!r}")
    print(
        f"one layer changed: {np.median(rates):,.0f}/s; any move, first time: {cold:,.0f}/s",
        flush=True,
    )
    return float(np.median(rates))


def enumerated(problem, layouts=None):
    """Return the feasible objectives of all layouts and batches with the engine's placement."""
    row, high = problem.columns.base_row(), problem.columns.xu
    grids = [range(high[i] + 1) for i in range(3)]
    if layouts is not None:
        grids[0] = layouts
    rows = np.array([row] * int(np.prod([len(grid) for grid in grids])))
    rows[:, :3] = list(itertools.product(*grids))
    F, G = problem.evaluate(problem.canonical(rows), return_values_of=["F", "G"])
    return F[(G <= 0).all(axis=1)]


def fronts(name, quick):
    shape = ModelShape.from_config(MODELS[name])
    tokens = TOKENS[-1:] if quick else TOKENS
    loads = skewed_loads(shape)
    problem = MoEServing(shape, n_gpus=16, loads=loads, max_num_batched_tokens=tokens)
    n_eval = 600 if quick else N_EVAL
    found = minimize(problem, MOELA(), ("n_eval", n_eval), seed=1).F
    every = enumerated(problem)
    every = every[moocore.is_nondominated(every)]
    default = [
        i for i, v in enumerate(problem.choices.layouts)
        if (v.tp, v.dp, v.pp, v.moe_ep) == (8, 1, 1, 1)
    ]  # fmt: skip
    plain = enumerated(problem, default)
    covered = [
        float(np.mean([(found <= point * (1 + 1e-9)).all(axis=1).any() for point in points]))
        for points in (every, plain)
    ]
    # Columns are seconds per token of a user and GPU-seconds per token.
    gains = [point[1] / found[found[:, 0] <= point[0] * (1 + 1e-9), 1].min() for point in plain]
    print(
        f"{name}: {n_eval} evaluations; {covered[0]:.1%} of {len(every)} points of the enumerated "
        f"front and {covered[1]:.1%} of {len(plain)} default points reached or dominated; "
        f"throughput over the default's at its speed: median {np.median(gains):.2f}, most "
        f"{max(gains):.2f}",
        flush=True,
    )
    return covered, gains


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    print(harness.machine())
    rate = speed(arguments.quick)
    names = arguments.models[:1] if arguments.quick else arguments.models
    found = {name: fronts(name, arguments.quick) for name in names}
    print(f"bar: deployments/s with one layer changed, {rate:,.0f}, {MUST} (aim {AIM})")
    for name, (covered, gains) in found.items():
        print(f"bar: {name}, enumerated front reached or dominated, {covered[0]:.1%}, 100 %")
        gain = float(np.median(gains))
        print(f"bar: {name}, throughput over the default's at its speed, {gain:.2f}, above 1")


if __name__ == "__main__":
    main()
