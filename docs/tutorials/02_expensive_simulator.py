"""
An expensive simulator: a store, two workers and a crash
========================================================

A simulator is slow, fails for some designs, and one day the machine goes down. On this page all of
that happens on purpose, and no finished evaluation is lost.
"""

# %%
# The simulator
# -------------
#
# A heat sink has a number of fins of equal height and thickness. It should be light and keep a chip
# cool. The simulator is a separate program, as most are. It reads a file of settings, takes a
# while, and prints its results. It aborts if the fins are too tall and too thin.

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

folder = Path(tempfile.mkdtemp())
(folder / "simulator.py").write_text("""
import json, math, sys, time

design = json.load(open(sys.argv[1]))
height, thickness, fins = design["height"], design["thickness"], design["fins"]
time.sleep(0.05)  # yours may take hours
if height > 45 * thickness:
    raise SystemExit("solver diverged")
gap = (0.08 - fins * thickness) / (fins - 1)
film = 9.0 * min(1.0, gap / 0.004) ** 1.5
m = math.sqrt(2 * film / (200 * thickness))
efficiency = math.tanh(m * height) / (m * height)
area = 0.08 * (2 * fins * height * efficiency + (fins - 1) * gap)
mass = 2700 * 0.08 * (0.08 * 0.004 + fins * height * thickness)
print(json.dumps({"mass": mass, "rise": 10 / (film * area)}))
""")

# %%
# The script
# ----------
#
# The problem calls the simulator, one design at a time. With ``on_error="infeasible"`` a failed
# evaluation becomes a status, never a number that the algorithm could take for an objective.
# ``timeout`` ends an evaluation that hangs.

(folder / "run.py").write_text("""
import json, subprocess, sys, tempfile
from pathlib import Path
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Integer, Real
from pymoo.optimize import minimize
from moela import MOELA, Evaluator

class HeatSink(ElementwiseProblem):
    version = "1"  # change it whenever the simulator changes

    def __init__(self):
        variables = {
            "height": Real(bounds=(0.01, 0.06)),
            "thickness": Real(bounds=(0.0005, 0.003)),
            "fins": Integer(bounds=(5, 25)),
        }
        super().__init__(vars=variables, n_obj=2)

    def _evaluate(self, x, out, *args, **kwargs):
        design = {"height": x["height"], "thickness": x["thickness"], "fins": int(x["fins"])}
        with tempfile.TemporaryDirectory() as here:
            path = Path(here, "design.json")
            path.write_text(json.dumps(design))
            command = [sys.executable, "-I", "simulator.py", path]
            run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(run.stderr)
        found = json.loads(run.stdout)
        out["F"] = [found["mass"], found["rise"]]

evaluator = Evaluator(n_jobs=2, store="run.db", on_error="infeasible", timeout=60, progress=False)
res = minimize(HeatSink(), MOELA(), ("n_eval", 150), seed=1, evaluator=evaluator)
print(f"{evaluator.n_eval} answered, {evaluator.n_fresh} of them computed just now, "
      f"{evaluator.n_failed} failed; {len(res.F)} designs on the front")
""")

# %%
# The crash
# ---------
#
# The script runs until about sixty evaluations are in the store. Then it gets a signal that no
# program can catch, as a scheduler sends it at the end of a time limit.

from moela import EvaluationStore, StoreError


def n_stored():
    try:
        with EvaluationStore(folder / "run.db") as store:
            return sum(1 for _ in store.evaluations())
    except StoreError:  # the script has not created the store yet
        return 0


first = subprocess.Popen([sys.executable, "run.py"], cwd=folder)
while n_stored() < 60 and first.poll() is None:
    time.sleep(0.1)
first.send_signal(signal.SIGKILL)
first.wait()
n_before = n_stored()
print(n_before, "evaluations were in the store when the script was killed")

# %%
# The same script again
# ---------------------
#
# The same call resumes the run. The store recognizes the run by its problem, algorithm and seed.
# Stored results are reused, and the run continues exactly where it stopped, bit for bit. At the
# command line, ``moela runs run.db`` prints a table of the runs in a store.

second = subprocess.run(
    [sys.executable, "run.py"], cwd=folder, capture_output=True, text=True, check=True
)
print(second.stdout)

# %%
# The store
# ---------
#
# The store holds every evaluation with its design, result, duration and worker. A failure has its
# traceback.

with EvaluationStore(folder / "run.db") as store:
    evaluations = list(store.evaluations())
    front = store.front()
failed = next(e for e in evaluations if e.status != "ok")
print(failed.status, {name: round(value, 4) for name, value in failed.X.items()})
print(failed.error.strip().splitlines()[-1])

# %%
# Each bar is an evaluation: two workers before the crash, two after it. The time axis excludes the
# time during which the script was down.

from matplotlib.figure import Figure

figure = Figure(figsize=(11, 4.2), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
workers = list(dict.fromkeys(e.worker for e in evaluations))
colors = {"ok": "#0072B2", "error": "#D55E00"}
for status, color in colors.items():
    some = [e for e in evaluations if e.status == status]
    left.barh(
        [workers.index(e.worker) for e in some],
        [e.duration for e in some],
        left=[e.elapsed - e.duration for e in some],
        color=color, edgecolor="white", linewidth=0.4, label=status,
    )  # fmt: skip
crash = evaluations[n_before - 1].elapsed
left.axvline(crash, color="black", linestyle="--")
left.text(crash, -0.75, " killed, started again", va="center")
left.set_yticks(range(len(workers)), [f"worker {i + 1}" for i in range(len(workers))])
left.set(xlabel="seconds of running", ylim=(len(workers) - 0.4, -1.1))
left.legend(loc="lower left")

points = [e for e in evaluations if e.status == "ok"]
right.scatter([e.F[0] for e in points], [e.F[1] for e in points], s=12, color="#BBBBBB")
best = front.get("F")[front.get("F")[:, 0].argsort()]
right.step(best[:, 0], best[:, 1], "o-", where="post", color="#0072B2", markersize=4, label="front")
right.set(xlabel="mass (kg)", ylabel="rise of temperature (K)", ylim=(0, 1.2 * best[:, 1].max()))
right.legend()

# %%
# The guide :doc:`/evaluation` describes the guarantees of each backend, failures in pymoo's own
# algorithms, and the cost of the store.
