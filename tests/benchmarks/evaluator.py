"""What the evaluator costs: workers, a store, memory, progress, and `moela watch`.

    python -m tests.benchmarks.evaluator [timing memory progress watch] [--quick]

*timing*: two workers against one, and a store against none, for evaluations that wait (like a call
of a simulator) or compute. Every figure is a ratio of two timings that alternate in the same run,
so that other load on the machine affects both. CPU times are printed as well, because other load
changes them little.

*memory*: the peak of a run of a million evaluations with an archive of 200.

*progress*: a run of evaluations of 10 ms is followed from its begin, or resumed after a third. The
time left that progress promises is compared with the time that is really left: that of the process
plus 10 ms an evaluation, without waiting. The cost is the time spent in the calls of progress.

*watch*: `moela watch` on a terminal is stopped and continued every 250 evaluations, and the run's
own processor time is compared between neighboring blocks with and without it. To the median of
these ratios the view's own processor time is added, as a share of the run's: that is the cost if
both share one core.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pty
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, suppress
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.util.archive import MultiObjectiveArchive

from moela import MOELA, Evaluator
from moela.evaluation.progress import Progress, pace
from tests.benchmarks import harness
from tests.benchmarks.harness import bar

MOMENTS = (0.1, 0.25, 0.5, 0.75)
BLOCK = 250


class Timed(ElementwiseProblem):
    """Evaluations of a given duration, spent waiting or computing."""

    def __init__(self, seconds, compute=False, sleep=time.sleep):
        super().__init__(n_var=10, n_obj=2, xl=0.0, xu=1.0)
        self.ref_point = [1.1, 11.0]
        self.seconds, self.compute, self._sleep = seconds, compute, sleep

    def _evaluate(self, x, out, *args, **kwargs):
        if self.compute:
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                pass
        else:
            self._sleep(self.seconds)
        out["F"] = [x[0], 1.0 + x[1:].sum() - x[0] ** 2]


# ---------------------------------------------------------------------------------------- timing


def seconds(problem, evaluator, batch, rng, total):
    """Return the wall seconds of ``total`` evaluations in batches."""
    start = time.perf_counter()
    for _ in range(total // batch):
        evaluator.eval(problem, Population.new(X=rng.random((batch, 10))))
    return time.perf_counter() - start


def scaling(batch, compute, repeats, total=200):
    """Return the speed-ups of two warm workers over one process, and that of two new workers."""
    problem, rng, warm = Timed(0.01, compute), np.random.default_rng(1), []
    with Evaluator(backend="serial") as one, Evaluator(n_jobs=2) as two:
        seconds(problem, two, batch, rng, batch)
        for _ in range(repeats):
            alone = seconds(problem, one, batch, rng, total)
            warm.append(alone / seconds(problem, two, batch, rng, total))
        with Evaluator(n_jobs=2) as fresh:
            return warm, alone / seconds(problem, fresh, batch, rng, total)


def overhead(settings, compute, repeats, batch=100, total=1000):
    """Return ratios of times with and without a store for 1 ms evaluations, wall and CPU."""
    problem, ratios, cpu = Timed(0.001, compute), [], []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(repeats):
            took, spent = [], []
            for store in (None, Path(folder) / f"{k}.db"):
                with Evaluator(store=store, **settings) as evaluator:
                    seconds(problem, evaluator, batch, np.random.default_rng(9), batch)
                    before = time.process_time()
                    rng = np.random.default_rng(1)
                    took.append(seconds(problem, evaluator, batch, rng, total))
                    spent.append(time.process_time() - before)
            ratios.append(took[1] / took[0])
            # Relative to the time of the evaluations, in whichever process they ran.
            cpu.append(1 + (spent[1] - spent[0]) / (0.001 * total))
    return ratios, statistics.median(cpu)


def report_timing(quick):
    """Print the table of speed-ups and of the cost of a store, and its bars."""
    repeats, rows = 2 if quick else 7, [("measured", "median (range)", "goal", "also")]
    print(f"load {os.getloadavg()[0]:.1f} at the start")

    def add(what, ratios, goal, also):
        low, middle, high = np.round([min(ratios), statistics.median(ratios), max(ratios)], 3)
        rows.append((what, f"{middle} ({low} to {high})", goal, also))
        bar(what, middle, goal)

    for compute, how in ((False, "waiting"), (True, "computing")):
        for batch, goal in ((50, "1.5"), (100, "1.8"), (200, "1.8")):
            warm, cold = scaling(batch, compute, repeats)
            what = f"10 ms {how}, batches of {batch}, 2 workers against 1"
            add(what, warm, f"at least {goal}", f"cold {cold:.2f}")
        for kind, settings in (("one process", {}), ("two workers", {"n_jobs": 2})):
            ratios, cpu = overhead(settings, compute, repeats)
            what = f"1 ms {how}, {kind}, store on against off"
            add(what, ratios, "at most 1.10", f"by CPU time {cpu:.3f}")
    print(harness.markdown(rows))


# ---------------------------------------------------------------------------------------- memory


def peak_of(moela, n_eval):
    """Return the peak megabytes of this process after a run: MOELA, or NSGA2 with a store."""
    archive = MultiObjectiveArchive(max_size=200)
    algorithm = NSGA2(pop_size=200, n_offsprings=1000, archive=archive)
    with tempfile.TemporaryDirectory() as folder:
        store = None if moela else Path(folder) / "run.db"
        with Evaluator(store=store, chunk_size=1000) as evaluator:
            minimize(
                get_problem("zdt1", n_var=10), MOELA(archive_size=200) if moela else algorithm,
                ("n_eval", n_eval), seed=1, evaluator=evaluator,
            )  # fmt: skip
    # Not ru_maxrss, which starts at the value of the parent process.
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def report_memory(quick):
    """Print the peak of a process of its own for each kind of run."""
    n_eval = 20_000 if quick else 1_000_000
    for moela, kind in ((False, "NSGA2 with a store"), (True, "MOELA without a store")):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peak = pool.submit(peak_of, moela, n_eval).result()
        bar(f"peak memory of {n_eval:,} evaluations, {kind}, MB", f"{peak:.0f}", "under 1,000")


# -------------------------------------------------------------------------------------- progress


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
        problem = Timed(0.01, sleep=clock.sleep)
        minimize(problem, make(), ("n_eval", n_eval), seed=1, evaluator=evaluator)

    with (
        mock.patch.object(Progress, "add", watched),
        mock.patch.object(pace, "time", clock),
        tempfile.TemporaryDirectory() as folder,
        redirect_stderr(Screen()),
    ):
        store = Path(folder) / "run.db"
        if n_done:
            solve(n_done, Evaluator(store=store, progress=False))
        seen.clear()
        solve(total, Evaluator(store=store))
        end = clock.monotonic()
    found, due = [], list(MOMENTS)
    for now, done, left in seen:
        if due and done >= n_done + (total - n_done) * due[0]:
            found.append((due.pop(0), left, end - now))
    return found


def cost(seconds, n_eval, screen):
    """Return microseconds of progress per evaluation, and the share of the run's time."""
    spent = []

    def timed(method):
        def call(*args):
            start = time.perf_counter()
            method(*args)
            spent.append(time.perf_counter() - start)

        return call

    names = ("add", "known", "total", "answered")
    methods = {name: timed(getattr(Progress, name)) for name in names}
    start = time.perf_counter()
    with redirect_stderr(screen), mock.patch.multiple(Progress, **methods):
        minimize(Timed(seconds), NSGA2(50), ("n_eval", n_eval), seed=1, evaluator=Evaluator())
    return 1e6 * sum(spent) / n_eval, sum(spent) / (time.perf_counter() - start)


