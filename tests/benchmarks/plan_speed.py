"""Speed of searching serving plans, and MOELA's fronts against enumeration and engine defaults.

    python -m tests.benchmarks.plan_speed [--quick]

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
from moe_costmodel.silicon.tables.package import silicon_root
from moela import MOELA
from problems.moe import MoEServing
from tests.benchmarks import harness

MODELS = {
    "Qwen3-30B-A3B": "Qwen--Qwen3-30B-A3B",
    "DeepSeek-V3": "deepseek-ai--DeepSeek-V3",
    "Llama-70B": "meta-llama--Meta-Llama-3.1-70B",
}


def problem_of(name, **settings):
    """Return the problem of serving a model under made-up loads.

    The largest expert has some four times the mean load.
    """
    folder = silicon_root().parent / "model_configs"
    shape, loads = ModelShape.from_config(folder / f"{MODELS[name]}_config.json"), None
    if shape.experts is not None:
        rng = np.random.default_rng(0)
        size = (shape.n_moe_layers, shape.experts.n_experts)
        base = rng.gamma(3.0, size=size)
        counts = [base * rng.gamma(10.0, size=size) for _ in range(3)]
        loads = [RoutingTrace.from_counts(c, source=f"window {i}") for i, c in enumerate(counts)]
    return MoEServing(shape, n_gpus=16, loads=loads, **settings)


def speed(n):
    """Return evaluations per second of n deployments with one layer changed."""
    problem = problem_of("DeepSeek-V3")
    rng, columns = np.random.default_rng(1), problem.columns
    bases = problem.sampled(20, rng)
    bases = bases[problem.evaluate(bases, return_values_of=["G"])[:, 0] <= 0]
    rows = bases[rng.integers(0, len(bases), n)]
    layer = columns.placement.start + rng.integers(0, columns.n_layers, n)
    other = 1 + rng.integers(0, len(problem.methods) - 1, n)
    rows[np.arange(n), layer] = (rows[np.arange(n), layer] + other) % len(problem.methods)
    rates = []
    for X in (rows, rows, rows, problem.neighbors_many(bases, 20, rng).reshape(-1, rows.shape[1])):
        started = time.process_time()
        problem.evaluate(X)
        rates.append(len(X) / (time.process_time() - started))
    print(f"any move, first time: {rates[-1]:,.0f}/s", flush=True)
    return np.median(rates[:3])


def enumerated(problem, layouts=None):
    """Return the feasible objectives of all layouts and batches with the engine's placement."""
    row, high = problem.columns.base_row(), problem.columns.xu
    grids = [layouts or range(high[0] + 1), *(range(high[i] + 1) for i in (1, 2))]
    choices = np.array(list(itertools.product(*grids)))
    rows = np.repeat(np.array(row)[None], len(choices), axis=0)
    rows[:, :3] = choices
    F, G = problem.evaluate(problem.canonical(rows), return_values_of=["F", "G"])
    return F[(G <= 0).all(axis=1)]


def front(name, n_eval, tokens):
    problem = problem_of(name, max_num_batched_tokens=tokens)
    found = minimize(problem, MOELA(), ("n_eval", n_eval), seed=1).F
    every = enumerated(problem)
    every = every[moocore.is_nondominated(every)]
    default = [
        i for i, v in enumerate(problem.choices.layouts)
        if (v.tp, v.dp, v.pp, v.moe_ep) == (8, 1, 1, 1)
    ]  # fmt: skip
    plain = enumerated(problem, default)
    covered = [(found <= point * (1 + 1e-9)).all(axis=1).any() for point in every]
    # Columns are seconds per token of a user and GPU-seconds per token.
    gains = [point[1] / found[found[:, 0] <= point[0] * (1 + 1e-9), 1].min() for point in plain]
    what = f"{name}, {n_eval} evaluations"
    harness.bar(f"{what}, enumerated front reached", f"{sum(covered)} of {len(covered)}", "all")
    gain = f"{np.median(gains):.2f} (most {max(gains):.2f})"
    harness.bar(f"{what}, throughput over the default's at its speed", gain, "above 1")


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    quick = parser.parse_args().quick
    print(harness.machine())
    rate = speed(1000 if quick else 5000)
    harness.bar("deployments/s with one layer changed", f"{rate:,.0f}", "300 (aim 2000)")
    for name in list(MODELS)[: 1 if quick else None]:
        front(name, 600 if quick else 1500, [8192] if quick else [2048, 8192])


if __name__ == "__main__":
    main()
