"""Evaluations that misbehave: fork, exit, exec, close pipes, write to them, leave threads behind.

For each kind and backend, 100 designs are evaluated with a store and two workers; every few of them
misbehave. Every stored row and every row of the result is compared with values computed here. A
design that no backend can evaluate may fail, but it must not change another one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pymoo.core.population import Population

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage.reader import EvaluationStore
from tests.benchmarks.survival.bars import Bar, Options
from tests.benchmarks.survival.misbehaving_kinds import EVERY, KINDS, designs, values
from tests.benchmarks.survival.misbehaving_problems import Misbehaving, Together

MODULE = "tests.benchmarks.survival.misbehaving"
N_DESIGNS = 100
LIMIT = 180.0  # seconds for a case, which takes at most 40; a longer one counts as hanging

SERIAL = {"n_jobs": 1}
PROCESSES = {"n_jobs": 2, "backend": "processes"}
BACKENDS = {
    "serial": SERIAL,
    "processes": PROCESSES,
    "processes with timeout": PROCESSES | {"timeout": 3.0},
    "threads": {"n_jobs": 2, "backend": "threads"},
    "loky": {"n_jobs": 2, "backend": "loky"},
    "dask": {"backend": "dask"},
}


def run_case(how: str, backend: str, vectorized: bool, n: int, seed: int, folder: str) -> None:
    """Evaluate the designs, and write what happened as JSON to the folder."""
    os.environ["MISBEHAVING_PID"] = str(os.getpid())
    path = Path(folder) / "answer.json"
    X = designs(n, seed)
    problem = (Together if vectorized else Misbehaving)(how, folder)
    retries = 1 if "once" in how else 0
    settings = BACKENDS[backend] | {"on_error": "infeasible", "retries": retries}
    store = Path(folder) / "store.db"
    answer: dict[str, object] = {}
    cluster = _cluster() if backend == "dask" else None
    try:
        if vectorized or how == "the same array each time":
            settings["chunk_size"] = 5
        with Evaluator(store=store, **settings) as evaluator:
            pop = evaluator.eval(problem, Population.new(X=X.copy()))
        answer = {
            "X": pop.get("X").tolist(),
            "F": pop.get("F").tolist(),
            "status": [str(status) for status in pop.get("status")],
            "n_eval": evaluator.n_eval,
        }
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    path.write_text(json.dumps(answer))
    if cluster is not None:
        cluster.close()
    # Processes and threads that the evaluations left behind do not matter any more.
    os._exit(0)


def _cluster():
    import warnings

    warnings.simplefilter("ignore")
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    Client(cluster)
    return cluster


def check_case(how: str, backend: str, vectorized: bool, n: int, seed: int) -> tuple[int, str]:
    """Run a case in a new process; return the number of wrong rows and a remark."""
    _, _, may_fail = KINDS[how]
    X = designs(n, seed)
    truth = np.array([values(x) for x in X])
    bad = X[:, 3] == 1.0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", MODULE, "--case", how, backend, str(int(vectorized))]
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
            stored = list(reader.evaluations())
        begun = (Path(folder) / "begun").stat().st_size
    known = {x.tobytes(): (F, spoiled) for x, F, spoiled in zip(X, truth, bad, strict=True)}
    wrong = abs(len(stored) - n) + abs(answer["n_eval"] - n) + abs(len(answer["F"]) - n)
    counts: dict[bytes, int] = {}
    for row in stored:
        key = np.asarray(row.X, dtype=float).tobytes()
        counts[key] = counts.get(key, 0) + 1
        wrong += _is_wrong(known.get(key), row.status, row.F, may_fail)
    wrong += sum(count != 1 for count in counts.values())
    for x, F, status in zip(answer["X"], answer["F"], answer["status"], strict=True):
        wrong += _is_wrong(known.get(np.array(x).tobytes()), status, F, may_fail)
    wrong += not np.array_equal(answer["X"], X)
    if "child" in how and not may_fail:  # a child that went on would evaluate designs, too
        wrong += abs(begun - n)
    failures = sum(status != "ok" for status in answer["status"])
    return int(wrong), f"{failures} failed"


def _is_wrong(known, status: str, F, may_fail: bool) -> bool:
    if known is None:
        return True
    truth, spoiled = known
    if status == "ok":
        return not np.array_equal(F, truth)
    return not (spoiled and may_fail)


def cases(only: str = "") -> Iterator[tuple[str, str, bool]]:
    """Yield kind, backend, and whether the problem is vectorized."""
    for how, (_, backends, _) in KINDS.items():
        for backend in backends:
            if only in how and (backend != "dask" or find_spec("distributed")):
                yield how, backend, False
            if how.startswith("child") and only in how and backend in ("serial", "processes"):
                yield how, backend, True


def bars(options: Options) -> Iterator[Bar]:
    """Yield a bar for each kind."""
    n = options.share(N_DESIGNS, at_least=3 * EVERY)
    todo: dict[str, list[tuple[str, bool]]] = {}
    for how, backend, vectorized in cases():
        todo.setdefault(how, []).append((backend, vectorized))

    def check(how: str) -> Bar:
        results = [
            (
                backend + (", vectorized" if vectorized else ""),
                *check_case(how, backend, vectorized, n, options.seed),
            )
            for backend, vectorized in todo[how]
        ]
        wrong = sum(result[1] for result in results)
        faults = "; ".join(f"{name}: {count} ({text})" for name, count, text in results if count)
        names = ", ".join(result[0] for result in results)
        value = f"{wrong} wrong rows" + (f" [{faults}]" if faults else "")
        return Bar(f"{how} ({names})", value, "must 0", wrong == 0)

    with ThreadPoolExecutor(options.processes) as pool:
        yield from pool.map(check, todo)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=6)
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    options = parser.parse_args()
    if options.case:
        how, backend, vectorized, n, seed, folder = options.case
        run_case(how, backend, bool(int(vectorized)), int(n), int(seed), folder)
    for how, backend, vectorized in cases(options.only):
        start = time.monotonic()
        wrong, text = check_case(how, backend, vectorized, N_DESIGNS, 1)
        flag = "MISSED " if wrong else ""
        seconds = time.monotonic() - start
        print(
            f"{flag}{how} | {backend} | {vectorized}: {wrong}, {text}, {seconds:.0f} s", flush=True
        )


if __name__ == "__main__":
    main()
