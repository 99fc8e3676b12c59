"""
An MoE deployment, from a recorded trace to an SGLang file
==========================================================

A Mixture-of-Experts model is to be served on four devices, each too small for all of it. Which
experts go where, how many of them stay in memory, how many tokens are decoded together, and which
choices of the router may be dropped? This page starts from what the router did on real traffic and
ends with the file that SGLang reads.
"""

# %%
# What the router did
# -------------------
#
# A trace says which experts each token was sent to. This one was recorded from the language model
# that comes with the package, on source code that it had not seen. Yours comes from a model
# (``RoutingTrace.record(model, batches)``), or from a dump of SGLang's recorder
# (``RoutingTrace.load("dump.pt")``, which runs nothing that is in the file).
#
# The first half is for planning. The second half is traffic of tomorrow.

import tempfile
from pathlib import Path

import numpy as np
from pymoo.optimize import minimize

from moe_costmodel import RoutingTrace
from moe_costmodel.example import measured
from moela import MOELA
from problems import MoEDeployment

today, tomorrow = RoutingTrace.example("code").split(0.5)
print(today)
print(today.describe(size=8))

# %%
# The machine
# -----------
#
# Times come from kernels that were run and timed. On your machine that is
# ``LatencyModel.fit(measure_kernels(Hardware.here()))``; a measured table of a GPU that you do not
# have will do as well. Here they are those that come with the package.

hardware = measured.example_hardware(devices=4)
latency = measured.example_latency()
print(hardware.name, "with", hardware.n_devices, "devices")

# %%
# The problem and the search
# --------------------------
#
# Four objectives: seconds per token, the slowest steps, memory, and what dropped choices cost in
# quality. They pull against each other: a larger batch is quicker per token and takes memory that
# experts would have; fewer experts in memory mean waiting for copies.

problem = MoEDeployment(
    today,
    hardware,
    latency,
    n_devices=4,
    rest=measured.example_rest(),
    memory=measured.example_memory(),
    memory_budget=6e6,  # bytes of a device; all experts in memory would take more
)
res = minimize(problem, MOELA(), ("n_eval", 800), seed=1)
print(len(res.F), "deployments, none better than another in everything")

# %%
# A plan
# ------
#
# Of those that lose at most one per cent of the gates' mass to thresholds, take the quickest. A row
# becomes a plan, which says in plain words what to set and how sure its predictions are.

seconds, _, memory, loss = res.F.T
chosen = np.where(loss <= 0.01, seconds, np.inf).argmin()
plan = problem.decode(res.X[chosen])
print(plan.explain())

# %%
# Does it hold tomorrow?
# ----------------------
#
# Placements and buffers fit the traffic that they were made for, so evaluate the plan on what it
# has not seen before you change anything. The check says which predictions hold, and which knobs
# are better left alone.

print(plan.check(tomorrow))

# %%
# Out to the engine
# -----------------
#
# Each engine can be told a part of a plan. What it cannot be told is said, not dropped in silence.

folder = Path(tempfile.mkdtemp())
export = plan.to_sglang(folder / "experts.json")
print(export.engine, *export.flags[::2])
for note in export.notes:
    print("note:", note)
print((folder / "experts.json").read_text()[:76], "...")

# %%
# Left, the front with the plan; right, what its placement does to the busiest device on traffic
# that it has not seen, beside experts in order of their ids.

from matplotlib.figure import Figure

from moe_costmodel import avg_max_load, contiguous

figure = Figure(figsize=(11, 4.2), layout="constrained")
left, right = figure.subplots(1, 2)
points = left.scatter(memory / 1e6, 1 / seconds, c=100 * loss, s=18, cmap="viridis")
figure.colorbar(points, ax=left, label="gate mass lost (%)")
left.plot(memory[chosen] / 1e6, 1 / seconds[chosen], "*", ms=16, color="#D55E00", label="the plan")
left.set(xlabel="memory of a device (MB)", ylabel="tokens per second", yscale="log")
left.legend()

loads = tomorrow.loads(8)
layers = np.arange(plan.n_layers)
before = contiguous(plan.n_layers, n_experts=32, n_devices=4)
for placement, name, color, shift in (
    (before, "in order of ids", "#999999", -0.2),
    (plan.placement, "the plan", "#D55E00", 0.2),
):
    right.bar(layers + shift, avg_max_load(placement, loads), 0.4, color=color, label=name)
right.axhline(0.25, color="black", linestyle="--", linewidth=1)
right.set(xlabel="layer", ylabel="tokens on the busiest device (share)", ylim=(0, 0.6))
right.legend()
