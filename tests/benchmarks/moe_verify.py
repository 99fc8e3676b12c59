"""Points of a front re-measured on this machine: predicted against measured steps.

Draws deployments of the example model at random (thresholds, buffers, policies, batch sizes; one
device, and two with placements), keeps those that no other beats in tokens a second, memory and
gate mass lost, and runs points spread along that front for real, in turns with the kernels that
the prediction is fitted to. Process time, so that other work on the machine disturbs less. What
two devices exchange is not measured: its link is made up, and the same on both sides.
Run: ``python -m tests.benchmarks.moe_verify [points of the front] [repeats] [page to write]``
"""

from __future__ import annotations

import os
import sys
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
from tests.benchmarks import tables

SHAPE = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True)
POLICIES = ("paper", "lfu", "inactive-lfu")
N_DRAWN = 1500


def front(model, random):
    """Draw deployments and return those that none beats, from the lightest to the heaviest."""
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
        found = model.evaluate(design)
        designs.append(design)
        values.append((-found["tokens_per_s"], found["memory_bytes"], found["quality_loss"]))
    f, first = np.unique(np.array(values), axis=0, return_index=True)
    designs = [designs[i] for i in first]
    beaten = [((f <= row).all(axis=1) & (f < row).any(axis=1)).any() for row in f]
    kept = np.flatnonzero(~np.array(beaten))
    return [designs[i] for i in kept[np.argsort(f[kept, 1])]]


def main():
    n_points = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    trace = RoutingTrace.example("code")
    here = replace(Hardware.here(), links={"device_to_device": Link(1e10, 1e-5)})
    narrow = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=20, gated=True)
    measured = measure_stack(here, [SHAPE, narrow], n_layers=6, repeats=3, clock="cpu")
    latency = LatencyModel.fit(measured)
    random = np.random.default_rng(1)
    plans, n_front = [], 0
    for n_devices in (1, 2):
        model = DeploymentModel(
            trace, measured.hardware, latency, shape=SHAPE, n_devices=n_devices, name="example"
        )
        designs = front(model, random)
        n_front += len(designs)
        chosen = np.linspace(0, len(designs) - 1, n_points // 2).round().astype(int)
        plans += [model.plan(designs[i]) for i in np.unique(chosen)]
    found = verify(plans, trace, here, n_steps=24, repeats=repeats, clock="cpu")
    each = np.concatenate([np.abs(v.predicted / v.measured - 1) for v in found])
    about = (
        f"{len(found)} of {n_front} points of two fronts, out of {2 * N_DRAWN} deployments of the "
        "example model. They alternate with the kernels that the prediction is fitted to. Process "
        f"time, load average {os.getloadavg()[0]:.1f}, torch {here.versions.get('torch')}."
    )
    page = [
        tables.header("Predicted against measured steps", "tests.benchmarks.moe_verify", about),
        f"```\n{verify_table(found)}\nsingle steps: median error {np.median(each):.1%}, "
        f"90 % within {np.quantile(each, 0.9):.1%}\n```",
    ]
    tables.finish(page, sys.argv[3] if len(sys.argv) > 3 else None)


if __name__ == "__main__":
    main()
