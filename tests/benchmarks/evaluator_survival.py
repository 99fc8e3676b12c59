"""Killed runs and killed workers: count evaluations that are lost or repeated.

python -m tests.benchmarks.evaluator_survival [--kills 50] [--evaluations 1000]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage.reader import EvaluationStore
from tests.benchmarks import tables

MODULE = "tests.benchmarks.evaluator_survival"
N_EVAL = 2000


class Logged(ElementwiseProblem):
    """Writes every evaluated design into a file."""

    def __init__(self, log=None, seconds=0.0):
        super().__init__(n_var=10, n_obj=2, xl=0.0, xu=1.0)
        self._log = log
        self._seconds = seconds

    def _evaluate(self, x, out, *args, **kwargs):
        if self._seconds:
            time.sleep(self._seconds)
        g = 1 + 9 * x[1:].mean()
        out["F"] = [x[0], g * (1 - np.sqrt(x[0] / g))]
        if self._log is not None:
            with open(self._log, "a") as file:
                file.write(x.tobytes().hex() + "\n")


def run(store=None, log=None, seconds=0.0, n_jobs=None, n_eval=N_EVAL):
    with Evaluator(store=store, n_jobs=n_jobs, recheck=False) as evaluator:
        result = minimize(
            Logged(log, seconds),
            NSGA2(pop_size=50),
            ("n_eval", n_eval),
            seed=1,
            evaluator=evaluator,
        )
    return result.pop.get("F"), evaluator


def kill_runs(kills, n_jobs):
    """Kill a run at random moments and resume it; count lost and repeated evaluations.

    Returns how many committed evaluations were lost, how many were repeated, how many others were
    repeated, and whether the final population is that of an undisturbed run.
    """
    rng = np.random.default_rng(n_jobs)
    lost = twice = 0
    with tempfile.TemporaryDirectory() as folder:
        store, log = Path(folder) / "run.db", Path(folder) / "log"
        log.touch()
        command = [sys.executable, "-m", MODULE, "--child", store, log, str(n_jobs)]
        committed, before = set(), Counter()
        # The moments are uniform over the whole run, at any point of a batch.
        for goal in np.sort(rng.integers(1, N_EVAL, size=kills)):
            process = subprocess.Popen(command)
            while process.poll() is None and log.read_text().count("\n") < goal:
                time.sleep(rng.uniform(0.0, 0.01))
            time.sleep(rng.uniform(0.0, 0.01))
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(0.05)
            with EvaluationStore(store) as reader:
                now = {e.X.tobytes().hex() for e in reader.evaluations()}
            lost += len(committed - now)
            counts = Counter(log.read_text().split())
            twice += sum(counts[key] != before[key] for key in committed)
            committed, before = now, counts
        subprocess.run(command, check=True)
        counts = Counter(log.read_text().split())
        twice += sum(counts[key] != before[key] for key in committed)
        F, evaluator = run(store)
        assert evaluator.n_fresh == 0
        again = sum(n - 1 for n in counts.values())
    whole, _ = run()
    return lost, twice, again, np.array_equal(F, whole)


def kill_workers(n_eval, every):
    """Kill workers at random moments of a run.

    Returns the numbers of kills, of finished and of failed evaluations, and whether the final
    population is that of an undisturbed run.
    """
    rng = np.random.default_rng(1)
    ended = threading.Event()
    kills = []

    def killer():
        while not ended.wait(rng.exponential(every)):
            # All child processes are workers, because this process has only one evaluator.
            files = Path("/proc/self/task").glob("*/children")
            processes = [int(pid) for file in files for pid in file.read_text().split()]
            if processes:
                pid = processes[rng.integers(len(processes))]
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)

    with Evaluator(n_jobs=2) as evaluator:
        thread = threading.Thread(target=killer, daemon=True)
        thread.start()
        result = minimize(
            Logged(seconds=0.01),
            NSGA2(pop_size=100),
            ("n_eval", n_eval),
            seed=1,
            evaluator=evaluator,
        )
        ended.set()
        thread.join()
    alone = minimize(Logged(), NSGA2(pop_size=100), ("n_eval", n_eval), seed=1)
    same = np.array_equal(result.pop.get("F"), alone.pop.get("F"))
    return len(kills), evaluator.n_fresh, evaluator.n_failed, same


def main():
    parser = tables.script_parser(__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        store, log, n_jobs = options.child
        run(store, log, 0.001, int(n_jobs))
        return
    print(f"{tables.machine()}; load {os.getloadavg()[0]:.1f} at the start")
    rows = [("test", "outcome")]
    for n_jobs in (1, 2) if options.kills else ():
        lost, twice, again, same = kill_runs(options.kills, n_jobs)
        rows.append(
            (
                f"kill -9 at {options.kills} random moments, {n_jobs} worker(s)",
                f"committed evaluations lost {lost}, repeated {twice} "
                f"(running or not yet committed, and so repeated: {again}), "
                f"final population {'bit-identical' if same else 'DIFFERENT'}",
            )
        )
    kills, fresh, failed, same = kill_workers(options.evaluations, every=0.4)
    rows.append(
        (
            f"{kills} workers killed during {options.evaluations} evaluations of 10 ms",
            f"{fresh} done, {failed} failed, final population "
            f"{'bit-identical' if same else 'DIFFERENT'}",
        )
    )
    print(tables.markdown(rows))


if __name__ == "__main__":
    main()
