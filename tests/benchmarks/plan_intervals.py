"""Errors of the steady states that serving plans rest on, against measured systems.

    python -m tests.benchmarks.plan_intervals [--points N] [--quick]

Random points of silicon_sample.csv on h200_sxm and b200_sxm whose layout is known, all engines. The
most tokens of a step are not recorded; 8,192 stand in. Quantiles of measured over composed times
are those of the intervals in problems/moe/serving/plan.py. Measured times to the first token hold
queueing, which the steady state leaves out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moe_costmodel import SiliconModel, read_sample
from moe_costmodel.serving.curves import CurveTable
from moe_costmodel.serving.steady import Instance
from tests.benchmarks import harness

PATH = Path(__file__).parent / "results" / "plan_intervals.npz"
GPUS = ("h200_sxm", "b200_sxm")


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    arguments = parser.parse_args()
    points = [p for p in read_sample() if p.gpu in GPUS and p.known_layout]
    if arguments.quick:
        points = [p for p in points if (p.gpu, p.backend) == ("h200_sxm", "sglang")]
    most = 60 if arguments.quick else arguments.points
    chosen = np.random.default_rng(0).permutation(len(points))[:most]
    models, curves, rows = {}, {}, []
    for point in sorted((points[i] for i in chosen), key=lambda p: (p.gpu, p.backend)):
        key = (point.gpu, point.backend)
        if key not in models:
            models = {key: SiliconModel(*key)}
        steps = curves.setdefault((*key, point.shape.name, point.shape.n_parameters), None)
        if steps is None:
            steps = CurveTable(models[key], point.shape, "bfloat16")
            curves[(*key, point.shape.name, point.shape.n_parameters)] = steps
        n = max(1, round(point.concurrency / point.layout.dp))
        instance = Instance(
            steps, point.input_tokens, point.output_tokens, "mixed", point.layout, n, 8192
        )
        times = instance.times({k: v.seconds(None) for k, v in instance.steps.items()})
        rows.append((point.tpot, times.tpot_mean, point.ttft, times.ttft))
    found = np.array(rows)
    print(harness.machine())
    for name, i in (("tpot", 0), ("ttft", 2)):
        ratio = found[:, i] / found[:, i + 1]
        error = np.median(np.abs(1 / ratio - 1))
        low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
        print(
            f"{name}: {len(ratio)} points, measured over composed {low:.3g} to {high:.3g} (5th to "
            f"95th percentile), median {middle:.3g}; median error {error:.1%}"
        )
    if not arguments.quick:
        names = ("measured_tpot", "composed_tpot", "measured_ttft", "composed_ttft")
        np.savez_compressed(PATH, **dict(zip(names, found.T, strict=True)))


if __name__ == "__main__":
    main()
