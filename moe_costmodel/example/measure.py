"""Measure the packaged kernel times: ``python -m moe_costmodel.example.measure --out FOLDER``.

Layers, gate rules, buffers and the rest of a step are timed in the example model itself, also the
parts of a layer that 2 and 4 devices have; every other layer is kept. The exchange between two
processes is taken from the packaged file unless ``--exchange`` measures it again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from moe_costmodel.example.measured import example_measurements
from moe_costmodel.example.packaged import load_model
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.steps.measure_rest import measure_model
from moe_costmodel.measure.exchange import measure_exchange
from moe_costmodel.measure.kernels import links_of
from moe_costmodel.measure.measurements import KINDS, Record

__all__ = ["quartiles"]


def quartiles(record: Record) -> Record:
    """Return a record with the quartiles of its repeats only, in nanoseconds' precision."""
    ends = np.percentile(record.repeats, [25, 50, 75])
    return replace(record, repeats=[float(f"{seconds:.4g}") for seconds in ends])


def main() -> None:
    """Measure, and write ``example_kernels.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--budget-s", type=float, default=120.0)
    parser.add_argument("--exchange", action="store_true")
    arguments = parser.parse_args()
    found = measure_model(
        load_model(),
        Hardware.here(threads=1),
        contexts=(16, 128, 256),
        prompts=(64, 256, 512),
        n_devices=(1, 2, 4),
        budget_s=arguments.budget_s,
    ).measurements
    kept = measure_exchange() if arguments.exchange else example_measurements().of("all_to_all")
    thinned = [record for kind in KINDS for record in list(found.of(kind))[::2]]
    records = [*map(quartiles, thinned), *kept]
    links = found.hardware.links | links_of(records)
    hardware = replace(found.hardware, links=links)
    replace(found, records=records, hardware=hardware).save(arguments.out / "example_kernels.json")


if __name__ == "__main__":
    main()
