"""What watching costs a run: its duration with and without `moela watch`, in alternating pairs.

python -m tests.benchmarks.watch_cost [--evaluations 20000] [--pairs 5]

Both processes share one core, so that the time of the watching process counts, too.
"""

from __future__ import annotations

import os
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
                command = [sys.executable, "-m", "tests.benchmarks.watch_cost", "--watch", store]
                watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    with Evaluator(store=store, callback=begin) as evaluator:
        minimize(NoC3D.example(), MOELA(), ("n_eval", n_eval), seed=1, evaluator=evaluator)
    seconds = time.monotonic() - start
    if watcher is not None:
        watcher.kill()
        watcher.wait()
    return seconds


def main() -> None:
    """Run the pairs and print the ratio."""
    parser = tables.script_parser(__doc__)
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--watch", type=Path)
    options = parser.parse_args()
    if options.watch:
        from moela.watch.follow import Follower
        from moela.watch.terminal import lines_of

        follower = Follower(options.watch)
        while True:
            start = time.monotonic()
            if (snapshot := follower.refresh()) is not None:
                print(*lines_of(snapshot), sep="\n")
            time.sleep(max(2.0, 4 * (time.monotonic() - start)))
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
