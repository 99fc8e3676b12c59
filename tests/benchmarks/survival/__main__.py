"""Attacks on the library: kills, evaluations that misbehave, changed problems, scales, mutants.

python -m tests.benchmarks.survival [PART ...] [--fraction .1] [--seed 1] [--processes 2]

Prints a line per bar, "what: value, must", and fails if one is missed.
"""

from __future__ import annotations

import importlib
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.benchmarks import harness
from tests.benchmarks.survival.bars import Options

PARTS = {
    "kills": "runs killed at random moments",
    "misbehaving": "evaluations that fork, exit, exec, or answer twice",
    "contents": "problems whose content changes between two runs",
    "scales": "objectives scaled by powers of two and ten",
    "mutants": "damaged files for every loader",
}


def main() -> int:
    """Run the named parts, all of them by default, and return the exit status."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--fraction", type=float, default=1.0, help="of a full run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"the parts are {', '.join(PARTS)}; got {', '.join(unknown)}")
    options = Options(given.seed, given.fraction, given.processes)
    print(f"{harness.machine()}; fraction {options.fraction:g}, seed {options.seed}", flush=True)
    missed = 0
    for part in given.parts or PARTS:
        print(f"# {part}: {PARTS[part]}", flush=True)
        start = time.monotonic()
        module = importlib.import_module(f"tests.benchmarks.survival.{part}")
        for bar in module.bars(options):
            print(f"bar: {bar}", flush=True)
            missed += not bar.holds
        print(f"# {part} took {time.monotonic() - start:.0f} s", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
