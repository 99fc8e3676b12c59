"""Predicted against measured steps for points of a front, on this machine.

    python -m tests.benchmarks.moe_verify [points of the front [repeats [page to write]]]

Draws deployments of the example model at random (thresholds, buffers, policies, batch sizes; one
device, and two with placements) and keeps the non-dominated ones in tokens per second, memory and
gate mass lost. Points spread along this front are then executed, alternating with the kernels that
the prediction is fitted to. Times are process times, which other load affects less. The exchange
between two devices is not measured: predicted and measured times contain the same made-up link.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.deployment.verify import verify, verify_table
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.stack import measure_stack
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace
from tests.benchmarks import harness

SHAPE = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True)
POLICIES = ("paper", "lfu", "inactive-lfu")
N_DRAWN = 1500


def front(model, random):
    """Draw deployments and return the non-dominated ones, in order of memory."""
    designs, values = [], []
    for _ in range(N_DRAWN):
        n_local = 32 // model.n_devices
        gates, placement = None, None
        if random.random() < 0.6:
            strength = random.random()
            gates = [GateRule("skip", round(v, 2)) for v in random.uniform(0, strength, 6)]
        capacities = None
        if random.random() < 0.6:
            middle = random.integers(2, n_local + 1)
            capacities = np.clip(middle + random.integers(-3, 4, 6), 1, n_local)
        if model.n_devices > 1:
            placement = np.stack([random.permutation(32) for _ in range(6)])
        batch = int(random.choice([1, 2, 3, 4, 6, 8, 12, 16]))
        design = model.decision(
            placement=placement,
            batch_size=batch,
            gates=gates,
            capacities=capacities,
            policy=str(random.choice(POLICIES)),
        )
        result = model.evaluate(design)
        designs.append(design)
        values.append((-result["tokens_per_s"], result["memory_bytes"], result["quality_loss"]))
    f, first = np.unique(np.array(values), axis=0, return_index=True)
    designs = [designs[i] for i in first]
    dominated = [((f <= row).all(axis=1) & (f < row).any(axis=1)).any() for row in f]
    kept = np.flatnonzero(~np.array(dominated))
    return [designs[i] for i in kept[np.argsort(f[kept, 1])]]


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("points", nargs="?", type=int, default=10, help="points of the front")
    parser.add_argument("repeats", nargs="?", type=int, default=5)
    parser.add_argument("page", nargs="?", help="Markdown file to write")
    arguments = parser.parse_args()
    trace = RoutingTrace.example("code")
    machine = replace(Hardware.here(), links={"device_to_device": Link(1e10, 1e-5)})
    narrow = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=20, gated=True)
    measured = measure_stack(machine, [SHAPE, narrow], n_layers=6, repeats=3, clock="cpu")
    latency = LatencyModel.fit(measured)
    random = np.random.default_rng(1)
    plans, n_front = [], 0
    for n_devices in (1, 2):
        model = DeploymentModel(
            trace, measured.hardware, latency, shape=SHAPE, n_devices=n_devices, name="example"
        )
        designs = front(model, random)
        n_front += len(designs)
        chosen = np.linspace(0, len(designs) - 1, arguments.points // 2).round().astype(int)
        plans += [model.plan(designs[i]) for i in np.unique(chosen)]
    verified = verify(plans, trace, machine, n_steps=24, repeats=arguments.repeats, clock="cpu")
    each = np.concatenate([np.abs(v.predicted / v.measured - 1) for v in verified])
    about = (
        f"{len(verified)} of {n_front} points of two fronts, out of {2 * N_DRAWN} deployments of "
        "the example model. They alternate with the kernels that the prediction is fitted to. "
        f"Process time, load average {os.getloadavg()[0]:.1f}, "
        f"torch {machine.versions.get('torch')}."
    )
    page = [
        harness.header("Predicted against measured steps", "tests.benchmarks.moe_verify", about),
        f"```\n{verify_table(verified)}\nsingle steps: median error {np.median(each):.1%}, "
        f"90 % within {np.quantile(each, 0.9):.1%}\n```",
    ]
    harness.finish(page, arguments.page)


if __name__ == "__main__":
    main()
