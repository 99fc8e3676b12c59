"""
A 3D network-on-chip, from traffic to BookSim
=============================================

A chip has sixty-four processing elements on four layers, and 144 links between them. This page
optimizes the position of each element and link. It starts from the traffic between the elements and
ends with files for the BookSim simulator.
"""

# %%
# Traffic
# -------
#
# A traffic file has a row for each sender and a column for each receiver. This one is synthetic,
# with the shares of a breadth-first search: processors and graphics cores send to the caches, and
# hardly to one another.

import tempfile
from pathlib import Path

import numpy as np
from pymoo.optimize import minimize

from moela import MOELA, front_of, plot_front
from problems import NoC3D
from problems.noc import Platform, synthetic_traffic

folder = Path(tempfile.mkdtemp())
chip = Platform.paper_4x4x4()
np.savetxt(folder / "traffic.csv", synthetic_traffic("bfs", chip, np.random.default_rng(1)))

# %%
# Dividing the file's numbers by ``scale`` gives flits per cycle; for a trace, ``scale`` is its
# number of cycles. Objectives are chosen by name. A constraint keeps the busiest link below 90 % of
# its capacity.

problem = NoC3D.from_traffic(
    folder / "traffic.csv",
    platform=chip,
    scale=1.0,
    objectives=["packet_latency", "energy", "temperature"],
    constraints={"peak_load": 0.9},
)
traffic_figure = problem.plot_traffic()

# %%
# The search
# ----------
#
# The problem defines its own operators and moves. Its ``ref_point`` holds the objectives of the
# plain mesh, the design from which a designer would start. The picture marks the design that
# dominates the largest box up to the mesh: it improves on all objectives together the most.

res = minimize(problem, MOELA(), ("n_eval", 3_000), seed=1)
front = front_of(res)
front_figure = plot_front(
    front.F,
    names=problem.objective_names,
    ref_point=problem.ref_point,
    ref_name="mesh",
    title=f"{len(front)} non-dominated chips",
)

# %%
# Choosing a design
# -----------------
#
# `moela.Front` offers several ways to choose. Here we take the knee, which need not be the marked
# design. At a knee, giving up more of one objective gains little of another.

knee = front.knee()
design = problem.decode(front.X[knee])
print(design)
for name, (value, mesh, change) in problem.beside_mesh(design).items():
    print(f"{name:15s} {value:8.3f}, mesh {mesh:8.3f} ({change:+.1f} %)")

# %%
# What an architect would build instead
# -------------------------------------
#
# The plain mesh is a weak rival. The design also has to beat the mesh with its elements placed for
# this traffic, the folded torus, and the express mesh of the same wire length. Simulated annealing
# places the elements of these networks. The torus has 128 planar links instead of 96.

beside = problem.beside_baselines(design, random_state=np.random.default_rng(1), n_eval=1_000)
print(beside)

# %%
# The picture shows all five networks, and the change of the design against each of the others.

baseline_figure = beside.plot()

# %%
# Out to the simulator
# --------------------
#
# ``to_booksim`` writes the topology and a configuration. ``design.simulate_booksim(folder)`` also
# runs BookSim, if it is on the PATH. BookSim takes no traffic matrix, so only the total that each
# element sends and receives is matched; :doc:`/noc` explains how. The other networks get folders of
# their own, and ``README.txt`` lists what a run in each should print.

config = design.to_booksim(folder / "booksim", traffic=problem.traffic, baselines=beside.networks)
design.save(folder / "design.json")
print(*sorted(path.name for path in config.parent.iterdir()))
print((config.parent / "network.anynet").read_text().splitlines()[0])

# %%
# Above is the mesh, below the design, with links colored by load. A dot in the corner of a tile is
# the vertical link to the layer above. The bars show the change of each objective.

figure = problem.plot_beside_mesh(design)

# sphinx_gallery_thumbnail_number = 4
