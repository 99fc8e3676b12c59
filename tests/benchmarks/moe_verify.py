"""Points of a front re-measured on this machine: predicted against measured steps.

Draws deployments of the example model at random (thresholds, buffers, policies, batch sizes, one
device), keeps those that no other beats in tokens a second, memory and gate mass lost, and runs
points spread along that front for real, in turns with the kernels that the prediction is fitted to.
Process time, so that other work on the machine disturbs less.
Run: ``python tests/benchmarks/moe_verify.py [points of the front] [repeats] [file to write]``
"""

from __future__ import annotations

import datetime
import os
import sys
from pathlib import Path

import numpy as np

from moe_costmodel.deployment import DeploymentModel
from moe_costmodel.gate_rules import GateRule
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency import LatencyModel
from moe_costmodel.measure_stack import measure_stack
from moe_costmodel.shapes import LayerShape
from moe_costmodel.trace import RoutingTrace
from moe_costmodel.verify import verify, verify_table

SHAPE = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True)
POLICIES = ("paper", "lfu", "inactive-lfu")
N_DRAWN = 1500


def front(model, random):
    """Draw deployments and return those that none beats, from the lightest to the heaviest."""
    designs, values = [], []
    for _ in range(N_DRAWN):
        gates = None
        if random.random() < 0.6:
            strength = random.random()
            gates = [GateRule("skip", round(v, 2)) for v in random.uniform(0, strength, 6)]
        capacities = None
        if random.random() < 0.6:
            capacities = np.clip(random.integers(4, 33) + random.integers(-4, 5, 6), 1, 32)
        batch = int(random.choice([1, 2, 3, 4, 6, 8, 12, 16]))
        design = (gates, capacities, str(random.choice(POLICIES)), None, batch)
        found = model.evaluate(*design)
        designs.append(design)
        values.append((-found["tokens_per_s"], found["memory_bytes"], found["quality_loss"]))
    f, first = np.unique(np.array(values), axis=0, return_index=True)
    designs = [designs[i] for i in first]
    beaten = [((f <= row).all(axis=1) & (f < row).any(axis=1)).any() for row in f]
    kept = np.flatnonzero(~np.array(beaten))
    return [designs[i] for i in kept[np.argsort(f[kept, 1])]]


def main():
    n_points = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    trace, here = RoutingTrace.example("code"), Hardware.here()
    narrow = LayerShape(n_experts=32, k=4, d_model=128, d_ffn=20, gated=True)
    measured = measure_stack(here, [SHAPE, narrow], n_layers=6, repeats=3, clock="cpu")
    model = DeploymentModel(trace, measured.hardware, LatencyModel.fit(measured), shape=SHAPE)
    designs = front(model, np.random.default_rng(1))
    chosen = np.unique(np.linspace(0, len(designs) - 1, n_points).round().astype(int))
    plans = [model.plan(*designs[i]) for i in chosen]
    found = verify(plans, trace, here, n_steps=24, repeats=repeats, clock="cpu")
    each = np.concatenate([np.abs(v.predicted / v.measured - 1) for v in found])
    lines = [
        f"{here.name}, {', '.join(f'{k} {v}' for k, v in here.versions.items())}, "
        f"{datetime.date.today()}, load average {os.getloadavg()[0]:.1f}",
        f"{len(found)} of {len(designs)} points of a front among {N_DRAWN} deployments",
        verify_table(found),
        f"single steps: median error {np.median(each):.1%}, "
        f"90 % within {np.quantile(each, 0.9):.1%}",
    ]
    print("\n".join(lines))
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
