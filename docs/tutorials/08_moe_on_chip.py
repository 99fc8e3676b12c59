"""
Experts on a 3D chip, from a recorded trace to a simulator
==========================================================

A chip has forty cores, each with room for a few experts of a Mixture-of-Experts model. Every token
visits several experts in each layer, so the network carries little else. This page records the
routing, turns it into traffic, and then decides three things at once: the core of each expert, the
tile of each core, and the links. It ends with a flit-level simulation and the files of BookSim.
"""

# %%
# The trace
# ---------
#
# ``RoutingTrace.record`` runs a model on batches of token ids and keeps what its routers chose.
# The model is the small one that comes with the package; yours can be any of Hugging Face
# transformers.

import tempfile
from pathlib import Path

import numpy as np
from pymoo.optimize import minimize

from moe_costmodel import RoutingTrace
from moe_costmodel.example import excerpts, load_model
from moela import MOELA, front_of, plot_front
from problems import MoEOnChip, NoC3D
from problems.moe_on_chip import Activations, traffic
from problems.noc import Platform

print(RoutingTrace.record(load_model(), excerpts("code", n=4)))

# %%
# Longer traces of this model are packaged: library source is the domain to plan for, and help
# topics are held out.

code, prose = RoutingTrace.example("code"), RoutingTrace.example("prose")

# %%
# Traffic
# -------
#
# A step computes 80 tokens, two on each core. In each layer a token goes to the cores of its
# experts and comes back: one byte a value on the way there, two on the way back. A mapping and
# the trace give a matrix in flits per cycle, which any chip of ``NoC3D`` takes. Here the experts
# lie in the order of their ids on the forty GPUs, whose ids begin at 24.

chip = Platform.paper_4x4x4()
sizes = Activations(d_model=2048, dispatch_dtype="fp8", combine_dtype="bfloat16")
in_order = chip.pes_of("GPU")[0] + np.arange(6 * 32).reshape(6, 32) % 40
flits = traffic(code, placement=in_order, platform=chip, activations=sizes, batch_size=80)
print(
    f"{flits.sum():.1f} flits per cycle in all, at most {flits.sum(axis=1).max():.2f} from a core"
)

# %%
# The joint problem
# -----------------
#
# Each recorded step has a mean latency of its packets. ``p99_latency`` is the 99th percentile of
# these means. The reference is a good mapping on the plain mesh: the busiest experts near their
# tokens, and no core with more than its share. The picture marks the chip that dominates the
# largest box up to the reference: it improves on both objectives together the most.

problem = MoEOnChip(
    code,
    platform=chip,
    activations=sizes,
    batch_size=80,
    max_steps=32,
    objectives=("p99_latency", "energy"),
    held_out=prose,
)
res = minimize(problem, MOELA(), ("n_eval", 400), seed=1)
front = front_of(res)
front_figure = plot_front(
    front.F,
    names=problem.objective_names,
    ref_point=problem.ref_point,
    ref_name="greedy mapping on the mesh",
    title=f"{len(front)} non-dominated chips",
)

# %%
# Choosing a chip
# ---------------
#
# The knee is judged on the domain that was held out, too. Experts are chosen for one domain; most
# of the gain is in the network, which serves the other as well.

best = problem.decode(front.X[front.knee()])
for name, judge in (("code", problem), ("prose, held out", problem.held_out)):
    for metric, (ours, reference, change) in judge.beside_reference(best).items():
        print(f"{name:16s} {metric:12s} {ours:7.2f}, greedy {reference:7.2f} ({change:+.1f} %)")

# %%
# Simulation
# ----------
#
# Both designs are simulated flit by flit under the held-out traffic, so that the claim does not
# rest on the model alone.

for name, one in (("greedy on the mesh", problem.reference), ("the knee", best)):
    result = one.design.simulate(
        problem.held_out.traffic_of(one), random_state=np.random.default_rng(1)
    )
    print(f"{name:19s} {result.packet_latency:.1f} +/- {result.standard_error:.1f} cycles a packet")

# %%
# The chip beside regular networks
# --------------------------------
#
# With the experts on the cores of the knee, the network is a ``NoC3D`` like any other. So it can be
# compared with what an architect would build without a search: the mesh with its elements placed
# for this traffic, the folded torus, and the express mesh of the same wire length. After 400
# evaluations of the joint problem, an express mesh with a quarter more links is a strong rival.

network = NoC3D(
    problem.held_out.traffic_of(best), platform=chip, objectives=("packet_latency", "energy")
)
print(network.beside_baselines(best.design, random_state=np.random.default_rng(1), n_eval=500))

# %%
# Out to the simulator
# --------------------
#
# ``to_booksim`` writes topology and configuration. ``chip.json`` keeps the experts with the
# design.

folder = Path(tempfile.mkdtemp())
config = best.design.to_booksim(folder / "booksim", traffic=problem.traffic_of(best))
best.save(folder / "chip.json")
print(*sorted(path.name for path in config.parent.iterdir()))

# %%
# The chip: its links are colored by the load that dispatch and combine put on them. A dot in the
# corner of a tile is the vertical link to the layer above.

figure = best.design.plot(best.design.link_loads(problem.traffic_of(best)))

# sphinx_gallery_thumbnail_number = 2
