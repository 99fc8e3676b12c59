"""Predicted against measured steps on this machine: held-out shapes, thresholds, buffer sizes.

    python -m tests.benchmarks.moe_steps [budget in seconds [measurements]]

Measures layers of ten shapes. For each shape in turn, fits the latency model to the other nine and
predicts the one left out: whole layers (also with the fewer choices that thresholds keep) and runs
through buffers of several sizes. Times are process times, which other load affects less. A budget
of 0 loads the measurements from the file; any other budget saves them to it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.kernels import measure_kernels
from moe_costmodel.measure.measurements import Measurements
from moe_costmodel.shapes import LayerShape
from tests.benchmarks import harness

SHAPES = [
    LayerShape(n_experts=e, k=k, d_model=d, d_ffn=f, gated=True)
    for e, k, d, f in (
        (8, 2, 256, 512),
        (8, 1, 128, 256),
        (16, 2, 128, 512),
        (16, 4, 256, 128),
        (32, 4, 128, 128),
        (32, 2, 256, 256),
        (64, 6, 192, 128),
        (64, 8, 128, 256),
        (16, 2, 384, 256),
        (32, 6, 384, 128),
    )
]
TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("budget", nargs="?", type=float, default=240.0, help="seconds to measure")
    parser.add_argument("file", nargs="?", type=Path, help="file of the measurements")
    arguments = parser.parse_args()
    if arguments.budget > 0:
        measured = measure_kernels(
            shapes=SHAPES,
            tokens=TOKENS,
            budget_s=arguments.budget,
            kinds=("layer", "buffered", "copy"),
            clock="cpu",
        )
        if arguments.file:
            measured.save(arguments.file)
    else:
        measured = Measurements.load(arguments.file)
    print(measured.hardware.name, measured.hardware.versions, measured.date, measured.notes)
    spread = np.median([record.spread for record in measured.records])
    print(f"{len(measured.records)} points, median spread of repeats {spread:.1%}")
    print("held-out shape           method   layers: n  median   p90   buffered: n  median   p90")
    whole, runs, tokens, spreads = [], [], [], []
    for held in SHAPES:
        rest = [record for record in measured.records if record.shape != held]
        model = LatencyModel.fit(Measurements(measured.hardware, rest, measured.clock))
        layers = [record for record in measured.of("layer") if record.shape == held]
        counts = np.array([record.at["counts"] for record in layers])
        seconds = np.array([record.seconds for record in layers])
        error = np.abs(model.predict(held, counts).seconds / seconds - 1)
        buffered = []
        for record in (r for r in measured.of("buffered") if r.shape == held):
            steps = model.predict(held, np.array(record.at["counts"]), misses=0).seconds.sum()
            copying = float(model.copy_seconds(held, record.at["misses"]))
            buffered.append(abs((steps + copying) / record.seconds - 1))
        outside = " (outside)" if model.outside(held) else ""
        print(
            f"{held.n_experts:>3} x {held.k} x {held.d_model:>3} x {held.d_ffn:>3}{outside:<11} "
            f"{model.report.method:<8} {len(error):>8} {np.median(error):>8.1%}"
            f"{np.quantile(error, 0.9):>7.1%} {len(buffered):>12} {np.median(buffered):>8.1%}"
            f"{np.quantile(buffered, 0.9):>7.1%}"
        )
        whole.append(error)
        tokens += [record.at["tokens"] for record in layers]
        spreads += [record.spread for record in layers]
        runs.append(np.array(buffered))
    layers, buffers = np.concatenate(whole), np.concatenate(runs)
    both = np.concatenate([layers, buffers])
    print(
        f"median error: layers {np.median(layers):.1%}, buffered runs {np.median(buffers):.1%}, "
        f"all {np.median(both):.1%}"
    )
    n, calm = np.array(tokens), np.array(spreads) < 0.05
    print(f"layers whose repeats spread by less than 5 %: {np.median(layers[calm]):.1%}")
    by_size = [f"{size}: {np.median(layers[n == size]):.1%}" for size in TOKENS]
    print("layers by tokens of the step: " + ", ".join(by_size))


if __name__ == "__main__":
    main()
