"""Problems for the tests of the evaluator, runs of them, and the processes that evaluate them.

Every worker imports this module. What only runs need is imported by their functions, which makes
the start of a worker four times as fast.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import ElementwiseProblem, Problem
from pymoo.core.variable import Binary, Choice, Integer, Real

# ---- runs ----------------------------------------------------------------------------------------


def designs(n, n_var=6, seed=0):
    return np.random.default_rng(seed).random((n, n_var))


def evaluate(problem, X, **settings):
    """Evaluate designs with an evaluator of these settings, which is closed then."""
    from moela.evaluation.evaluator import Evaluator

    with Evaluator(**settings) as evaluator:
        return evaluator.eval(problem, Population.new(X=X))


def solve(problem, n_eval=100, *, algorithm=None, seed=1, options=None, **settings):
    """Run an algorithm with an evaluator of these settings, which the result holds."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.optimize import minimize

    from moela.evaluation.evaluator import Evaluator

    with Evaluator(**settings) as evaluator:
        result = minimize(
            problem,
            algorithm or NSGA2(pop_size=20),
            ("n_eval", n_eval),
            seed=seed,
            evaluator=evaluator,
            **(options or {}),
        )
    result.evaluator = evaluator
    return result


def fill_store(path, problem=None, X=None, **settings):
    """Evaluate designs, by default twelve of `One`, into a store."""
    return evaluate(problem or One(), designs(12) if X is None else X, store=path, **settings)


def solve_into(path, n_eval=60, problem=None, **settings):
    """Run an algorithm, by default on `One`, into a store."""
    return solve(problem or One(), n_eval, store=path, **settings)


def stored(path, run=None):
    """Return the evaluations in a store."""
    from moela.evaluation.storage.reader import EvaluationStore

    with EvaluationStore(path) as reader:
        return list(reader.evaluations(run))


def edit_run(path, run=1, **columns):
    """Set columns of a stored run, and their checksums, as an editor that knows the format."""
    from moela.evaluation.storage.rows import update_run

    with contextlib.closing(sqlite3.connect(path)) as db, db:
        update_run(db, run, columns)


# ---- processes -----------------------------------------------------------------------------------


def wait_for(condition, seconds=120, pause=0.05):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(pause)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def worker_pids():
    """Return the worker processes that this process has started and that still run."""
    return {pid for pid in children("self") if alive(pid) and _is_worker(pid)}


def children(pid):
    """Return the processes that a process has started."""
    found = set()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # of a thread that has just ended
            found.update(map(int, file.read_text().split()))
    return found


def _is_worker(pid):
    try:
        return "runners.worker" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


@contextlib.contextmanager
def file_system(folder, options):
    """Mount a small file system of its own, which takes the rights of a superuser."""
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if (
        mount is None
        or os.geteuid() != 0
        or subprocess.run(command, capture_output=True).returncode
    ):
        import pytest

        pytest.skip("a file system of its own cannot be mounted here")
    try:
        yield folder
    finally:
        if folder.is_mount():  # unless the test has unmounted it
            subprocess.run(["umount", "-l", str(folder)], check=True)


# ---- problems ------------------------------------------------------------------------------------


def zdt(x):
    g = 1 + 9 * np.mean(x[..., 1:], axis=-1)
    return np.stack([x[..., 0], g * (1 - np.sqrt(x[..., 0] / g))], axis=-1)


class Rows(Problem):
    """Vectorized; the last bits of a row depend on the batch, as in a BLAS product."""

    def __init__(self, n_var=6):
        super().__init__(n_var=n_var, n_obj=2, xl=0.0, xu=1.0)
        self._sizes = []

    def _evaluate(self, X, out, *args, **kwargs):
        self._sizes.append(len(X))
        out["F"] = zdt(X) * (1 + len(X) * 1e-15)

    def chunks(self):
        """Return the numbers of rows that were evaluated together."""
        return self._sizes


class One(ElementwiseProblem):
    """Elementwise; writes one line per evaluation into a file, if one is given."""

    def __init__(self, n_var=6, log=None, seconds=0.0, shift=0.0, version=None, n_ieq_constr=0):
        super().__init__(n_var=n_var, n_obj=2, n_ieq_constr=n_ieq_constr, xl=0.0, xu=1.0)
        self._log = log
        self._seconds = seconds
        self._shift = shift
        if version is not None:
            self.version = version

    def _evaluate(self, x, out, *args, **kwargs):
        if self._seconds:
            time.sleep(self._seconds)
        out["F"] = zdt(x) + self._shift
        if self.n_ieq_constr:
            out["G"] = [0.3 - x[1]] * self.n_ieq_constr
        if self._log is not None:
            with open(self._log, "a") as file:
                file.write(x.tobytes().hex() + "\n")


