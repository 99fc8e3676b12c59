"""Leave-one-shape-out error of the latency model on the shared H100 table, or on another one.

Run: ``MOELA_DATA=... python tests/benchmarks/moe_latency_table.py [points [table.parquet]]``; by
default 30,000 points, as `LatencyModel.fit` takes; "all" takes several times as long.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import sklearn

from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.kernel_table import KernelTable


def main():
    if len(sys.argv) > 2:
        path = Path(sys.argv[2])
    else:
        path = Path(os.environ["MOELA_DATA"]) / "kernels/h100_sxm-sglang-0.5.10-moe_perf.parquet"
    table = KernelTable.from_aiconfigurator(path)
    points = sys.argv[1] if len(sys.argv) > 1 else "30000"
    print(f"scikit-learn {sklearn.__version__}; {table}")
    start = time.process_time()
    model = LatencyModel.fit(table, max_points=len(table) if points == "all" else int(points))
    report = model.report
    print(report)
    inside = [shape for shape in report.shapes if not shape.outside]
    ratios = np.abs(np.expm1(-report.log_ratios))
    print(
        f"median over points of the {len(inside)} shapes inside: {np.median(ratios):.2%}; "
        f"worst of them {report.worst_inside:.1%}; {time.process_time() - start:.0f} s of CPU"
    )
    tabulated = []
    random = np.random.default_rng(0)
    for number in random.permutation(len(table.shapes))[:40]:
        rows = (table.layer == number) & (table.kernel == 0) & (table.tokens >= 64)
        shape = table.shapes[number]
        even = rows & (np.abs(table.work.largest * table.work.active / table.work.rows - 1) < 1e-6)
        counts = np.zeros((int(even.sum()), shape.n_local))
        for i, (active, largest) in enumerate(
            zip(table.work.active[even], table.work.largest[even], strict=True)
        ):
            counts[i, : int(active)] = largest
        if len(counts):
            found = model.predict(shape, counts, kernel=table.kernels[0]).seconds
            tabulated.append(np.abs(found / table.seconds[even] - 1))
    error = np.median(np.concatenate(tabulated))
    print(f"monotone table against measured, shapes it was fitted to: {error:.2%}")


if __name__ == "__main__":
    main()
