"""Scaling of NoC3D: from 64 to 1,000 tiles, threads against processes, memory of a worker.

    python -m tests.benchmarks.noc_growth

Runs on Linux only. Times are CPU times, the best of several rounds, except those of threads and
processes, which are wall times.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np

from problems.noc import NoC3D, Platform
from problems.noc.evaluation.metrics import UNITS
from tests.benchmarks import harness
from tests.benchmarks.noc_speed import best

ROUNDS = 7
TILES = {"4x4x4": 400, "8x8": 400, "8x8x4": 60, "10x10x10": 8}
ROOT = Path(__file__).parents[2]

PROCESS = """
import sys, time, numpy as np
from problems.noc import NoC3D
problem = NoC3D.example("bfs")
X = np.load(sys.argv[1], allow_pickle=False)
problem.evaluate(X[:10])
for line in sys.stdin:
    begin = time.perf_counter()
    problem.evaluate(X)
    print(time.perf_counter() - begin, flush=True)
"""

WORKER = """
import pickle, re, sys
with open(sys.argv[1], "rb") as file:
    problem, X = pickle.load(file)
problem.evaluate(X)
# Not ru_maxrss, which starts at the value of the parent process.
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def designs(problem, n, seed=0):
    """Return children of sampled designs, [n, n_var]."""
    rng = np.random.default_rng(seed)
    start = problem.operators()["sampling"]._do(problem, max(n, 2), random_state=rng)
    half = len(start) // 2
    parents = np.stack((start[:half], start[half : 2 * half]))
    children = problem.operators()["crossover"]._do(problem, parents, random_state=rng)
    return np.concatenate(children)[:n]


def report_growth():
    """Print the time per design by number of tiles, and the exponents between the sizes."""
    print("\n| chip | tiles | us, five objectives | us, all metrics | designs/s | exponent |")
    print("|---|---|---|---|---|---|")
    before = None
    for name, n in TILES.items():
        problem = NoC3D.example("bfs", platform=Platform.preset(name))
        every = NoC3D(problem.traffic, platform=problem.platform, objectives=tuple(UNITS))
        X = designs(problem, n)
        seconds = best(lambda p=problem, X=X: p.evaluate(X), ROUNDS) / len(X)
        whole = best(lambda p=every, X=X: p.evaluate(X), ROUNDS) / len(X)
        tiles = problem.platform.n_tiles
        exponent = ""
        if before and tiles > before[0]:
            exponent = f"{np.log(seconds / before[1]) / np.log(tiles / before[0]):.2f}"
        if name != "8x8":
            before = (tiles, seconds)
        print(
            f"| {name} | {tiles} | {1e6 * seconds:,.1f} | {1e6 * whole:,.1f} | "
            f"{1 / seconds:,.0f} | {exponent} |"
        )


def report_threads():
    """Print the rates of two threads and of two processes, in designs per second."""
    problem = NoC3D.example("bfs")
    halves = [designs(problem, 4000, seed) for seed in (1, 2)]
    barrier = Barrier(2)

    def timed(X):
        barrier.wait()
        begin = time.perf_counter()
        problem.evaluate(X)
        return time.perf_counter() - begin

    with tempfile.TemporaryDirectory() as folder:
        children = []
        for k, X in enumerate(halves):
            np.save(f"{folder}/{k}.npy", X)
            children.append(
                subprocess.Popen(
                    [sys.executable, "-c", PROCESS, f"{folder}/{k}.npy"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                )
            )  # fmt: skip
        threads, processes, alone = [], [], []
        with ThreadPoolExecutor(2) as pool:
            for _ in range(3 * ROUNDS):
                begin = time.perf_counter()
                problem.evaluate(halves[0])
                alone.append(time.perf_counter() - begin)
                threads.append(max(pool.map(timed, halves)))
                for child in children:
                    child.stdin.write("go\n")
                    child.stdin.flush()
                processes.append(max(float(child.stdout.readline()) for child in children))
        for child in children:
            child.stdin.close()
            child.wait()
            child.stdout.close()
    both = sum(map(len, halves))
    print(
        f"\nwall time, {os.cpu_count()} CPUs, best of {3 * ROUNDS} alternating rounds: "
        f"one thread {len(halves[0]) / min(alone):,.0f}, two threads {both / min(threads):,.0f}, "
        f"two processes {both / min(processes):,.0f} designs/s; "
        f"threads reach {min(processes) / min(threads):.2f} of processes"
    )


def report_incremental():
    """Print the times of swaps whose previous row has the same links, and has others."""
    print(
        "\n| chip | us, swaps of several designs in turn | us, those of a design together | ratio |"
    )
    print("|---|---|---|---|")
    for name, n in (("4x4x4", 60), ("8x8x4", 6), ("10x10x10", 3)):
        problem = NoC3D.example("bfs", platform=Platform.preset(name))
        tiles = problem.platform.n_tiles
        X = designs(problem, 2 * n)[:n]
        rng = np.random.default_rng(0)
        swaps = []
        for base, neighbors in zip(X, problem.neighbors_many(X, 40, rng), strict=True):
            swaps.append(neighbors[(neighbors[:, tiles:] == base[tiles:]).all(axis=1)][:8])
        together = np.concatenate(swaps)
        in_turn = np.stack(swaps, axis=1).reshape(together.shape)
        apart = best(lambda p=problem, r=in_turn: p.evaluate(r), ROUNDS) / len(in_turn)
        grouped = best(lambda p=problem, r=together: p.evaluate(r), ROUNDS) / len(together)
        print(f"| {name} | {1e6 * apart:,.1f} | {1e6 * grouped:,.1f} | {grouped / apart:.2f} |")


def report_memory():
    """Print the peak memory of a new process that receives a problem and evaluates designs."""
    print("\n| chip | MB at most, of which imports and machine code are most |")
    print("|---|---|")
    for name in ("4x4x4", "10x10x10"):
        problem = NoC3D.example("bfs", platform=Platform.preset(name))
        X = designs(problem, 20)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/problem.pkl"
            with open(path, "wb") as file:
                pickle.dump((problem, X), file)
            words = [sys.executable, "-c", WORKER, path]
            done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
        print(f"| {name} | {float(done.stdout):.0f} |")


def main():
    harness.script_parser(__doc__).parse_args()
    print(harness.machine())
    report_growth()
    report_incremental()
    report_threads()
    report_memory()


if __name__ == "__main__":
    main()
