"""Load every table of MoE kernels below a folder, and report which of them could be read.

    python -m tests.benchmarks.moe_tables FOLDER

For the published tables, run `pip download aiconfigurator-core` and unpack the archive.
"""

from __future__ import annotations

import time
from pathlib import Path

from moe_costmodel import KernelTable
from tests.benchmarks import harness


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder with the tables")
    folder = parser.parse_args().folder
    paths = sorted(folder.rglob("*moe_perf.parquet"))
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
        print(f"{path.relative_to(folder)}: {table}, {time.process_time() - start:.1f} s")
    print(f"{loaded} of {len(paths)} tables: {sorted(devices)}; {sorted(types)}")


if __name__ == "__main__":
    main()
