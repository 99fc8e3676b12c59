"""Leave-one-shape-out error of the latency model on the shared H100 table, or on another one.

    MOELA_DATA=... python -m tests.benchmarks.moe_latency_table [points [table.parquet]]

The model is fitted to 30,000 points by default, like `LatencyModel.fit`. "all" takes several times
as long.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.kernel_table import KernelTable
from tests.benchmarks import harness


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("points", nargs="?", default="30000", help="points of the fit, or 'all'")
    parser.add_argument("table", nargs="?", type=Path, help="table of kernels to use instead")
    arguments = parser.parse_args()
    points, path = arguments.points, arguments.table
    if path is None:
        path = harness.data_folder() / "kernels/h100_sxm-sglang-0.5.10-moe_perf.parquet"
    table = KernelTable.from_aiconfigurator(path)
    print(f"{harness.machine()}; {table}")
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
            predicted = model.predict(shape, counts, kernel=table.kernels[0]).seconds
            tabulated.append(np.abs(predicted / table.seconds[even] - 1))
    error = np.median(np.concatenate(tabulated))
    print(f"monotone table against measured, shapes it was fitted to: {error:.2%}")


if __name__ == "__main__":
    main()
