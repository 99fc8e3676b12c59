"""Attacks on the library: kills, flipped bits, evaluations that misbehave, scales, damaged files.

python -m tests.benchmarks.survival [PART ...] [--quick] [--fraction .1] [--seed 1] [--processes 2]

Prints a line per bar, "bar: what, value, must", and fails if one is missed.
"""

from __future__ import annotations

import importlib
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.benchmarks import harness
from tests.benchmarks.survival import Options

# What is done, its module, and its share in a quick run.
PARTS = {
    "kills": ("runs killed at random moments", "kills", 0.02),
    "bits": ("a store in which one bit is flipped", "stores", 0.1),
    "misbehaving": ("evaluations that fork, exit, exec, or answer twice", "misbehaving", 0.1),
    "scales": ("objectives scaled by powers of two and ten", "scales", 0.02),
    "mutants": ("damaged files for every reader", "mutants", 0.005),
}


def main() -> int:
    """Run the named parts, all of them by default, and return the exit status."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a small share of each part")
    parser.add_argument("--fraction", type=float, default=1.0, help="of a full run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    if unknown := [part for part in given.parts if part not in PARTS]:
        parser.error(f"the parts are {', '.join(PARTS)}; got {', '.join(unknown)}")
    print(f"{harness.machine()}; seed {given.seed}", flush=True)
    missed = 0
    for part in given.parts or PARTS:
        what, module, quick = PARTS[part]
        fraction = min(quick, given.fraction) if given.quick else given.fraction
        print(f"# {part}: {what}; fraction {fraction:g}", flush=True)
        start = time.monotonic()
        attack = importlib.import_module(f"tests.benchmarks.survival.{module}")
        for found in attack.bars(Options(given.seed, given.quick, fraction, given.processes)):
            what = found.what if found.holds else f"MISSED {found.what}"
            harness.bar(what, found.value, found.must)
            missed += not found.holds
        print(f"# {part} took {time.monotonic() - start:.0f} s", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
