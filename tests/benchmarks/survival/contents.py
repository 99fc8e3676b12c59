"""Problems whose content changes between two runs: no result of the old problem may come back.

For each kind of content, one process stores a run. Two others, with other hash seeds and other
seeds of the run, evaluate the same designs: one for the changed content, one for the same content
made again.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize

from moela import Evaluator
from tests.benchmarks.survival.bars import Bar, Options
from tests.benchmarks.survival.kinds import KINDS

N_DESIGNS = 6
ROOT = Path(__file__).parents[3]


def reused(name: str, store: Path, variant: int, seed: int, *, private: bool) -> tuple[int, bool]:
    """Evaluate the designs; return how many results came from the store, and if it was refused."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("moela.evaluator")
    logger.addHandler(handler)
    problem = KINDS[name].problem(variant, private=private)
    X = np.random.default_rng(0).random((N_DESIGNS, 2))
    with Evaluator(store=store, on_mismatch="new", progress=False) as evaluator:
        minimize(
            problem, NSGA2(N_DESIGNS, X), ("n_eval", N_DESIGNS), seed=seed, evaluator=evaluator
        )
    logger.removeHandler(handler)
    return N_DESIGNS - evaluator.n_fresh, any("cannot see into" in text for text in messages)


def work(folder: str, variant: int, seed: int, names: list[str]) -> None:
    """Print the results for some kinds, one JSON object per line."""
    warnings.simplefilter("ignore")
    for name in names:
        for private in (False,) if KINDS[name].whole else (False, True):
            store = Path(folder, f"{sorted(KINDS).index(name)}-{private}.db")
            n, refused = reused(name, store, variant, seed, private=private)
            line = {"name": name, "private": private, "reused": n, "refused": refused}
            print(json.dumps(line), flush=True)


def run(folder: Path, variant: int, seed: int, names: list[str], n: int) -> list[dict[str, object]]:
    """Do the work in new processes with another hash seed each time."""

    def one(part: list[str]) -> list[dict[str, object]]:
        command = [sys.executable, "-m", "tests.benchmarks.survival.contents", str(folder)]
        out = subprocess.run(
            [*command, str(variant), str(seed), *part],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if out.returncode:
            raise RuntimeError(out.stderr[-3000:])
        return [json.loads(line) for line in out.stdout.splitlines() if line.startswith('{"name')]

    with ThreadPoolExecutor(n) as pool:
        return [line for lines in pool.map(one, [names[i::n] for i in range(n)]) for line in lines]


def bars(options: Options) -> Iterator[Bar]:
    """Yield the bars of this part."""
    possible = [name for name, kind in KINDS.items() if kind.possible]
    names = possible[:: max(1, round(1 / options.fraction))]
    missing = sorted(set(KINDS) - set(possible))
    print(f"{len(names)} kinds; not installed: {', '.join(missing) or 'none'}", flush=True)
    seeds = [10 * options.seed + i for i in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            run(Path(folder), variant, seed, names, options.processes)
            for variant, seed in zip((0, 1, 0), seeds, strict=True)
        ]
    stale = [line for line in runs[1] if line["reused"]]
    for line in stale:
        print(f"the old results came back: {line}", flush=True)
    answers = sum(int(str(line["reused"])) for line in stale)
    tried = f"{len(runs[1])} changes of {len(names)} kinds"
    yield Bar(f"results of the old problem after {tried}", str(answers), "0", not answers)
    refused = sorted({str(line["name"]) for line in runs[0] if line["refused"]})
    lost = [line for line in runs[2] if line["name"] not in refused and not line["reused"]]
    for line in lost:
        print(f"not recognized: {line}", flush=True)
    seen = len(names) - len(refused)
    known = seen - len({line["name"] for line in lost})
    print(f"cannot see into: {', '.join(refused)}", flush=True)
    yield Bar("kinds recognized when made again", f"{known} of {seen}", "all", known == seen)
    yield Bar("kinds that are refused by name", str(len(refused)), "at most 10", len(refused) <= 10)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
