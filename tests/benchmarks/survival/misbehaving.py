"""Evaluations that misbehave: fork, exit, exec, close pipes, write to them, leave threads behind.

For each kind and backend, 100 designs are evaluated with a store and two workers; every few of them
misbehave. Every stored row and every row of the result is compared with values computed here. A
design that no backend can evaluate may fail, but it must not change another one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.population import Population

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage.reader import EvaluationStore
from tests.benchmarks.survival import Bar, Options
from tests.benchmarks.survival.misdeeds import (
    EVERY,
    KINDS,
    Misbehaving,
    Together,
    designs,
    values,
)

MODULE = "tests.benchmarks.survival.misbehaving"
N_DESIGNS = 100
LIMIT = 180.0  # seconds for a case, which takes at most 40; a longer one counts as hanging

BACKENDS: dict[str, dict[str, Any]] = {
    "serial": {"n_jobs": 1},
    "processes": {"n_jobs": 2, "backend": "processes"},
    "processes with timeout": {"n_jobs": 2, "backend": "processes", "timeout": 3.0},
    "threads": {"n_jobs": 2, "backend": "threads"},
    "loky": {"n_jobs": 2, "backend": "loky"},
    "dask": {"backend": "dask"},
}
Case = tuple[str, str, bool]
"""Kind, backend, and whether the problem is vectorized."""


def run_case(how: str, backend: str, vectorized: bool, n: int, seed: int, folder: str) -> None:
    """Evaluate the designs, and write what happened as JSON to the folder."""
    os.environ["MISBEHAVING_PID"] = str(os.getpid())
    path = Path(folder) / "answer.json"
    problem = (Together if vectorized else Misbehaving)(how, folder)
    settings = BACKENDS[backend] | {"on_error": "infeasible", "retries": int("once" in how)}
    if vectorized or how == "the same array each time":
        settings["chunk_size"] = 5
    if backend == "dask":
        warnings.simplefilter("ignore")
        from distributed import Client, LocalCluster

        Client(LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=":0"))
    try:
        with Evaluator(store=Path(folder) / "store.db", **settings) as evaluator:
            pop = evaluator.eval(problem, Population.new(X=designs(n, seed)))
        names = ("X", "F", "status")
        answer: dict[str, Any] = {name: pop.get(name).tolist() for name in names}
        answer["n_eval"] = evaluator.n_eval
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    path.write_text(json.dumps(answer))
    # Processes and threads that the evaluations left behind do not matter any more.
    os._exit(0)


def check_case(how: str, backend: str, vectorized: bool, n: int, seed: int) -> tuple[int, str]:
    """Run a case in a new process; return the number of wrong rows and a remark."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", MODULE, how, backend, str(int(vectorized))]
        command += [str(n), str(seed), folder]
        with (Path(folder) / "output").open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                return n, "hangs"
            finally:
                # Its process group, which this function has made, holds what is left of the case.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        path = Path(folder) / "answer.json"
        if not path.exists():
            last = (Path(folder) / "output").read_text(errors="replace")[-200:]
            return n, f"no answer, exit status {process.returncode}: {last!r}"
        answer = json.loads(path.read_text())
        if "error" in answer:
            return n, str(answer["error"])
        with EvaluationStore(Path(folder) / "store.db") as reader:
            stored = [(row.X.tolist(), row.status, row.F) for row in reader.evaluations()]
        begun = (Path(folder) / "begun").stat().st_size
    X, may_fail = designs(n, seed), KINDS[how].may_fail
    truth = {x.tobytes(): (F, x[3] == 1.0) for x, F in zip(X, values(X), strict=True)}

    def is_wrong(x: list[float], status: str, F: Any) -> bool:
        right, misbehaved = truth.get(np.array(x).tobytes(), (None, False))
        if right is None or status == "ok":
            return right is None or not np.array_equal(F, right)
        return not (misbehaved and may_fail)

    given = list(zip(answer["X"], answer["status"], answer["F"], strict=True))
    wrong = abs(len(stored) - n) + abs(answer["n_eval"] - n) + abs(len(given) - n)
    wrong += sum(is_wrong(*row) for row in [*stored, *given])
    wrong += sum(count != 1 for count in Counter(str(x) for x, *_ in stored).values())
    wrong += not np.array_equal(answer["X"], X)
    if "child" in how and not may_fail:  # a child that went on would evaluate designs, too
        wrong += abs(begun - n)
    return int(wrong), f"{sum(status != 'ok' for status in answer['status'])} failed"


def cases() -> Iterator[Case]:
    """Yield all cases that can be tried here."""
    for how, kind in KINDS.items():
        for backend in kind.backends:
            if backend != "dask" or find_spec("distributed"):
                yield how, backend, False
            if how.startswith("child") and backend in ("serial", "processes"):
                yield how, backend, True


def bars(options: Options) -> Iterator[Bar]:
    """Yield a bar for each kind; a quick run tries a third of them on one backend each."""
    n = options.share(N_DESIGNS, at_least=3 * EVERY)
    todo: dict[str, list[Case]] = {}
    for case in cases():
        todo.setdefault(case[0], []).append(case)
    if options.quick:
        picked = list(enumerate(todo.items()))[options.seed % 3 :: 3]
        todo = {how: [tried[i % len(tried)]] for i, (how, tried) in picked}

    def check(how: str) -> Bar:
        results = [
            (backend + (", vectorized" if vectorized else ""),
             *check_case(how, backend, vectorized, n, options.seed))
            for _, backend, vectorized in todo[how]
        ]  # fmt: skip
        wrong = sum(result[1] for result in results)
        faults = "; ".join(f"{name}: {count} ({text})" for name, count, text in results if count)
        names = ", ".join(result[0] for result in results)
        value = f"{wrong} wrong rows" + (f" [{faults}]" if faults else "")
        return Bar(f"{how} ({names})", value, "must 0", wrong == 0)

    with ThreadPoolExecutor(options.processes) as pool:
        yield from pool.map(check, todo)


if __name__ == "__main__":
    how, backend, vectorized, n, seed, folder = sys.argv[1:]
    run_case(how, backend, bool(int(vectorized)), int(n), int(seed), folder)
