"""Intervals of the steady states that serving plans rest on, against measured systems.

    python -m tests.benchmarks.plan_intervals [--quick]

240 random points of silicon_sample.csv on h200_sxm and b200_sxm whose layout is known, all engines;
``--quick`` takes 60 of one GPU and engine. The most tokens of a step are not recorded; 8,192 stand
in. Quantiles of measured over composed times must be the intervals of problems/moe/serving/plan.py.
Measured times to the first token hold queueing, which the steady state leaves out.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from moe_costmodel import SiliconModel, read_sample
from moe_costmodel.serving.curves import CurveTable
from moe_costmodel.serving.steady import Instance
from problems.moe.serving.plan import INTERVALS
from tests.benchmarks import harness

GPUS = ("h200_sxm", "b200_sxm")


def composed(points):
    """Yield points and the times of their steady states."""
    curves, model = {}, lru_cache(maxsize=1)(SiliconModel)  # tables of a GPU at a time
    for point in sorted(points, key=lambda p: (p.gpu, p.backend)):
        key = (point.gpu, point.backend, point.shape.name, point.shape.n_parameters)
        if key not in curves:
            curves[key] = CurveTable(model(*key[:2]), point.shape, "bfloat16")
        n = max(1, round(point.concurrency / point.layout.dp))
        instance = Instance(
            curves[key], point.input_tokens, point.output_tokens, "mixed", point.layout, n, 8192
        )
        yield point, instance.times({k: v.seconds(None) for k, v in instance.steps.items()})


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    quick = parser.parse_args().quick
    points = [p for p in read_sample() if p.gpu in GPUS and p.known_layout]
    if quick:
        points = [p for p in points if (p.gpu, p.backend) == ("h200_sxm", "sglang")]
    chosen = np.random.default_rng(0).permutation(len(points))[: 60 if quick else 240]
    found = [(p.tpot, t.tpot_mean, p.ttft, t.ttft) for p, t in composed(points[i] for i in chosen)]
    print(harness.machine())
    for name, (measured, ours) in zip(INTERVALS, np.split(np.array(found).T, 2), strict=True):
        ratio, error = measured / ours, np.median(np.abs(ours / measured - 1))
        low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
        print(
            f"{name}: {len(ratio)} points, measured over composed {low:.3g} to {high:.3g} (5th to "
            f"95th percentile), median {middle:.3g}; median error {error:.1%}"
        )
        # A value lies in its interval, also if nothing measured is that fast.
        must = "{} to {}".format(*INTERVALS[name])
        harness.bar(f"{name}, interval of plans", f"{min(low, 1.0):.2f} to {high:.2f}", must)


if __name__ == "__main__":
    main()
