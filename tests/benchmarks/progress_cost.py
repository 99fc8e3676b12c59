"""How well the time left is promised, and what showing progress costs.

    python -m tests.benchmarks.progress_cost [--quick]

A run of evaluations of 10 ms is followed from its begin, or resumed after a third; the time left
that progress promises is compared with the time that is really left. Time is that of the process
plus 10 ms an evaluation, without waiting, so that other work on the machine does not count. The
cost is the time spent in the calls of progress, as a share of the same run's time.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from contextlib import redirect_stderr
from pathlib import Path

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import MOELA, Evaluator
from moela.evaluation.progress import Progress, pace

SECONDS = 0.01
MOST_ERROR, MOST_COST = 0.25, 0.02
MOMENTS = (0.1, 0.25, 0.5, 0.75)


class Clock:
    """The time of this process and of evaluations that did not really wait."""

    def __init__(self):
        self.slept = 0.0

    def monotonic(self):
        """Return seconds, as `time.monotonic` does."""
        return time.process_time() + self.slept

    def sleep(self, seconds):
        """Let the time pass at once."""
        self.slept += seconds


class Waiting(ElementwiseProblem):
    """Two objectives after some seconds of waiting."""

    def __init__(self, seconds: float, sleep=time.sleep):
        super().__init__(n_var=10, n_obj=2, xl=0.0, xu=1.0)
        self.ref_point = [1.1, 11.0]
        self._seconds, self._sleep = seconds, sleep

    def _evaluate(self, x, out, *args, **kwargs):
        self._sleep(self._seconds)
        out["F"] = [x[0], 1.0 + x[1:].sum() - x[0] ** 2]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def promises(make, n_done, total):
    """Return the share of the rest that is done, promised and true seconds left, at moments."""
    clock, seen, add = Clock(), [], Progress.add

    def watched(progress, *args):
        add(progress, *args)
        left = progress.pace.seconds_left(total - progress._done)
        seen.append((clock.monotonic(), progress._done, left))

    def solve(n_eval, evaluator):
        problem = Waiting(SECONDS, clock.sleep)
        minimize(problem, make(), ("n_eval", n_eval), seed=1, evaluator=evaluator)

    Progress.add, pace.time = watched, clock
    try:
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(Screen()):
            store = Path(folder) / "run.db"
            if n_done:
                solve(n_done, Evaluator(store=store, progress=False))
            seen.clear()
            solve(total, Evaluator(store=store))
            end = clock.monotonic()
    finally:
        Progress.add, pace.time = add, time
    found, due = [], list(MOMENTS)
    for now, done, left in seen:
        if due and done >= n_done + (total - n_done) * due[0]:
            found.append((due.pop(0), left, end - now))
    return found


def cost(seconds, n_eval, bar):
    """Return microseconds of progress per evaluation, and the share of the run's time."""
    spent = 0.0
    methods = {name: getattr(Progress, name) for name in ("add", "known", "total", "answered")}

    def timed(method):
        def call(*args):
            nonlocal spent
            start = time.perf_counter()
            method(*args)
            spent += time.perf_counter() - start

        return call

    for name, method in methods.items():
        setattr(Progress, name, timed(method))
    start = time.perf_counter()
    try:
        with redirect_stderr(Screen() if bar else io.StringIO()):
            evaluator = Evaluator()
            minimize(Waiting(seconds), NSGA2(50), ("n_eval", n_eval), seed=1, evaluator=evaluator)
    finally:
        for name, method in methods.items():
            setattr(Progress, name, method)
    return 1e6 * spent / n_eval, spent / (time.perf_counter() - start)


def main():
    """Print both measurements and the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    errors, shares = [], []
    for n_done, total in ((300, 900),) if quick else ((0, 1000), (300, 900), (1000, 3000)):
        for make in (lambda: NSGA2(50), MOELA):
            begin = f"resumed at {n_done:,}" if n_done else "from its begin"
            print(f"{type(make()).__name__}, {begin}, of {total:,}")
            for share, promised, true in promises(make, n_done, total):
                errors.append(abs(promised / true - 1))
                print(
                    f"  {share:.0%} of the rest done: promised {promised:.1f} s, true {true:.1f} s"
                )
    for seconds, n_eval in ((0.001, 3000), (0.01, 600)):
        for bar in (True, False):
            micro, share = cost(seconds, n_eval // (3 if quick else 1), bar)
            shares.append(share)
            kind = "bar with hypervolume" if bar else "log"
            print(f"{1000 * seconds:g} ms, {kind}: {micro:.0f} us per evaluation, {share:.2%}")
    print(f"bar: largest error of the time left, {max(errors):.0%}, at most {MOST_ERROR:.0%}")
    print(f"bar: evaluations of 10 ms, {max(shares[2:]):.2%}, at most {MOST_COST:.0%}")


if __name__ == "__main__":
    main()
