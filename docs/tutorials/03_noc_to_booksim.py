"""
A 3D network-on-chip, from traffic to BookSim
=============================================

Sixty-four processing elements on four layers, and 144 links that join them: where does each one go?
This page starts from who talks to whom and ends with files for the BookSim simulator.
"""

# %%
# Traffic
# -------
#
# A traffic file has a row for each sender and a column for each receiver. This one is made up, with
# the shares of a breadth-first search: processors and graphics cores talk to the caches, and hardly
# to one another.

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
# ``scale`` is what the file's numbers are divided by to give flits per cycle: for a trace, its
# cycles. Objectives are chosen by name; a constraint keeps the busiest link below nine tenths of
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
# The problem brings operators and moves of its own, and ``ref_point`` is what the plain mesh comes
# to, which is where a designer would start.

res = minimize(problem, MOELA(), ("n_eval", 3_000), seed=1)
front = front_of(res)
front_figure = plot_front(
    front.F,
    names=problem.objective_names,
    reference=problem.ref_point,
    reference_name="mesh",
    title=f"{len(front)} chips, none better than another in everything",
)

# %%
# Choosing a design
# -----------------
#
# `moela.Front` knows several ways to choose. A knee is where a little more of one objective no
# longer buys much of another.

knee = front.knees()[0]
design = problem.decode(front.X[knee])
print(design)
for name, (value, mesh, change) in problem.beside_mesh(design).items():
    print(f"{name:15s} {value:8.3f}, mesh {mesh:8.3f} ({change:+.1f} %)")

# %%
# Out to the simulator
# --------------------
#
# ``to_booksim`` writes the topology and a configuration; ``design.simulate_booksim(folder)`` runs
# BookSim as well, where it is on the PATH. BookSim takes no traffic matrix, so what each element
# sends and receives is matched; :doc:`/noc` says how, and what is lost.

config = design.to_booksim(folder / "booksim", traffic=problem.traffic)
design.save(folder / "design.json")
print(*sorted(path.name for path in config.parent.iterdir()))
print((config.parent / "network.anynet").read_text().splitlines()[0])

# %%
# The mesh above, the design below: links colored by their load, and what each objective gained.

figure = problem.plot_beside_mesh(design)

# sphinx_gallery_thumbnail_number = 3