def report_progress(quick):
    """Print how well the time left is promised, and what showing progress costs."""
    errors, shares = [], []
    for n_done, total in ((300, 900),) if quick else ((0, 1000), (300, 900), (1000, 3000)):
        for make in (lambda: NSGA2(50), MOELA):
            print(f"{type(make()).__name__}, {total:,} evaluations, {n_done:,} of them stored")
            for share, promised, true in promises(make, n_done, total):
                errors.append(abs(promised / true - 1))
                print(f"  {share:.0%} of the rest: promised {promised:.1f} s, true {true:.1f} s")
    for each, n_eval in ((0.001, 3000), (0.01, 600)):
        for screen in (Screen(), io.StringIO()):
            micro, share = cost(each, n_eval // (3 if quick else 1), screen)
            shares.append(share)
            kind = "bar with hypervolume" if screen.isatty() else "log"
            print(f"{1000 * each:g} ms, {kind}: {micro:.0f} us per evaluation, {share:.2%}")
    bar("largest error of the time left", f"{max(errors):.0%}", "at most 25%")
    bar("progress, evaluations of 10 ms", f"{max(shares[2:]):.2%}", "at most 2%")


# ----------------------------------------------------------------------------------------- watch


class View:
    """`moela watch` on a terminal that nobody looks at."""

    def __init__(self, store):
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "moela", "watch", str(store)]
        self._process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
        self.send = self._process.send_signal
        os.close(slave)
        threading.Thread(target=self._drain, args=(master,), daemon=True).start()

    def _drain(self, master):
        with suppress(OSError):  # the view has ended
            while os.read(master, 65536):
                pass

    def end(self):
        """End the view; return the seconds of processor time that it has used."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGINT)
        _, _, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = 0
        return usage.ru_utime + usage.ru_stime


def report_watch(quick):
    """Print the cost of the view of a run."""
    from problems import NoC3D  # not in the memory of the other runs

    n_eval = 3000 if quick else 20_000
    views, marks, counted = [], [], []

    def count(pop):
        counted.append(len(pop))
        if sum(counted) // BLOCK == len(marks):
            return
        marks.append(time.process_time())
        if not views:  # the first block compiles
            views.append(View(store))
        # Two blocks with the view, then two without.
        views[0].send(signal.SIGCONT if len(marks) % 4 in (1, 2) else signal.SIGSTOP)

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "run.db"
        with Evaluator(store=store, callback=count) as evaluator:
            minimize(NoC3D.example(), MOELA(), ("n_eval", n_eval), seed=1, evaluator=evaluator)
        own, seen = time.process_time() - marks[0], views[0].end()
    blocks = np.diff(marks)
    fours = blocks[: len(blocks) // 4 * 4].reshape(-1, 4)
    ratios = fours[:, :2].sum(axis=1) / fours[:, 2:].sum(axis=1) - 1
    low, added, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"processor time of the run {own:.1f} s, of the view {seen:.2f} s")
    print(f"the run in blocks with the view: {added:+.2%} (quartiles {low:+.2%}, {high:+.2%})")
    bar(f"cost of watching {n_eval:,} evaluations", f"{max(added, 0) + seen / own:.2%}", "under 2%")


REPORTS = {
    "timing": report_timing, "memory": report_memory, "progress": report_progress,
    "watch": report_watch,
}  # fmt: skip


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(REPORTS)}; default: all")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(harness.machine())
    for report in harness.pick(REPORTS, arguments.names or None).values():
        report(arguments.quick)


if __name__ == "__main__":
    main()
