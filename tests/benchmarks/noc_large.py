"""Process time of 20,000 evaluations on a chip of 256 tiles with five objectives.

    python -m tests.benchmarks.noc_large [--quick]

``--quick`` makes 2,000 evaluations and states ten times their time.
"""

from __future__ import annotations

import time
from dataclasses import replace

from pymoo.optimize import minimize

from moela import MOELA
from problems.noc import NoC3D, Platform
from tests.benchmarks import harness
from tests.benchmarks.noc_referee_data import bar

EVALUATIONS = 20_000


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    print(harness.machine())
    for routing in ("shortest", "up_down"):
        problem = NoC3D.example("bfs", platform=replace(Platform.stack_8x8x4(), routing=routing))
        minimize(problem, MOELA(), ("n_eval", 100), seed=1)  # compiles
        budget = EVALUATIONS // 10 if quick else EVALUATIONS
        begin = time.process_time()
        minimize(problem, MOELA(), ("n_eval", budget), seed=1)
        seconds = (time.process_time() - begin) * EVALUATIONS / budget
        bar(f"20,000 evaluations of 256 tiles, {routing}, s", seconds, "60 (aim 30)", ".1f")


if __name__ == "__main__":
    main()