class Clock:
    """A clock that only :class:`Ticking` and the tests advance."""

    now = 0.0

    def monotonic(self):
        return Clock.now


class Ticking(One):
    """Each evaluation takes some seconds of that clock."""

    def _evaluate(self, x, out, *args, **kwargs):
        seconds, self._seconds = self._seconds, 0.0
        super()._evaluate(x, out)
        self._seconds = seconds
        Clock.now += seconds


class Failing(One):
    """Fails, in a chosen way, if x[0] is below a threshold."""

    def __init__(self, how, below=0.3, marker=None, most=None, **kwargs):
        super().__init__(**kwargs)
        self.how = how
        self._below = below
        self._marker = marker  # with a folder, each design fails only the first time
        self._most = most  # so many designs at most fail then; two workers may make it one more

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        if x[0] >= self._below or self._repeated(x):
            return
        if self.how == "raise":
            raise ZeroDivisionError("the simulator broke")
        elif self.how == "exit":
            raise SystemExit("the simulator gave up")
        elif self.how == "cancel":
            raise asyncio.CancelledError("the simulation was canceled")
        elif self.how == "nan":
            out["F"] = [np.nan, 0.0]
        elif self.how == "inf":
            out["F"] = [-np.inf, 0.0]
        elif self.how == "plus":
            out["F"] = [np.inf, 0.0]
        elif self.how == "shape":
            out["F"] = [0.0, 0.0, 0.0]
        elif self.how == "unset":
            out.pop("F")
        elif self.how == "hang":
            while True:
                time.sleep(0.01)
        elif self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def fix(self):
        self._below = 0.0

    def _repeated(self, x):
        if self._marker is None:
            return False
        name = os.path.join(self._marker, x.tobytes().hex()[:64])
        enough = self._most is not None and len(os.listdir(self._marker)) >= self._most
        if os.path.exists(name) or enough:
            return True
        open(name, "w").close()
        return False


class RowsFailing(Rows):
    """Vectorized; raises for the whole batch if one row is bad."""

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        if np.any(X[:, 0] < 0.1):
            raise FloatingPointError("a row is bad")


class Transposed(Rows):
    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = zdt(X).T


class Simulator(One):
    """Starts an external program that hangs, like a stuck simulator."""

    def _evaluate(self, x, out, *args, **kwargs):
        process = subprocess.Popen(["sleep", "1000"])
        with open(self._log, "a") as file:
            file.write(f"{process.pid}\n")
        process.wait()


class Noisy(ElementwiseProblem):
    """A noisy measurement, different at every evaluation."""

    def __init__(self):
        super().__init__(n_var=3, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        noise = np.random.default_rng()  # from the system, as the noise of a measurement is
        out["F"] = zdt(x) + noise.normal(scale=0.01, size=2)


class Mixed(ElementwiseProblem):
    def __init__(self):
        variables = {
            "real": Real(bounds=(0.0, 1.0)),
            "whole": Integer(bounds=(0, 3)),
            "flag": Binary(),
            "kind": Choice(options=["mesh", "torus"]),
        }
        super().__init__(vars=variables, n_obj=2)
        self.calls = 0

    def _evaluate(self, X, out, *args, **kwargs):
        self.calls += 1
        cost = X["whole"] + (0.5 if X["flag"] else 0.0) + (0.1 if X["kind"] == "torus" else 0.0)
        out["F"] = [X["real"] + cost, (1 - X["real"]) ** 2 - cost]


class Links(Problem):
    """Integer designs in which the order of the values does not matter."""

    def __init__(self):
        super().__init__(n_var=3, n_obj=2, xl=0, xu=9, vtype=int)
        self.rows = 0

    def canonical(self, X):
        return np.sort(X, axis=1)

    def _evaluate(self, X, out, *args, **kwargs):
        self.rows += len(X)
        out["F"] = np.column_stack([X.sum(axis=1), -X.prod(axis=1)]).astype(float)


class Extra(One):
    """Returns more than F: arrays that the algorithm or the user needs."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        out["temperature"] = x * 100
        out["steps"] = 7


class Remembering(One):
    """Returns the id of the process that evaluated each design."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        out["pid"] = os.getpid()


class Threads(One):
    """Returns the number of threads that BLAS may use in the evaluating process."""

    def _evaluate(self, x, out, *args, **kwargs):
        from threadpoolctl import threadpool_info

        super()._evaluate(x, out)
        np.dot(np.ones((2, 2)), np.ones((2, 2)))
        out["threads"] = max((p["num_threads"] for p in threadpool_info()), default=1)
