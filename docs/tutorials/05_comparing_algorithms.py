"""
Comparing five algorithms honestly
==================================

One run of each proves nothing: random search can be lucky once. What it takes is the same problem,
operators and budget for all, several seeds, everything that was evaluated scored on one scale, and
a test of whether the difference could be luck.
"""

# %%
# The contest
# -----------
#
# Two problems: a quadratic assignment, twenty facilities with two kinds of flow between them, which
# is the kind of problem that MOELA was made for; and ZDT4, smooth and in ten real variables, which
# is not. All five algorithms get the same operators, and 1,500 evaluations for each of eight seeds.
# ``run_experiment`` makes the runs. With ``store="folder"`` it would keep them, and a second call
# would make only those that are missing.

from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

import moela
from moela import MOELA, run_experiment
from moela.rivals import MOMAD
from problems import MultiObjectiveQAP

problems = {
    "QAP": MultiObjectiveQAP.random(n_facilities=20, seed=1),
    "ZDT4": get_problem("zdt4"),
}
directions = get_reference_directions("uniform", 2, n_partitions=49)


def brought(problem):
    """The operators that a problem brings; pymoo's own for real variables otherwise."""
    return problem.operators() if hasattr(problem, "operators") else {}


algorithms = {
    "MOELA": MOELA,
    "MOMAD": MOMAD,
    "MOEA/D": lambda problem: MOEAD(directions, **brought(problem)),
    "NSGA-II": lambda problem: NSGA2(pop_size=50, **brought(problem)),
    "NSGA-III": lambda problem: NSGA3(directions, **brought(problem)),
}
results = run_experiment(problems, algorithms, seeds=8, budget=1_500, progress=False)
print(results)

# %%
# The verdict
# -----------
#
# `moela.compare` scores all that each run evaluated, not what the algorithm chose to return, so
# that none is punished for a small population. Printed, it is a summary: medians and quartiles,
# who beats whom by a test corrected for the number of comparisons, and what to keep in mind.

comparison = moela.compare(results, baseline="MOELA")
print(comparison)

# %%
# How sure is that?
# -----------------
#
# A p-value after Holm's correction below 0.05 means that so large a difference would hardly come
# from luck; A12 says how often a run of MOELA beats one of the other. With fewer than about six
# seeds no test could say anything, and the summary would tell you.

for row in comparison.tests():
    verdict = f"{row['verdict']:18s} p = {row['p_holm']:.3f}, A12 = {row['a12']:.2f}"
    print(f"{row['problem']:5s} MOELA against {row['rival']:8s} {verdict}")

# %%
# Does it last?
# -------------
#
# An algorithm may be ahead early and overtaken later, so look at the whole way, not at its end.

qap_way = comparison.plot_convergence("QAP")
zdt_way = comparison.plot_convergence("ZDT4")

# %%
# What is first on one problem need not be first on another: put yours in and see.
# :doc:`/how_to_choose` has tables of more. The picture is what half of an algorithm's runs attain
# on the assignment, and the bands reach from what any of them does to what all do.

figure = comparison.plot_attainment("QAP")

# %%
# ``comparison.report("comparison.html")`` writes all of it, with pictures one can zoom into, as one
# file that needs no network.

# sphinx_gallery_thumbnail_number = 3
