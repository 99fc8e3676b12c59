"""Cost of watching a run: its duration with and without `moela watch`, in alternating pairs.

python -m tests.benchmarks.watch_cost [--evaluations 20000] [--pairs 5]

Both processes share one core, so that the time of the watching process counts, too. The script
needs the command `script` of Linux, which gives the view a terminal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from pymoo.optimize import minimize

from moela import MOELA, Evaluator
from problems import NoC3D
from tests.benchmarks import tables


def timed(folder: Path, n_eval: int, watched: bool) -> float:
    """Return the seconds of a run with a store."""
    store = folder / f"{time.monotonic_ns()}.db"
    watcher = None
    start = 0.0

    def begin(pop):
        nonlocal watcher, start
        if not start:  # the first batch compiles
            start = time.monotonic()
            if watched:
                # The view draws only on a terminal.
                command = f"{sys.executable} -m moela watch {store}"
                watcher = subprocess.Popen(
                    ["script", "-qfc", command, os.devnull],
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )

    with Evaluator(store=store, callback=begin) as evaluator:
        minimize(NoC3D.example(), MOELA(), ("n_eval", n_eval), seed=1, evaluator=evaluator)
    seconds = time.monotonic() - start
    if watcher is not None:
        os.killpg(watcher.pid, signal.SIGKILL)
        watcher.wait()
    return seconds


def main() -> None:
    """Run the pairs and print the ratio."""
    parser = tables.script_parser(__doc__)
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(tables.machine())
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(options.pairs):
            order = (False, True) if pair % 2 else (True, False)
            seconds = {w: timed(Path(folder), options.evaluations, w) for w in order}
            ratios.append(seconds[True] / seconds[False])
            print(f"watched {seconds[True]:.1f} s, alone {seconds[False]:.1f} s", flush=True)
    print(f"ratio of durations: median {np.median(ratios):.3f}, {sorted(ratios)}")


if __name__ == "__main__":
    main()
