"""
On a Dask cluster
=================

Evaluations that take minutes belong on more than one machine. The algorithm stays in your script;
only the evaluations run elsewhere. On this page the cluster is two worker processes on one machine.
For a real cluster, only the address of the scheduler changes.
"""

# %%
# The problem
# -----------
#
# Each evaluation waits for a while, as if it ran a simulator. The workers must be able to import
# the problem, or it must be small enough to be sent to them, as this one is.

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import MOELA, Evaluator, plot_front


class Antenna(ElementwiseProblem):
    """Choose the amplitudes of six elements in a row: little loss of gain, low side lobes."""

    def __init__(self, wait=0.05):
        super().__init__(n_var=6, n_obj=2, xl=0.1, xu=1.0)
        self.wait = wait

    def _evaluate(self, x, out, *args, **kwargs):
        time.sleep(self.wait)
        angles = np.linspace(0.7, np.pi / 2, 91)  # beside the main lobe
        phase = np.pi * np.arange(6) * np.sin(angles)[:, None]
        side_lobe = np.abs(np.exp(1j * phase) @ x).max()
        out["F"] = [1 - x.mean(), side_lobe / x.sum()]


# %%
# The cluster
# -----------
#
# Two commands make a cluster: a scheduler, and workers on any machine that reaches it. Here both
# run on this machine. The workers need the packages that the evaluation needs, in the same
# versions.

folder = Path(tempfile.mkdtemp())
where = ["--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard"]
quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
scheduler = ["dask_scheduler", *where, "--port", "0"]  # on a shell: dask scheduler ...
workers = ["dask_worker", *where, "--nworkers", "2", "--nthreads", "1"]  # dask worker ...
programs = [
    subprocess.Popen([sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:]], **quiet)
    for command in (scheduler, workers)
]

# %%
# The script connects to the scheduler. ``backend="dask"`` does the rest: the evaluator finds the
# client.

from distributed import Client

while not (folder / "scheduler.json").exists():
    time.sleep(0.1)
client = Client(scheduler_file=folder / "scheduler.json")
client.wait_for_workers(2)

# %%
# The batch size should be a multiple of the number of workers, or some of them idle at the end of a
# batch. Here MOELA asks for twenty designs at a time.


def solve(**settings):
    began = time.perf_counter()
    with Evaluator(progress=False, **settings) as evaluator:
        res = minimize(
            Antenna(), MOELA(batch_size=20), ("n_eval", 200), seed=1, evaluator=evaluator
        )
    return res, time.perf_counter() - began


on_cluster, cluster_seconds = solve(backend="dask")
alone, alone_seconds = solve()
print(f"two workers are {alone_seconds / cluster_seconds:.1f} times as fast as one process")

# %%
# The same seed gives the same result on any backend, so a run may start on a laptop and continue on
# a cluster.

assert np.array_equal(on_cluster.F, alone.F)
print("the fronts are the same, bit for bit")

client.shutdown()
for program in programs:
    program.wait()

# %%
# If a worker dies, dask gives its current evaluations to another worker. With ``store="run.db"``,
# even the loss of the machine that runs the algorithm loses no finished evaluation
# (:ref:`sphx_glr_auto_tutorials_02_expensive_simulator.py`). Dask cannot end a task that hangs, so
# let the simulator itself stop in time.
#
# The picture shows the front. A circle marks the design that dominates the largest box up to the
# worst corner of the front.

figure = plot_front(
    on_cluster.F, names=["loss of gain", "side lobe"], title="Six amplitudes of an antenna"
)
