"""Time of ``import moela``, as a ratio to the imports that any use of pymoo needs.

    python -m tests.benchmarks.import_time

The imports run in new processes, in alternation, so that other load on the machine affects all
alike. The result is the ratio of the median CPU times (user and system). Exits with status 1 if the
ratio of moela is at or above ``--limit``.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np

from tests.benchmarks import harness

BASE = "from pymoo.optimize import minimize; from pymoo.algorithms.moo.nsga2 import NSGA2"
IMPORTS = ("import moela", "import problems", "import moe_costmodel")


def cpu_seconds(statement: str) -> float:
    """Return the CPU time of a new Python process that runs a statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-W", "error", "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure and print; return 0 if moela is within the limit, else 1."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--limit", type=float, default=1.2, help="limit of the ratio of moela to pymoo"
    )
    arguments = parser.parse_args()
    statements = (BASE, *IMPORTS)
    for statement in statements:  # compiles modules and fills the file cache
        cpu_seconds(statement)
    seconds = np.array([[cpu_seconds(s) for s in statements] for _ in range(arguments.rounds)])
    medians = np.median(seconds, axis=0)
    for statement, median in zip(statements, medians, strict=True):
        print(f"{median:6.3f} s CPU, {median / medians[0]:5.2f} times pymoo: {statement}")
    return int(medians[1] / medians[0] >= arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
