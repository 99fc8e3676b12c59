"""Load every table of MoE kernels below a folder, and report which could be read.

`pip download aiconfigurator-core` and unpack it to get the published ones.
Run: ``python tests/benchmarks/moe_tables.py FOLDER``
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from moe_costmodel import KernelTable


def main():
    paths = sorted(Path(sys.argv[1]).rglob("*moe_perf.parquet"))
    loaded, devices, types = 0, set(), set()
    for path in paths:
        start = time.process_time()
        try:
            table = KernelTable.from_aiconfigurator(path)
        except ValueError as error:
            print(error)
            continue
        loaded += 1
        devices.add(table.device)
        types |= {shape.dtype for shape in table.shapes}
        print(f"{path.relative_to(sys.argv[1])}: {table}, {time.process_time() - start:.1f} s")
    print(f"{loaded} of {len(paths)} tables: {sorted(devices)}; {sorted(types)}")


if __name__ == "__main__":
    main()
