"""Runs killed at random moments and resumed: nothing committed is lost or repeated.

A process that has imported everything forks the runs, so that a resume takes only what it computes.
Kills hit a run, its process group or one of its workers; at start-up, while a resumed run checks an
old design again or repeats itself, and at any evaluation; by SIGKILL, and a part by SIGTERM and
SIGINT. At the end every stored row and the final population are compared with a run that was left
alone, bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import MOELA
from moela.evaluation.evaluator import Evaluator
from tests.benchmarks.survival import Bar, Options

MODULE = "tests.benchmarks.survival.kills"
KILLS = 1000
KILLS_PER_RUN = 25
SECONDS = 0.001  # of an evaluation
N_EVAL = {"NSGA2": 400, "MOELA": 200}
ALGORITHMS = {"NSGA2": lambda: NSGA2(pop_size=40), "MOELA": lambda: MOELA(n_subproblems=20)}
BACKENDS: dict[str, dict[str, Any]] = {
    "serial": {},
    "workers": {"n_jobs": 2},
    "timeout": {"timeout": 60.0},
    "threads": {"n_jobs": 2, "backend": "threads"},
    "dask": {"backend": "dask"},
}
# What identifies a stored evaluation; times, workers and tries differ between two runs.
COLUMNS = "n, batch, key, x, f, g, h, extra, status"
GIVE_UP_SECONDS = 120


class Logged(ElementwiseProblem):
    """Appends every design that it evaluates to a file."""

    def __init__(self, log: str | None = None):
        super().__init__(n_var=10, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)
        self._log = log

    def _evaluate(self, x: Any, out: Any, *args: object, **kwargs: object) -> None:
        time.sleep(SECONDS)
        g = 1 + 9 * x[1:].mean()
        out["F"] = [x[0], g * (1 - np.sqrt(x[0] / g))]
        out["G"] = [0.1 - x[1]]
        out["loads"] = {"first": x[:3], "name": "logged"}
        if self._log is not None:
            file = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, x.tobytes().hex().encode() + b"\n")
            os.close(file)


@dataclass
class Tally:
    """Counts of lost, repeated and different evaluations after the kills of a combination."""

    kills: int = 0
    lost: int = 0  # committed evaluations that were gone or changed afterwards
    repeated: int = 0  # committed evaluations that were computed again, but for the check
    again: int = 0  # others that were computed again: running, or not yet committed
    different: int = 0  # runs whose end is not that of the run that was left alone
    errors: int = 0  # runs that ended by an error of their own

    def __add__(self, other: Tally) -> Tally:
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return Tally(*(a + b for a, b in pairs))


def bars(options: Options) -> Iterator[Bar]:
    """Yield a bar for each backend and algorithm, and one for all."""
    combinations = [(b, a) for b in BACKENDS for a in ALGORITHMS]
    kills = -(-options.share(KILLS, at_least=len(combinations)) // len(combinations))
    total = Tally()

    def attack(combination: tuple[str, str]) -> Tally:
        command = [sys.executable, "-m", MODULE, *combination, str(kills), str(options.seed)]
        result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return Tally(**json.loads(result.stdout.splitlines()[-1]))

    with ThreadPoolExecutor(options.processes) as pool:
        tallies = pool.map(attack, combinations)
        for (backend, algorithm), tally in zip(combinations, tallies, strict=True):
            total += tally
            yield _bar(f"{backend}, {algorithm}", tally)
    yield _bar("all", total)


def _bar(what: str, tally: Tally) -> Bar:
    holds = not (tally.lost or tally.repeated or tally.different or tally.errors)
    return Bar(
        f"kills of runs ({what})",
        f"{tally.kills} kills, {tally.lost} committed evaluations lost, {tally.repeated} repeated, "
        f"{tally.different} runs different, {tally.errors} errors "
        f"({tally.again} evaluations that were running or not yet committed were repeated)",
        "0 lost, 0 repeated, bit-identical",
        holds,
    )


# ----------------------------------------------------------------------------------------- a run


def run(
    backend: str, algorithm: str, seed: int, store: Path, log: Path | None, result: Path | None
) -> None:
    """Begin or resume a run; write its final population."""
    with contextlib.ExitStack() as stack:
        if backend == "dask":
            from distributed import Client

            stack.enter_context(Client(os.environ["KILLS_SCHEDULER"], set_as_default=True))
        evaluator = stack.enter_context(Evaluator(store=store, progress=False, **BACKENDS[backend]))
        final = minimize(
            Logged(None if log is None else str(log)),
            ALGORITHMS[algorithm](),
            ("n_eval", N_EVAL[algorithm]),
            seed=seed,
            evaluator=evaluator,
        )
    if result is not None:
        part = result.with_suffix(".part.npz")
        np.savez(part, X=final.pop.get("X"), F=final.pop.get("F"), G=final.pop.get("G"))
        part.rename(result)


def fork(*arguments: Any) -> int:
    """Begin a run in a process group of its own; return its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(*arguments)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    end = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f"a run did not end within {GIVE_UP_SECONDS} s")


