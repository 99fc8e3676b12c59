"""Cost of the evaluator: two workers against one, a store against none.

    python -m tests.benchmarks.evaluator_timing [--repeats 7]

Every figure is a ratio of two timings that alternate in the same run, so that other load on the
machine affects both. "Waiting" evaluations sleep, like a call of a simulator, and show the overhead
of the evaluator even on a busy machine. "Computing" evaluations keep a core busy and need two idle
cores. CPU times are printed as well, because other load changes them little.
"""

import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import ElementwiseProblem

from moela.evaluation.evaluator import Evaluator
from tests.benchmarks import harness


class Timed(ElementwiseProblem):
    """Evaluations of a given duration, spent waiting or computing."""

    def __init__(self, seconds, compute):
        super().__init__(n_var=10, n_obj=2, xl=0.0, xu=1.0)
        self.seconds = seconds
        self.compute = compute

    def _evaluate(self, x, out, *args, **kwargs):
        if self.compute:
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                pass
        else:
            time.sleep(self.seconds)
        g = 1 + x[1:].sum()
        out["F"] = [x[0], g * (1 - np.sqrt(x[0] / g))]


def seconds(problem, evaluator, batch, rng, total):
    """Return the wall seconds of ``total`` evaluations in batches."""
    start = time.perf_counter()
    for _ in range(total // batch):
        evaluator.eval(problem, Population.new(X=rng.random((batch, 10))))
    return time.perf_counter() - start


def scaling(batch, compute, repeats, total=200):
    """Return the speed-ups of two warm workers over one process, and of two new workers."""
    rng = np.random.default_rng(1)
    problem = Timed(0.01, compute)
    warm, cold = [], []
    with Evaluator(backend="serial") as one, Evaluator(n_jobs=2) as two:
        seconds(problem, two, batch, rng, batch)
        for _ in range(repeats):
            alone = seconds(problem, one, batch, rng, total)
            warm.append(alone / seconds(problem, two, batch, rng, total))
        with Evaluator(n_jobs=2) as fresh:
            cold.append(alone / seconds(problem, fresh, batch, rng, total))
    return warm, cold


def scaling_by_cpu(batch, total=1000):
    """Return the speed-up that the CPU times imply for two idle cores."""
    problem, rng = Timed(0.01, True), np.random.default_rng(1)
    with Evaluator(backend="serial") as one:
        before = time.process_time()
        seconds(problem, one, batch, rng, total)
        serial = time.process_time() - before

    def spent(n):
        """Return the CPU time of this process and its workers for n evaluations."""
        own, children = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
        with Evaluator(n_jobs=2) as two:
            seconds(problem, two, batch, rng, n)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        workers = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
        return time.process_time() - own + workers

    return 2 * serial / (spent(2 * total) - spent(total))  # the difference leaves the start out


def overhead(kind, compute, repeats, batch=100, total=1000):
    """Return ratios of times with and without a store for 1 ms evaluations, wall and CPU."""
    ratios, cpu = [], []
    problem = Timed(0.001, compute)
    settings = {"n_jobs": 2} if kind == "two workers" else {}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(repeats):
            took, spent = {}, {}
            for store in (None, Path(folder) / f"{k}.db"):
                with Evaluator(store=store, **settings) as evaluator:
                    seconds(problem, evaluator, batch, np.random.default_rng(9), batch)
                    before = time.process_time()
                    took[store] = seconds(
                        problem, evaluator, batch, np.random.default_rng(1), total
                    )
                    spent[store] = time.process_time() - before
            ratios.append(took[store] / took[None])
            # Relative to the time of the evaluations, in whichever process they ran.
            cpu.append(1 + (spent[store] - spent[None]) / (0.001 * total))
    return ratios, cpu


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print(f"{harness.machine()}; load {os.getloadavg()[0]:.1f} at the start")
    rows = [("measured", "median (range)", "goal", "also")]
    for compute in (False, True):
        how = "computing" if compute else "waiting"
        for batch, bar in ((50, 1.5), (100, 1.8), (200, 1.8)):
            warm, cold = scaling(batch, compute, repeats)
            by_cpu = f", by CPU time {scaling_by_cpu(batch):.2f}" if compute else ""
            rows.append(
                (
                    f"10 ms {how}, batches of {batch}, 2 workers against 1",
                    f"{statistics.median(warm):.2f} ({min(warm):.2f} to {max(warm):.2f})",
                    f"at least {bar}",
                    f"cold {cold[0]:.2f}{by_cpu}",
                )
            )
        for kind in ("one process", "two workers"):
            ratios, cpu = overhead(kind, compute, repeats)
            rows.append(
                (
                    f"1 ms {how}, {kind}, store on against off",
                    f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
                    "at most 1.10",
                    f"by CPU time {statistics.median(cpu):.3f}",
                )
            )
    print(harness.markdown(rows))


if __name__ == "__main__":
    main()
