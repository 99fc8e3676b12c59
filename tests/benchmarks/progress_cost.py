"""How well the time left is promised on a resumed run, and what showing progress costs.

Run ``python -m tests.benchmarks.progress_cost``. A run of 1,000 evaluations of 10 ms is resumed to
3,000; the time left that the bar shows is compared with the time that is really left. The cost is
the time spent in the calls of progress, as a share of the same run's time, so that other work on
the machine counts on both sides. With ``--quick``, the run is resumed at 300 of 1,000.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
import time
from contextlib import redirect_stderr
from pathlib import Path

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import MOELA, Evaluator
from moela.evaluation.progress import Progress

SECONDS = 0.01
DONE, TOTAL = 1000, 3000
MOST_ERROR, MOST_COST = 0.25, 0.02
MOMENTS = (0.1, 0.25, 0.5, 0.75)


class Waiting(ElementwiseProblem):
    """Two objectives after some seconds of waiting."""

    def __init__(self, seconds: float):
        super().__init__(n_var=10, n_obj=2, xl=0.0, xu=1.0)
        self.ref_point = [1.1, 11.0]
        self._seconds = seconds

    def _evaluate(self, x, out, *args, **kwargs):
        time.sleep(self._seconds)
        out["F"] = [x[0], 1.0 + x[1:].sum() - x[0] ** 2]


class Screen(io.StringIO):
    """A terminal that remembers when it was written to."""

    def __init__(self):
        super().__init__()
        self.written = []

    def isatty(self):
        return True

    def write(self, text):
        self.written.append((time.monotonic(), text))
        return len(text)


def promises(make, n_done=DONE, total=TOTAL):
    """Return the share of the rest that is done, promised and true seconds left, at moments."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "run.db"
        first = Evaluator(store=store, progress=False)
        minimize(Waiting(SECONDS), make(), ("n_eval", n_done), seed=1, evaluator=first)
        screen = Screen()
        with redirect_stderr(screen):
            evaluator = Evaluator(store=store)
            minimize(Waiting(SECONDS), make(), ("n_eval", total), seed=1, evaluator=evaluator)
        end = time.monotonic()
    found, due = [], list(MOMENTS)
    for moment, text in screen.written:
        shown = re.search(rf"(\d+)/{total} \[\S+<(\d+):(\d+)", text)
        if shown and due and int(shown[1]) >= n_done + (total - n_done) * due[0]:
            found.append((due.pop(0), 60 * int(shown[2]) + int(shown[3]), end - moment))
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
    n_done, total = (300, 1000) if quick else (DONE, TOTAL)
    errors, shares = [], []
    for make in (lambda: NSGA2(50), MOELA):
        print(f"{type(make()).__name__}, resumed at {n_done:,} of {total:,}")
        for share, promised, true in promises(make, n_done, total):
            errors.append(abs(promised / true - 1))
            print(f"  {share:.0%} of the rest done: promised {promised} s, true {true:.1f} s")
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
