"""
An MoE deployment, from a recorded trace to an SGLang file
==========================================================

Four devices must serve a Mixture-of-Experts model, and each is too small for the whole model.
Where does each expert go, how many of them stay in memory, how many tokens are decoded together,
and which choices of the router may be dropped? This page starts from the routing of real traffic
and ends with the file that SGLang reads.
"""

# %%
# The trace
# ---------
#
# A trace records the experts to which the router sent each token. This one was recorded from the
# language model that comes with the package, on source code that was not in its training data.
# Record yours from a model (``RoutingTrace.record(model, batches)``), or load a dump of SGLang's
# recorder (``RoutingTrace.load("dump.pt")``, which never runs code in the file).
#
# The first half serves for planning. The second half stands for tomorrow's traffic.

import tempfile
from pathlib import Path

import numpy as np
from pymoo.optimize import minimize

from moe_costmodel import RoutingTrace, example
from moela import MOELA
from problems import MoEDeployment

today, tomorrow = RoutingTrace.example("code").split(0.5)
print(today)
print(today.describe(batch_size=8))

# %%
# The machine
# -----------
#
# Times come from measured kernels. On your machine that is
# ``LatencyModel.fit(measure_kernels(Hardware.here()))``. A measured table of a GPU that you do not
# have works as well. This page uses the measurements that come with the package.

hardware = example.example_hardware(n_devices=4)
latency = example.example_latency()
print(hardware.name, "with", hardware.n_devices, "devices")

# %%
# The problem and the search
# --------------------------
#
# The four objectives are seconds per token, the 99th percentile of step times, memory, and the
# quality lost to dropped choices. They conflict: a larger batch is faster per token, but takes
# memory from the experts, and with fewer experts in memory steps wait for copies.

problem = MoEDeployment(
    today,
    hardware,
    latency,
    n_devices=4,
    rest=example.example_rest(),
    memory=example.example_memory(),
    memory_budget=6e6,  # bytes of a device; all experts in memory would take more
)
res = minimize(problem, MOELA(), ("n_eval", 800), seed=1)
print(len(res.F), "non-dominated deployments")

# %%
# A plan
# ------
#
# Take the fastest of the deployments that lose at most 1 % of the gate mass. ``decode`` returns a
# plan, which explains in plain words what to set and how certain its predictions are.

seconds, _, memory, loss = res.F.T
chosen = np.where(loss <= 0.01, seconds, np.inf).argmin()
plan = problem.decode(res.X[chosen])
print(plan.explain())

# %%
# Does it hold tomorrow?
# ----------------------
#
# Placements and buffers fit the traffic that they were made for. So evaluate the plan on unseen
# traffic before you deploy it. The check says which predictions hold, and which settings to leave
# alone.

print(problem.check_plan(plan, tomorrow))

# %%
# Out to the engine
# -----------------
#
# Each engine accepts a part of a plan. Notes list the parts that it does not accept.

folder = Path(tempfile.mkdtemp())
export = plan.to_sglang(folder / "experts.json")
print(export.engine, *export.flags[::2])
for note in export.notes:
    print("note:", note)
print((folder / "experts.json").read_text()[:76], "...")

# %%
# Left: the front and the plan. Right: the load of the busiest device on unseen traffic, with the
# plan's placement and with experts in the order of their ids.

from matplotlib.figure import Figure

from moe_costmodel import avg_max_load, contiguous

figure = Figure(figsize=(11, 4.2), layout="constrained")
left, right = figure.subplots(1, 2)
points = left.scatter(memory / 1e6, 1 / seconds, c=100 * loss, s=18, cmap="viridis")
figure.colorbar(points, ax=left, label="gate mass lost (%)")
left.plot(memory[chosen] / 1e6, 1 / seconds[chosen], "*", ms=16, color="#D55E00", label="the plan")
left.set(xlabel="memory of a device (MB)", ylabel="tokens per second", yscale="log")
left.set_yticks([200, 500, 1000], ["200", "500", "1000"])
left.yaxis.set_minor_formatter("")
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