def has_ended(pid: int) -> bool:
    """Return whether a child has ended; it is left to `wait`."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


# ---------------------------------------------------------------------------------------- kills


def rows(store: Path) -> dict[int, tuple[Any, ...]]:
    """Return the evaluations that are committed, by their position."""
    if not store.exists() or not store.stat().st_size:
        return {}
    # Not read-only: a kill may leave a first transaction that has to be rolled back.
    with contextlib.closing(sqlite3.connect(store)) as db:
        try:
            lines = db.execute(f"SELECT {COLUMNS} FROM evaluations ORDER BY id").fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # killed before they were made
                return {}
            raise
    return {line[0]: line for line in lines}


def cheapest(store: Path) -> str | None:
    """Return the design that a resumed run evaluates again, as it is logged."""
    with contextlib.closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as db:
        query = "SELECT x FROM evaluations WHERE status = 'ok' ORDER BY duration, id LIMIT 1"
        line = db.execute(query).fetchone()
    return None if line is None else design(line[0])


def design(x: bytes) -> str:
    """Return a stored design as it is logged."""
    return x.partition(b"\0")[2].hex()


def quiet(log: Path) -> Counter[str]:
    """Return how often each design was evaluated once workers that were left have ended."""
    before = None
    while (after := Counter(log.read_text().split() if log.exists() else ())) != before:
        before = after
        time.sleep(0.03)
    return after


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    with contextlib.suppress(OSError):
        return [int(child) for file in files for child in file.read_text().split()]
    return []


def n_logged(log: Path) -> int:
    """Return the number of evaluations so far."""
    return log.stat().st_size // (10 * 16 + 1) if log.exists() else 0


def wait_for(rng: np.random.Generator, pid: int, log: Path, goal: int) -> None:
    """Wait until a random moment of a run: after its beginning, or about an evaluation."""
    if rng.random() < 0.25:  # start-up, the check of an old design, or the replay
        time.sleep(float(rng.uniform(0.0, 0.4)))
        return
    while n_logged(log) < goal and not has_ended(pid):
        time.sleep(float(rng.uniform(0.0, 0.003)))
    time.sleep(float(rng.exponential(0.004)))


def kill(rng: np.random.Generator, pid: int) -> bool:
    """Kill a run or a part of it; return whether it is over."""
    how = rng.random()
    workers = children(pid)
    if workers and how < 0.2:
        with contextlib.suppress(ProcessLookupError):
            os.kill(workers[int(rng.integers(len(workers)))], signal.SIGKILL)
        return False
    if how < 0.4:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
            return True
    number = signal.SIGTERM if how > 0.9 else signal.SIGINT if how > 0.8 else signal.SIGKILL
    os.kill(pid, number)
    return True


def killed(
    backend: str, algorithm: str, kills: int, seed: int, folder: Path, rng: np.random.Generator
) -> Tally:
    """Kill one run so many times, finish it, and compare it with one that was left alone."""
    store, log, result = folder / "run.db", folder / "log", folder / "result.npz"
    alone, whole = folder / "alone.db", folder / "alone.npz"
    assert wait(fork("serial", algorithm, seed, alone, None, whole)) == 0
    tally = Tally()
    committed: dict[int, tuple[Any, ...]] = {}
    before: Counter[str] = Counter()
    free: set[str | None] = {None}  # may be evaluated again: the check of a resumed run
    # The moments are spread over the whole run.
    goals = np.sort(rng.integers(1, N_EVAL[algorithm], size=kills))
    for i, goal in enumerate([*goals, None]):
        pid = fork(backend, algorithm, seed, store, log, result)
        if goal is not None:
            wait_for(rng, pid, log, int(goal) + sum(before.values()) - len(committed))
            tally.kills += 1
            while not kill(rng, pid):  # a worker alone: the run goes on, and is killed later
                if i + 1 < kills and rng.random() < 0.5:
                    tally.kills += 1
                time.sleep(float(rng.uniform(0.0, 0.05)))
        code = wait(pid)
        if code not in (0, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
            tally.errors += 1
        now, after = rows(store), quiet(log)
        tally.lost += sum(now.get(n) != line for n, line in committed.items())
        designs = {design(line[3]) for line in committed.values()} - free
        tally.repeated += sum(after[x] != before[x] for x in designs)
        committed, before = now, after
        free = {cheapest(store)} if now else {None}
    tally.again = sum(n - 1 for n in before.values())
    same = result.exists() and rows(alone) == committed
    if same:
        with np.load(result) as ours, np.load(whole) as theirs:
            same = all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    tally.different += not same
    return tally


@contextlib.contextmanager
def cluster(wanted: bool) -> Iterator[None]:
    """Run a dask cluster of two workers in processes of its own, which the kills do not reach."""
    if not wanted:
        yield
        return
    text = (
        "import sys; from distributed import LocalCluster\n"
        'c = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")\n'
        "print(c.scheduler_address, flush=True); sys.stdin.read(); c.close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        os.environ["KILLS_SCHEDULER"] = process.stdout.readline().strip()
        yield
    finally:
        process.communicate()


def main(backend: str, algorithm: str, goal: int, seed: int) -> None:
    """Kill the runs of one backend and algorithm; print the tally."""
    index = [*BACKENDS].index(backend), [*ALGORITHMS].index(algorithm)
    rng = np.random.default_rng([seed, *index])
    # Whatever a run imports is imported here, and its code compiled.
    minimize(Logged(), ALGORITHMS[algorithm](), ("n_eval", 60), seed=1)
    total = Tally()
    with cluster(backend == "dask"):
        while total.kills < goal:
            kills = min(KILLS_PER_RUN, goal - total.kills)
            with tempfile.TemporaryDirectory() as folder:
                run_seed = seed * 1000 + total.kills
                total += killed(backend, algorithm, kills, run_seed, Path(folder), rng)
    print(json.dumps(asdict(total)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
